// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// validity of certificates: a cluster is for an afternoon.
const validity = 30 * 24 * time.Hour

// makeCertificates makes the API server's CA, what it signs, and the kubeconfigs, unless they are there.
func (c *Cluster) makeCertificates(context.Context) error {
	if _, err := os.Stat(c.Kubeconfig()); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	ca, err := c.newAuthority()
	if err != nil {
		return err
	}
	server := &x509.Certificate{
		Subject:     pkix.Name{CommonName: APIServer},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames:    []string{"localhost", "kubernetes.default.svc"},
	}
	if _, _, err := ca.issue(filepath.Join("pki", APIServer), server); err != nil {
		return err
	}
	serviceAccounts := &x509.Certificate{Subject: pkix.Name{CommonName: "service-accounts"}}
	if _, _, err := ca.issue(filepath.Join("pki", "service-accounts"), serviceAccounts); err != nil {
		return err
	}
	for _, u := range [...]struct{ name, group, file string }{
		{"admin", "system:masters", c.Kubeconfig()},
		// The name of the service account under which cloudcore runs in a cluster: the manifests bind it.
		{"system:serviceaccount:kubeedge:cloudcore", "system:serviceaccounts", c.path(CloudCore, "kubeconfig")},
	} {
		if err := ca.writeKubeconfig(u.name, u.group, u.file); err != nil {
			return err
		}
	}
	return nil
}

// authority signs the API server's certificate and those of its users.
type authority struct {
	c    *Cluster
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func (c *Cluster) newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the CA's key: %w", err)
	}
	a := &authority{c: c, key: key, cert: &x509.Certificate{
		Subject:               pkix.Name{CommonName: "local-up"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}}
	der, err := a.sign(a.cert, &key.PublicKey)
	if err != nil {
		return nil, err
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, fmt.Errorf("parsing the CA's certificate: %w", err)
	}
	a.pem = encode("CERTIFICATE", der)
	return a, c.write(filepath.Join("pki", "ca.crt"), a.pem)
}

func (a *authority) sign(t *x509.Certificate, key *ecdsa.PublicKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("making a serial number: %w", err)
	}
	t.SerialNumber = serial
	t.NotBefore = time.Now().Add(-time.Minute)
	t.NotAfter = t.NotBefore.Add(validity)
	t.KeyUsage |= x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, key, a.key)
	if err != nil {
		return nil, fmt.Errorf("signing the certificate of %s: %w", t.Subject.CommonName, err)
	}
	return der, nil
}

// issue writes name.crt and name.key below the cluster's folder, and returns what is in them.
func (a *authority) issue(name string, t *x509.Certificate) (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("making the key of %s: %w", name, err)
	}
	der, err := a.sign(t, &private.PublicKey)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		return nil, nil, fmt.Errorf("encoding the key of %s: %w", name, err)
	}
	cert, key = encode("CERTIFICATE", der), encode("EC PRIVATE KEY", keyDER)
	return cert, key, errors.Join(a.c.write(name+".crt", cert), a.c.write(name+".key", key))
}

func (a *authority) writeKubeconfig(user, group, file string) error {
	cert, key, err := a.issue(filepath.Join("pki", filepath.Base(filepath.Dir(file))+"-user"), &x509.Certificate{
		Subject:     pkix.Name{CommonName: user, Organization: []string{group}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return err
	}
	const name = "local-up"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: "https://" + loopback(a.c.Ports.APIServer), CertificateAuthorityData: a.pem}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{ClientCertificateData: cert, ClientKeyData: key}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: user}
	config.CurrentContext = name
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
