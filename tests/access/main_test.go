// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package access tests who may do what: CloudDataStream with the RBAC of a real kube-apiserver, asked by every kind of caller for everything
// that there is. It needs etcd and kube-apiserver ("make e2e" builds them); without them there is nothing to run.
package access

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream"
	"github.com/kubeedge/datastream/cloud/pkg/viewerauth"
	"github.com/kubeedge/datastream/hack/localup/cluster"
	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/tunnel"
	"github.com/kubeedge/datastream/tests/apiserver"
	"github.com/kubeedge/datastream/tests/pki"
)

// recheck is how often viewers' rights are asked for again; a yes is remembered for ten seconds.
const recheck = time.Second

// yard and other are namespaces. Each has the stream /node/edge-1/gate/camera, and so has default.
const (
	yard  = "yard"
	other = "other"
	rule  = "gate"
	path  = "/camera"
)

// env is what all tests share.
var env struct {
	*apiserver.Server
	issuer *issuer // of OpenID Connect
	admin  kubernetes.Interface
	server *clouddatastream.Server
	url    string // of viewers
	client *http.Client
}

func TestMain(m *testing.M) { os.Exit(apiserver.Main(m, withEnvironment)) }

func withEnvironment(etcd, server string, use func()) error {
	dir, err := os.MkdirTemp("", "access")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if env.issuer, err = newIssuer(); err != nil {
		return err
	}
	defer env.issuer.Close()
	flags, err := env.issuer.flags(dir)
	if err != nil {
		return err
	}
	var stop func()
	if env.Server, stop, err = apiserver.Start(ctx, dir, etcd, server, flags...); err != nil {
		return err
	}
	defer stop()
	config, err := env.Config("admin", "system:masters")
	if err != nil {
		return err
	}
	if env.admin, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	for _, name := range []string{"kubeedge", yard, other} {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := env.admin.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("creating namespace: %w", err)
		}
	}
	applier, err := cluster.NewApplier(config)
	if err != nil {
		return err
	}
	for _, file := range []string{"cloudcore-datastream.yaml", "viewers.yaml"} {
		if err := applier.ApplyFile(ctx, filepath.Join("../../build/manifests/rbac", file)); err != nil {
			return err
		}
	}
	return withServer(ctx, dir, use)
}

// withServer runs CloudDataStream, which asks the API server as cloudcore: with what the manifests grant it.
func withServer(ctx context.Context, dir string, use func()) error {
	own, err := env.Config(apiserver.CloudCore, "system:serviceaccounts")
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(own)
	if err != nil {
		return err
	}
	nodes, err := pki.NewAuthority("nodes")
	if err != nil {
		return err
	}
	cfg := v1alpha1.NewDefaultCloudDataStream()
	cfg.Tunnel.CAFile, cfg.Tunnel.CertFile, cfg.Tunnel.KeyFile = filepath.Join(dir, "nodes.crt"), filepath.Join(dir, "tunnel.crt"), filepath.Join(dir, "tunnel.key")
	cfg.Stream.CertFile, cfg.Stream.KeyFile, cfg.Stream.ClientCAFile = env.File("server.crt"), env.File("server.key"), env.File("ca.crt")
	cfg.Stream.RecheckInterval.Duration = recheck
	cfg.Stream.WaitTimeout.Duration = patience // for the streams to begin
	cfg.Stream.EnableProfiling = true
	pair, err := nodes.Issue(pki.Server("tunnel"))
	if err != nil {
		return err
	}
	if err := errors.Join(os.WriteFile(cfg.Tunnel.CAFile, nodes.PEM(), 0o600), pair.Write(cfg.Tunnel.CertFile, cfg.Tunnel.KeyFile)); err != nil {
		return err
	}
	tunnels, errTunnels := net.Listen("tcp", "127.0.0.1:0")
	viewers, errViewers := net.Listen("tcp", "127.0.0.1:0")
	if err := errors.Join(errTunnels, errViewers); err != nil {
		return err
	}
	env.server = clouddatastream.NewServer(cfg, func(assignment.Report) {}, clouddatastream.WithReviewer(viewerauth.NewAPIServer(client)))
	env.url = "https://" + viewers.Addr().String()
	env.client = newClient(nil)

	directory := assignment.NodeDirectory{Node: node}
	for _, namespace := range []string{metav1.NamespaceDefault, yard, other} {
		directory.Entries = append(directory.Entries, assignment.Entry{Namespace: namespace, Rule: rule, Path: path})
	}
	env.server.Apply(directory)
	env.server.Synced()
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	all.Go(func() {
		if err := env.server.Serve(ctx, tunnels, viewers); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	})
	for _, e := range directory.Entries {
		all.Go(func() {
			err := sendStream(ctx, nodes, tunnels.Addr().String(), tunnel.StreamKey{Node: node, Namespace: e.Namespace, Rule: e.Rule, Path: e.Path})
			if ctx.Err() == nil {
				fmt.Fprintln(os.Stderr, err)
			}
		})
	}
	use()
	env.client.CloseIdleConnections()
	return nil
}

// newClient is a viewer's, with a client certificate or without.
func newClient(certificates []tls.Certificate) *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: tlsConfig(certificates)}}
}

func tlsConfig(certificates []tls.Certificate) *tls.Config {
	return &tls.Config{RootCAs: env.CA.Pool(), Certificates: certificates, MinVersion: tls.VersionTLS12}
}
