// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package media

import (
	"bytes"
	"testing"
)

// Payloads whose lengths do not add up.
var brokenPayloads = map[string][]byte{
	"half a length":        {0, 0, 1},
	"length without unit":  {0, 0, 0, 1},
	"empty unit":           {0, 0, 0, 0},
	"short unit":           {0, 0, 0, 3, 0x65, 1},
	"huge length":          {0xff, 0xff, 0xff, 0xff, 0x65},
	"tail":                 {0, 0, 0, 1, 0x65, 0},
	"empty unit behind":    {0, 0, 0, 1, 0x65, 0, 0, 0, 0},
	"Annex B start code":   {0, 0, 0, 1, 0x65, 0, 0, 0, 1},
	"second unit too long": {0, 0, 0, 1, 0x65, 0, 0, 0, 2, 1},
}

func TestNALUs(t *testing.T) {
	for _, nalus := range [][][]byte{
		nil,
		{{0x65}},
		{{0x65, 1, 2}, {0x41}},
		{bytes.Repeat([]byte{7}, 70000), {1}, {2}},
	} {
		payload := JoinNALUs(nalus)
		got, err := NALUs(nil, payload)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(nalus) {
			t.Fatalf("got %d units, want %d", len(got), len(nalus))
		}
		for i := range got {
			if !bytes.Equal(got[i], nalus[i]) {
				t.Errorf("unit %d: got %x, want %x", i, got[i], nalus[i])
			}
		}
	}
	for name, payload := range brokenPayloads {
		if got, err := NALUs(nil, payload); err == nil {
			t.Errorf("%s: got %x, want an error", name, got)
		}
	}
}

func TestNALUsAppendsWithoutCopying(t *testing.T) {
	payload := JoinNALUs([][]byte{{0x65}, {0x41}})
	got, err := NALUs([][]byte{{9}}, payload)
	if err != nil || len(got) != 3 || got[0][0] != 9 {
		t.Fatalf("got %x, %v", got, err)
	}
	if &got[1][0] != &payload[4] {
		t.Error("the unit was copied")
	}
	_ = append(got[1], 0xff) // must not reach into the next unit
	if !bytes.Equal(payload, []byte{0, 0, 0, 1, 0x65, 0, 0, 0, 1, 0x41}) {
		t.Errorf("an append to a unit changed the payload: %x", payload)
	}
}

func TestValidatePayload(t *testing.T) {
	h264, h265, aac := h264Track(), h265Track(), aacTrack()
	good := JoinNALUs([][]byte{{0x65, 1}, {0x41}})
	for _, tr := range []*Track{&h264, &h265} {
		if err := ValidatePayload(tr, good); err != nil {
			t.Errorf("%s: %v", tr.Codec, err)
		}
		for name, payload := range brokenPayloads {
			if ValidatePayload(tr, payload) == nil {
				t.Errorf("%s, %s: no error", tr.Codec, name)
			}
		}
	}
	if err := ValidatePayload(&aac, []byte{0, 0, 1}); err != nil {
		t.Error(err)
	}
	for _, tr := range []*Track{&h264, &h265, &aac} {
		if ValidatePayload(tr, nil) == nil {
			t.Errorf("%s: an empty payload passed", tr.Codec)
		}
	}
}

func TestDTS(t *testing.T) {
	for _, c := range []struct {
		pts    int64
		offset int32
		want   int64
	}{{9000, 0, 9000}, {9000, 3000, 6000}, {9000, -3000, 12000}, {-1, 1, -2}} {
		if got := (&AccessUnit{PTS: c.pts, DTSOffset: c.offset}).DTS(); got != c.want {
			t.Errorf("PTS %d, offset %d: got DTS %d, want %d", c.pts, c.offset, got, c.want)
		}
	}
}

// FuzzNALUs: whatever splits joins to the same bytes, and ValidatePayload is of the same opinion.
func FuzzNALUs(f *testing.F) {
	f.Add(JoinNALUs([][]byte{{0x65, 1}, {0x41}}))
	for _, payload := range brokenPayloads {
		f.Add(payload)
	}
	h264 := h264Track()
	f.Fuzz(func(t *testing.T, payload []byte) {
		nalus, err := NALUs(nil, payload)
		if valid := ValidatePayload(&h264, payload) == nil; valid != (err == nil && len(payload) > 0) {
			t.Fatalf("ValidatePayload says %t, NALUs %v", valid, err)
		}
		if err == nil && !bytes.Equal(JoinNALUs(nalus), payload) {
			t.Fatal("units do not join to the payload")
		}
	})
}
