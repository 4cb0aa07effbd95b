// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package rtsp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/auth"

	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/source"
	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
	"github.com/kubeedge/datastream/tests/camera"
)

// first ends a session with its first unit.
type first struct {
	*recorder
	cancel context.CancelFunc
}

func (f first) Unit(*media.AccessUnit) { f.cancel() }

// A camera that redirects does not decide who is shown the password.
func TestCredentialsAreNotRedirected(t *testing.T) {
	var lc net.ListenConfig
	camera, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer camera.Close()
	elsewhere, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		conn, err := camera.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		for lines := bufio.NewReader(conn); ; {
			head, err := textproto.NewReader(lines).ReadLine()
			if err != nil {
				return
			}
			fields, err := textproto.NewReader(lines).ReadMIMEHeader()
			if err != nil {
				return
			}
			status, more := "200 OK", "Public: DESCRIBE\r\n"
			if strings.HasPrefix(head, "DESCRIBE") {
				status, more = "302 Found", "Location: rtsp://"+elsewhere.Addr().String()+"/\r\n"
			}
			fmt.Fprintf(conn, "RTSP/1.0 %s\r\nCSeq: %s\r\n%s\r\n", status, fields.Get("Cseq"), more)
		}
	})
	serving.Go(func() {
		if conn, err := elsewhere.Accept(); err == nil {
			conn.Close()
			t.Error("the redirection was followed")
		}
	})
	u := &url.URL{Scheme: "rtsp", Host: camera.Addr().String(), Path: "/"}
	src, err := New(source.Spec{URL: u, StallTimeout: time.Second, MaxPayload: 1 << 20, Credentials: tunnel.NewCredentials(tunnel.Origin(u), "user", "pass")})
	if err != nil {
		t.Fatal(err)
	}
	var known *source.Error
	if err := src.Run(t.Context(), &recorder{}); !errors.As(err, &known) || known.Reason != source.RequestRefused {
		t.Errorf("%v, want %s", err, source.RequestRefused)
	}
	camera.Close()
	elsewhere.Close()
	serving.Wait()
}

// Credentials of a Secret are shown to the camera as they are, whatever is in them, and take the place of the URL's.
func TestCredentials(t *testing.T) {
	// No colon: the simulated camera does not take one in Basic.
	const user, password = `us+er%40 name`, `p@ss/wö?rd#%zz "'`
	for name, methods := range map[string][]auth.VerifyMethod{"digest": {auth.VerifyMethodDigestMD5}, "basic": {auth.VerifyMethodBasic}} {
		c, err := camera.Start(camera.Config{Username: user, Password: password, AuthMethods: methods})
		if err != nil {
			t.Fatal(err)
		}
		for _, shown := range []string{password, "canary"} {
			u, err := url.Parse(strings.Replace(c.URL(), "//", "//somebody:canary@", 1))
			if err != nil {
				t.Fatal(err)
			}
			src, err := New(source.Spec{
				URL: u, StallTimeout: 10 * time.Second, MaxPayload: 1 << 20, Credentials: tunnel.NewCredentials(tunnel.Origin(u), user, shown),
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			err = src.Run(ctx, first{&recorder{}, cancel})
			right := errors.Is(err, context.Canceled)
			cancel()
			if shown == password {
				if !right {
					t.Errorf("%s: %v", name, err)
				}
				continue
			}
			var known *source.Error
			if !errors.As(err, &known) || known.Reason != source.AuthenticationFailed {
				t.Errorf("%s: %v, want %s", name, err, source.AuthenticationFailed)
			}
			for _, secret := range []string{"canary", "somebody", user, url.PathEscape(user)} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%s: %q is in %v", name, secret, err)
				}
			}
		}
		c.Close()
	}
}
