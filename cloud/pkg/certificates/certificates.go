// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package certificates finds what CloudHub shows to edges, and the CA by which it knows them, wherever KubeEdge
// keeps them: in the files of cloudcore.yaml if they are there, else in the secrets that CloudHub fills at its
// first start.
package certificates

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/klog/v2"
)

// Where CloudHub of KubeEdge v1.20 keeps its certificates. The values are DER.
const (
	Namespace     = "kubeedge"
	CASecret      = "casecret"
	CADataKey     = "cadata"
	ServerSecret  = "cloudcoresecret"
	ServerCertKey = "cloudcoredata"
	ServerKeyKey  = "cloudcorekeydata"
)

// Files are PEM files, as CloudHub's configuration names them. One without a name is not there.
type Files struct {
	CA, Cert, Key string
	// OwnCA says that the CA is another one than CloudHub's. Where its file is missing CloudHub's CA is not taken instead: whom
	// that has signed is not to be let in.
	OwnCA bool
}

// Store knows CloudHub's certificates as they are now.
type Store struct {
	files  Files
	client kubernetes.Interface

	ca     atomic.Pointer[x509.Certificate]
	server atomic.Pointer[tls.Certificate]
}

// New makes a store. Secrets are seen once Run runs.
func New(files Files, client kubernetes.Interface) *Store {
	return &Store{files: files, client: client}
}

// Load returns what is valid now: files first, as in CloudHub. It does not wait for a network; until CloudHub has made
// its certificates it fails.
func (s *Store) Load() (clientCA []*x509.Certificate, server tls.Certificate, err error) {
	clientCA, err = s.loadCA()
	if err != nil {
		return nil, tls.Certificate{}, err
	}
	server, err = s.loadServer()
	if err != nil {
		return nil, tls.Certificate{}, err
	}
	return clientCA, server, nil
}

func (s *Store) loadCA() ([]*x509.Certificate, error) {
	data, err := readFile(s.files.CA)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !s.files.OwnCA:
		if ca := s.ca.Load(); ca != nil {
			return []*x509.Certificate{ca}, nil
		}
		return nil, fmt.Errorf("the CA is neither in file %q nor in secret %s/%s yet", s.files.CA, Namespace, CASecret)
	case err != nil:
		return nil, fmt.Errorf("reading the CA: %w", err)
	}
	ca, err := certutil.ParseCertsPEM(data)
	if err != nil {
		return nil, fmt.Errorf("reading the CA: no certificate in %s: %w", s.files.CA, err)
	}
	return ca, nil
}

func (s *Store) loadServer() (tls.Certificate, error) {
	cert, certErr := readFile(s.files.Cert)
	key, keyErr := readFile(s.files.Key)
	if errors.Is(certErr, fs.ErrNotExist) && errors.Is(keyErr, fs.ErrNotExist) {
		if server := s.server.Load(); server != nil {
			return *server, nil
		}
		return tls.Certificate{}, fmt.Errorf("the server's certificate is neither in file %q nor in secret %s/%s yet", s.files.Cert, Namespace, ServerSecret)
	}
	if err := errors.Join(certErr, keyErr); err != nil {
		return tls.Certificate{}, fmt.Errorf("reading the server's certificate and key: %w", err)
	}
	server, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("reading the server's certificate from %s and %s: %w", s.files.Cert, s.files.Key, err)
	}
	return server, nil
}

func readFile(name string) ([]byte, error) {
	if name == "" {
		return nil, fs.ErrNotExist
	}
	return os.ReadFile(name)
}

// Run follows the secrets until ctx ends. It needs get, list and watch on the two of them. What cannot be read is
// logged, and what was there before stays: connections outlive a rotation, and new ones a bad one.
func (s *Store) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, name := range []string{CASecret, ServerSecret} {
		informer := coreinformers.NewFilteredSecretInformer(s.client, Namespace, 0, cache.Indexers{},
			func(o *metav1.ListOptions) {
				o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
			})
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    s.take,
			UpdateFunc: func(_, secret any) { s.take(secret) },
		}); err != nil {
			klog.ErrorS(err, "Secret is not followed", "secret", klog.KRef(Namespace, name))
			continue
		}
		all.Go(func() { informer.Run(ctx.Done()) })
	}
	all.Wait()
}

// take keeps what a secret holds.
func (s *Store) take(object any) {
	secret, ok := object.(*corev1.Secret)
	if !ok {
		return
	}
	var err error
	switch secret.Name {
	case CASecret:
		err = s.takeCA(secret)
	case ServerSecret:
		err = s.takeServer(secret)
	default:
		return
	}
	if err != nil {
		klog.ErrorS(err, "Secret is ignored", "secret", klog.KObj(secret), "resourceVersion", secret.ResourceVersion)
		return
	}
	klog.InfoS("Certificate from secret", "secret", klog.KObj(secret), "resourceVersion", secret.ResourceVersion)
}

func (s *Store) takeCA(secret *corev1.Secret) error {
	ca, err := x509.ParseCertificate(secret.Data[CADataKey])
	if err != nil {
		return fmt.Errorf("reading %s: %w", CADataKey, err)
	}
	s.ca.Store(ca)
	return nil
}

func (s *Store) takeServer(secret *corev1.Secret) error {
	server, err := tls.X509KeyPair(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secret.Data[ServerCertKey]}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret.Data[ServerKeyKey]}))
	if err != nil {
		return fmt.Errorf("reading %s and %s: %w", ServerCertKey, ServerKeyKey, err)
	}
	s.server.Store(&server)
	return nil
}
