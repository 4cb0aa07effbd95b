// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/kubeedge/datastream/cloud/pkg/viewerauth"
)

// decoy is a stream that attackers may do to what they like. Its node never comes.
const (
	decoyNode = "decoy-1"
	decoyRule = "decoy"
	decoyPath = "/node/" + decoyNode + "/" + decoyRule + targetPath
)

const honestPath = "/node/" + honestNode + "/honest" + targetPath

// tokenOf is the token of a user that the fake API server knows.
func tokenOf(user string) string { return "token-" + user }

func sign(r *http.Request, token string) {
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
}

// apiServer knows every user whose token begins as tokenOf's, and lets them do everything unless it is told not to.
type apiServer struct {
	mu     sync.Mutex
	denied map[string]bool // users
	asked  int
}

func (a *apiServer) deny(user string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.denied == nil {
		a.denied = make(map[string]bool)
	}
	a.denied[user] = true
}

func (a *apiServer) Authenticate(_ context.Context, token string) (*viewerauth.User, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	if name, ok := strings.CutPrefix(token, "token-"); ok {
		return &viewerauth.User{Username: name}, nil
	}
	return nil, nil
}

func (a *apiServer) Authorize(_ context.Context, spec authorizationv1.SubjectAccessReviewSpec) (bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	return !a.denied[spec.User], nil
}

// raid is an attack on the viewers' port. When it is over, what it has cost is given back.
func (r *rig) raid(name string, f func(t *testing.T)) {
	r.Helper()
	before, goroutines := heap(), runtime.NumGoroutine()
	r.attack(name, f)
	const few, some = 10, 64 << 20
	eventually(r.T, "the goroutines of the attack to end", func() bool { return runtime.NumGoroutine() <= goroutines+few })
	if after := heap(); after > before+some {
		r.Errorf("%s: %d MiB are held, before it were %d", name, after>>20, before>>20)
	}
}

// mostAtRate is how many calls may have been taken since then: those that may come at once, and what the rate has made up for. So it is
// right on a machine that is too slow to overdo it.
func mostAtRate(atOnce, perSecond int, since time.Time) int {
	return atOnce + int(time.Since(since).Seconds()*float64(perSecond)) + 1
}

// glance is an honest viewer who comes, sees that there is a picture, and goes.
func (r *rig) glance(t *testing.T) error {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.honestURL+"?format=ts", nil)
	must(t, err)
	sign(req, r.token)
	resp, err := r.client().Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	_, err = io.ReadFull(resp.Body, make([]byte, 188*10))
	return err
}

// knock connects to the viewers' port from the attackers' address.
func (r *rig) knock(t *testing.T) net.Conn {
	t.Helper()
	conn, err := connect(t.Context(), r.viewers)
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// answers says all of text on a connection and returns the status codes that come back until the server closes it, or until there are as many as
// wanted.
func (r *rig) answers(t *testing.T, text string, most int) (codes []int) {
	t.Helper()
	conn := r.knock(t)
	defer conn.Close()
	go func() { _, _ = io.WriteString(conn, text) }() // ends with the connection
	for in := bufio.NewReader(conn); len(codes) < most; {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the server neither answers nor closes")
			}
			break
		}
		codes = append(codes, resp.StatusCode)
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			break
		}
	}
	return codes
}

// call is a request from the attackers' address, whose body is read.
func (r *rig) call(t *testing.T, method, path, token, body string) (*http.Response, string) {
	t.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, address string) (net.Conn, error) { return connect(ctx, address) },
	}}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.viewers+path, strings.NewReader(body))
	must(t, err)
	sign(req, token)
	resp, err := client.Do(req)
	must(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp, string(text)
}
