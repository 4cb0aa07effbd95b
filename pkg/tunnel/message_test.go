// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/kubeedge/datastream/pkg/media"
)

func exampleTracks() []media.Track {
	return []media.Track{
		{
			ID: 1, Kind: media.Video, Codec: media.H264, ClockRate: 90000,
			SPS: []byte{
				0x67, 0x64, 0x00, 0x0c, 0xac, 0x3b, 0x50, 0xb0, 0x4b, 0x42, 0x00,
				0x00, 0x03, 0x00, 0x02, 0x00, 0x00, 0x03, 0x00, 0x3d, 0x08,
			},
			PPS: []byte{0x68, 0xee, 0x3c, 0x80},
		},
		{ID: 2, Kind: media.Audio, Codec: media.AAC, ClockRate: 48000, Config: []byte{0x11, 0x90}},
	}
}

var exampleMessages = []struct {
	message Message
	wire    string // without tracks' parameters
}{
	{
		&Hello{Node: "edge-1", RuleUID: "7d3f", Revision: "5b1c0e2f9a8d7c46", Epoch: 1735689600000000},
		`{"type":"hello","node":"edge-1","ruleUID":"7d3f","revision":"5b1c0e2f9a8d7c46","epoch":1735689600000000}`,
	},
	{
		&Tracks{Tracks: exampleTracks(), Skipped: []SkippedTrack{{Codec: "MPEG-4 Video", Reason: "not carried"}}},
		`{"type":"tracks","tracks":[` +
			`{"id":1,"kind":"video","codec":"h264","clockRate":90000,"sps":"Z2QADKw7ULBLQgAAAwACAAADAD0I","pps":"aO48gA=="},` +
			`{"id":2,"kind":"audio","codec":"aac","clockRate":48000,"config":"EZA="}],` +
			`"skipped":[{"codec":"MPEG-4 Video","reason":"not carried"}]}`,
	},
	{&State{State: Idle}, `{"type":"state","state":"idle","generation":0}`},
	{
		&State{State: Failed, Reason: "Unauthorized", Message: "the camera refused the credentials", Generation: 7},
		`{"type":"state","state":"failed","reason":"Unauthorized","message":"the camera refused the credentials","generation":7}`,
	},
	{&Desired{Action: Start, Generation: 1<<64 - 1}, `{"type":"desired","action":"start","generation":18446744073709551615}`},
	{
		&Desired{Action: Start, Generation: 7, Credentials: NewCredentials("rtsp://192.0.2.10", "viewer", `p<"é`)},
		`{"type":"desired","action":"start","generation":7,` +
			`"credentials":{"origin":"rtsp://192.0.2.10","username":"viewer","password":"p\u003c\"é"}}`,
	},
	{
		&Ack{Sequence: 25, Bytes: 70000, Received: 1735689600300000},
		`{"type":"ack","sequence":25,"bytes":70000,"received":1735689600300000}`,
	},
	{&Unknown{Type: "bye \x01\n\"é<"}, `{"type":"bye \u0001\n\"é\u003c"}`},
}

func TestMessageRoundTrip(t *testing.T) {
	for _, c := range exampleMessages {
		b, err := EncodeMessage(c.message)
		if err != nil {
			t.Errorf("%T: %v", c.message, err)
			continue
		}
		if string(b) != c.wire {
			t.Errorf("%T: got\n%s, want\n%s", c.message, b, c.wire)
		}
		if got, err := DecodeMessage(b); err != nil || !reflect.DeepEqual(got, c.message) {
			t.Errorf("%T: got %+v, %v, want %+v", c.message, got, err, c.message)
		}
	}
}

func TestMessageStatesAndActions(t *testing.T) {
	for _, s := range []StreamState{Idle, Connecting, Streaming, Paused, Failed} {
		if _, err := DecodeMessage([]byte(`{"type":"state","state":"` + string(s) + `"}`)); err != nil {
			t.Error(err)
		}
	}
	for _, a := range []Action{Start, Pause, Stop} {
		if _, err := DecodeMessage([]byte(`{"type":"desired","action":"` + string(a) + `","generation":1}`)); err != nil {
			t.Error(err)
		}
	}
}

func TestMessageTolerated(t *testing.T) {
	for name, c := range map[string]struct {
		wire string
		want Message
	}{
		"unknown type":            {`{"type":"later","x":[1]}`, &Unknown{Type: "later"}},
		"unknown field":           {`{"type":"desired","action":"stop","generation":3,"why":"x"}`, &Desired{Action: Stop, Generation: 3}},
		"white space":             {" \n{ \"type\" : \"ack\" }\n ", &Ack{}},
		"the last of two counts":  {`{"type":"desired","action":"start","action":"stop","generation":3}`, &Desired{Action: Stop, Generation: 3}},
		"the last of two types":   {`{"type":"hello","type":"ack"}`, &Ack{}},
		"a type like another one": {`{"type":"Hello"}`, &Unknown{Type: "Hello"}},
	} {
		if got, err := DecodeMessage([]byte(c.wire)); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, c.want)
		}
	}
}

func TestMessageMalformed(t *testing.T) {
	for name, wire := range map[string]string{
		"empty":                    "",
		"not JSON":                 "hello",
		"no UTF-8":                 "{\"type\":\"state\",\"state\":\"idle\",\"message\":\"\xff\"}",
		"binary":                   "\x01\x02\x03",
		"null":                     "null",
		"array":                    `[{"type":"ack"}]`,
		"string":                   `"ack"`,
		"cut short":                `{"type":"ack"`,
		"trailing garbage":         `{"type":"ack"} x`,
		"two messages":             `{"type":"ack"}{"type":"ack"}`,
		"trailing zero":            "{\"type\":\"ack\"}\x00",
		"no type":                  `{}`,
		"empty type":               `{"type":""}`,
		"type of another kind":     `{"type":7}`,
		"hello without node":       `{"type":"hello","epoch":1}`,
		"hello without epoch":      `{"type":"hello","node":"n"}`,
		"negative epoch":           `{"type":"hello","node":"n","epoch":-1}`,
		"fractional epoch":         `{"type":"hello","node":"n","epoch":1.5}`,
		"epoch over 64 bits":       `{"type":"hello","node":"n","epoch":18446744073709551616}`,
		"huge exponent":            `{"type":"hello","node":"n","epoch":1e999999999}`,
		"huge number":              `{"type":"ack","sequence":` + strings.Repeat("9", 60000) + `}`,
		"receive time too large":   `{"type":"ack","received":9223372036854775808}`,
		"unknown state":            `{"type":"state","state":"dancing"}`,
		"state without a state":    `{"type":"state"}`,
		"unknown action":           `{"type":"desired","action":"rewind"}`,
		"desired without action":   `{"type":"desired"}`,
		"credentials of a number":  `{"type":"desired","action":"start","credentials":{"origin":"o","username":"u","password":123456789}}`,
		"credentials without user": `{"type":"desired","action":"start","credentials":{"origin":"o","password":"p"}}`,
		"credentials for any host": `{"type":"desired","action":"start","credentials":{"username":"u","password":"p"}}`,
		"credentials as a string":  `{"type":"desired","action":"start","credentials":"[redacted]"}`,
		"credentials with a break": `{"type":"desired","action":"start","credentials":{"origin":"o","username":"u","password":"p\r\nx"}}`,
		"password over its bound":  `{"type":"desired","action":"start","credentials":{"origin":"o","username":"u","password":"` + strings.Repeat("x", MaxPassword+1) + `"}}`,
		"no tracks":                `{"type":"tracks","tracks":[]}`,
		"null track":               `{"type":"tracks","tracks":[null]}`,
		"track with bad base64":    `{"type":"tracks","tracks":[{"id":1,"kind":"audio","codec":"aac","clockRate":8000,"config":"*"}]}`,
		"track ID over 8 bits":     `{"type":"tracks","tracks":[{"id":256,"kind":"data","codec":"opaque","clockRate":1}]}`,
		"track without its codec":  `{"type":"tracks","tracks":[{"id":1,"kind":"video","codec":"h264","clockRate":90000}]}`,
		"too many tracks":          `{"type":"tracks","tracks":[` + strings.Repeat(`{},`, 20000) + `{}]}`,
		"deep":                     `{"type":"ack","x":` + strings.Repeat("[", 30000) + strings.Repeat("]", 30000) + `}`,
		"deep, cut short":          strings.Repeat(`{"x":`, 13000),
		"too long":                 `{"type":"later","x":"` + strings.Repeat("x", MaxMessage) + `"}`,
	} {
		if m, err := DecodeMessage([]byte(wire)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %+v, %v, want ErrMalformed", name, m, err)
		}
	}
}

// Errors are logged and sent as a close reason: they must not carry a peer's message along.
func TestMessageErrorsAreShort(t *testing.T) {
	long := strings.Repeat("x", 30000)
	for _, wire := range []string{
		`{"type":"state","state":"` + long + `"}`,
		`{"type":"desired","action":"` + long + `"}`,
		`{"type":"tracks","tracks":[{"id":1,"clockRate":1,"codec":"` + long + `"}]}`,
		`{"type":"tracks","tracks":[{"id":1,"clockRate":1,"codec":"opaque","kind":"` + long + `"}]}`,
		`{"type":"ack","sequence":` + strings.Repeat("9", 30000) + `}`,
	} {
		if _, err := DecodeMessage([]byte(wire)); err == nil || len(err.Error()) > 512 {
			t.Errorf("%.60s…: the error has %d bytes", wire, len(err.Error()))
		}
	}
}

func TestEncodeTooLong(t *testing.T) {
	if b, err := EncodeMessage(&State{State: Failed, Message: strings.Repeat("x", MaxMessage)}); err == nil {
		t.Errorf("got %d bytes, want an error", len(b))
	}
}

// FuzzDecodeMessage: nothing panics, errors are ErrMalformed, and what is accepted means the same after another round.
func FuzzDecodeMessage(f *testing.F) {
	for _, c := range exampleMessages {
		f.Add([]byte(c.wire))
	}
	f.Add([]byte(`{"type":"ack"} x`))
	f.Add([]byte(`{"type":"hello","type":"ack","sequence":1e3}`))
	f.Add([]byte(`{"type":"tracks","tracks":[null,{}],"skipped":[]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeMessage(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("%v is not ErrMalformed", err)
			}
			return
		}
		if !json.Valid(b) {
			t.Fatal("accepted what is not JSON")
		}
		once, err := EncodeMessage(m)
		if err != nil {
			return // escapes made it too long
		}
		again, err := DecodeMessage(once)
		if err != nil {
			t.Fatalf("%s became %s: %v", b, once, err)
		}
		twice, err := EncodeMessage(again)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%s became %s, %v", once, twice, err)
		}
	})
}
