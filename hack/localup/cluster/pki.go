// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"os"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/kubeedge/datastream/tests/pki"
)

// makeCertificates makes the API server's CA, what it signs, and the kubeconfigs, unless they are there.
func (c *Cluster) makeCertificates(context.Context) error {
	if _, err := os.Stat(c.Kubeconfig()); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	ca, err := pki.NewAuthority("local-up")
	if err != nil {
		return err
	}
	if err := c.write(c.path("pki", "ca.crt"), ca.PEM()); err != nil {
		return err
	}
	for name, template := range map[string]*x509.Certificate{
		APIServer:          pki.Server(APIServer, "kubernetes.default.svc"),
		"service-accounts": {Subject: pkix.Name{CommonName: "service-accounts"}},
	} {
		pair, err := ca.Issue(template)
		if err != nil {
			return err
		}
		if err := pair.Write(c.path("pki", name+".crt"), c.path("pki", name+".key")); err != nil {
			return err
		}
	}
	for _, u := range [...]struct{ name, group, file string }{
		{"admin", "system:masters", c.Kubeconfig()},
		// The name of the service account under which cloudcore runs in a cluster: the manifests bind it.
		{"system:serviceaccount:kubeedge:cloudcore", "system:serviceaccounts", c.path(CloudCore, "kubeconfig")},
	} {
		pair, err := ca.Issue(pki.Client(u.name, u.group))
		if err != nil {
			return err
		}
		if err := c.writeKubeconfig(u.name, u.file, ca, pair); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) writeKubeconfig(user, file string, ca *pki.Authority, pair pki.Pair) error {
	const name = "local-up"
	certificate, key := pair.PEM()
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: "https://" + loopback(c.Ports.APIServer), CertificateAuthorityData: ca.PEM()}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{ClientCertificateData: certificate, ClientKeyData: key}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: user}
	config.CurrentContext = name
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return nil
}
