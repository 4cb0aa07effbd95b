// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"context"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/tracing"
	"github.com/kubeedge/datastream/tests/monitoring/collector"
)

// everybody is an API server that knows everybody and allows everything.
type everybody struct{ nobody }

func (everybody) Authorize(context.Context, authorizationv1.SubjectAccessReviewSpec) (bool, error) {
	return true, nil
}

// TestTraceparentOfViewers sends a traceparent that is sampled where the rate is 0: it counts only with credentials.
func TestTraceparentOfViewers(t *testing.T) {
	const trace = "0af7651916cd43dd8448eb211c80319c"
	for authentication, want := range map[v1alpha1.Authentication]int{v1alpha1.AuthenticationNone: 0, v1alpha1.AuthenticationKubernetes: 3} {
		t.Run(string(authentication), func(t *testing.T) {
			t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1") // ms from a span's end to its way to the collector
			c, err := collector.Start()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			cfg := v1alpha1.NewDefaultCloudDataStream()
			cfg.Stream.Authentication = authentication
			cfg.Stream.WaitTimeout = metav1.Duration{Duration: time.Millisecond}
			cfg.Tracing = &v1alpha1.Tracing{Endpoint: c.Address(), Insecure: true}
			reg := prometheus.NewRegistry()
			s := newStreamServer(cfg, newMetrics(reg), reg)
			s.reviewer = everybody{}
			s.apply(assignment.NodeDirectory{Node: "edge-1", Entries: []assignment.Entry{{Namespace: "default", Rule: "gate", Path: "/camera"}}})
			if s.tracer, err = tracing.New(t.Context(), cfg.Tracing, assignment.CloudModule); err != nil {
				t.Fatal(err)
			}
			door, _, err := s.door()
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest(http.MethodGet, "/node/edge-1/gate/camera", nil)
			r.Host = "localhost"
			r.Header.Set("Authorization", "Bearer canary")
			r.Header.Set("Traceparent", "00-"+trace+"-b7ad6b7169203331-01")
			w := httptest.NewRecorder()
			door.ServeHTTP(w, r)
			if w.Code != http.StatusServiceUnavailable {
				t.Errorf("code %d of a stream whose node is away", w.Code)
			}
			spans, arrived := c.Spans()
			for late := time.After(time.Minute); len(spans) < want; spans, arrived = c.Spans() { // Close alone waits only so long
				select {
				case <-arrived:
				case <-late:
					t.Fatalf("%d spans arrived, want %d", len(spans), want)
				}
			}
			s.tracer.Close()
			if spans, _ = c.Spans(); len(spans) != want {
				t.Fatalf("%d spans, want %d", len(spans), want)
			}
			for _, span := range spans {
				if hex.EncodeToString(span.TraceId) != trace {
					t.Errorf("%s is of another trace", span.Name)
				}
				if text := span.String(); strings.Contains(text, "canary") || strings.Contains(text, "anybody") || strings.Contains(text, r.RemoteAddr) {
					t.Errorf("%s names the viewer or its token: %s", span.Name, text)
				}
				if failed := span.Status.GetMessage() != ""; failed != (span.Name == "watch") {
					t.Errorf("%s has the status %q", span.Name, span.Status.GetMessage())
				}
			}
		})
	}
}
