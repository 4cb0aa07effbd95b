// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package source

// Reasons why a source fails, for programs.
const (
	AuthenticationFailed = "AuthenticationFailed"
	CertificateInvalid   = "CertificateInvalid"
	ConnectionRefused    = "ConnectionRefused"
	CredentialsMissing   = "CredentialsMissing"
	Disconnected         = "Disconnected"
	InvalidEndpoint      = "InvalidEndpoint"
	NoPicture            = "NoPicture"
	NoSupportedTracks    = "NoSupportedTracks"
	NotFound             = "NotFound"
	RequestRefused       = "RequestRefused"
	Stalled              = "Stalled"
	Timeout              = "Timeout"
	Unreachable          = "Unreachable"
	Unknown              = "SourceError"
)

// Reasons returns all of them.
func Reasons() []string {
	return []string{
		AuthenticationFailed, CertificateInvalid, ConnectionRefused, CredentialsMissing, Disconnected, InvalidEndpoint, NoPicture,
		NoSupportedTracks, NotFound, RequestRefused, Stalled, Timeout, Unreachable, Unknown,
	}
}

// Error is why a source failed.
type Error struct {
	// Reason is one of the reasons above.
	Reason string
	// Message is a sentence for people that says what to check. It holds no credentials.
	Message string
	// Err is the cause, if there is one.
	Err error
}

// Error implements error.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Message
	}
	return e.Message + " (" + e.Err.Error() + ")"
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }
