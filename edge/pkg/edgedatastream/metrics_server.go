// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"
	"k8s.io/klog/v2"
)

const (
	// metricsConnections bounds who may be connected at once, and scrapes who is answered.
	metricsConnections, metricsScrapes = 16, 2
	// metricsTimeout bounds, one after the other, a request and its answer; metricsIdle is how long a connection may wait for another one.
	metricsTimeout, metricsIdle = 10 * time.Second, time.Minute
	// metricsAgain is the wait before a port that is taken is tried again.
	metricsAgain = 10 * time.Second
)

// metricsServer is GET /metrics for whoever reaches the address. It knows no users, and shows nothing but sums, and when the node's certificate runs out.
type metricsServer struct {
	listen   string
	gatherer prometheus.Gatherer
}

// run serves until ctx ends. Streams go on whether or not it can.
func (m *metricsServer) run(ctx context.Context) {
	said := false
	for ctx.Err() == nil {
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", m.listen)
		if err == nil {
			said = false
			err = m.serve(ctx, l)
		}
		if err != nil && ctx.Err() == nil && !said {
			said = true
			klog.ErrorS(err, "Metrics cannot be served, it is tried again", "listen", m.listen)
		}
		_, _ = wait(ctx, metricsAgain, nil, nil)
	}
}

// serve serves on l until ctx ends.
func (m *metricsServer) serve(ctx context.Context, l net.Listener) error {
	klog.InfoS("Metrics are served", "listen", l.Addr().String())
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.gatherer, promhttp.HandlerOpts{MaxRequestsInFlight: metricsScrapes}))
	srv := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: metricsTimeout, ReadTimeout: metricsTimeout, WriteTimeout: metricsTimeout, IdleTimeout: metricsIdle,
		MaxHeaderBytes: 8 << 10,
	}
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		_ = srv.Close()
	})
	err := srv.Serve(netutil.LimitListener(l, metricsConnections))
	if !stop() {
		<-closed
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serving metrics: %w", err)
}
