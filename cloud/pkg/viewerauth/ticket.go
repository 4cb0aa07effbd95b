// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package viewerauth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// maxSealed bounds tickets and cookies, in bytes: browsers keep no cookie over 4 KiB with its attributes.
const maxSealed = 3800

// minKey is the least size of a key from a file, in bytes.
const minKey = 32

var (
	errTooLarge  = errors.New("the user has too many groups for a ticket")
	errForged    = errors.New("it was not made here, or before a restart")
	errExpired   = errors.New("it has expired")
	errElsewhere = errors.New("it is for another stream")
)

// use says what claims were made for: none may stand for another.
type use string

const (
	useTicket use = "ticket"
	useCookie use = "cookie"
)

// claims are what a ticket or a cookie says, and we vouch for: who may see which stream, and until when that may begin.
type claims struct {
	Use     use       `json:"use"`
	Stream  string    `json:"stream"`
	User    User      `json:"user"`
	Control bool      `json:"control,omitempty"`
	Expires time.Time `json:"expires"`
}

// sealer signs claims with HMAC-SHA-256.
type sealer struct{ key []byte }

// newSealer takes the key from a file, or makes one that is good until the process ends.
func newSealer(file string) (sealer, error) {
	if file == "" {
		key := make([]byte, minKey)
		_, _ = rand.Read(key) // never fails
		return sealer{key}, nil
	}
	key, err := os.ReadFile(file)
	if err != nil {
		return sealer{}, fmt.Errorf("reading the key of tickets: %w", err)
	}
	if len(key) < minKey {
		return sealer{}, fmt.Errorf("reading the key of tickets: %s has %d bytes, want at least %d", file, len(key), minKey)
	}
	return sealer{key}, nil
}

// seal returns base64url(JSON).base64url(MAC).
func (s sealer) seal(c claims) (string, error) {
	payload, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("encoding a ticket: %w", err)
	}
	sealed := base64.RawURLEncoding.EncodeToString(payload)
	sealed += "." + base64.RawURLEncoding.EncodeToString(s.mac(sealed))
	if len(sealed) > maxSealed {
		return "", errTooLarge
	}
	return sealed, nil
}

// open returns the claims of what seal made, if they are for that use and still good. Nothing of a forgery is parsed.
func (s sealer) open(sealed string, want use, now time.Time) (*claims, error) {
	if len(sealed) > maxSealed {
		return nil, errForged
	}
	body, signature, _ := strings.Cut(sealed, ".")
	// Compared as it is written: a decoder passes over line breaks, and there would be many forms of one ticket.
	genuine := base64.RawURLEncoding.EncodeToString(s.mac(body))
	if !hmac.Equal([]byte(signature), []byte(genuine)) {
		return nil, errForged
	}
	payload, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		return nil, errForged
	}
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil || c.Use != want {
		return nil, errForged
	}
	if !now.Before(c.Expires) {
		return nil, errExpired
	}
	return &c, nil
}

func (s sealer) mac(body string) []byte {
	h := hmac.New(sha256.New, s.key)
	h.Write([]byte("datastream.kubeedge.io/ticket/v1\n")) // the key may serve others
	h.Write([]byte(body))
	return h.Sum(nil)
}
