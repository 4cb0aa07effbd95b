// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package instrument

import (
	"crypto/tls"
	"crypto/x509"
	"maps"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kubeedge/datastream/tests/pki"
)

// Of several certificates the first to run out counts, and each scrape sees what is used then.
func TestCertificates(t *testing.T) {
	until := func(end int64) *x509.Certificate { return &x509.Certificate{NotAfter: time.Unix(end, 0)} }
	var used map[string][]*x509.Certificate
	reg := prometheus.NewRegistry()
	reg.MustRegister(NewCertificates("cloud", func() map[string][]*x509.Certificate { return used }))
	for _, tc := range []struct {
		used map[string][]*x509.Certificate
		want map[string]float64
	}{
		{nil, nil},
		{map[string][]*x509.Certificate{"viewers": {until(300)}, "nodes-ca": {until(500), until(200), until(400)}, "tunnels": nil},
			map[string]float64{"viewers": 300, "nodes-ca": 200}},
		{map[string][]*x509.Certificate{"viewers": {until(600)}}, map[string]float64{"viewers": 600}},
	} {
		used = tc.used
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[string]float64)
		for _, f := range families {
			if want := "datastream_cloud_certificate_expiration_timestamp_seconds"; f.GetName() != want {
				t.Errorf("%s, want %s", f.GetName(), want)
			}
			for _, m := range f.GetMetric() {
				got[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
			}
		}
		if !maps.Equal(got, tc.want) {
			t.Errorf("%v, want %v", got, tc.want)
		}
	}
}

// A pair's certificate is found whether or not it has been parsed.
func TestLeaf(t *testing.T) {
	ca, err := pki.NewAuthority("ca")
	if err != nil {
		t.Fatal(err)
	}
	issued, err := ca.Issue(pki.Server("cloud"))
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(issued.PEM())
	if err != nil {
		t.Fatal(err)
	}
	unparsed := pair
	unparsed.Leaf = nil
	for _, p := range []*tls.Certificate{&pair, &unparsed} {
		if got := Leaf(p); len(got) != 1 || got[0].Subject.CommonName != "cloud" {
			t.Errorf("%v", got)
		}
	}
	for _, p := range []*tls.Certificate{{}, {Certificate: [][]byte{{1}}}} {
		if got := Leaf(p); got != nil {
			t.Errorf("%v is no certificate", got)
		}
	}
}
