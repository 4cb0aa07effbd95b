// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/kubeedge/datastream/tests/pki"
)

// nodeTemplate is a node's certificate that differs in one thing.
func nodeTemplate(change func(*x509.Certificate)) *x509.Certificate {
	t := pki.Node("edge-1")
	change(t)
	return t
}

func TestIdentify(t *testing.T) {
	ca, err := pki.NewAuthority("ca")
	if err != nil {
		t.Fatal(err)
	}
	name := func(cn string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.Subject.CommonName = cn }
	}
	group := func(o ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.Subject.Organization = o }
	}
	usage := func(u ...x509.ExtKeyUsage) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.ExtKeyUsage = u }
	}
	for what, test := range map[string]struct {
		change func(*x509.Certificate)
		want   string // in the refusal; empty if it is a node's
	}{
		"as KubeEdge makes them": {func(c *x509.Certificate) {
			c.KeyUsage = x509.KeyUsageKeyEncipherment | x509.KeyUsageDigitalSignature
		}, ""},
		"dots in the name":          {name("system:node:edge-1.yard.example"), ""},
		"also a server":             {usage(x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth), ""},
		"no common name":            {name(""), "common name"},
		"no prefix":                 {name("edge-1"), "common name"},
		"a user":                    {name("system:admin"), "common name"},
		"no node":                   {name("system:node:"), "common name"},
		"prefix in capitals":        {name("System:Node:edge-1"), "common name"},
		"capitals":                  {name("system:node:Edge-1"), "common name"},
		"slash":                     {name("system:node:edge-1/default"), "common name"},
		"dots only":                 {name("system:node:.."), "common name"},
		"space":                     {name("system:node:edge-1 "), "common name"},
		"NUL":                       {name("system:node:edge-1\x00"), "common name"},
		"too long":                  {name("system:node:" + strings.Repeat("a", 254)), "common name"},
		"two common names":          {moreNames(pkix.AttributeTypeAndValue{Type: commonNameOID, Value: "system:node:edge-2"}), "common name"},
		"no organization":           {group(), "organization"},
		"another organization":      {group("system:masters"), "organization"},
		"a second organization":     {group("system:nodes", "system:masters"), "organization"},
		"organization begins so":    {group("system:nodes:more"), "organization"},
		"organization in capitals":  {group("System:Nodes"), "organization"},
		"no extended usage":         {usage(), "usage"},
		"any extended usage":        {usage(x509.ExtKeyUsageAny), "usage"},
		"usage of a server":         {usage(x509.ExtKeyUsageServerAuth), "usage"},
		"usage of something else":   {usage(x509.ExtKeyUsageCodeSigning, x509.ExtKeyUsageAny), "usage"},
		"a CA that is named a node": {func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }, "CA"},
	} {
		t.Run(what, func(t *testing.T) {
			pair, err := ca.Issue(nodeTemplate(test.change))
			if err != nil {
				t.Fatal(err)
			}
			leaf, err := x509.ParseCertificate(pair.Certificate)
			if err != nil {
				t.Fatal(err)
			}
			id, err := identify(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf}}})
			var refused *refusal
			switch {
			case test.want == "":
				if err != nil || "system:node:"+id.node != leaf.Subject.CommonName {
					t.Errorf("%+v, %v", id.node, err)
				}
			case !errors.As(err, &refused) || refused.reason != refusedCertificate || !strings.Contains(refused.message, test.want):
				t.Errorf("%v, want a refusal for its %s", err, test.want)
			}
		})
	}
}

func moreNames(a ...pkix.AttributeTypeAndValue) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.Subject.ExtraNames = slices.Concat(a, []pkix.AttributeTypeAndValue{
			{Type: []int{2, 5, 4, 10}, Value: nodeOrganization}, {Type: commonNameOID, Value: "system:node:edge-1"},
		})
	}
}

// Who was not verified is nobody, whatever the certificate says.
func TestIdentifyUnverified(t *testing.T) {
	for what, state := range map[string]*tls.ConnectionState{
		"no TLS": nil, "no certificate": {},
		"not verified": {PeerCertificates: []*x509.Certificate{{Subject: pkix.Name{CommonName: "system:node:edge-1", Organization: []string{nodeOrganization}}}}},
	} {
		if id, err := identify(state); err == nil {
			t.Errorf("%s: is %s", what, id.node)
		}
	}
}
