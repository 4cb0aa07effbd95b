// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"net/url"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// EdgeDataStream is modules.edgeDataStream of edgecore.yaml.
type EdgeDataStream struct {
	// Enable turns the module on. Default false.
	Enable bool `json:"enable"`
	// Server is the TunnelServer's address, wss://host:port. Required.
	Server string `json:"server"`
	// NodeName is this node. Default: edged's hostnameOverride.
	NodeName string `json:"nodeName,omitempty"`
	// CAFile verifies the cloud; CertFile and KeyFile are the node's own. They are read at each dial, since
	// edgecore rotates them in place.
	CAFile   string `json:"tlsTunnelCAFile"`
	CertFile string `json:"tlsTunnelCertFile"`
	KeyFile  string `json:"tlsTunnelPrivateKeyFile"`
	// StoreFile keeps the last assignment, for a start without the cloud. Mode 0600: it may hold camera passwords.
	StoreFile string `json:"storeFile"`
	// ReconnectMin and ReconnectMax bound the wait between two dials of a tunnel. Defaults 1s, 10s.
	ReconnectMin metav1.Duration `json:"reconnectMin"`
	ReconnectMax metav1.Duration `json:"reconnectMax"`
	// Source is how cameras are read.
	Source Source `json:"source"`
	// Queue bounds what waits for a slow tunnel.
	Queue SendQueue `json:"queue"`
	// Congestion is how a stream is fitted into a path that cannot take all of it.
	Congestion Congestion `json:"congestion"`
	// Substream is when endpoints that name a substream go back from it to their main stream.
	Substream Substream `json:"substream"`
	// Metrics is where Prometheus may ask for the node's metrics.
	Metrics EdgeMetrics `json:"metrics"`
	// Tracing sends OpenTelemetry traces of how cameras are started. Default: none.
	Tracing *Tracing `json:"tracing,omitempty"`
}

// Source is how cameras are read.
type Source struct {
	// RetryMin and RetryMax bound the wait between two tries at a camera. Defaults 1s, 15s.
	RetryMin metav1.Duration `json:"retryMin"`
	RetryMax metav1.Duration `json:"retryMax"`
	// StallTimeout is how long a camera may send nothing before it is dialled anew. Default 5s.
	StallTimeout metav1.Duration `json:"stallTimeout"`
	// HoldTime is how long a camera session outlives its tunnel. Default 30s.
	HoldTime metav1.Duration `json:"holdTime"`
}

// SendQueue bounds what waits for a slow tunnel, by whichever bound is reached first.
type SendQueue struct {
	// Bytes of payload. Default 8 MiB.
	Bytes int `json:"bytes"`
	// Age of the oldest unit. Default 3s.
	Age metav1.Duration `json:"age"`
}

// Congestion is how a stream is fitted into a path that cannot take all of it.
type Congestion struct {
	// Enable lets the edge measure the path, keep what waits where it can be dropped, and drop early what would be late.
	// Without it the queue's bounds alone drop. Default true.
	Enable bool `json:"enable"`
	// Latency is how late a picture may be when it reaches the cloud; key frames and audio may be later. Default 1.5s.
	Latency metav1.Duration `json:"latency"`
	// HeadWait is how long a key frame may wait for older pictures to be sent; the last ones of them are dropped for it.
	// Default 300ms.
	HeadWait metav1.Duration `json:"headWait"`
	// Backlog is how much time's worth of bytes may be under way beyond a round trip. More fills slow paths better and
	// makes pictures later. Default 100ms.
	Backlog metav1.Duration `json:"backlog"`
	// LossControl names TCP congestion controls for a path that loses packets by itself, as radio links do: the first that
	// the kernel has and allows takes over there. Controls that take each lost packet for congestion, such as cubic, do not
	// get more than 0.4 Mbit/s over 300 ms and 2 % loss. Empty: the system's stays. Default [bbr].
	LossControl []string `json:"lossControl"`
}

// Substream is how the choice between the two streams of an endpoint recovers. Without congestion control there is no choice.
type Substream struct {
	// CalmMin is how long the substream has to go through without drops or queueing before the main stream is tried
	// again. The time doubles, up to CalmMax, with each return to a main stream that does not last as long. Defaults 30s, 5m.
	CalmMin metav1.Duration `json:"calmMin"`
	CalmMax metav1.Duration `json:"calmMax"`
}

// EdgeMetrics is where Prometheus may ask for the node's metrics.
type EdgeMetrics struct {
	// Listen is the address of GET /metrics, such as 127.0.0.1:10015. Nobody is asked who they are, so it has to be on the loopback.
	// Empty, the default: none.
	Listen string `json:"listen,omitempty"`
	// ExposeUnauthenticated lets it listen on other addresses too.
	ExposeUnauthenticated bool `json:"exposeUnauthenticated,omitempty"`
}

func (m *EdgeMetrics) validate(path *field.Path) field.ErrorList {
	listen := path.Child("listen")
	switch {
	case m.Listen == "":
		return nil
	case address(nil, m.Listen) != nil:
		return address(listen, m.Listen)
	case !IsLoopback(m.Listen) && !m.ExposeUnauthenticated:
		return field.ErrorList{field.Invalid(listen, m.Listen,
			"everybody who reaches it could read the metrics: listen on the loopback, or set exposeUnauthenticated")}
	default:
		return nil
	}
}

// NewDefaultEdgeDataStream returns the section with every default filled in, disabled.
func NewDefaultEdgeDataStream() *EdgeDataStream {
	return &EdgeDataStream{
		CAFile:       "/etc/kubeedge/ca/rootCA.crt",
		CertFile:     "/etc/kubeedge/certs/server.crt",
		KeyFile:      "/etc/kubeedge/certs/server.key",
		StoreFile:    "/var/lib/kubeedge/datastream/assignment.json",
		ReconnectMin: duration(time.Second),
		ReconnectMax: duration(10 * time.Second),

		Source: Source{
			RetryMin:     duration(time.Second),
			RetryMax:     duration(15 * time.Second),
			StallTimeout: duration(5 * time.Second),
			HoldTime:     duration(30 * time.Second),
		},
		Queue: SendQueue{Bytes: 8 << 20, Age: duration(3 * time.Second)},
		Congestion: Congestion{
			Enable:   true,
			Latency:  duration(1500 * time.Millisecond),
			HeadWait: duration(300 * time.Millisecond),
			Backlog:  duration(100 * time.Millisecond),

			LossControl: []string{"bbr"},
		},
		Substream: Substream{CalmMin: duration(30 * time.Second), CalmMax: duration(5 * time.Minute)},
	}
}

// Validate reports every field that cannot work, by its path.
func (c *EdgeDataStream) Validate(path *field.Path) field.ErrorList {
	if !c.Enable {
		return nil
	}
	errs := append(c.Tracing.validate(path.Child("tracing")), c.Metrics.validate(path.Child("metrics"))...)
	if u, err := url.Parse(c.Server); err != nil || u.Scheme != "wss" || u.Host == "" || u.Path != "" {
		errs = append(errs, field.Invalid(path.Child("server"), c.Server, "must be wss://host:port"))
	}
	for _, f := range [...]struct{ name, value, what string }{
		{"nodeName", c.NodeName, "the node's name"},
		{"tlsTunnelCAFile", c.CAFile, "a PEM file"}, {"tlsTunnelCertFile", c.CertFile, "a PEM file"},
		{"tlsTunnelPrivateKeyFile", c.KeyFile, "a PEM file"}, {"storeFile", c.StoreFile, "a path to write to"},
	} {
		if f.value == "" {
			errs = append(errs, field.Required(path.Child(f.name), f.what))
		}
	}
	errs = append(errs, backoff(path, "reconnect", c.ReconnectMin, c.ReconnectMax)...)
	s, q := path.Child("source"), path.Child("queue")
	errs = append(errs, backoff(s, "retry", c.Source.RetryMin, c.Source.RetryMax)...)
	errs = append(errs, positive(s.Child("stallTimeout"), c.Source.StallTimeout)...)
	errs = append(errs, positive(s.Child("holdTime"), c.Source.HoldTime)...)
	errs = append(errs, atLeast(q.Child("bytes"), c.Queue.Bytes, 64<<10)...)
	errs = append(errs, positive(q.Child("age"), c.Queue.Age)...)
	g := path.Child("congestion")
	errs = append(errs, positive(g.Child("latency"), c.Congestion.Latency)...)
	errs = append(errs, positive(g.Child("headWait"), c.Congestion.HeadWait)...)
	errs = append(errs, positive(g.Child("backlog"), c.Congestion.Backlog)...)
	return append(errs, backoff(path.Child("substream"), "calm", c.Substream.CalmMin, c.Substream.CalmMax)...)
}

func backoff(path *field.Path, name string, least, most metav1.Duration) field.ErrorList {
	errs := positive(path.Child(name+"Min"), least)
	if most.Duration < least.Duration {
		errs = append(errs, field.Invalid(path.Child(name+"Max"), most.Duration.String(), "must not be less than "+name+"Min"))
	}
	return errs
}
