// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"net/url"

	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/source"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// errNoCredentials is why a source is not even tried.
var errNoCredentials = &source.Error{
	Reason: source.CredentialsMissing, Message: "The source needs credentials, and the cloud has not sent those for its address yet.",
}

// setCredentials takes what the cloud has sent. A session that delivers goes on; one that does not is tried again at once with what is new. A
// cloud that sends none to a target that needs some does not know them yet: those that are there stay, until others or a stop come. The mutex is
// held.
func (s *stream) setCredentials(c tunnel.Credentials) {
	if c == s.credentials || c.IsZero() && s.target.NeedsCredentials {
		return
	}
	s.credentials = c
	if s.source.State != tunnel.Streaming {
		s.wake.set()
	}
}

// credentialsFor returns the credentials for a source of the target, and whether it may be read at all. They go to no other host
// than that which the cloud has meant: a newer assignment may still be on its way. The mutex is held.
func (s *stream) credentialsFor(rawURL string) (tunnel.Credentials, bool) {
	if !s.target.NeedsCredentials {
		return tunnel.Credentials{}, true
	}
	main, err := url.Parse(s.target.URL)
	if err != nil || s.credentials.IsZero() || s.credentials.Origin() != tunnel.Origin(main) {
		return tunnel.Credentials{}, false
	}
	u, err := url.Parse(rawURL)
	if err != nil || u.User != nil || !sameHost(main, u) {
		return tunnel.Credentials{}, true // a substream that names its own user, or is elsewhere
	}
	return s.credentials, true
}
