// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"crypto/x509"

	"github.com/kubeedge/datastream/pkg/instrument"
)

// Values of the label use of certificates.
const (
	useViewers = "viewers"  // the one that viewers are shown
	useTunnels = "tunnels"  // the one that edges are shown
	useNodesCA = "nodes-ca" // those by which edges are known
)

// certificates are those that the next handshakes would use, loaded as they load them. What cannot be loaded is not there.
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
	return used
}
