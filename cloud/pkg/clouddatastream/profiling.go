// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/kubeedge/datastream/pkg/apis/componentconfig/v1alpha1"
)

// profiles are the URLs of net/http/pprof. They are registered only if the configuration says so, behind the guard as everything is.
// Without authentication whoever reaches the port would get them, so then it must be the loopback, even where streams may be had elsewhere.
func (s *StreamServer) profiles() map[string]http.Handler {
	if !s.cfg.EnableProfiling || s.cfg.Authentication == v1alpha1.AuthenticationNone && !v1alpha1.IsLoopback(s.cfg.Listen) {
		return nil
	}
	return map[string]http.Handler{
		"/debug/pprof/":          http.HandlerFunc(pprof.Index),
		"/debug/pprof/{profile}": http.HandlerFunc(serveProfile),
	}
}

// serveProfile takes as long as its caller asks for (?seconds=): net/http/pprof moves the write deadline, but the server's read deadline
// would end the request too.
func serveProfile(w http.ResponseWriter, r *http.Request) {
	if err := http.NewResponseController(w).SetReadDeadline(time.Time{}); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	switch strings.TrimPrefix(r.URL.Path, "/debug/pprof/") {
	case "cmdline":
		pprof.Cmdline(w, r)
	case "profile":
		pprof.Profile(w, r)
	case "symbol":
		pprof.Symbol(w, r)
	case "trace":
		pprof.Trace(w, r)
	default: // heap, goroutine, …
		pprof.Index(w, r)
	}
}
