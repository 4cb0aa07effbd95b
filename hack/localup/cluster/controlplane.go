// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strconv"

	"k8s.io/client-go/kubernetes"
)

func (c *Cluster) startEtcd(ctx context.Context) error {
	client, peer := "http://"+loopback(c.Ports.Etcd), "http://"+loopback(c.Ports.EtcdPeer)
	err := c.start(Etcd, process{Command: []string{
		filepath.Join(c.Bin, Etcd),
		"--data-dir=" + c.path(Etcd),
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=default=" + peer,
		"--log-level=warn",
	}})
	if err != nil {
		return err
	}
	return c.await(ctx, Etcd, func(ctx context.Context) error { return getOK(ctx, client+"/health") })
}

func (c *Cluster) startAPIServer(ctx context.Context) error {
	err := c.start(APIServer, process{Command: []string{
		filepath.Join(c.Bin, APIServer),
		"--etcd-servers=http://" + loopback(c.Ports.Etcd),
		"--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(c.Ports.APIServer),
		"--cert-dir=" + c.path("pki"),
		"--tls-cert-file=" + c.path("pki", APIServer+".crt"),
		"--tls-private-key-file=" + c.path("pki", APIServer+".key"),
		"--client-ca-file=" + c.path("pki", "ca.crt"),
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + c.path("pki", "service-accounts.key"),
		"--service-account-signing-key-file=" + c.path("pki", "service-accounts.key"),
		"--service-cluster-ip-range=10.254.0.0/24",
		"--authorization-mode=RBAC",
		"--endpoint-reconciler-type=none", // it takes no loopback address
	}})
	if err != nil {
		return err
	}
	return c.APIReady(ctx)
}

// APIReady returns when the API server is ready.
func (c *Cluster) APIReady(ctx context.Context) error {
	config, err := c.Config()
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	return c.await(ctx, APIServer, func(ctx context.Context) error {
		return client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}

// getOK fails unless url answers 200.
func getOK(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("asking %s: %w", url, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("asking %s: %w", url, err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("asking %s: %s", url, resp.Status)
	}
	return nil
}

// dial fails unless somebody listens at address.
func dial(ctx context.Context, address string) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("dialling: %w", err)
	}
	return conn.Close()
}
