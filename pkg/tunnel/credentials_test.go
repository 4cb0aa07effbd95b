// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const (
	canaryUser     = "canary-user"
	canaryPassword = "canary-password"
)

// Nothing that prints or encodes credentials shows them, however deep they are in something else.
func TestCredentialsAreRedacted(t *testing.T) {
	c := NewCredentials("rtsp://192.0.2.10", canaryUser, canaryPassword)
	type holder struct {
		Exported Credentials
		hidden   Credentials
		pointer  *Credentials
		list     []Credentials
		any      any
		byKey    map[Credentials]Credentials
	}
	h := &holder{c, c, &c, []Credentials{c}, c, map[Credentials]Credentials{c: c}}
	desired := &Desired{Action: Start, Credentials: c}
	var out bytes.Buffer
	for _, v := range []any{c, &c, h, *h, []any{c, h}, desired, *desired, []Desired{*desired}, struct{ d Desired }{*desired}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%T"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		_ = json.NewEncoder(&out).Encode(v)
		_ = xml.NewEncoder(&out).Encode(v)
		_ = gob.NewEncoder(&out).Encode(v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("text", "value", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("JSON", "value", v)
		fmt.Fprintln(&out, fmt.Errorf("an error of %v", v))
	}
	fmt.Fprintln(&out, c.MarshalLog(), c.GoString(), c.String())
	for _, canary := range []string{canaryUser, canaryPassword, fmt.Sprintf("%x", canaryUser), fmt.Sprintf("%X", canaryPassword)} {
		if i := strings.Index(out.String(), canary); i >= 0 {
			t.Errorf("%s was shown: …%s", canary, out.String()[max(0, i-200):i+len(canary)])
		}
	}
	if !strings.Contains(out.String(), redacted) {
		t.Error("nothing stands for them")
	}
}

func TestCredentials(t *testing.T) {
	c := NewCredentials("rtsp://a", "user", "pass")
	switch {
	case c != NewCredentials("rtsp://a", "user", "pass"):
		t.Error("equal ones are not ==")
	case c == NewCredentials("rtsp://a", "user", "other"), c == c.For("rtsp://b"), c.IsZero():
		t.Error("different ones are ==")
	case c.Origin() != "rtsp://a" || c.Username() != "user" || c.Password() != "pass":
		t.Error("they are not what they were made of")
	case c.For("rtsp://b").Origin() != "rtsp://b" || c.For("rtsp://b").Password() != "pass":
		t.Error("For changed more than the origin")
	}
	var none Credentials
	if !none.IsZero() || !none.For("rtsp://a").IsZero() || none.Password() != "" || none.String() != "none" {
		t.Errorf("none is %v", none)
	}
}

func TestCredentialsValidate(t *testing.T) {
	for name, c := range map[string]struct {
		user, password, want string
	}{
		"good":              {"user", "pässwörd with : and @", ""},
		"no password":       {"user", "", ""},
		"largest":           {strings.Repeat("u", MaxUsername), strings.Repeat("p", MaxPassword), ""},
		"no user":           {"", "pass", "the user name is empty"},
		"user too long":     {strings.Repeat("u", MaxUsername+1), "pass", "the user name has more than 256 bytes"},
		"password too long": {"user", strings.Repeat("p", MaxPassword+1), "the password has more than 1024 bytes"},
		"line break":        {"user", canaryPassword + "\n", "the password ends in a line break"},
		"header injection":  {"user\r\nX: y", "pass", "the user name has a control character"},
		"binary":            {"user", "\xff\xfe", "the password is not UTF-8"},
	} {
		err := NewCredentials("rtsp://a", c.user, c.password).Validate()
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// What a decoder says of a broken message goes into logs and close reasons.
func TestCredentialsAreNotInErrors(t *testing.T) {
	for _, credentials := range []string{
		`{"origin":"o","username":"u","password":123454321}`, `{"origin":"o","username":123454321,"password":""}`,
		`{"origin":"","username":"u","password":"123454321"}`, `{"origin":"o","username":"u","password":"123454321\n"}`,
		`"123454321"`, `123454321`, `["123454321"]`, `{"origin":"o","username":"123454321","password":"x`,
		`{"origin":"o","username":"u","password":"123454321` + strings.Repeat("x", MaxPassword) + `"}`,
	} {
		_, err := DecodeMessage([]byte(`{"type":"desired","action":"start","generation":1,"credentials":` + credentials + `}`))
		if err == nil || strings.Contains(err.Error(), "123454321") {
			t.Errorf("%s: %v", credentials, err)
		}
	}
}
