// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"
)

// validCloud is the defaults and what has none.
func validCloud() *CloudDataStream {
	c := NewDefaultCloudDataStream()
	c.Enable = true
	c.Stream.Authentication = AuthenticationNone
	return c
}

func validEdge() *EdgeDataStream {
	c := NewDefaultEdgeDataStream()
	c.Enable = true
	c.Server, c.NodeName = "wss://cloud.example.com:10006", "edge-1"
	return c
}

func checkFields(t *testing.T, errs field.ErrorList, want []string) {
	t.Helper()
	got := []string{}
	for _, err := range errs {
		got = append(got, err.Field)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got errors about %q, want %q: %v", got, want, errs.ToAggregate())
	}
}

func TestCloudValidate(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*CloudDataStream)
		want []string
	}{
		{"defaults", func(*CloudDataStream) {}, []string{}},
		{"any port", func(c *CloudDataStream) { c.Tunnel.Listen, c.Stream.Listen = ":0", "[::1]:0" }, []string{}},
		{"TLS for viewers", func(c *CloudDataStream) { c.Stream.CertFile, c.Stream.KeyFile = "a", "b" }, []string{}},
		{"tunnel address", func(c *CloudDataStream) { c.Tunnel.Listen = "0.0.0.0" }, []string{"tunnel.listen"}},
		{"tunnel port", func(c *CloudDataStream) { c.Tunnel.Listen = "0.0.0.0:" }, []string{"tunnel.listen"}},
		{"no files", func(c *CloudDataStream) { c.Tunnel.CAFile, c.Tunnel.CertFile, c.Tunnel.KeyFile = "", "", "" },
			[]string{"tunnel.tlsTunnelCAFile", "tunnel.tlsTunnelCertFile", "tunnel.tlsTunnelPrivateKeyFile"}},
		{"payload", func(c *CloudDataStream) { c.Tunnel.MaxPayload = 1000 }, []string{"tunnel.maxPayload"}},
		{"no handshakes", func(c *CloudDataStream) { c.Tunnel.HandshakesPerSecond, c.Tunnel.HandshakeBurst = 0, 0 },
			[]string{"tunnel.handshakesPerSecond", "tunnel.handshakeBurst"}},
		{"stream address", func(c *CloudDataStream) { c.Stream.Listen = "" }, []string{"stream.listen"}},
		{"certificate alone", func(c *CloudDataStream) { c.Stream.CertFile = "a" }, []string{"stream.tlsStreamCertFile"}},
		{"key alone", func(c *CloudDataStream) { c.Stream.KeyFile = "a" }, []string{"stream.tlsStreamCertFile"}},
		{"authentication left out", func(c *CloudDataStream) { c.Stream.Authentication = "" }, []string{"stream.authentication"}},
		{"unknown authentication", func(c *CloudDataStream) { c.Stream.Authentication = "None" }, []string{"stream.authentication"}},
		{"no authentication on the network", func(c *CloudDataStream) { c.Stream.Listen = ":10005" }, []string{"stream.authentication"}},
		{"no authentication on a name", func(c *CloudDataStream) { c.Stream.Listen = "cloud:10005" }, []string{"stream.authentication"}},
		{"no authentication, forced, with profiles", func(c *CloudDataStream) {
			c.Stream.Listen, c.Stream.ExposeUnauthenticated, c.Stream.EnableProfiling = ":10005", true, true
		}, []string{"stream.enableProfiling"}},
		{"no authentication, forced", func(c *CloudDataStream) { c.Stream.Listen, c.Stream.ExposeUnauthenticated = ":10005", true }, []string{}},
		{"Kubernetes on the network", func(c *CloudDataStream) {
			c.Stream.Listen, c.Stream.Authentication = ":10005", AuthenticationKubernetes
		}, []string{}},
		{"client certificates without TLS", func(c *CloudDataStream) { c.Stream.ClientCAFile = "a" }, []string{"stream.tlsStreamClientCAFile"}},
		{"client certificates", func(c *CloudDataStream) {
			c.Stream.CertFile, c.Stream.KeyFile, c.Stream.ClientCAFile = "a", "b", "c"
		}, []string{}},
		{"tickets for ever", func(c *CloudDataStream) { c.Stream.TicketLifetime, c.Stream.RecheckInterval = duration(0), duration(0) },
			[]string{"stream.ticketLifetime", "stream.recheckInterval"}},
		{"no durations", func(c *CloudDataStream) {
			s := &c.Stream
			s.WaitTimeout, s.HoldTime, s.StopGrace, s.WriteTimeout, s.MaxLag = duration(0), duration(0), duration(0), duration(0), duration(0)
		}, []string{"stream.waitTimeout", "stream.holdTime", "stream.stopGrace", "stream.writeTimeout", "stream.maxLag"}},
		{"negative duration", func(c *CloudDataStream) { c.Stream.MaxLag = duration(-time.Second) }, []string{"stream.maxLag"}},
		{"no limits", func(c *CloudDataStream) { c.Limits = StreamLimits{} },
			[]string{
				"limits.gopBytes", "limits.gopDuration", "limits.outputBytes", "limits.memoryBytes", "limits.viewers", "limits.viewersPerNode",
				"limits.viewersPerUser", "limits.tunnelsPerNode", "limits.connections", "limits.callsPerSecond",
			}},
		{"no stream's metrics", func(c *CloudDataStream) { c.Metrics.Streams = 0 }, []string{}},
		{"fewer than no stream's metrics", func(c *CloudDataStream) { c.Metrics.Streams = -1 }, []string{"metrics.streams"}},
		{"other sites", func(c *CloudDataStream) {
			c.Stream.AllowedOrigins, c.Stream.AllowedHosts = []string{"https://wall.example.com", "http://[::1]:8080"}, []string{"streams.local"}
		}, []string{}},
		{"bad sites", func(c *CloudDataStream) {
			c.Stream.AllowedOrigins = []string{"*", "https://*.example.com", "https://a.example.com/", "wss://a", "https://A.example.com", "https://a; script-src *"}
			c.Stream.AllowedHosts = []string{"", "a:80", "*.local"}
		}, []string{
			"stream.allowedOrigins[0]", "stream.allowedOrigins[1]", "stream.allowedOrigins[2]", "stream.allowedOrigins[3]",
			"stream.allowedOrigins[4]", "stream.allowedOrigins[5]", "stream.allowedHosts[0]", "stream.allowedHosts[1]", "stream.allowedHosts[2]",
		}},
		{"disabled", func(c *CloudDataStream) { *c = CloudDataStream{} }, []string{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := validCloud()
			c.edit(cfg)
			checkFields(t, cfg.Validate(nil), c.want)
		})
	}
}

func TestEdgeValidate(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*EdgeDataStream)
		want []string
	}{
		{"defaults", func(*EdgeDataStream) {}, []string{}},
		{"equal bounds", func(c *EdgeDataStream) { c.ReconnectMax = c.ReconnectMin }, []string{}},
		{"no server", func(c *EdgeDataStream) { c.Server = "" }, []string{"server"}},
		{"server without TLS", func(c *EdgeDataStream) { c.Server = "ws://cloud:10006" }, []string{"server"}},
		{"server without scheme", func(c *EdgeDataStream) { c.Server = "cloud:10006" }, []string{"server"}},
		{"server with a path", func(c *EdgeDataStream) { c.Server = "wss://cloud:10006/x" }, []string{"server"}},
		{"server that is no URL", func(c *EdgeDataStream) { c.Server = "wss://%zz" }, []string{"server"}},
		{"no node, no files", func(c *EdgeDataStream) { c.NodeName, c.CAFile, c.CertFile, c.KeyFile, c.StoreFile = "", "", "", "", "" },
			[]string{"nodeName", "tlsTunnelCAFile", "tlsTunnelCertFile", "tlsTunnelPrivateKeyFile", "storeFile"}},
		{"no wait between dials", func(c *EdgeDataStream) { c.ReconnectMin = duration(0) }, []string{"reconnectMin"}},
		{"bounds of dials reversed", func(c *EdgeDataStream) { c.ReconnectMax = duration(time.Millisecond) }, []string{"reconnectMax"}},
		{"no wait between tries", func(c *EdgeDataStream) { c.Source.RetryMin = duration(0) }, []string{"source.retryMin"}},
		{"bounds of tries reversed", func(c *EdgeDataStream) { c.Source.RetryMax = duration(0) }, []string{"source.retryMax"}},
		{"source times", func(c *EdgeDataStream) { c.Source.StallTimeout, c.Source.HoldTime = duration(0), duration(-1) },
			[]string{"source.stallTimeout", "source.holdTime"}},
		{"metrics", func(c *EdgeDataStream) { c.Metrics.Listen = "[::1]:10015" }, []string{}},
		{"metrics for all", func(c *EdgeDataStream) { c.Metrics.Listen = "0.0.0.0:10015" }, []string{"metrics.listen"}},
		{"metrics for all, written out", func(c *EdgeDataStream) { c.Metrics = EdgeMetrics{"0.0.0.0:10015", true} }, []string{}},
		{"metrics without a port", func(c *EdgeDataStream) { c.Metrics.Listen = "127.0.0.1" }, []string{"metrics.listen"}},
		{"queue", func(c *EdgeDataStream) { c.Queue = SendQueue{} }, []string{"queue.bytes", "queue.age"}},
		{"congestion", func(c *EdgeDataStream) { c.Congestion = Congestion{} }, []string{"congestion.latency", "congestion.headWait", "congestion.backlog"}},
		{"the system's congestion control", func(c *EdgeDataStream) { c.Congestion.LossControl = nil }, []string{}},
		{"disabled", func(c *EdgeDataStream) { *c = EdgeDataStream{} }, []string{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := validEdge()
			c.edit(cfg)
			checkFields(t, cfg.Validate(nil), c.want)
		})
	}
}

func TestControllerNodes(t *testing.T) {
	for policy, want := range map[NodePolicy][]string{NodesAny: {}, NodesRegistered: {}, "": {"nodes"}, "registered": {"nodes"}} {
		c := NewDefaultStreamRuleController()
		c.Enable, c.Nodes = true, policy
		checkFields(t, c.Validate(nil), want)
	}
}

// The caller's path stands in front, so that the message names the place in the file.
func TestValidateNamesThePlace(t *testing.T) {
	cloud, edge := validCloud(), validEdge()
	cloud.Limits.Viewers, edge.Queue.Bytes = 0, 0
	modules := field.NewPath("modules")
	checkFields(t, cloud.Validate(modules.Child("cloudDataStream")), []string{"modules.cloudDataStream.limits.viewers"})
	checkFields(t, edge.Validate(modules.Child("edgeDataStream")), []string{"modules.edgeDataStream.queue.bytes"})
}

// Where our field has the value of CloudHub's, the message says so: that is the one to be seen in the file.
func TestEmptyFileNamesCloudHubsField(t *testing.T) {
	c := validCloud()
	c.Tunnel.CAFile = ""
	errs := c.Validate(field.NewPath("modules", "cloudDataStream"))
	checkFields(t, errs, []string{"modules.cloudDataStream.tunnel.tlsTunnelCAFile"})
	if errs[0].Type != field.ErrorTypeRequired || !strings.Contains(errs[0].Detail, "cloudHub.tlsCAFile") {
		t.Errorf("%v does not name cloudHub.tlsCAFile", errs[0])
	}
}

// What a section of YAML leaves out keeps its default.
func TestSectionOverDefaults(t *testing.T) {
	cloud := NewDefaultCloudDataStream()
	section := "enable: true\nstream: {authentication: none, maxLag: 1500ms}\ntunnel: {listen: '127.0.0.1:0'}\n"
	if err := yaml.UnmarshalStrict([]byte(section), cloud); err != nil {
		t.Fatal(err)
	}
	checkFields(t, cloud.Validate(nil), []string{})
	want := validCloud()
	want.Stream.MaxLag, want.Tunnel.Listen = duration(1500*time.Millisecond), "127.0.0.1:0"
	if !reflect.DeepEqual(cloud, want) {
		t.Errorf("got %+v, want %+v", cloud, want)
	}
}

// Names in YAML are those that the error messages use, and every field has one.
func TestFieldNames(t *testing.T) {
	for _, section := range []any{validCloud(), validEdge()} {
		b, err := yaml.Marshal(section)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if name := strings.TrimSpace(line); !strings.HasPrefix(name, "- ") && (name[0] < 'a' || name[0] > 'z') {
				t.Errorf("%q has no name of its own", name)
			}
		}
	}
}
