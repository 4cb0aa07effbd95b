// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 holds the sections that this project adds to cloudcore.yaml and edgecore.yaml:
// their types, defaults and validation.
package v1alpha1

import (
	"net"
	"net/url"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// CloudDataStream is modules.cloudDataStream of cloudcore.yaml.
type CloudDataStream struct {
	// Enable turns the module on. Default false.
	Enable bool `json:"enable"`
	// Tunnel is where edges connect.
	Tunnel TunnelServer `json:"tunnel"`
	// Stream is where viewers connect.
	Stream StreamServer `json:"stream"`
	// Limits bound what one stream, node or user may take of all.
	Limits StreamLimits `json:"limits"`
	// Metrics are what GET /metrics shows beside sums.
	Metrics CloudMetrics `json:"metrics"`
	// Tracing sends OpenTelemetry traces of viewers' requests up to the first picture. Default: none.
	Tracing *Tracing `json:"tracing,omitempty"`
}

// TunnelServer is the edges' side of CloudDataStream.
type TunnelServer struct {
	// Listen is the address for edges. Default 0.0.0.0:10006.
	Listen string `json:"listen"`
	// CAFile, CertFile and KeyFile are PEM: the CA that signs edges' certificates, and the server's own.
	CAFile   string `json:"tlsTunnelCAFile"`
	CertFile string `json:"tlsTunnelCertFile"`
	KeyFile  string `json:"tlsTunnelPrivateKeyFile"`
	// CRLFile holds certificate revocation lists of that CA, PEM or DER. It is read again when it changes: certificates that it
	// names are refused, and their tunnels are closed. Default: none.
	CRLFile string `json:"tlsTunnelCRLFile,omitempty"`
	// MaxPayload bounds one access unit in bytes. Default 8 MiB.
	MaxPayload int `json:"maxPayload"`
	// HandshakesPerSecond and HandshakeBurst bound how fast edges are let in: so many at once, then so many a second.
	// Others wait a while or are sent away. Defaults 100, 200.
	HandshakesPerSecond int `json:"handshakesPerSecond"`
	HandshakeBurst      int `json:"handshakeBurst"`
}

// Authentication is how viewers prove who they are.
type Authentication string

const (
	// AuthenticationKubernetes asks the API server who a viewer is and what it may do.
	AuthenticationKubernetes Authentication = "kubernetes"
	// AuthenticationNone lets everybody in who reaches the port. It must be written out.
	AuthenticationNone Authentication = "none"
)

// StreamServer is the viewers' side of CloudDataStream.
type StreamServer struct {
	// Listen is the address for viewers. Default 127.0.0.1:10005.
	Listen string `json:"listen"`
	// CertFile and KeyFile (PEM) turn TLS on for viewers. Both or neither.
	CertFile string `json:"tlsStreamCertFile,omitempty"`
	KeyFile  string `json:"tlsStreamPrivateKeyFile,omitempty"`
	// ClientCAFile (PEM) lets viewers in by client certificates that it has signed: the common name is the user, organizations are
	// its groups. Whoever can have certificates signed by it can be anybody: never KubeEdge's CA of nodes. Needs TLS.
	ClientCAFile string `json:"tlsStreamClientCAFile,omitempty"`
	// Authentication is kubernetes (the default) or none. None is for the loopback.
	Authentication Authentication `json:"authentication"`
	// ExposeUnauthenticated lets authentication none listen on other addresses too.
	ExposeUnauthenticated bool `json:"exposeUnauthenticated,omitempty"`
	// EnableProfiling serves /debug/pprof/ to those who have the right to get that path. With authentication none it needs the loopback.
	// Default false.
	EnableProfiling bool `json:"enableProfiling,omitempty"`
	// TicketKeyFile holds the key that signs tickets and cookies, at least 32 bytes. Without one they end with the process.
	TicketKeyFile string `json:"ticketKeyFile,omitempty"`
	// TicketLifetime is the time in which the holder of a ticket has to begin watching. Default 60s.
	TicketLifetime metav1.Duration `json:"ticketLifetime"`
	// RecheckInterval is how often, at most, a viewer's rights are asked for again while it watches. Default 30s.
	RecheckInterval metav1.Duration `json:"recheckInterval"`
	// AllowedOrigins are other sites whose pages may read streams, open WebSockets and show the player in a frame, as
	// https://host[:port]. By default only pages of the same origin may.
	AllowedOrigins []string `json:"allowedOrigins,omitempty"`
	// AllowedHosts are names under which viewers reach a loopback without authentication, beside localhost and addresses. Others could be
	// those of a site that names our address as its own, to have its visitors' browsers watch for it.
	AllowedHosts []string `json:"allowedHosts,omitempty"`
	// WaitTimeout is how long a new viewer waits for a node or camera that is away. Default 10s.
	WaitTimeout metav1.Duration `json:"waitTimeout"`
	// HoldTime is how long viewers stay on a stream that has stalled. Default 60s.
	HoldTime metav1.Duration `json:"holdTime"`
	// StopGrace is how long a stream goes on without viewers. Default 10s.
	StopGrace metav1.Duration `json:"stopGrace"`
	// WriteTimeout is how long one write to a viewer may be stuck. Default 10s.
	WriteTimeout metav1.Duration `json:"writeTimeout"`
	// MaxLag is how far behind a viewer may be before it jumps to the newest random access point. Default 3s.
	MaxLag metav1.Duration `json:"maxLag"`
}

// StreamLimits bound buffers, connections and calls. A user is the name that the API server gives, or without authentication the address that a
// viewer comes from.
type StreamLimits struct {
	// GOPBytes and GOPDuration bound the GOP cache. Defaults 16 MiB, 20s.
	GOPBytes    int             `json:"gopBytes"`
	GOPDuration metav1.Duration `json:"gopDuration"`
	// OutputBytes bounds what one output keeps for its viewers. Default 32 MiB.
	OutputBytes int `json:"outputBytes"`
	// MemoryBytes bounds all GOP caches and outputs together; each gets less as it becomes scarce. Default 1 GiB.
	MemoryBytes int `json:"memoryBytes"`
	// Viewers bounds the viewers of one stream, ViewersPerNode those of all streams of one node, ViewersPerUser those who are one user.
	// Defaults 1000, 5000, 500: one user cannot fill a stream.
	Viewers        int `json:"viewers"`
	ViewersPerNode int `json:"viewersPerNode"`
	ViewersPerUser int `json:"viewersPerUser"`
	// TunnelsPerNode bounds the open connections of one node. A target has one, and while it reconnects two. Default 2048.
	TunnelsPerNode int `json:"tunnelsPerNode"`
	// Connections bounds the open connections of each of the two ports. One source may have so many as all leave free. Default 20000.
	Connections int `json:"connections"`
	// CallsPerSecond bounds the control calls of one user, and likewise its tickets. Five times as many may come at once. Default 20.
	CallsPerSecond int `json:"callsPerSecond"`
}

// CloudMetrics are what GET /metrics shows beside sums.
type CloudMetrics struct {
	// Streams bounds how many streams have metrics of their own, about 13 series each; 0 is none. Default 1000.
	Streams int `json:"streams"`
}

func duration(d time.Duration) metav1.Duration { return metav1.Duration{Duration: d} }

// NewDefaultCloudDataStream returns the section with every default filled in, disabled.
func NewDefaultCloudDataStream() *CloudDataStream {
	return &CloudDataStream{
		Tunnel: TunnelServer{
			Listen:     "0.0.0.0:10006",
			CAFile:     "/etc/kubeedge/ca/rootCA.crt",
			CertFile:   "/etc/kubeedge/certs/server.crt",
			KeyFile:    "/etc/kubeedge/certs/server.key",
			MaxPayload: 8 << 20,

			HandshakesPerSecond: 100,
			HandshakeBurst:      200,
		},
		Stream: StreamServer{
			Listen:          "127.0.0.1:10005",
			Authentication:  AuthenticationKubernetes,
			TicketLifetime:  duration(60 * time.Second),
			RecheckInterval: duration(30 * time.Second),
			WaitTimeout:     duration(10 * time.Second),
			HoldTime:        duration(60 * time.Second),
			StopGrace:       duration(10 * time.Second),
			WriteTimeout:    duration(10 * time.Second),
			MaxLag:          duration(3 * time.Second),
		},
		Limits: StreamLimits{
			GOPBytes:    16 << 20,
			GOPDuration: duration(20 * time.Second),
			OutputBytes: 32 << 20,
			MemoryBytes: 1 << 30,

			Viewers:        1000,
			ViewersPerNode: 5000,
			ViewersPerUser: 500,
			TunnelsPerNode: 2048,
			Connections:    20000,
			CallsPerSecond: 20,
		},
		Metrics: CloudMetrics{Streams: 1000},
	}
}

// Validate reports every field that cannot work, by its path.
func (c *CloudDataStream) Validate(path *field.Path) field.ErrorList {
	if !c.Enable {
		return nil
	}
	errs := c.Tracing.validate(path.Child("tracing"))
	t, s, l := path.Child("tunnel"), path.Child("stream"), path.Child("limits")
	errs = append(errs, address(t.Child("listen"), c.Tunnel.Listen)...)
	for _, f := range [...]struct{ name, value, hub string }{
		{"tlsTunnelCAFile", c.Tunnel.CAFile, "tlsCAFile"}, {"tlsTunnelCertFile", c.Tunnel.CertFile, "tlsCertFile"},
		{"tlsTunnelPrivateKeyFile", c.Tunnel.KeyFile, "tlsPrivateKeyFile"},
	} {
		if f.value == "" {
			errs = append(errs, field.Required(t.Child(f.name),
				"the name of a PEM file, by default that of cloudHub."+f.hub+"; where there is no such file, CloudHub's Secret is used"))
		}
	}
	errs = append(errs, atLeast(t.Child("maxPayload"), c.Tunnel.MaxPayload, 64<<10)...)
	errs = append(errs, atLeast(t.Child("handshakesPerSecond"), c.Tunnel.HandshakesPerSecond, 1)...)
	errs = append(errs, atLeast(t.Child("handshakeBurst"), c.Tunnel.HandshakeBurst, 1)...)
	errs = append(errs, address(s.Child("listen"), c.Stream.Listen)...)
	if (c.Stream.CertFile == "") != (c.Stream.KeyFile == "") {
		errs = append(errs, field.Invalid(s.Child("tlsStreamCertFile"), c.Stream.CertFile, "a certificate and its key go together: set both or neither"))
	}
	errs = append(errs, c.Stream.validateAuthentication(s)...)
	errs = append(errs, c.Stream.validateSites(s)...)
	for _, d := range [...]struct {
		name  string
		value metav1.Duration
	}{
		{"ticketLifetime", c.Stream.TicketLifetime}, {"recheckInterval", c.Stream.RecheckInterval},
		{"waitTimeout", c.Stream.WaitTimeout}, {"holdTime", c.Stream.HoldTime}, {"stopGrace", c.Stream.StopGrace},
		{"writeTimeout", c.Stream.WriteTimeout}, {"maxLag", c.Stream.MaxLag},
	} {
		errs = append(errs, positive(s.Child(d.name), d.value)...)
	}
	errs = append(errs, atLeast(l.Child("gopBytes"), c.Limits.GOPBytes, 64<<10)...)
	errs = append(errs, positive(l.Child("gopDuration"), c.Limits.GOPDuration)...)
	errs = append(errs, atLeast(path.Child("metrics", "streams"), c.Metrics.Streams, 0)...)
	for _, n := range [...]struct {
		name         string
		value, least int
	}{
		{"outputBytes", c.Limits.OutputBytes, 64 << 10}, {"memoryBytes", c.Limits.MemoryBytes, 1 << 20},
		{"viewers", c.Limits.Viewers, 1}, {"viewersPerNode", c.Limits.ViewersPerNode, 1}, {"viewersPerUser", c.Limits.ViewersPerUser, 1},
		{"tunnelsPerNode", c.Limits.TunnelsPerNode, 1}, {"connections", c.Limits.Connections, 16}, {"callsPerSecond", c.Limits.CallsPerSecond, 1},
	} {
		errs = append(errs, atLeast(l.Child(n.name), n.value, n.least)...)
	}
	return errs
}

// validateSites checks the lists of origins and hosts.
func (s *StreamServer) validateSites(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, origin := range s.AllowedOrigins {
		if u, err := url.Parse(origin); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || origin != u.Scheme+"://"+u.Host ||
			strings.ToLower(origin) != origin || strings.ContainsAny(u.Host, "*;, ") {
			errs = append(errs, field.Invalid(path.Child("allowedOrigins").Index(i), origin, "must be https://host[:port] in lower case, as browsers send it"))
		}
	}
	for i, host := range s.AllowedHosts {
		if host == "" || strings.ContainsAny(host, "/:* ") {
			errs = append(errs, field.Invalid(path.Child("allowedHosts").Index(i), host, "must be the name of a host, without a port"))
		}
	}
	return errs
}

func (s *StreamServer) validateAuthentication(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s.ClientCAFile != "" && s.CertFile == "" {
		errs = append(errs, field.Invalid(path.Child("tlsStreamClientCAFile"), s.ClientCAFile, "needs tlsStreamCertFile: client certificates are for TLS"))
	}
	mode := path.Child("authentication")
	switch s.Authentication {
	case AuthenticationKubernetes:
		return errs
	case AuthenticationNone:
		if s.EnableProfiling && !IsLoopback(s.Listen) {
			errs = append(errs, field.Invalid(path.Child("enableProfiling"), s.EnableProfiling, "without authentication, listen on the loopback"))
		}
		if !IsLoopback(s.Listen) && !s.ExposeUnauthenticated && address(nil, s.Listen) == nil {
			errs = append(errs, field.Invalid(mode, s.Authentication,
				"everybody who reaches "+s.Listen+" could watch and control every stream: listen on the loopback, or set exposeUnauthenticated"))
		}
		return errs
	case "":
		return append(errs, field.Required(mode, `"kubernetes", or "none" to let in everybody who reaches the port`))
	default:
		return append(errs, field.NotSupported(mode, s.Authentication, []Authentication{AuthenticationKubernetes, AuthenticationNone}))
	}
}

// IsLoopback says whether only this machine reaches host:port.
func IsLoopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	return err == nil && (host == "localhost" || net.ParseIP(host).IsLoopback())
}

func address(path *field.Path, value string) field.ErrorList {
	if _, port, err := net.SplitHostPort(value); err != nil || port == "" {
		return field.ErrorList{field.Invalid(path, value, "must be host:port")}
	}
	return nil
}

func atLeast(path *field.Path, value, least int) field.ErrorList {
	if value < least {
		return field.ErrorList{field.Invalid(path, value, "is too small to work")}
	}
	return nil
}

func positive(path *field.Path, value metav1.Duration) field.ErrorList {
	if value.Duration <= 0 {
		return field.ErrorList{field.Invalid(path, value.Duration.String(), "must be more than zero")}
	}
	return nil
}
