// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package clouddatastream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emicklei/go-restful/v3"
	"golang.org/x/time/rate"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output/player"
	"github.com/kubeedge/datastream/pkg/apis/streamrules"
)

// retryAfterSeconds is what a refused viewer is asked to wait.
const retryAfterSeconds = 5

// serve runs srv until ctx ends. Connections that were hijacked are not its business.
func serve(ctx context.Context, srv *http.Server, run func() error) error {
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		// Requests in flight end with ctx, which is their base; what is idle is closed at once.
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if srv.Shutdown(grace) != nil {
			_ = srv.Close()
		}
	}()
	err := run()
	if errors.Is(err, http.ErrServerClosed) {
		<-stopped
		return nil
	}
	return err
}

// newContainer serves ws. What no route takes is answered with a metav1.Status too.
func newContainer(ws *restful.WebService) *restful.Container {
	c := restful.NewContainer()
	c.ServiceErrorHandler(func(err restful.ServiceError, _ *restful.Request, resp *restful.Response) {
		for name, values := range err.Header { // Allow, for one
			resp.Header()[name] = values
		}
		reason := metav1.StatusReasonUnknown
		switch err.Code {
		case http.StatusNotFound:
			reason = metav1.StatusReasonNotFound
		case http.StatusMethodNotAllowed:
			reason = metav1.StatusReasonMethodNotAllowed
		}
		writeStatus(resp, err.Code, reason, err.Message)
	})
	c.Add(ws)
	return c
}

// writeStatus answers with a metav1.Status, as the API server does.
func writeStatus(w http.ResponseWriter, code int, reason metav1.StatusReason, message string) {
	writeStatusDetails(w, code, reason, message, nil)
}

func writeStatusDetails(w http.ResponseWriter, code int, reason metav1.StatusReason, message string, details *metav1.StatusDetails) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	status := metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure, Code: int32(code), Reason: reason, Message: message, Details: details,
	}
	if code < http.StatusBadRequest {
		status.Status = metav1.StatusSuccess
	}
	_ = json.NewEncoder(w).Encode(&status) // the viewer may be gone
}

// writeRetry answers with when to ask again, as a header for everybody and in the details for Kubernetes' clients.
func writeRetry(w http.ResponseWriter, code int, reason metav1.StatusReason, message string, details metav1.StatusDetails) {
	writeRetryAfter(w, code, reason, retryAfterSeconds, message, details)
}

func writeRetryAfter(w http.ResponseWriter, code int, reason metav1.StatusReason, seconds int, message string, details metav1.StatusDetails) {
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	details.Group, details.RetryAfterSeconds = streamrules.GroupName, int32(seconds)
	writeStatusDetails(w, code, reason, message, &details)
}

// serveAsset serves a file of the player's. No path leads to a redirect or to a list of files.
func serveAsset(w http.ResponseWriter, r *http.Request) {
	content, err := fs.ReadFile(player.Assets(), r.URL.Path)
	if err != nil {
		writeStatus(w, http.StatusNotFound, metav1.StatusReasonNotFound, "no such file")
		return
	}
	http.ServeContent(w, r, r.URL.Path, time.Time{}, bytes.NewReader(content))
}

// refusalLog writes one line for each peer and reason, not one for each of its tries, and not more in all than somebody could read: peers choose
// much of what the reasons say.
type refusalLog struct {
	message string
	lines   *rate.Limiter

	mu   sync.Mutex
	seen map[string]time.Time
}

const (
	refusalQuiet = 10 * time.Minute
	refusalMax   = 4096 // peers and reasons that are remembered

	refusalLinesPerSecond, refusalLinesBurst = 5, 200
)

func newRefusalLog(message string) *refusalLog {
	return &refusalLog{message: message, lines: rate.NewLimiter(refusalLinesPerSecond, refusalLinesBurst), seen: make(map[string]time.Time)}
}

func (l *refusalLog) log(remote, reason string) {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	key, now := host+" "+reason, time.Now()
	l.mu.Lock()
	last, known := l.seen[key]
	quiet := known && now.Sub(last) < refusalQuiet || !l.lines.AllowN(now, 1)
	if !quiet {
		if len(l.seen) >= refusalMax {
			clear(l.seen)
		}
		l.seen[key] = now
	}
	l.mu.Unlock()
	if !quiet {
		klog.InfoS(l.message, "remote", host, "reason", reason)
	}
}

// logger takes the lines of http.Server, "http: TLS handshake error from HOST:PORT: REASON" among them.
func (l *refusalLog) logger() *log.Logger { return log.New(l, "", 0) }

// Write implements io.Writer for one line of http.Server.
func (l *refusalLog) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	if rest, ok := strings.CutPrefix(text, "http: TLS handshake error from "); ok {
		if remote, reason, ok := strings.Cut(rest, ": "); ok {
			l.log(remote, "TLS handshake: "+strings.ReplaceAll(reason, "->"+remote, "")) // its port is another one each time
			return len(line), nil
		}
	}
	l.log("", text)
	return len(line), nil
}
