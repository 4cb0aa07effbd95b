// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package camera

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/liberrors"
)

// sessions counts a camera's RTSP sessions.
type sessions struct {
	mutex   sync.Mutex
	stream  *gortsplib.ServerStream
	open    map[*gortsplib.ServerSession]bool // has it ever played
	played  int
	changed chan struct{} // closed and replaced when a count changes
}

func (s *sessions) init() {
	s.open = make(map[*gortsplib.ServerSession]bool)
	s.changed = make(chan struct{})
}

// ready lets requests see the stream, which can only be made once the server already accepts connections.
func (s *sessions) ready(stream *gortsplib.ServerStream) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.stream = stream
}

func (s *sessions) update(f func()) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

// Sessions returns the number of RTSP sessions that are open now.
func (c *Camera) Sessions() int {
	c.sessions.mutex.Lock()
	defer c.sessions.mutex.Unlock()
	return len(c.sessions.open)
}

// TotalSessions returns the number of RTSP sessions that have ever played.
func (c *Camera) TotalSessions() int {
	c.sessions.mutex.Lock()
	defer c.sessions.mutex.Unlock()
	return c.sessions.played
}

// WaitSessions waits until ok, called with what Sessions and TotalSessions return, is true. It returns the
// context's error if that ends first.
func (c *Camera) WaitSessions(ctx context.Context, ok func(open, total int) bool) error {
	for {
		c.sessions.mutex.Lock()
		done := ok(len(c.sessions.open), c.sessions.played)
		changed := c.sessions.changed
		c.sessions.mutex.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// The methods below are gortsplib's handler interfaces.

var (
	_ gortsplib.ServerHandlerOnSessionOpen  = (*Camera)(nil)
	_ gortsplib.ServerHandlerOnSessionClose = (*Camera)(nil)
	_ gortsplib.ServerHandlerOnDescribe     = (*Camera)(nil)
	_ gortsplib.ServerHandlerOnSetup        = (*Camera)(nil)
	_ gortsplib.ServerHandlerOnPlay         = (*Camera)(nil)
	_ gortsplib.ServerHandlerOnPause        = (*Camera)(nil)
)

// OnSessionOpen is called by gortsplib.
func (c *Camera) OnSessionOpen(ctx *gortsplib.ServerHandlerOnSessionOpenCtx) {
	c.sessions.update(func() { c.sessions.open[ctx.Session] = false })
}

// OnSessionClose is called by gortsplib.
func (c *Camera) OnSessionClose(ctx *gortsplib.ServerHandlerOnSessionCloseCtx) {
	c.sessions.update(func() { delete(c.sessions.open, ctx.Session) })
}

// OnDescribe is called by gortsplib.
func (c *Camera) OnDescribe(ctx *gortsplib.ServerHandlerOnDescribeCtx) (
	*base.Response, *gortsplib.ServerStream, error,
) {
	return c.admit(ctx.Conn, ctx.Request, ctx.Path)
}

// OnSetup is called by gortsplib.
func (c *Camera) OnSetup(ctx *gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	if !slices.Contains(c.cfg.Transports, ctx.Transport) {
		return &base.Response{StatusCode: base.StatusUnsupportedTransport}, nil, nil
	}
	return c.admit(ctx.Conn, ctx.Request, ctx.Path)
}

// OnPlay is called by gortsplib.
func (c *Camera) OnPlay(ctx *gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	c.sessions.update(func() {
		if !c.sessions.open[ctx.Session] {
			c.sessions.open[ctx.Session] = true
			c.sessions.played++
		}
	})
	return &base.Response{StatusCode: base.StatusOK}, nil
}

// OnPause is called by gortsplib.
func (c *Camera) OnPause(*gortsplib.ServerHandlerOnPauseCtx) (*base.Response, error) {
	return &base.Response{StatusCode: base.StatusOK}, nil
}

// admit checks the credentials and path of a DESCRIBE or SETUP request.
func (c *Camera) admit(conn *gortsplib.ServerConn, req *base.Request, path string) (
	*base.Response, *gortsplib.ServerStream, error,
) {
	if c.cfg.Username != "" && !conn.VerifyCredentials(req, c.cfg.Username, c.cfg.Password) {
		return &base.Response{StatusCode: base.StatusUnauthorized}, nil, liberrors.ErrServerAuth{}
	}
	c.sessions.mutex.Lock()
	stream := c.sessions.stream
	c.sessions.mutex.Unlock()
	if stream == nil || strings.Trim(path, "/") != c.cfg.Path {
		return &base.Response{StatusCode: base.StatusNotFound}, nil, nil
	}
	return &base.Response{StatusCode: base.StatusOK}, stream, nil
}
