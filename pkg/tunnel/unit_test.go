// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kubeedge/datastream/pkg/media"
)

// exampleUnit is the worked example of docs/protocol.md.
func exampleUnit() *media.AccessUnit {
	return &media.AccessUnit{
		Track: 1, RandomAccess: true, Discontinuity: true, Sequence: 1, PTS: 183000, DTSOffset: 3000,
		Capture: time.UnixMicro(1735689600250000),
		Payload: media.JoinNALUs([][]byte{{0x65, 0x88, 0x84, 0x21}, {0x65, 0x01}}),
	}
}

func sameHeader(a, b *media.AccessUnit) bool {
	return a.Track == b.Track && a.RandomAccess == b.RandomAccess && a.Disposable == b.Disposable && a.Discontinuity == b.Discontinuity &&
		a.Sequence == b.Sequence && a.PTS == b.PTS && a.DTSOffset == b.DTSOffset && a.Capture.Equal(b.Capture)
}

// TestProtocolExample keeps the example in docs/protocol.md true.
func TestProtocolExample(t *testing.T) {
	doc, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(doc), "<!-- example: begin -->\n```\n")
	example, _, end := strings.Cut(rest, "```\n<!-- example: end -->")
	if !ok || !end {
		t.Fatal("docs/protocol.md has no example")
	}
	var digits strings.Builder
	for line := range strings.Lines(example) {
		bytes, _, _ := strings.Cut(line, "  ") // the rest of the line explains them
		digits.WriteString(strings.Join(strings.Fields(bytes), ""))
	}
	got, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	u := exampleUnit()
	if want := append(AppendHeader(nil, u), u.Payload...); !bytes.Equal(got, want) {
		t.Errorf("docs/protocol.md has\n%x, want\n%x", got, want)
	}
}

func TestHeaderRoundTrip(t *testing.T) {
	for name, u := range map[string]*media.AccessUnit{
		"zero":          {},
		"the example":   exampleUnit(),
		"random access": {RandomAccess: true},
		"disposable":    {Disposable: true},
		"discontinuity": {Discontinuity: true},
		"largest": {
			Track: 255, RandomAccess: true, Disposable: true, Discontinuity: true, Sequence: 1<<64 - 1,
			PTS: maxTimestamp, DTSOffset: maxDTSOffset, Capture: time.UnixMicro(maxTimestamp),
		},
		"smallest": {PTS: -maxTimestamp, DTSOffset: -maxDTSOffset, Capture: time.UnixMicro(1)},
	} {
		b := AppendHeader([]byte("kept"), u)
		if len(b) != 4+HeaderSize || string(b[:4]) != "kept" {
			t.Fatalf("%s: got %d bytes", name, len(b)-4)
		}
		got, err := ParseHeader(b[4:])
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !sameHeader(&got, u) {
			t.Errorf("%s: got %+v, want %+v", name, got, u)
		}
	}
}

func TestHeaderMalformed(t *testing.T) {
	valid := AppendHeader(nil, exampleUnit())
	set := func(at int, b ...byte) []byte {
		out := bytes.Clone(valid)
		copy(out[at:], b)
		return out
	}
	for name, b := range map[string][]byte{
		"empty":               nil,
		"short":               valid[:HeaderSize-1],
		"version 0":           set(0, 0),
		"version 2":           set(0, 2),
		"unknown flag":        set(2, 0, 8),
		"highest flag":        set(2, 0x80, 0),
		"PTS too late":        set(16, 0x01, 0, 0, 0, 0, 0, 0, 1),
		"PTS too early":       set(16, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
		"smallest PTS":        set(16, 0x80, 0, 0, 0, 0, 0, 0, 0),
		"DTS offset too high": set(4, 0x40, 0, 0, 1),
		"DTS offset too low":  set(4, 0x80, 0, 0, 0),
		"capture before 1970": set(24, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
		"capture too late":    set(24, 0x01, 0, 0, 0, 0, 0, 0, 1),
	} {
		if u, err := ParseHeader(b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %+v, %v, want ErrMalformed", name, u, err)
		}
	}
}

// FuzzParseHeader: what is accepted encodes to the same bytes.
func FuzzParseHeader(f *testing.F) {
	f.Add(AppendHeader(nil, exampleUnit()))
	f.Add(AppendHeader(nil, &media.AccessUnit{}))
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		u, err := ParseHeader(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("%v is not ErrMalformed", err)
			}
			return
		}
		if got := AppendHeader(nil, &u); !bytes.Equal(got, b[:HeaderSize]) {
			t.Fatalf("got %x, want %x", got, b[:HeaderSize])
		}
	})
}
