// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package streamrulecontroller

import (
	"context"
	"reflect"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"

	streamrules "github.com/kubeedge/datastream/pkg/apis/streamrules/v1alpha1"
	"github.com/kubeedge/datastream/pkg/client/clientset/versioned"
	"github.com/kubeedge/datastream/pkg/client/informers/externalversions"
	listers "github.com/kubeedge/datastream/pkg/client/listers/streamrules/v1alpha1"
)

// Indexes of the rules.
const (
	byNode     = "node"
	byEndpoint = "endpoint" // namespace/name
)

// bySecret is an index of the endpoints: namespace/name.
const bySecret = "secret"

// rules is the present set of rules and endpoints of all namespaces.
type rules struct {
	factory   externalversions.SharedInformerFactory
	indexer   cache.Indexer
	rules     listers.StreamRuleLister
	endpoints listers.StreamRuleEndpointLister
	users     cache.Indexer // endpoints, by what they refer to
	secrets   *secrets
	changed   changes
	listings  []*listing
}

// changes are called with what an event concerns.
type changes struct {
	// node has other targets, or the same with other endpoints.
	node func(name string)
	// rule has changed in any way, also its status.
	rule func(types.NamespacedName)
	// endpoint has changed in any way, also its status.
	endpoint func(types.NamespacedName)
}

// newRules watches rules and endpoints once started, and the Secrets that endpoints refer to; kube may be nil.
func newRules(client versioned.Interface, kube typedcorev1.SecretsGetter, changed changes) *rules {
	// No resync: a send that went wrong is repeated by the closed loop, and the cache itself loses nothing.
	factory := externalversions.NewSharedInformerFactory(client, 0)
	api := factory.Streamrules().V1alpha1()
	ruleInformer, endpointInformer := api.StreamRules().Informer(), api.StreamRuleEndpoints().Informer()
	r := &rules{
		factory: factory, indexer: ruleInformer.GetIndexer(), changed: changed,
		rules: api.StreamRules().Lister(), endpoints: api.StreamRuleEndpoints().Lister(),
		users: endpointInformer.GetIndexer(),
	}
	r.secrets = newSecrets(kube, r.secretChanged)
	// These fail only on an informer that has started or stopped.
	must(ruleInformer.AddIndexers(cache.Indexers{byNode: nodesOf, byEndpoint: endpointsOf}))
	must(endpointInformer.AddIndexers(cache.Indexers{bySecret: secretsOf}))
	_, err := ruleInformer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    r.ruleChanged,
		UpdateFunc: r.ruleUpdated,
		DeleteFunc: r.ruleChanged,
	})
	must(err)
	endpoints, err := endpointInformer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    r.endpointChanged,
		UpdateFunc: r.endpointUpdated,
		DeleteFunc: r.endpointDeleted,
	})
	must(err)
	// In this order: what an endpoint refers to is known once its event has been handled.
	r.listings = []*listing{
		{what: "StreamRules", synced: ruleInformer.HasSynced}, {what: "StreamRuleEndpoints", synced: endpoints.HasSynced},
		{what: "Secrets of endpoints", synced: r.secrets.tried},
	}
	r.listings[0].follow(ruleInformer)
	r.listings[1].follow(endpointInformer)
	return r
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// start starts the informers, which end with ctx.
func (r *rules) start(ctx context.Context) {
	r.secrets.start(ctx)
	r.factory.Start(ctx.Done())
}

// synced waits until everything there is has been read, and reports false if ctx ends first.
func (r *rules) synced(ctx context.Context) bool {
	return await(ctx, r.listings, func(string) {})
}

// wait waits for the end of the informers.
func (r *rules) wait() {
	r.factory.Shutdown()
	r.secrets.wait()
}

// nodes returns every node with a target.
func (r *rules) nodes() []string { return r.indexer.ListIndexFuncValues(byNode) }

// names says whether a rule has a target on the node.
func (r *rules) names(node string) bool {
	keys, err := r.indexer.IndexKeys(byNode, node)
	must(err) // as in ofNode
	return len(keys) > 0
}

// ofNode returns the rules that have a target on the node.
func (r *rules) ofNode(node string) []*streamrules.StreamRule {
	objs, err := r.indexer.ByIndex(byNode, node)
	must(err) // fails only for an index that does not exist
	out := make([]*streamrules.StreamRule, len(objs))
	for i, obj := range objs {
		out[i] = obj.(*streamrules.StreamRule)
	}
	return out
}

func (r *rules) ruleChanged(obj any) {
	if last, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = last.Obj
	}
	if rule, ok := obj.(*streamrules.StreamRule); ok {
		r.changed.rule(nameOf(rule))
	}
	r.nodesChanged(obj)
}

func (r *rules) nodesChanged(obj any) {
	nodes, _ := nodesOf(obj)
	for _, node := range nodes {
		r.changed.node(node)
	}
}

func nameOf(obj metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: obj.GetNamespace(), Name: obj.GetName()}
}

func (r *rules) ruleUpdated(before, after any) {
	was, is := before.(*streamrules.StreamRule), after.(*streamrules.StreamRule)
	r.changed.rule(nameOf(is))
	if was.UID == is.UID && was.Generation == is.Generation && reflect.DeepEqual(was.Spec, is.Spec) {
		return // its status, most likely
	}
	r.nodesChanged(was)
	r.nodesChanged(is)
}

func (r *rules) endpointChanged(obj any) {
	if endpoint, ok := obj.(*streamrules.StreamRuleEndpoint); ok {
		r.secrets.refer(nameOf(endpoint), endpoint.Spec.CredentialsSecretRef)
		r.endpointConcerned(nameOf(endpoint))
	}
}

func (r *rules) endpointDeleted(obj any) {
	key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj)
	if err != nil {
		return // not an object
	}
	name, err := cache.ParseObjectName(key)
	must(err) // the key was made a line above
	r.secrets.refer(name.AsNamespacedName(), nil)
	r.endpointConcerned(name.AsNamespacedName())
}

// secretChanged is called when something else is known of a Secret.
func (r *rules) secretChanged(name types.NamespacedName) {
	endpoints, err := r.users.ByIndex(bySecret, name.String())
	must(err) // as in ofNode
	for _, obj := range endpoints {
		r.endpointConcerned(nameOf(obj.(*streamrules.StreamRuleEndpoint)))
	}
}

// endpointConcerned tells whom it concerns that an endpoint is another, or what it refers to.
func (r *rules) endpointConcerned(name types.NamespacedName) {
	r.changed.endpoint(name)
	users, err := r.indexer.ByIndex(byEndpoint, name.String())
	must(err) // as in ofNode
	for _, rule := range users {
		r.nodesChanged(rule)
	}
}

func (r *rules) endpointUpdated(before, after any) {
	was, is := before.(*streamrules.StreamRuleEndpoint), after.(*streamrules.StreamRuleEndpoint)
	r.changed.endpoint(nameOf(is))
	if !reflect.DeepEqual(was.Spec, is.Spec) {
		r.endpointChanged(is)
	}
}

// nodesOf is the function of the index byNode. It skips names that the CRD's validation refuses anyway: one with a
// slash could address another node's messages.
func nodesOf(obj any) ([]string, error) {
	rule, ok := obj.(*streamrules.StreamRule)
	if !ok {
		return nil, nil
	}
	var out []string
	for i := range rule.Spec.Targets {
		if node := rule.Spec.Targets[i].TargetResource.NodeName; isNodeName(node) {
			out = append(out, node)
		}
	}
	return out, nil
}

func isNodeName(name string) bool { return name != "" && !strings.Contains(name, "/") }

// secretsOf is the function of the index bySecret.
func secretsOf(obj any) ([]string, error) {
	endpoint, ok := obj.(*streamrules.StreamRuleEndpoint)
	if !ok {
		return nil, nil
	}
	name, needed := secretOf(endpoint)
	if !needed {
		return nil, nil
	}
	return []string{name.String()}, nil
}

// endpointsOf is the function of the index byEndpoint.
func endpointsOf(obj any) ([]string, error) {
	rule, ok := obj.(*streamrules.StreamRule)
	if !ok {
		return nil, nil
	}
	out := make([]string, len(rule.Spec.Targets))
	for i := range rule.Spec.Targets {
		out[i] = rule.Namespace + "/" + rule.Spec.Targets[i].EndpointRef
	}
	return out, nil
}
