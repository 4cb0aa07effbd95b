// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"crypto/x509"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
	"github.com/kubeedge/datastream/pkg/instrument"
)

// useNode is the value of the label use: the certificate that the next tunnel shows. Older tunnels go on with what they have shown.
const useNode = "node"

// newCertificates tells when the node's certificate runs out. It is read as a dial reads it; one that a dial could not use is not there.
func newCertificates(cfg *v1alpha1.EdgeDataStream) prometheus.Collector {
	return instrument.NewCertificates("edge", func() map[string][]*x509.Certificate {
		cert, err := nodeCertificate(cfg)
		if err != nil {
			return nil
		}
		return map[string][]*x509.Certificate{useNode: instrument.Leaf(cert)}
	})
}
