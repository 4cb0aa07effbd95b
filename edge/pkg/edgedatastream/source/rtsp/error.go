// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package rtsp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/liberrors"

	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/source"
)

// classify says what to check about an error. host is the camera's, without credentials.
func classify(err error, host string) error {
	var known *source.Error
	if errors.As(err, &known) {
		return err
	}
	reason, message := source.Disconnected, "The camera at "+host+" ended the session."
	var (
		status  liberrors.ErrClientBadStatusCode
		auth    liberrors.ErrClientAuthSetup
		dns     *net.DNSError
		netErr  net.Error
		cert    *tls.CertificateVerificationError
		unknown x509.UnknownAuthorityError
		sdp     liberrors.ErrClientSDPInvalid
	)
	switch {
	case errors.As(err, &status):
		reason, message = classifyStatus(status, host)
	case errors.As(err, &auth):
		reason, message = source.AuthenticationFailed, "The camera at "+host+" asks for an authentication method that is not supported."
	case errors.Is(err, errStalled), errors.As(err, new(liberrors.ErrClientTCPTimeout)), errors.As(err, new(liberrors.ErrClientUDPTimeout)):
		reason, message = source.Stalled, "The camera at "+host+" is connected but sends nothing; check the camera and, with UDP, firewalls."
	case errors.Is(err, syscall.ECONNREFUSED):
		reason, message = source.ConnectionRefused, "Nothing listens at "+host+"; check the address, the port and that RTSP is switched on."
	case errors.As(err, &dns):
		reason, message = source.Unreachable, "The name in "+host+" cannot be resolved on the node; check the URL and the node's DNS."
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		reason, message = source.Unreachable, "The node has no route to "+host+"; check the address and the network."
	case errors.As(err, &cert), errors.As(err, &unknown):
		reason, message = source.CertificateInvalid, "The certificate of "+host+" is not trusted; set the endpoint's property caCertificate."
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, new(liberrors.ErrClientRequestTimedOut)),
		errors.As(err, &netErr) && netErr.Timeout():
		reason, message = source.Timeout, "The camera at "+host+" did not answer in time; check that it is on and reachable from the node."
	case errors.As(err, &sdp):
		reason, message = source.NoSupportedTracks, "The camera at "+host+" describes its stream in a way that cannot be read."
	}
	return &source.Error{Reason: reason, Message: message, Err: err}
}

func classifyStatus(status liberrors.ErrClientBadStatusCode, host string) (reason, message string) {
	switch status.Code {
	case base.StatusUnauthorized, base.StatusForbidden:
		return source.AuthenticationFailed, "The camera at " + host + " refused the credentials; check user and password."
	case base.StatusNotFound:
		return source.NotFound, "The camera at " + host + " has no such stream; check the path of the URL."
	default:
		return source.RequestRefused, fmt.Sprintf("The camera at %s refused the request with status %d.", host, status.Code)
	}
}
