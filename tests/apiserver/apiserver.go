// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package apiserver runs a real etcd and kube-apiserver for tests.
package apiserver

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubeedge/datastream/tests/pki"
	"github.com/kubeedge/datastream/tests/ports"
)

// bin is where "make e2e" and "make local-up" put the control plane.
const bin = "../../_output/bin"

// CloudCore is the name of the service account under which cloudcore runs in a cluster; the manifests bind it.
const CloudCore = "system:serviceaccount:kubeedge:cloudcore"

// Server is an etcd and a kube-apiserver with RBAC. Its folder holds ca.crt, server.crt, server.key and accounts.key, which signs service
// accounts' tokens.
type Server struct {
	dir     string
	address string
	CA      *pki.Authority // has signed its certificate, and knows users by theirs
	exited  chan error
}

// Find returns etcd and kube-apiserver, of _output/bin as seen from a package below tests, or of PATH.
func Find() (etcd, server string, err error) {
	find := func(name string) string {
		file, err := filepath.Abs(filepath.Join(bin, name))
		if _, missing := os.Stat(file); err == nil && missing == nil {
			return file
		}
		if file, err = exec.LookPath(name); err == nil {
			return file
		}
		return ""
	}
	if etcd, server = find("etcd"), find("kube-apiserver"); etcd == "" || server == "" {
		return "", "", errors.New("no etcd or kube-apiserver in _output/bin or PATH (make e2e builds them)")
	}
	return etcd, server, nil
}

// Start starts both in an existing folder, kube-apiserver with more flags if there are; they end with ctx, and stop waits for that.
func Start(ctx context.Context, dir, etcd, server string, flags ...string) (a *Server, stop func(), err error) {
	a = &Server{dir: dir, exited: make(chan error, 2)}
	if a.CA, err = pki.NewAuthority("apiserver"); err != nil {
		return nil, nil, err
	}
	if err := os.WriteFile(a.File("ca.crt"), a.CA.PEM(), 0o600); err != nil {
		return nil, nil, err
	}
	for name, template := range map[string]*x509.Certificate{
		"server": pki.Server("kube-apiserver"), "accounts": {Subject: pkix.Name{CommonName: "accounts"}},
	} {
		pair, err := a.CA.Issue(template)
		if err == nil {
			err = pair.Write(a.File(name+".crt"), a.File(name+".key"))
		}
		if err != nil {
			return nil, nil, err
		}
	}
	var client, peer string
	for _, address := range []*string{&client, &peer, &a.address} {
		if *address, err = ports.Free("127.0.0.1:0"); err != nil {
			return nil, nil, err
		}
	}
	client, peer = "http://"+client, "http://"+peer
	_, port, _ := net.SplitHostPort(a.address)

	ctx, cancel := context.WithCancel(ctx)
	processes := 0
	stop = func() {
		cancel()
		for range processes {
			<-a.exited
		}
	}
	for _, command := range [][]string{
		{etcd, "--data-dir=" + a.File("etcd"), "--listen-client-urls=" + client, "--advertise-client-urls=" + client,
			"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=default=" + peer, "--log-level=warn"},
		append([]string{server, "--etcd-servers=" + client, "--bind-address=127.0.0.1", "--secure-port=" + port, "--cert-dir=" + dir,
			"--tls-cert-file=" + a.File("server.crt"), "--tls-private-key-file=" + a.File("server.key"), "--client-ca-file=" + a.File("ca.crt"),
			"--service-account-issuer=https://kubernetes.default.svc.cluster.local", "--service-account-key-file=" + a.File("accounts.key"),
			"--service-account-signing-key-file=" + a.File("accounts.key"), "--service-cluster-ip-range=10.254.0.0/24",
			"--authorization-mode=RBAC", "--endpoint-reconciler-type=none"}, flags...),
	} {
		if err := a.run(ctx, command); err != nil {
			stop()
			return nil, nil, err
		}
		processes++
	}
	if err := a.ready(ctx); err != nil {
		stop()
		return nil, nil, err
	}
	return a, stop, nil
}

// Address is the host and port of kube-apiserver.
func (a *Server) Address() string { return a.address }

// File is the path of a file in the server's folder.
func (a *Server) File(name string) string { return filepath.Join(a.dir, name) }

func (a *Server) run(ctx context.Context, command []string) error {
	log, err := os.Create(a.File(filepath.Base(command[0]) + ".log"))
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		log.Close()
		return fmt.Errorf("starting %s: %w", command[0], err)
	}
	go func() {
		err := cmd.Wait()
		log.Close()
		a.exited <- fmt.Errorf("%s ended: %w", command[0], err)
	}()
	return nil
}

// ready returns when the API server and its built-in roles are there.
func (a *Server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	config, err := a.Config("admin", "system:masters")
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	for {
		err := client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("kube-apiserver is not ready, see %s: %w", a.dir, err)
		case <-time.After(100 * time.Millisecond): // nobody tells us
		}
	}
}

// Config is how a user reaches the API server, by certificate.
func (a *Server) Config(name, group string) (*rest.Config, error) {
	pair, err := a.CA.Issue(pki.Client(name, group))
	if err != nil {
		return nil, err
	}
	certificate, key := pair.PEM()
	return &rest.Config{
		Host: "https://" + a.address, QPS: 100, Burst: 200,
		TLSClientConfig: rest.TLSClientConfig{CAData: a.CA.PEM(), CertData: certificate, KeyData: key},
	}, nil
}
