// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"crypto/x509"

	"github.com/kubeedge/datastream/pkg/instrument"
)

// Values of the label use of certificates.
const (
	useViewers   = "viewers"    // the one that viewers are shown
	useViewersCA = "viewers-ca" // those by which viewers with certificates are known
	useTunnels   = "tunnels"    // the one that edges are shown
	useNodesCA   = "nodes-ca"   // those by which edges are known
)

// certificates are those that the next handshakes would use, loaded as they load them. What cannot be loaded is not there, nor the viewers' CA
// before the server serves: it is read only then.
func (s *Server) certificates() map[string][]*x509.Certificate {
	used := make(map[string][]*x509.Certificate)
	if ca, server, err := s.tunnels.credentials.Load(); err == nil {
		used[useNodesCA], used[useTunnels] = ca, instrument.Leaf(&server)
	}
	if s.cfg.Stream.CertFile != "" {
		if viewers, err := s.streams.certificate(nil); err == nil {
			used[useViewers] = instrument.Leaf(viewers)
		}
	}
	if ca := s.streams.viewersCA.Load(); ca != nil {
		used[useViewersCA] = *ca
	}
	return used
}
