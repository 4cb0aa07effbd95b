// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package rtsp reads cameras by RTSP 1.0 (RFC 2326), plain or over TLS.
package rtsp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/liberrors"
	"go.opentelemetry.io/otel/codes"
	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/source"
	"github.com/kubeedge/datastream/pkg/tracing"
)

// Schemes are the URL schemes that New takes.
var Schemes = [...]string{"rtsp", "rtsps"}

const (
	// setupTimeout bounds everything from dialling to PLAY's answer, also what gortsplib itself puts no bound on (the
	// TLS handshake).
	setupTimeout = 20 * time.Second
	// pictureTimeout is how long a session may deliver packets without anything to begin a picture with; it is
	// longer than any sane distance between key frames.
	pictureTimeout = time.Minute
	// teardownTimeout is how long TEARDOWN may take to be written.
	teardownTimeout = time.Second
)

// Source is one camera. Properties:
//
//	transport      "tcp" or "udp" takes that one only; by default TCP is tried first and UDP if the camera refuses it
//	caCertificate  PEM of the authorities that may have signed an rtsps camera's certificate, instead of the system's
type Source struct {
	spec       source.Spec
	transports []gortsplib.Transport
	roots      *x509.CertPool
}

// New makes a Source; it is a source.Factory.
func New(spec source.Spec) (source.Source, error) {
	s := &Source{spec: spec}
	if spec.URL.Host == "" {
		return nil, invalid("The endpoint's URL names no host.")
	}
	switch t := spec.Properties["transport"]; t {
	case "":
		s.transports = []gortsplib.Transport{gortsplib.TransportTCP, gortsplib.TransportUDP}
	case "tcp":
		s.transports = []gortsplib.Transport{gortsplib.TransportTCP}
	case "udp":
		s.transports = []gortsplib.Transport{gortsplib.TransportUDP}
	default:
		return nil, invalid(fmt.Sprintf("The endpoint's property transport is %.32q; it must be tcp or udp.", t))
	}
	if pem := spec.Properties["caCertificate"]; pem != "" {
		s.roots = x509.NewCertPool()
		if !s.roots.AppendCertsFromPEM([]byte(pem)) {
			return nil, invalid("The endpoint's property caCertificate holds no PEM certificate.")
		}
	}
	return s, nil
}

func invalid(message string) error {
	return &source.Error{Reason: source.InvalidEndpoint, Message: message}
}

// Run implements source.Source.
func (s *Source) Run(ctx context.Context, sink source.Sink) error {
	var err error
	for _, t := range s.transports {
		if err = s.play(ctx, t, sink); !refusesTransport(err) {
			break
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return classify(err, s.spec.URL.Host)
}

// refusesTransport says whether another transport is worth a try.
func refusesTransport(err error) bool {
	var status liberrors.ErrClientBadStatusCode
	return errors.As(err, &status) && status.Code == base.StatusUnsupportedTransport ||
		errors.As(err, new(liberrors.ErrClientServerRequestedUDP)) || errors.As(err, new(liberrors.ErrClientServerRequestedTCP))
}

// play runs one session. Its error is not classified yet.
func (s *Source) play(ctx context.Context, transport gortsplib.Transport, sink source.Sink) error {
	link := link{pinned: !s.spec.Credentials.IsZero()}
	client := &gortsplib.Client{
		Scheme:            s.spec.URL.Scheme,
		Host:              s.spec.URL.Host,
		Transport:         &transport,
		TLSConfig:         &tls.Config{RootCAs: s.roots, MinVersion: tls.VersionTLS12},
		UserAgent:         "kubeedge-datastream",
		DialContext:       link.dial,
		OnTransportSwitch: func(error) {},
		OnPacketsLost:     func(uint64) {}, // seen in each track's sequence numbers
		OnDecodeError:     func(error) {},  // packets that are no RTP: like lost ones
	}
	if err := client.Start2(); err != nil {
		return fmt.Errorf("starting RTSP client: %w", err)
	}
	// Only closing the client interrupts it, and closing waits for the request under way and for TEARDOWN to be written;
	// so it has a goroutine and a deadline of its own.
	var joined sync.WaitGroup
	defer joined.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	joined.Go(func() {
		<-ctx.Done()
		abort := time.AfterFunc(teardownTimeout, link.close)
		defer abort.Stop()
		client.Close()
	})
	ended := make(chan error, 1)
	joined.Go(func() { ended <- client.Wait() })

	deadline := time.AfterFunc(setupTimeout, link.close)
	session, err := s.setup(ctx, client, sink)
	if !deadline.Stop() && ctx.Err() == nil {
		return context.DeadlineExceeded
	}
	if err != nil {
		return err
	}
	defer session.picture.End()
	return s.watch(ended, session)
}

// setup goes from DESCRIBE to PLAY.
func (s *Source) setup(ctx context.Context, client *gortsplib.Client, sink source.Sink) (*session, error) {
	u := base.URL(*s.spec.URL)
	if c := s.spec.Credentials; !c.IsZero() {
		u.User = url.UserPassword(c.Username(), c.Password())
	}
	var desc *description.Session
	err := s.step(ctx, "DESCRIBE", func() (err error) {
		desc, _, err = client.Describe(&u)
		return err
	})
	if err != nil {
		return nil, err
	}
	session, err := newSession(desc, sink, s.spec.MaxPayload)
	if err != nil {
		return nil, err
	}
	session.log = klog.FromContext(ctx)
	err = s.step(ctx, "SETUP", func() error {
		for _, t := range session.tracks {
			if _, err := client.Setup(desc.BaseURL, t.media, 0, 0); err != nil {
				return err
			}
			session.listen(client, t)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	// The first packets may be faster than the answer.
	_, session.picture = tracing.Step(ctx, "first key frame")
	err = s.step(ctx, "PLAY", func() error {
		_, err := client.Play(nil)
		return err
	})
	if err != nil {
		session.picture.End()
		return nil, err
	}
	return session, nil
}

// step does what belongs to a request of that method, as a part of ctx's trace.
func (s *Source) step(ctx context.Context, method string, do func() error) error {
	_, span := tracing.Step(ctx, "RTSP "+method)
	defer span.End()
	err := do()
	if err == nil {
		return nil
	}
	var told *source.Error // the library's own error may quote more than may be told
	if span.IsRecording() && errors.As(classify(err, s.spec.URL.Host), &told) {
		span.SetStatus(codes.Error, told.Reason)
	}
	return fmt.Errorf("%s: %w", method, err)
}

var errStalled = errors.New("no packet in time")

// watch returns when the session ends by itself, or when it delivers nothing for StallTimeout, or never anything
// that a picture can begin with.
func (s *Source) watch(ended <-chan error, session *session) error {
	t := time.NewTicker(max(s.spec.StallTimeout/4, time.Millisecond))
	defer t.Stop()
	begin := time.Now()
	seen, at := session.packets.Load(), begin
	for {
		select {
		case err := <-ended:
			return err
		case now := <-t.C:
			if p := session.packets.Load(); p != seen {
				seen, at = p, now
			} else if now.Sub(at) >= s.spec.StallTimeout {
				return errStalled
			}
			if now.Sub(begin) >= pictureTimeout && !session.open.Load() {
				return &source.Error{Reason: source.NoPicture, Message: "The camera at " + s.spec.URL.Host +
					" sends video, but neither key frames nor parameter sets; check its encoder settings."}
			}
		}
	}
}

// link is the TCP connection below a client, so that it can be closed when the client itself cannot let go.
type link struct {
	mutex  sync.Mutex
	conn   net.Conn
	closed bool
	// pinned refuses every address but the first: the library follows redirections, and would show credentials to whoever the camera names.
	pinned  bool
	address string
}

var errRedirected = &source.Error{
	Reason:  source.RequestRefused,
	Message: "The camera redirects elsewhere, which is not followed with the credentials of a Secret; put the address that it names into the URL.",
}

func (l *link) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if l.pinned && l.address != "" && l.address != address {
		return nil, errRedirected
	}
	l.address = address // the client dials one after the other
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.closed {
		conn.Close()
		return nil, context.DeadlineExceeded
	}
	l.conn = conn
	return conn, nil
}

func (l *link) close() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.closed = true
	if l.conn != nil {
		l.conn.Close()
	}
}
