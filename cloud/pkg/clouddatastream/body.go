// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"net/http"
	"time"
)

// boundBody has a request's body come to its end within that time of its headers, so that who sends half of one keeps the connection for no
// longer, whether next reads it or leaves that to the http.Server. There the deadline ends too: the server lifts it when it has seen the end
// of the body, for its own read behind that, and when a connection is taken over. It has to be given the http.Server's own ResponseWriter.
func boundBody(within time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != http.NoBody {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(within)) // a connection without deadlines has none to miss
		}
		next.ServeHTTP(w, r)
	})
}
