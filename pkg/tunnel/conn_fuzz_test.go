// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package tunnel

import (
	"runtime"
	"testing"

	"github.com/kubeedge/datastream/tests/scripted"
)

// accept returns the cloud's end of a tunnel behind the handshake, whose peer sends stream.
func accept(tb testing.TB, stream []byte) *Conn {
	return NewConn(scripted.WebSocket(tb, stream), patient, DefaultMaxPayload)
}

// readAll reads until an error comes and returns what that allocated in bytes.
func readAll(conn *Conn) (allocated uint64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for {
		m, u, err := conn.Read()
		if err != nil {
			break
		}
		if (m == nil) == (u == nil) {
			panic("Read must return one of a message and an access unit")
		}
	}
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// A peer that announces much and sends little must not make us allocate.
func TestConnAnnouncedSizeCostsNothing(t *testing.T) {
	unit := append(AppendHeader(nil, exampleUnit()), 1, 2, 3)
	for name, stream := range map[string][]byte{
		"one frame":              scripted.Frame(0x82, DefaultMaxPayload, unit),
		"over the limit":         scripted.Frame(0x82, 1<<40, unit),
		"largest length":         scripted.Frame(0x82, 1<<63-1, unit),
		"negative length":        scripted.Frame(0x82, 1<<64-1, unit),
		"text":                   scripted.Frame(0x81, DefaultMaxPayload, []byte(`{"type":"ack"`)),
		"second fragment":        append(scripted.Frame(0x02, uint64(len(unit)), unit), scripted.Frame(0x80, 1<<22, []byte{1})...),
		"fragments that add up":  append(scripted.Frame(0x02, uint64(len(unit)), unit), scripted.Frame(0x80, 1<<63-1, []byte{1})...),
		"ping of a large length": scripted.Frame(0x89, 1<<20, []byte{1}),
	} {
		t.Run(name, func(t *testing.T) {
			if allocated := readAll(accept(t, stream)); allocated > 128<<10 {
				t.Errorf("%d bytes made us allocate %d", len(stream), allocated)
			}
		})
	}
}

// FuzzConnRead feeds the bytes of a hostile peer: nothing panics, and what is allocated is in proportion to what came.
func FuzzConnRead(f *testing.F) {
	text := func(s string) []byte { return scripted.Frame(0x81, uint64(len(s)), []byte(s)) }
	unit := append(AppendHeader(nil, exampleUnit()), exampleUnit().Payload...)
	valid := scripted.Frame(0x82, uint64(len(unit)), unit)
	f.Add(append(text(exampleMessages[0].wire), valid...))
	f.Add(append(text(exampleMessages[1].wire), text(exampleMessages[4].wire)...))
	f.Add(append(scripted.Frame(0x02, uint64(len(unit)), unit), scripted.Frame(0x80, 4, []byte{1, 2, 3, 4})...))
	f.Add(append(scripted.Frame(0x89, 4, []byte("ping")), scripted.Frame(0x88, 2, []byte{0x03, 0xe8})...))
	f.Add(scripted.Frame(0x82, 1<<63-1, unit))
	f.Add(scripted.Frame(0x82, DefaultMaxPayload, unit))
	f.Add(text(`{"type":"tracks","tracks":[{},{},{}]}`))
	f.Add(scripted.Frame(0xc2, 4, []byte{1, 2, 3, 4}))
	f.Fuzz(func(t *testing.T, stream []byte) {
		conn := accept(t, stream)
		// JSON grows most: an empty track takes three bytes on the wire, and a thousand while a slice of them grows.
		if allocated := readAll(conn); allocated > 1<<20+1024*uint64(len(stream)) {
			t.Errorf("%d bytes made us allocate %d", len(stream), allocated)
		}
	})
}
