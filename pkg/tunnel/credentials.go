// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
	"unique"
)

// Bounds of credentials in bytes.
const (
	MaxUsername = 256
	MaxPassword = 1024
	maxOrigin   = 2048
)

// redacted stands for credentials wherever something is printed.
const redacted = "[redacted]"

// Credentials are a user name and a password for the sources of one origin. The zero value is none. Equal ones are ==.
//
// Whatever prints or encodes them shows a placeholder. That holds too where they are a member whose methods fmt may not call: it
// shows handles of strings as addresses. Only a Desired takes them over the wire.
type Credentials struct {
	origin             string
	username, password unique.Handle[string]
}

// NewCredentials makes credentials that go to sources of that origin and to no others.
func NewCredentials(origin, username, password string) Credentials {
	return Credentials{origin, unique.Make(username), unique.Make(password)}
}

// Origin is scheme://host[:port] of a source's URL.
func Origin(u *url.URL) string { return strings.ToLower(u.Scheme + "://" + u.Host) }

// For returns the same user name and password for another origin.
func (c Credentials) For(origin string) Credentials {
	if !c.IsZero() {
		c.origin = origin
	}
	return c
}

// IsZero says whether there are none.
func (c Credentials) IsZero() bool { return c == Credentials{} }

// Origin is that of the sources that they are for.
func (c Credentials) Origin() string { return c.origin }

// Username is the user name as it is.
func (c Credentials) Username() string { return text(c.username) }

// Password is the password as it is.
func (c Credentials) Password() string { return text(c.password) }

func text(h unique.Handle[string]) string {
	if h == (unique.Handle[string]{}) {
		return ""
	}
	return h.Value()
}

// Validate checks user name and password. Its errors quote neither.
func (c Credentials) Validate() error {
	if c.Username() == "" {
		return errors.New("the user name is empty")
	}
	return errors.Join(
		checkText("user name", c.Username(), MaxUsername),
		checkText("password", c.Password(), MaxPassword),
	)
}

// checkText refuses what JSON would change and, since it could not be told from the end of a header, what HTTP authentication
// forbids (RFC 7617, section 2).
func checkText(what, s string, limit int) error {
	switch {
	case len(s) > limit:
		return fmt.Errorf("the %s has more than %d bytes", what, limit)
	case !utf8.ValidString(s):
		return fmt.Errorf("the %s is not UTF-8", what)
	case strings.TrimRight(s, "\r\n") != s:
		return fmt.Errorf("the %s ends in a line break", what)
	case strings.ContainsFunc(s, unicode.IsControl):
		return fmt.Errorf("the %s has a control character", what)
	default:
		return nil
	}
}

// String implements fmt.Stringer.
func (c Credentials) String() string {
	if c.IsZero() {
		return "none"
	}
	return redacted
}

// Format implements fmt.Formatter: every verb shows the same.
func (c Credentials) Format(f fmt.State, _ rune) { fmt.Fprint(f, c.String()) }

// GoString implements fmt.GoStringer.
func (c Credentials) GoString() string { return c.String() }

// MarshalLog implements logr.Marshaler.
func (c Credentials) MarshalLog() any { return c.String() }

// MarshalText implements encoding.TextMarshaler, and so what encodes to JSON or YAML.
func (c Credentials) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// wireCredentials is how a Desired carries them.
type wireCredentials struct {
	Origin   string `json:"origin"`
	Username string `json:"username"`
	Password string `json:"password"`
}

func (c Credentials) wire() wireCredentials {
	return wireCredentials{c.origin, c.Username(), c.Password()}
}

// UnmarshalJSON reads what a Desired carries.
func (c *Credentials) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*c = Credentials{}
		return nil
	}
	var w wireCredentials
	if json.Unmarshal(b, &w) != nil {
		return errors.New("credentials are no object of strings") // the decoder's error could quote a password
	}
	if w.Origin == "" || len(w.Origin) > maxOrigin {
		return fmt.Errorf("credentials need an origin of at most %d bytes", maxOrigin)
	}
	*c = NewCredentials(w.Origin, w.Username, w.Password)
	return c.Validate()
}
