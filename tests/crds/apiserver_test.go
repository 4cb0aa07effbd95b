// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package crds_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	crdvalidation "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

// crdDir holds the committed CRDs, as seen from this package.
const crdDir = "../../build/crds/streamrules"

// resource admits objects of one custom resource with the packages that the API server itself uses, in its order.
type resource struct {
	crd        *apiextensions.CustomResourceDefinition
	columns    []apiextensionsv1.CustomResourceColumnDefinition
	structural *structuralschema.Structural
	schema     validation.SchemaValidator
	rules      *cel.Validator
}

// load reads a committed CRD and fails the test unless the API server would accept it.
func load(tb testing.TB, plural string) *resource {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join(crdDir, "streamrules.kubeedge.io_"+plural+".yaml"))
	if err != nil {
		tb.Fatalf("reading the CRD: %v", err)
	}
	var external apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(data, &external); err != nil {
		tb.Fatalf("decoding the CRD: %v", err)
	}
	apiextensionsv1.SetObjectDefaults_CustomResourceDefinition(&external)

	r := &resource{
		crd:     &apiextensions.CustomResourceDefinition{},
		columns: external.Spec.Versions[0].AdditionalPrinterColumns,
	}
	if err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(&external, r.crd, nil); err != nil {
		tb.Fatalf("converting the CRD: %v", err)
	}
	// The registry records the storage version before it validates.
	r.crd.Status.StoredVersions = []string{"v1alpha1"}
	if errs := crdvalidation.ValidateCustomResourceDefinition(context.Background(), r.crd); len(errs) > 0 {
		tb.Fatalf("the API server would refuse the CRD: %v", errs.ToAggregate())
	}

	props, err := apiextensions.GetSchemaForVersion(r.crd, "v1alpha1")
	if err != nil {
		tb.Fatalf("finding the schema: %v", err)
	}
	if r.structural, err = structuralschema.NewStructural(props.OpenAPIV3Schema); err != nil {
		tb.Fatalf("building the structural schema: %v", err)
	}
	if r.schema, _, err = validation.NewSchemaValidator(props.OpenAPIV3Schema); err != nil {
		tb.Fatalf("building the schema validator: %v", err)
	}
	r.rules = cel.NewValidator(r.structural, true, celconfig.PerCallLimit)
	return r
}

// admit decodes one YAML document, sets its defaults and validates it, like a create with fieldValidation=Strict.
func (r *resource) admit(manifest []byte) (map[string]any, field.ErrorList) {
	data, err := yaml.YAMLToJSONStrict(manifest)
	if err != nil {
		return nil, field.ErrorList{field.Invalid(nil, nil, err.Error())}
	}
	var object map[string]any
	if err := utiljson.Unmarshal(data, &object); err != nil {
		return nil, field.ErrorList{field.Invalid(nil, nil, err.Error())}
	}

	var errs field.ErrorList
	unknown := pruning.PruneWithOptions(object, r.structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	for _, path := range unknown {
		errs = append(errs, field.Invalid(nil, nil, fmt.Sprintf("unknown field %q", path)))
	}
	defaulting.PruneNonNullableNullsWithoutDefaults(object, r.structural)
	defaulting.Default(object, r.structural)
	return object, append(errs, r.validate(object)...)
}

// validate follows customResourceStrategy.Validate of the API server.
func (r *resource) validate(object map[string]any) field.ErrorList {
	errs := validation.ValidateCustomResource(nil, object, r.schema)
	errs = append(errs, objectmeta.Validate(nil, object, r.structural, false)...)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, r.structural, object)...)
	for _, err := range errs {
		switch err.Type {
		case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
			// The server leaves the rules out when the object does not fit the schema.
			return errs
		}
	}
	more, _ := r.rules.Validate(context.Background(), nil, r.structural, object, nil, celconfig.RuntimeCELCostBudget)
	return append(errs, more...)
}
