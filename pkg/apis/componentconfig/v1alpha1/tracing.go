// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import "k8s.io/apimachinery/pkg/util/validation/field"

// Tracing is where OpenTelemetry traces go and how many, after Kubernetes' TracingConfiguration. A missing section is off.
type Tracing struct {
	// Endpoint is the collector, host:port of OTLP over gRPC. Required.
	Endpoint string `json:"endpoint"`
	// CAFile (PEM) verifies the collector. Default: the system's authorities.
	CAFile string `json:"tlsCAFile,omitempty"`
	// Insecure sends without TLS, for a collector on the same machine or behind a mesh.
	Insecure bool `json:"insecure,omitempty"`
	// SamplingRatePerMillion is how many of a million traces that begin here are recorded. Default 0: only those whose viewer has
	// asked for it, by a traceparent that is sampled.
	SamplingRatePerMillion int32 `json:"samplingRatePerMillion,omitempty"`
}

func (t *Tracing) validate(path *field.Path) field.ErrorList {
	if t == nil {
		return nil
	}
	errs := address(path.Child("endpoint"), t.Endpoint)
	if t.Insecure && t.CAFile != "" {
		errs = append(errs, field.Invalid(path.Child("tlsCAFile"), t.CAFile, "is of no use with insecure: set one of them"))
	}
	if rate := t.SamplingRatePerMillion; rate < 0 || rate > 1e6 {
		errs = append(errs, field.Invalid(path.Child("samplingRatePerMillion"), rate, "must be from 0 to 1000000"))
	}
	return errs
}
