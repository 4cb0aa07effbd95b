// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"crypto/tls"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"
)

// keyPairAge bounds how long a change of a keyPair's files may go unseen that shows neither in their times nor in their sizes.
const keyPairAge = 10 * time.Second

// keyPair is a certificate with its key, in PEM files that are renewed in place. Each handshake looks whether they have changed, and reads
// them only then: a flood of handshakes is not to be one of reading files and checking keys.
type keyPair struct {
	files [2]string // certificate, key

	mu   sync.Mutex
	cert *tls.Certificate // nil before the first good one, and after a bad one
	read time.Time
	was  [2]fs.FileInfo // the files when they were read
}

func newKeyPair(certFile, keyFile string) *keyPair {
	return &keyPair{files: [2]string{certFile, keyFile}}
}

// load returns what the files hold. It may not be changed.
func (k *keyPair) load(now time.Time) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	// Looked at before they are read: what changes in between shows the next time.
	is, err := k.look()
	if err != nil {
		return nil, err
	}
	if k.cert != nil && now.Sub(k.read) < keyPairAge && same(is[0], k.was[0]) && same(is[1], k.was[1]) {
		return k.cert, nil
	}
	k.cert = nil
	cert, err := tls.LoadX509KeyPair(k.files[0], k.files[1])
	if err != nil {
		return nil, fmt.Errorf("reading %s and %s: %w", k.files[0], k.files[1], err)
	}
	k.cert, k.read, k.was = &cert, now, is
	return k.cert, nil
}

func (k *keyPair) look() (is [2]fs.FileInfo, err error) {
	for i, file := range k.files {
		if is[i], err = os.Stat(file); err != nil {
			return is, err
		}
	}
	return is, nil
}

func same(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
