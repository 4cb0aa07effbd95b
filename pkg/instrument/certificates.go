// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package instrument

import (
	"crypto/tls"
	"crypto/x509"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// Certificates tells when certificates run out.
type Certificates struct {
	used func() map[string][]*x509.Certificate
	end  *prometheus.Desc
}

// NewCertificates is the gauge datastream_<subsystem>_certificate_expiration_timestamp_seconds, in Unix time. At each scrape used returns the
// certificates that would be used now, by the label use. Of several for one use the first that runs out counts; a use without any is left out.
func NewCertificates(subsystem string, used func() map[string][]*x509.Certificate) *Certificates {
	return &Certificates{used, prometheus.NewDesc(prometheus.BuildFQName("datastream", subsystem, "certificate_expiration_timestamp_seconds"),
		"When the certificate that is used now runs out, in Unix time.", []string{"use"}, nil)}
}

// Describe implements prometheus.Collector.
func (c *Certificates) Describe(ch chan<- *prometheus.Desc) { ch <- c.end }

// Collect implements prometheus.Collector.
func (c *Certificates) Collect(ch chan<- prometheus.Metric) {
	for use, certificates := range c.used() {
		if len(certificates) == 0 {
			continue
		}
		first := slices.MinFunc(certificates, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
		ch <- prometheus.MustNewConstMetric(c.end, prometheus.GaugeValue, float64(first.NotAfter.Unix()), use)
	}
}

// Leaf is a pair's own certificate, without the authorities that are sent along. Who made the pair need not have parsed it.
func Leaf(pair *tls.Certificate) []*x509.Certificate {
	if pair.Leaf != nil {
		return []*x509.Certificate{pair.Leaf}
	}
	if len(pair.Certificate) == 0 {
		return nil
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil
	}
	return []*x509.Certificate{leaf}
}
