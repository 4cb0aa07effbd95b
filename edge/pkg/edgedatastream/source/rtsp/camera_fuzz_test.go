// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package rtsp

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/source"
)

// hostileCamera answers requests, one connection after the other, with what a fuzzer says.
type hostileCamera struct {
	net.Listener
	describe, setup string // status line and fields without the length
	sdp, stream     []byte
}

func (c *hostileCamera) serve() {
	conn, err := c.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)) // the client may be waiting for more of an answer
		method, err := request(r)
		if err != nil {
			return
		}
		switch method {
		case "OPTIONS":
			fmt.Fprint(conn, "RTSP/1.0 200 OK\r\nPublic: DESCRIBE, SETUP, PLAY\r\n\r\n")
		case "DESCRIBE":
			fmt.Fprintf(conn, "%s\r\nContent-Length: %d\r\n\r\n%s", c.describe, len(c.sdp), c.sdp)
		case "SETUP":
			fmt.Fprintf(conn, "%s\r\n\r\n", c.setup)
		case "PLAY":
			fmt.Fprintf(conn, "RTSP/1.0 200 OK\r\n\r\n%s", c.stream)
			return
		default:
			return
		}
	}
}

// request reads one request up to the blank line and returns its method.
func request(r *bufio.Reader) (method string, err error) {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		if method == "" {
			method, _, _ = strings.Cut(line, " ")
		}
		if line == "\r\n" {
			return method, nil
		}
	}
}

// FuzzCamera is a camera at the other end of a socket. It can end its own session and nothing else: there is a reason, in a sentence, and no password in it.
func FuzzCamera(f *testing.F) {
	const (
		described = "RTSP/1.0 200 OK\r\nContent-Type: application/sdp\r\nContent-Base: rtsp://127.0.0.1/x/"
		setUp     = "RTSP/1.0 200 OK\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1;timeout=60"
		password  = "geheim"
	)
	// An interleaved frame with an RTP packet of the first track.
	packet := func(sequence byte, payload ...byte) []byte {
		rtp := append([]byte{0x80, 0x80 | 96, 0, sequence, 0, 0, 0, sequence * 40, 1, 2, 3, 4}, payload...)
		return append([]byte{'$', 0, 0, byte(len(rtp))}, rtp...)
	}
	stream := append(packet(1, idr...), packet(2, p...)...)
	f.Add(described, mediaSDP(sdpH264), setUp, stream)
	f.Add(described, mediaSDP(sdpH264, sdpAAC(0x11, 0x90)), setUp, append([]byte{'$', 1, 0, 4, 0x81, 200, 0, 0}, stream...))
	f.Add("RTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"x\", nonce=\"y\"", []byte{}, "", []byte{})
	f.Add("RTSP/1.0 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"", []byte{}, "", []byte{})
	f.Add("RTSP/1.0 404 Not Found", []byte{}, "", []byte{})
	f.Add(described, mediaSDP(sdpH264), "RTSP/1.0 461 Unsupported Transport", []byte{})
	f.Add(described, []byte("v=0\r\n"), setUp, []byte("OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n"))
	f.Add(described, mediaSDP(sdpAAC(0x17, 0x80, 0, 0, 0x10)), setUp, stream)

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { l.Close() })
	f.Fuzz(func(t *testing.T, describe string, sdp []byte, setup string, stream []byte) {
		if strings.Contains(strings.ToLower(describe), "location") {
			return // it would lead the client elsewhere
		}
		camera := &hostileCamera{Listener: l, describe: describe, setup: setup, sdp: sdp, stream: stream}
		served := make(chan struct{})
		go func() {
			defer close(served)
			camera.serve()
		}()
		u := &url.URL{Scheme: "rtsp", User: url.UserPassword("admin", password), Host: l.Addr().String(), Path: "/x"}
		s, err := New(source.Spec{
			URL: u, Properties: map[string]string{"transport": "tcp"}, StallTimeout: time.Second, MaxPayload: fuzzMaxPayload,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		err = s.Run(ctx, &checker{T: t})
		if ctx.Err() != nil {
			t.Fatalf("the camera holds up whoever reads it: %v", err)
		}
		wantReadable(t, err)
		if strings.Contains(err.Error(), password) {
			t.Fatalf("the password is in %q", err)
		}
		<-served
	})
}
