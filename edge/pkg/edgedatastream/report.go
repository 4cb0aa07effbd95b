// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

const reportTimeout = 10 * time.Second

// reporter tells the cloud which revision of its assignment the node runs, so that the cloud can send again
// what was lost.
type reporter struct {
	config   *v1alpha1.EdgeDataStream
	connect  NetDial
	tls      func() (*tls.Config, error)
	revision func() string
	// again asks for a report.
	again signal
}

// run reports once, and again whenever asked to, until ctx ends. A report is tried until the cloud has taken it;
// each try says what is so then.
func (r *reporter) run(ctx context.Context) {
	for {
		r.report(ctx)
		select {
		case <-ctx.Done():
			return
		case <-r.again:
		}
	}
}

func (r *reporter) report(ctx context.Context) {
	retry := backoff{min: r.config.ReconnectMin.Duration, max: r.config.ReconnectMax.Duration}
	failed := false
	for {
		err := r.post(ctx, r.revision())
		if err == nil || ctx.Err() != nil {
			return
		}
		if !failed {
			failed = true
			klog.InfoS("Revision is not reported yet, it is tried again", "err", err)
		}
		woken, ok := wait(ctx, retry.after(err), r.again, nil)
		if !ok {
			return
		}
		if woken {
			retry.reset()
		}
	}
}

// post sends one report.
func (r *reporter) post(ctx context.Context, revision string) error {
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	config, err := r.tls()
	if err != nil {
		return err
	}
	body, err := json.Marshal(tunnel.Revision{Revision: revision})
	if err != nil {
		return fmt.Errorf("encoding revision: %w", err)
	}
	url := "https" + strings.TrimPrefix(r.config.Server, "wss") + tunnel.RevisionPath(r.config.NodeName)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("reporting revision: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	// Reports are rare and certificates change: no connection is kept.
	transport := &http.Transport{DialContext: r.connect, Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("reporting revision: %w", err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, tunnel.MaxMessage))
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("reporting revision: %w", refusal(resp))
	}
	return nil
}
