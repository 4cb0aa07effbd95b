// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package streamrulecontroller

import (
	"context"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
)

// Problems of all targets of a node that is not let in.
var (
	nodeDeleted = &problem{"NodeDeleted", "the Node was deleted"}
	nodeMissing = &problem{"NodeMissing", "there is no Node of this name, and streamRuleController.nodes is Registered"}
)

// deletedMax is how many deleted Nodes are remembered beyond those that rules name, which are so few as the rules. Clusters in which nodes come
// and go, under a new name each time, would fill the memory with them.
const deletedMax = 1024

// nodeObjects knows which nodes have a Node object, and which of them had one.
type nodeObjects struct {
	policy   v1alpha1.NodePolicy
	changed  func(node string)
	named    func(node string) bool    // by a rule: only of these it matters whether they were deleted
	informer cache.SharedIndexInformer // nil if nobody can be asked
	listing  *listing                  // of the informer; it is there when all of the first list is in known
	running  sync.WaitGroup

	mu      sync.Mutex
	known   map[string]bool // by name: there is a Node, or else there was one
	deleted []string        // the latter, the oldest first
}

func newNodeObjects(policy v1alpha1.NodePolicy, changed func(node string), named func(node string) bool) *nodeObjects {
	return &nodeObjects{policy: policy, changed: changed, named: named, known: make(map[string]bool)}
}

// FollowNodes has the controller look at Node objects through client, of which it reads nothing but names. Without it no Node is
// ever deleted, and with the policy Registered none is there. It is called before Run.
func (c *Controller) FollowNodes(client metadata.Interface) { c.objects.follow(client) }

func (n *nodeObjects) follow(client metadata.Interface) {
	n.informer = metadatainformer.NewFilteredMetadataInformer(
		client, corev1.SchemeGroupVersion.WithResource("nodes"), metav1.NamespaceAll, 0, cache.Indexers{}, nil).Informer()
	// These fail only on an informer that has started.
	must(n.informer.SetTransform(onlyName))
	handler, err := n.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { n.set(obj, true) },
		DeleteFunc: func(obj any) { n.set(obj, false) },
	})
	must(err)
	n.listing = &listing{what: "Nodes", synced: handler.HasSynced}
	n.listing.follow(n.informer)
}

// onlyName makes what the informer keeps of a Node small.
func onlyName(obj any) (any, error) {
	if node, ok := obj.(*metav1.PartialObjectMetadata); ok {
		node.ObjectMeta = metav1.ObjectMeta{Name: node.Name, UID: node.UID, ResourceVersion: node.ResourceVersion}
	}
	return obj, nil
}

func (n *nodeObjects) set(obj any, there bool) {
	name, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj)
	if err != nil {
		return // no object
	}
	n.mu.Lock()
	was, known := n.known[name]
	n.known[name] = there
	deleted := known && !was
	switch {
	case there && deleted:
		n.deleted = slices.DeleteFunc(n.deleted, func(d string) bool { return d == name })
	case !there && !deleted:
		n.deleted = append(n.deleted, name)
		n.forget()
	}
	n.mu.Unlock()
	if known && was != there {
		klog.InfoS("Node object", "node", name, "deleted", !there)
	}
	n.changed(name)
}

// forget forgets the oldest of the deleted Nodes that no rule names, if there are too many. A rule that names one of them later finds it as
// it would after a restart. n.mu is held: a Node that is deleted behind the rule that names it is not forgotten.
func (n *nodeObjects) forget() {
	over := len(n.deleted) - deletedMax
	if over <= 0 {
		return
	}
	n.deleted = slices.DeleteFunc(n.deleted, func(name string) bool {
		if over == 0 || n.named(name) {
			return false
		}
		over--
		delete(n.known, name)
		return true
	})
}

// start starts the informer, which ends with ctx.
func (n *nodeObjects) start(ctx context.Context) {
	if n.informer != nil {
		n.running.Go(func() { n.informer.Run(ctx.Done()) })
	}
}

// listings are the Nodes where nobody is let in without one.
func (n *nodeObjects) listings() []*listing {
	if n.policy != v1alpha1.NodesRegistered || n.informer == nil {
		return nil
	}
	return []*listing{n.listing}
}

// wait waits for the end of the informer.
func (n *nodeObjects) wait() { n.running.Wait() }

// refused returns why the node is not let in, or nil if it is.
func (n *nodeObjects) refused(node string) *problem {
	n.mu.Lock()
	there, known := n.known[node]
	n.mu.Unlock()
	switch {
	case known && !there:
		return nodeDeleted
	case !known && n.policy == v1alpha1.NodesRegistered:
		return nodeMissing
	default:
		return nil
	}
}

// text is the problem's message, empty if there is none.
func (p *problem) text() string {
	if p == nil {
		return ""
	}
	return p.message
}

// withdraw makes p the problem of all targets.
func withdraw(all []resolved, p *problem) {
	for i := range all {
		all[i].problem = p
	}
}
