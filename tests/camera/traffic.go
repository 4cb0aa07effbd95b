// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package camera

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/bluenviron/gortsplib/v4/pkg/format"
)

// Traffic is video of a given size, to load a network with. Nobody can decode its pictures, but a Mark in each says what it
// refers to, so that a receiver can tell whether a decoder could.
type Traffic struct {
	// BitRate is in bits per second.
	BitRate int
	// FrameRate is in frames per second; it divides 90000.
	FrameRate int
	// GOP is the number of frames from one key frame to the next.
	GOP int
	// KeyFactor is how many times as large as other frames key frames are.
	KeyFactor int
	// Disposable makes every second frame one that no other refers to.
	Disposable bool
}

// trafficGOPs is how many GOPs differ; then they come again.
const trafficGOPs = 4

// Mark is what a frame of Traffic says about itself. Frames are counted from 0 and over again.
type Mark struct {
	// Frame is the frame's number, Reference that of the frame that it refers to, its own for a key frame.
	Frame, Reference uint32
}

// A slice begins with one byte of NAL unit header, nal_ref_idc and nal_unit_type (ITU-T H.264, 7.3.1), and with its header:
// first_mb_in_slice 0 and slice_type (7.3.3). The mark is behind these.
const (
	naluKey        = 0x65
	naluReference  = 0x41
	naluDisposable = 0x01
	sliceI         = 0x88
	sliceP         = 0x9a
	markAt         = 2
	markSize       = 2 * 8
)

// ParseMark reads the mark of a frame from its only slice.
func ParseMark(nalu []byte) (Mark, error) {
	if len(nalu) < markAt+markSize {
		return Mark{}, errors.New("no frame of Traffic")
	}
	// Four bits a byte: more could look like a start code.
	read := func(b []byte) uint32 {
		var v uint32
		for _, half := range b {
			v = v<<4 | uint32(half&0xf)
		}
		return v
	}
	return Mark{Frame: read(nalu[markAt : markAt+8]), Reference: read(nalu[markAt+8 : markAt+16])}, nil
}

func (m Mark) put(nalu []byte) {
	for i := range 8 {
		nalu[markAt+i] = 0x80 | byte(m.Frame>>(28-4*i))&0xf
		nalu[markAt+8+i] = 0x80 | byte(m.Reference>>(28-4*i))&0xf
	}
}

// Clip makes the clip: one track of 1080p H.264.
func (l Traffic) Clip() (*Clip, error) {
	frm := &format.H264{
		PayloadTyp: payloadTypeVideo, PacketizationMode: 1,
		// Main profile, 1920x1080, pic_order_cnt_type 2: presentation in decoding order, so that nobody reads the slices for it.
		SPS: []byte{0x67, 0x4d, 0x00, 0x28, 0xda, 0x01, 0xe0, 0x08, 0x9f, 0x95},
		PPS: []byte{0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0},
	}
	packetize, err := packetizer(frm)
	if err != nil {
		return nil, err
	}
	perGOP := l.BitRate / 8 * l.GOP / l.FrameRate
	size := perGOP / (l.GOP - 1 + l.KeyFactor)
	if size < markAt+markSize {
		return nil, fmt.Errorf("frames of %d bytes are too small", size)
	}
	frames := trafficGOPs * l.GOP
	track := &Track{Format: frm, Period: time.Duration(frames) * time.Second / time.Duration(l.FrameRate)}
	reference := uint32(0)
	for i := range frames {
		mark := Mark{Frame: uint32(i), Reference: reference}
		u := &Unit{PTS: int64(i * frm.ClockRate() / l.FrameRate), RandomAccess: i%l.GOP == 0}
		u.DTS = u.PTS
		header, slice, bytes := byte(naluReference), byte(sliceP), size
		switch {
		case u.RandomAccess:
			header, slice, bytes = naluKey, sliceI, size*l.KeyFactor
			mark.Reference = mark.Frame
			reference = mark.Frame
		case l.Disposable && i%2 == 1:
			header = naluDisposable
		default:
			reference = mark.Frame
		}
		nalu := make([]byte, bytes)
		noise(nalu)
		nalu[0], nalu[1] = header, slice
		mark.put(nalu)
		u.Payload = [][]byte{nalu}
		if u.RandomAccess {
			u.Payload = [][]byte{frm.SPS, frm.PPS, nalu}
		}
		if u.packets, err = packetize(u.Payload); err != nil {
			return nil, fmt.Errorf("packetizing frame %d: %w", i, err)
		}
		track.Units = append(track.Units, u)
	}
	return &Clip{Tracks: []*Track{track}}, nil
}

// noise fills b with what nobody can compress and what holds no start code.
func noise(b []byte) {
	var word [8]byte
	for i := range b {
		if i%8 == 0 {
			binary.LittleEndian.PutUint64(word[:], rand.Uint64())
		}
		b[i] = word[i%8] | 1
	}
}
