// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strings"
	"testing"
)

// forms are the ways in which a secret text could be written, itself first.
func forms(secret string) []string {
	quoted, err := json.Marshal(secret)
	if err != nil {
		panic(err)
	}
	user := url.UserPassword("x", secret).String()
	all := []string{
		secret, url.QueryEscape(secret), url.PathEscape(secret), strings.TrimPrefix(user, "x:"), html.EscapeString(secret),
		strings.Trim(string(quoted), `"`), strings.Trim(fmt.Sprintf("%q", secret), `"`), strings.Trim(fmt.Sprintf("%+q", secret), `"`),
		hex.EncodeToString([]byte(secret)), strings.Trim(fmt.Sprintf("%d", []byte(secret)), "[]"),
		strings.TrimRight(base32.StdEncoding.EncodeToString([]byte(secret)), "="),
	}
	// In base64 the text may begin anywhere in a group of three bytes; the characters at its ends depend on its neighbours.
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			encoded := encoding.EncodeToString([]byte(strings.Repeat("\x00", before) + secret))
			begin, end := []int{0, 2, 3}[before], len(encoded)
			if (before+len(secret))%3 != 0 {
				end--
			}
			all = append(all, encoded[begin:end])
		}
	}
	return all
}

// search returns where a secret shows up in what came out, with some of what is around it.
func search(output, secret string) string {
	lower := strings.ToLower(output)
	for _, form := range forms(secret) {
		if i := strings.Index(lower, strings.ToLower(form)); i >= 0 {
			return fmt.Sprintf("%q in …%s…", form, output[max(0, i-200):min(len(output), i+len(form)+100)])
		}
	}
	return ""
}

// A search that finds nothing must be able to find something.
func TestSearch(t *testing.T) {
	const secret = `c4n/ry+p@ss <wörd>`
	for name, output := range map[string]string{
		"itself":  "xx" + secret + "xx",
		"URL":     (&url.URL{Scheme: "rtsp", User: url.UserPassword("u", secret), Host: "h"}).String(),
		"query":   url.Values{"a": {secret}}.Encode(),
		"quoted":  fmt.Sprintf("%q", "x"+secret),
		"ASCII":   fmt.Sprintf("%+q", "x"+secret),
		"bytes":   fmt.Sprintf("%d", []byte("x"+secret+"x")),
		"hex":     fmt.Sprintf("%X", "x"+secret),
		"page":    html.EscapeString(secret),
		"Basic 0": base64.StdEncoding.EncodeToString([]byte("use:" + secret + "xy")),
		"Basic 1": base64.StdEncoding.EncodeToString([]byte("user:" + secret)),
		"Basic 2": base64.URLEncoding.EncodeToString([]byte("user1:" + secret + "x")),
		"Secret":  base64.StdEncoding.EncodeToString([]byte(secret)),
	} {
		if search("some "+output+" text", secret) == "" {
			t.Errorf("%s: %s is not found", name, output)
		}
	}
	if found := search("an innocent text of any length", secret); found != "" {
		t.Errorf("found %s", found)
	}
}
