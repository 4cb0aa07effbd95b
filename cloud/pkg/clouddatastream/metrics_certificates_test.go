// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"errors"
	"maps"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/tests/pki"
)

// What is reported are the certificates that the next handshakes use: a renewed one at once, and none where there is none.
func TestCertificatesInUse(t *testing.T) {
	ca, err := pki.NewAuthority("nodes")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cfg := v1alpha1.NewDefaultCloudDataStream()
	cfg.Tunnel.CAFile, cfg.Tunnel.CertFile, cfg.Tunnel.KeyFile = filepath.Join(dir, "ca.crt"), filepath.Join(dir, "tunnel.crt"), filepath.Join(dir, "tunnel.key")
	plain := NewServer(cfg, func(assignment.Report) {})
	cfg.Stream.Authentication = v1alpha1.AuthenticationNone // nobody is asked
	cfg.Stream.CertFile, cfg.Stream.KeyFile = filepath.Join(dir, "viewers.crt"), filepath.Join(dir, "viewers.key")
	cfg.Stream.ClientCAFile = filepath.Join(dir, "viewers-ca.crt")
	server := NewServer(cfg, func(assignment.Report) {})
	// put makes a certificate the one in the files, as a renewal does that no handshake may see half done.
	put := func(certFile, keyFile string, days int) {
		t.Helper()
		template := pki.Server("cloud")
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().AddDate(0, 0, days)
		pair, err := ca.Issue(template)
		if err := errors.Join(err, pair.Write(certFile+".new", keyFile+".new"),
			os.Rename(certFile+".new", certFile), os.Rename(keyFile+".new", keyFile)); err != nil {
			t.Fatal(err)
		}
	}
	want := func(when string, s *Server, days map[string]int) {
		t.Helper()
		got := make(map[string]int)
		for use, certificates := range s.certificates() {
			for _, c := range certificates {
				got[use] = int(math.Round(time.Until(c.NotAfter).Hours() / 24))
			}
		}
		if !maps.Equal(got, days) {
			t.Errorf("%s: the days left are %v, want %v", when, got, days)
		}
	}
	want("no files", server, nil)
	if err := os.WriteFile(cfg.Tunnel.CAFile, ca.PEM(), 0o600); err != nil { // good for 30 days
		t.Fatal(err)
	}
	put(cfg.Tunnel.CertFile, cfg.Tunnel.KeyFile, 90)
	want("none for viewers", server, map[string]int{useNodesCA: 30, useTunnels: 90})
	put(cfg.Stream.CertFile, cfg.Stream.KeyFile, 10)
	want("before it is renewed", server, map[string]int{useNodesCA: 30, useTunnels: 90, useViewers: 10})
	put(cfg.Stream.CertFile, cfg.Stream.KeyFile, 60)
	want("renewed", server, map[string]int{useNodesCA: 30, useTunnels: 90, useViewers: 60})
	want("viewers without TLS", plain, map[string]int{useNodesCA: 30, useTunnels: 90})
	if err := os.WriteFile(cfg.Tunnel.KeyFile, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	want("a bad key", server, map[string]int{useViewers: 60})

	// The viewers' CA is read when the server begins to serve, and the one that was read is in use until it does so again.
	begin := func() error { _, _, err := server.streams.door(); return err }
	if err := begin(); err == nil {
		t.Error("it is served without the viewers' CA")
	}
	put(cfg.Stream.ClientCAFile, filepath.Join(dir, "viewers-ca.key"), 20)
	want("a CA that nobody has read", server, map[string]int{useViewers: 60})
	if err := begin(); err != nil {
		t.Fatal(err)
	}
	want("a viewers' CA", server, map[string]int{useViewers: 60, useViewersCA: 20})
	put(cfg.Stream.ClientCAFile, filepath.Join(dir, "viewers-ca.key"), 50)
	want("a viewers' CA that is renewed behind the server's back", server, map[string]int{useViewers: 60, useViewersCA: 20})
	if err := begin(); err != nil {
		t.Fatal(err)
	}
	want("served again", server, map[string]int{useViewers: 60, useViewersCA: 50})
}
