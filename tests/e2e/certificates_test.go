// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"path/filepath"
	"strconv"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubeedge/datastream/cloud/pkg/certificates"
	"github.com/kubeedge/datastream/hack/localup/cluster"
	"github.com/kubeedge/datastream/tests/pki"
)

// caKey is where CloudHub keeps its CA's key, in the same secret as the certificate.
const caKey = "cakeydata"

// secretPair is a pair that CloudHub keeps.
func (e *environment) secretPair(t *testing.T, secret, certificate, key string) pki.Pair {
	t.Helper()
	s, err := e.kube.CoreV1().Secrets(certificates.Namespace).Get(patient(t), secret, metav1.GetOptions{})
	must(t, err)
	return pki.Pair{Certificate: s.Data[certificate], Key: s.Data[key]}
}

// authority is CloudHub's.
func (e *environment) authority(t *testing.T) *pki.Authority {
	t.Helper()
	ca, err := pki.ParseAuthority(e.secretPair(t, certificates.CASecret, certificates.CADataKey, caKey))
	must(t, err)
	return ca
}

// replaceServer puts a new certificate of CloudHub's CA in the place of cloudcore's, and returns it.
func (e *environment) replaceServer(t *testing.T) pki.Pair {
	t.Helper()
	pair, err := e.authority(t).Issue(pki.Server(cluster.CloudCore))
	must(t, err)
	secrets := e.kube.CoreV1().Secrets(certificates.Namespace)
	secret, err := secrets.Get(patient(t), certificates.ServerSecret, metav1.GetOptions{})
	must(t, err)
	secret.Data[certificates.ServerCertKey], secret.Data[certificates.ServerKeyKey] = pair.Certificate, pair.Key
	_, err = secrets.Update(patient(t), secret, metav1.UpdateOptions{})
	must(t, err)
	return pair
}

// replaceNode puts a new certificate of CloudHub's CA in the place of a node's, and returns it.
func (e *environment) replaceNode(t *testing.T, node string) pki.Pair {
	t.Helper()
	pair, err := e.authority(t).Issue(pki.Node(node))
	must(t, err)
	home := filepath.Join(e.Dir, node)
	must(t, pair.Write(filepath.Join(home, "server.crt"), filepath.Join(home, "server.key")))
	return pair
}

// shows returns when whoever listens at a port shows this certificate of CloudHub's CA.
func (e *environment) shows(t *testing.T, port int, want []byte) {
	t.Helper()
	trusted := e.authority(t).Pool()
	eventually(t, "cloudcore's certificate", func(ctx context.Context) error {
		shown, err := handshake(ctx, port, trusted)
		if err == nil && !bytes.Equal(shown.Raw, want) {
			err = errors.New("it is another one")
		}
		return err
	})
}

// handshake returns the certificate that the server at a port shows.
func handshake(ctx context.Context, port int, trusted *x509.CertPool) (*x509.Certificate, error) {
	d := tls.Dialer{Config: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: trusted}}
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}

// Both ends' certificates are replaced while somebody watches. Whoever connects afterwards sees the new ones.
func TestCertificatesReplaced(t *testing.T) {
	s := faultSpace(t)
	watched := target(cluster.Camera1, cluster.Edge1)
	few := watch(t, s.url(watched), 3)
	few.more(t, enough)
	few.forget()
	cloud, node := env.replaceServer(t), env.replaceNode(t, cluster.Edge1)
	env.shows(t, env.Ports.Tunnel, cloud.Certificate)
	few.more(t, 2*enough)
	few.undisturbed(t)

	// The node shows its own only to whom it dials anew, and TLS 1.3 only to the other end: that is us now.
	env.kill(t, cluster.CloudCore)
	dialled := listenForTunnels(t)
	if _, shown := dialled.await(t, s.tunnel(watched)); !bytes.Equal(shown.Raw, node.Certificate) {
		t.Errorf("the node shows the certificate %s, want the new one", shown.SerialNumber)
	}
	dialled.stop()
	env.restart(t, cluster.CloudCore)
	must(t, env.CloudReady(patient(t)))
	since(t, "cloudcore is ready", s.settled(watched))
	env.shows(t, env.Ports.Tunnel, cloud.Certificate)
	few.more(t, enough)
}
