// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubeedge/datastream/cloud/pkg/limit"
	"github.com/kubeedge/datastream/cloud/pkg/viewerauth"
	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
)

// Values of the label reason of refused viewers, beside viewerauth's.
const (
	refusedHost        = "host"       // by a name that is not ours
	refusedOrigin      = "origin"     // a page of another site; the guard's name for it too
	refusedStream      = "stream"     // the stream has as many viewers as are allowed
	refusedNodeViewers = "node"       // so has the node
	refusedUser        = "user"       // so has the user
	refusedServer      = "server"     // so has this server
	refusedConnection  = "connection" // closed before it had said what it wants
)

// refusedTooMany is a value of the label reason of refused tunnels: the node has as many as are allowed. So is refusedConnection.
const refusedTooMany = "many"

// callBurst is how many seconds' calls may come at once.
const callBurst = 5

var (
	errManyOfNode = errors.New("the node's streams have as many viewers as are allowed")
	errManyOfUser = errors.New("you watch as many streams as one user may")
	errServerFull = errors.New("the server has as many viewers as its connections allow")
)

// viewerLimits are what viewers share.
type viewerLimits struct {
	nodes, users   *limit.Quota[string]
	controls       *limit.Rates[string]
	memory         *limit.Memory
	refusals       *prometheus.CounterVec
	connections    int
	callsPerSecond int
	listener       atomic.Pointer[limit.Listener] // nil before it serves; another one each time
}

func newViewerLimits(l *v1alpha1.StreamLimits, reg prometheus.Registerer) *viewerLimits {
	v := &viewerLimits{
		nodes: limit.NewQuota[string](l.ViewersPerNode), users: limit.NewQuota[string](l.ViewersPerUser),
		controls: limit.NewRates[string](l.CallsPerSecond, callBurst*l.CallsPerSecond),
		memory:   limit.NewMemory(l.MemoryBytes), connections: usableConnections(l.Connections), callsPerSecond: l.CallsPerSecond,
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "datastream", Subsystem: "viewer", Name: "refusals_total", Help: "Viewers and control calls that were refused, and connections that were closed to make room.",
		}, []string{"reason"}),
	}
	reg.MustRegister(v.refusals)
	for _, reason := range []string{refusedHost, refusedStream, refusedNodeViewers, refusedUser, refusedServer, refusedConnection} {
		v.refusals.WithLabelValues(reason)
	}
	for _, reason := range viewerauth.Reasons {
		v.refusals.WithLabelValues(string(reason))
	}
	return v
}

func (v *viewerLimits) refused(reason string) { v.refusals.WithLabelValues(reason).Inc() }

// listen bounds the connections of l.
func (v *viewerLimits) listen(l net.Listener) *limit.Listener {
	bounded := limit.NewListener(l, v.connections, func() { v.refused(refusedConnection) })
	bounded.Quiet = true
	v.listener.Store(bounded)
	return bounded
}

// enter counts a viewer of a node's stream in, or says why not.
func (v *viewerLimits) enter(node, caller string) (leave func(), err error) {
	if l := v.listener.Load(); l != nil {
		// A tenth of the connections is for those who want to hear that there are no more, and for /healthz.
		if all, waiting := l.Open(); all-waiting > v.connections-v.connections/10 {
			return nil, errServerFull
		}
	}
	if !v.users.Take(caller) {
		return nil, errManyOfUser
	}
	if !v.nodes.Take(node) {
		v.users.GiveBack(caller)
		return nil, errManyOfNode
	}
	return func() {
		v.nodes.GiveBack(node)
		v.users.GiveBack(caller)
	}, nil
}

// mayControl says whether the caller may call now, or answers when.
func (v *viewerLimits) mayControl(w http.ResponseWriter, caller string) bool {
	wait := v.controls.Take(caller, time.Now())
	if wait == 0 {
		return true
	}
	v.refused(string(viewerauth.TooOften))
	seconds := int(wait/time.Second) + 1
	writeRetryAfter(w, http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests, seconds,
		fmt.Sprintf("too many control calls, ask again in %d s", seconds), metav1.StatusDetails{})
	return false
}
