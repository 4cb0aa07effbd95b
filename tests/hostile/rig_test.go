// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream"
	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output"
	"github.com/kubeedge/datastream/edge/pkg/edgedatastream"
	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/tunnel"
	"github.com/kubeedge/datastream/tests/camera"
	"github.com/kubeedge/datastream/tests/harness"
	"github.com/kubeedge/datastream/tests/pki"
	"github.com/kubeedge/datastream/tests/poll"
)

const (
	honestNode = "honest-1"
	namespace  = "default"
	targetPath = "/camera"
)

// rig is a cloud with a camera, an edge node and a viewer who mean no harm. All of it is real; only CloudHub and Kubernetes
// are left out.
type rig struct {
	*testing.T
	cloud            *clouddatastream.Server
	ca               *pki.Authority
	dir              string
	tunnels, viewers string // addresses
	honest           *witness
	site             string // where viewers find everything: a URL without a path
	honestURL        string
	honestPair       pki.Pair // the node's certificate
	token            string   // the honest viewer's, if viewers are authenticated
}

// newRig starts everything and returns when the honest viewer has got a picture. It ends with the test. tune may change
// the cloud's configuration before it starts, and may be nil.
func newRig(t *testing.T, tune func(*v1alpha1.CloudDataStream), options ...clouddatastream.Option) *rig {
	t.Helper()
	r := &rig{T: t, dir: t.TempDir()}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})

	var err error
	r.ca, err = pki.NewAuthority("hostile")
	must(t, err)
	must(t, os.WriteFile(r.file("ca.crt"), r.ca.PEM(), 0o600))
	r.issueFiles("cloud", pki.Server("cloud"))
	r.honestPair = r.issueFiles(honestNode, pki.Node(honestNode))
	r.revoke()

	cfg := v1alpha1.NewDefaultCloudDataStream()
	cfg.Enable = true
	cfg.Stream.Listen = "127.0.0.1:0"
	cfg.Stream.Authentication = v1alpha1.AuthenticationNone
	// All of it runs on one busy machine: nobody is to skip, to be given up or to be sent away for that.
	cfg.Stream.MaxLag, cfg.Stream.WriteTimeout = harness.Duration(never), harness.Duration(never)
	cfg.Stream.HoldTime, cfg.Stream.WaitTimeout = harness.Duration(never), harness.Duration(patience)
	cfg.Tunnel.CAFile, cfg.Tunnel.CertFile, cfg.Tunnel.KeyFile = r.file("ca.crt"), r.file("cloud.crt"), r.file("cloud.key")
	cfg.Tunnel.CRLFile = r.file("crl")
	if tune != nil {
		tune(cfg)
	}
	if cfg.Stream.Authentication != v1alpha1.AuthenticationNone {
		r.token = tokenOf("honest")
	}
	tunnels, viewers := listen(t), listen(t)
	r.tunnels, r.viewers = tunnels.Addr().String(), viewers.Addr().String()
	r.cloud = clouddatastream.NewServer(cfg, func(assignment.Report) {}, options...)
	r.assign(honestNode, "honest")
	r.cloud.Synced()
	running.Go(func() {
		if err := r.cloud.Serve(ctx, tunnels, viewers); err != nil {
			t.Error(err)
		}
	})

	agent := edgedatastream.NewAgent(r.edgeConfig(), edgedatastream.DefaultSources(), edgedatastream.NewMetrics(prometheus.NewRegistry()))
	running.Go(func() { _ = agent.Run(ctx) })
	must(t, agent.Apply(assignment.New(honestNode, []assignment.Target{{
		Namespace: namespace, Rule: "honest", RuleUID: uidOf("honest"), Path: targetPath, Endpoint: "honest", Protocol: "websocket", URL: startCamera(t).URL(),
	}})))

	r.site = "http://" + r.viewers
	if cfg.Stream.CertFile != "" {
		r.site = "https://" + r.viewers
	}
	r.honestURL = r.site + honestPath
	r.honest = newWitness(t, r.client())
	r.honest.token = r.token
	running.Go(func() { r.honest.watch(ctx, r.honestURL+"?format=mp4") })
	r.honest.more(1)
	return r
}

func (r *rig) file(name string) string { return filepath.Join(r.dir, name) }

// issueFiles puts a new certificate into the files of that name.
func (r *rig) issueFiles(name string, template *x509.Certificate) pki.Pair {
	r.Helper()
	pair, err := r.ca.Issue(template)
	must(r.T, err)
	must(r.T, pair.Write(r.file(name+".crt"), r.file(name+".key")))
	return pair
}

// revoke takes these certificates back, and no others.
func (r *rig) revoke(pairs ...pki.Pair) {
	r.Helper()
	list, err := r.ca.Revoke(pairs...)
	must(r.T, err)
	must(r.T, os.WriteFile(r.file("crl"), list, 0o600))
}

// issue returns a certificate of the cloud's CA.
func (r *rig) issue(template *x509.Certificate) tls.Certificate {
	r.Helper()
	return issue(r.T, r.ca, template)
}

func issue(t *testing.T, ca *pki.Authority, template *x509.Certificate) tls.Certificate {
	t.Helper()
	pair, err := ca.Issue(template)
	must(t, err)
	cert, err := tls.X509KeyPair(pair.PEM())
	must(t, err)
	return cert
}

// assign gives a node targets, one of each rule.
func (r *rig) assign(node string, rules ...string) {
	d := assignment.NodeDirectory{Node: node, Revision: "1"}
	for _, rule := range rules {
		d.Entries = append(d.Entries, assignment.Entry{Namespace: namespace, Rule: rule, RuleUID: uidOf(rule), Path: targetPath})
	}
	r.cloud.Apply(d)
}

func uidOf(rule string) string { return "uid-" + rule }

func keyOf(node, rule string) tunnel.StreamKey {
	return tunnel.StreamKey{Node: node, Namespace: namespace, Rule: rule, Path: targetPath}
}

// edgeConfig is that of the honest node. It drops nothing for being late, as in newRig.
func (r *rig) edgeConfig() *v1alpha1.EdgeDataStream {
	cfg := v1alpha1.NewDefaultEdgeDataStream()
	cfg.Enable, cfg.NodeName, cfg.Server, cfg.StoreFile = true, honestNode, "wss://"+r.tunnels, r.file("assignment.json")
	cfg.CAFile, cfg.CertFile, cfg.KeyFile = r.file("ca.crt"), r.file(honestNode+".crt"), r.file(honestNode+".key")
	cfg.Queue.Age, cfg.Congestion.Enable = harness.Duration(never), false
	cfg.Source.StallTimeout, cfg.Source.HoldTime = harness.Duration(never), harness.Duration(never)
	return cfg
}

// startCamera starts a small camera whose frames are numbered.
func startCamera(t *testing.T) *camera.Camera {
	t.Helper()
	clip, err := camera.Traffic{BitRate: 400_000, FrameRate: frameRate, GOP: frameRate, KeyFactor: 8}.Clip()
	must(t, err)
	c, err := camera.Start(camera.Config{Clip: clip})
	must(t, err)
	t.Cleanup(c.Close)
	return c
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	return l
}

// attack runs f as a subtest, and fails it unless the honest viewer got every frame meanwhile and goes on to get some.
func (r *rig) attack(name string, f func(t *testing.T)) {
	r.Helper()
	r.Run(name, func(t *testing.T) {
		f(t)
		r.honest.intact(t)
	})
}

// state is what the cloud says of a stream.
func (r *rig) state(t *testing.T, node, rule string) output.Status {
	t.Helper()
	var s output.Status
	must(t, json.Unmarshal(r.get(t, "/node/"+node+"/"+rule+targetPath+"?format=state"), &s))
	return s
}

// client is an honest viewer's, who comes anew for each question.
func (r *rig) client() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: r.ca.Pool(), MinVersion: tls.VersionTLS12}}}
}

// get asks the viewers' port.
func (r *rig) get(t *testing.T, path string) []byte {
	t.Helper()
	body, err := r.ask(t, path)
	must(t, err)
	return body
}

func (r *rig) ask(t *testing.T, path string) ([]byte, error) {
	client := r.client()
	client.Timeout = patience
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.site+path, nil)
	must(t, err)
	sign(req, r.token)
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, resp.Status, body)
	}
	return body, err
}

// metric is the value of the cloud's metric with that name and, if it has any, exactly these labels; 0 if it is not there. It asks again
// until there is an answer, as may be necessary beside an attacker.
func (r *rig) metric(t *testing.T, series string) (value float64) {
	t.Helper()
	eventually(t, "an answer to /metrics", func() bool {
		body, err := r.ask(t, "/metrics")
		if err == nil {
			value = valueOf(t, body, series)
		}
		return err == nil
	})
	return value
}

// valueOf is that of a series in the answer to GET /metrics.
func valueOf(t *testing.T, metrics []byte, series string) float64 {
	t.Helper()
	for line := range strings.Lines(string(metrics)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), series+" "); ok {
			v, err := strconv.ParseFloat(value, 64)
			must(t, err)
			return v
		}
	}
	return 0
}

// eventually asks again until ok; it is for what nothing signals from outside, such as the answer to a request.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	poll.Until(t, patience, what, ok)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
