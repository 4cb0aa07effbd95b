// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package edgedatastream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/time/rate"
	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/pkg/assignment"
	"github.com/kubeedge/datastream/pkg/tunnel"
	"github.com/kubeedge/datastream/tests/pki"
)

// logLines keeps the lines of the log until the test ends.
func logLines(t *testing.T) *strings.Builder {
	t.Helper()
	lines := new(strings.Builder)
	state := klog.CaptureState()
	t.Cleanup(state.Restore)
	klog.SetSlogLogger(slog.New(slog.NewTextHandler(lines, nil)))
	return lines
}

// Why a tunnel does not come back is in the log, though it has ended for another reason, and each reason is there once.
func TestWhyTheTunnelIsDown(t *testing.T) {
	lines := logLines(t)
	refused := func(status int) error { return fmt.Errorf("dialling: %w", &refusedError{status: status}) }
	nobody := fmt.Errorf("dialling: %w", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED})
	rejected := certificateRejected(t)
	distrust := fmt.Errorf("dialling: %w", &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}})
	unanswered := fmt.Errorf("dialling: %w", errUnanswered)
	noFile := errors.New("reading node certificate: no such file")
	tries := []error{io.EOF, nobody, nobody, refused(503), refused(403), refused(503), rejected, distrust, rejected, unanswered, nobody, noFile, unanswered, noFile}
	want := []error{io.EOF, nobody, refused(503), refused(403), rejected, unanswered, noFile}

	tr := transitions{Logger: klog.Background()}
	for range 2 { // the next time all is new
		lines.Reset()
		tr.connected()
		for _, err := range tries {
			tr.failed(err)
		}
		var got []string
		for line := range strings.Lines(lines.String()) {
			if _, err, ok := strings.Cut(line, " err="); ok {
				got = append(got, strings.Trim(err, "\"\n"))
			}
		}
		if !slices.EqualFunc(got, want, func(text string, err error) bool { return text == err.Error() }) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// certificateRejected is the error of a dial whose certificate the cloud does not take.
func certificateRejected(t *testing.T) error {
	t.Helper()
	ca, err := pki.NewAuthority("nodes")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Issue(pki.Server("cloud"))
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(pair.PEM())
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{
		Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool(),
		MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, // with 1.3 the alert races with the end of the connection
	}
	s.StartTLS()
	defer s.Close()
	cfg := nodeFiles(t, ca)
	dialer := &webSocketDialer{
		server: "wss://" + s.Listener.Addr().String(), tls: func() (*tls.Config, error) { return tlsConfig(cfg) }, timing: tunnel.DefaultTiming,
		connect: tunnelDial(new(net.Dialer).DialContext, 0), pace: rate.NewLimiter(dialsPerSecond, dialBurst),
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err = dialer.dial(ctx, testKey)
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Fatal(err)
	}
	return err
}

// An assignment that the cloud sends again and again, since it does not hear that it runs, is no news.
func TestAssignmentIsLoggedOnce(t *testing.T) {
	lines := logLines(t)
	a := new(Agent)
	for _, revision := range []string{"1", "1", "2", "2", "1"} {
		a.run(t.Context(), &assignment.Assignment{Node: testNode, Revision: revision})
	}
	if n := strings.Count(lines.String(), "Assignment runs"); n != 3 {
		t.Errorf("%d lines, want 3: %s", n, lines)
	}
}
