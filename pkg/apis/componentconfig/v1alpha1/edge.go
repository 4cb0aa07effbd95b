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
	// ReconnectMin and ReconnectMax bound the wait between two dials of a tunnel. Defaults 1s, 30s.
	ReconnectMin metav1.Duration `json:"reconnectMin"`
	ReconnectMax metav1.Duration `json:"reconnectMax"`
	// Source is how cameras are read.
	Source Source `json:"source"`
	// Queue bounds what waits for a slow tunnel.
	Queue SendQueue `json:"queue"`
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

// NewDefaultEdgeDataStream returns the section with every default filled in, disabled.
func NewDefaultEdgeDataStream() *EdgeDataStream {
	return &EdgeDataStream{
		CAFile:       "/etc/kubeedge/ca/rootCA.crt",
		CertFile:     "/etc/kubeedge/certs/server.crt",
		KeyFile:      "/etc/kubeedge/certs/server.key",
		StoreFile:    "/var/lib/kubeedge/datastream/assignment.json",
		ReconnectMin: duration(time.Second),
		ReconnectMax: duration(30 * time.Second),
		Source: Source{
			RetryMin:     duration(time.Second),
			RetryMax:     duration(15 * time.Second),
			StallTimeout: duration(5 * time.Second),
			HoldTime:     duration(30 * time.Second),
		},
		Queue: SendQueue{Bytes: 8 << 20, Age: duration(3 * time.Second)},
	}
}

// Validate reports every field that cannot work, by its path.
func (c *EdgeDataStream) Validate(path *field.Path) field.ErrorList {
	if !c.Enable {
		return nil
	}
	var errs field.ErrorList
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
	return append(errs, positive(q.Child("age"), c.Queue.Age)...)
}

func backoff(path *field.Path, name string, least, most metav1.Duration) field.ErrorList {
	errs := positive(path.Child(name+"Min"), least)
	if most.Duration < least.Duration {
		errs = append(errs, field.Invalid(path.Child(name+"Max"), most.Duration.String(), "must not be less than "+name+"Min"))
	}
	return errs
}
