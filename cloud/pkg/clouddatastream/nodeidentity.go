// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Names that KubeEdge puts into a node's certificate.
const (
	nodeCommonNamePrefix = "system:node:"
	nodeOrganization     = "system:nodes"
)

// commonNameOID is that of the attribute (RFC 4519, 2.3). crypto/x509 keeps the last of several.
var commonNameOID = asn1.ObjectIdentifier{2, 5, 4, 3}

// Reasons for which a tunnel is refused or cut off: labels of datastream_cloud_refused_tunnels_total.
const (
	refusedCertificate = "certificate" // it is not a node's
	refusedNode        = "node"        // it is another node's than the path or the hello says
	refusedDeleted     = "deleted"     // the controller does not let the node in
	refusedRevoked     = "revoked"     // the certificate is, or nobody can tell whether it is
	refusedExpired     = "expired"     // the certificate has run out while the tunnel was there
	refusedTarget      = "target"      // no such target is assigned to the node
	refusedRequest     = "request"     // it is no dial of a tunnel
	refusedHello       = "hello"       // what came first was no hello, or not of this target
)

// refusal is an error whose reason is one of the above.
type refusal struct{ reason, message string }

func (r *refusal) Error() string { return r.message }

// nodeIdentity is what the other end of a connection has proven to be.
type nodeIdentity struct {
	node   string
	chains [][]*x509.Certificate // verified; each begins with the node's own
}

// serial is the certificate's serial number as revocation lists have it.
func (id nodeIdentity) serial() string { return fmt.Sprintf("%X", id.chains[0][0].SerialNumber) }

// identify returns the node that the client's certificate was issued to. TLS has verified it up to the CA of nodes; that does
// not make it a node's. KubeEdge's signer puts into certificates what it is asked for, so nothing that looks like one will do.
func identify(state *tls.ConnectionState) (nodeIdentity, error) {
	if state == nil || len(state.VerifiedChains) == 0 {
		return nodeIdentity{}, &refusal{refusedCertificate, "no verified client certificate"}
	}
	leaf := state.PeerCertificates[0]
	node, err := nodeOf(leaf)
	if err != nil {
		return nodeIdentity{}, &refusal{refusedCertificate, fmt.Sprintf("the client certificate of %.128q is not a node's: %v", leaf.Subject.CommonName, err)}
	}
	return nodeIdentity{node, state.VerifiedChains}, nil
}

// nodeOf returns the node of a certificate, or what is wrong with that.
func nodeOf(leaf *x509.Certificate) (string, error) {
	names := 0
	for _, a := range leaf.Subject.Names {
		if a.Type.Equal(commonNameOID) {
			names++
		}
	}
	node, ok := strings.CutPrefix(leaf.Subject.CommonName, nodeCommonNamePrefix)
	switch {
	case !ok || names != 1 || len(validation.IsDNS1123Subdomain(node)) > 0:
		return "", fmt.Errorf("its only common name must be %s and the name of a node", nodeCommonNamePrefix)
	case !slices.Equal(leaf.Subject.Organization, []string{nodeOrganization}):
		return "", fmt.Errorf("its only organization must be %s", nodeOrganization)
	case leaf.IsCA:
		return "", errors.New("it is a CA's")
	case !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth):
		return "", errors.New("its extended key usage must name client authentication") // "any" and none at all pass crypto/tls
	default:
		return node, nil
	}
}
