// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package rtsp

import (
	"bytes"
	"errors"
	"time"

	"github.com/pion/rtp"

	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/source"
	"github.com/kubeedge/datastream/pkg/media"
)

// nalKind is what a NAL unit means for what is made of it.
type nalKind int

const (
	nalOther   nalKind = iota // stays in the payload: SEI and what may come
	nalDiscard                // delimiters and filler: the container says as much
	nalVPS
	nalSPS
	nalPPS
	nalSlice
)

// picture is what the NAL units of one access unit say about it.
type picture struct {
	whole        bool // its first slice is the picture's first
	randomAccess bool
	disposable   bool
}

// videoCodec is what differs between H.264 and H.265.
type videoCodec interface {
	// reset begins anew behind lost packets.
	reset() error
	// decode returns an access unit's NAL units, or errMore.
	decode(pkt *rtp.Packet) ([][]byte, error)
	// kind looks at one NAL unit, which is not empty.
	kind(nalu []byte) nalKind
	// ppsID is the number of a picture parameter set.
	ppsID(nalu []byte) (uint32, error)
	// inspect looks at an access unit with at least one slice.
	inspect(nalus [][]byte, info *media.Track) picture
	// dts computes the decoding time; parameter sets come with random access points.
	dts(nalus [][]byte, pts int64) (int64, error)
	// resetDTS forgets the decoding times so far, in front of a random access point.
	resetDTS()
}

var errMore = errors.New("more packets are needed")

// maxReorder is the most that a picture may be shown before or after it is decoded. What an SPS says beyond is nonsense, with which the
// cloud would end the tunnel.
const maxReorder = 10 * time.Second

var errReorder = errors.New("they are too far from the presentation times")

// video makes access units of NAL units.
type video struct {
	*track
	codec  videoCodec
	resync source.Resync

	next  media.Track // info with the parameter sets that came last
	noDTS bool

	// splitsByTime: the decoder ends a unit also where the timestamp changes, for cameras that set no marker bits (FLIR
	// M400). A unit's time is therefore that of its first packet.
	splitsByTime bool
	begun        bool // packets of a unit have come, with this timestamp:
	timestamp    uint32
	pts          int64
}

func (t *track) initVideo(codec videoCodec) error {
	if err := codec.reset(); err != nil {
		return err
	}
	_, h264 := codec.(*h264Codec)
	v := &video{track: t, codec: codec, next: t.info, splitsByTime: h264}
	v.resync.Miss()
	t.depacketizer = v
	return nil
}

func (v *video) lost() {
	v.sink.Lost(media.Video, source.LostPackets)
	v.resync.Miss()
	v.begun = false
	if err := v.codec.reset(); err != nil { // it went well the first time
		v.log.Error(err, "Cannot reset RTP decoder", "codec", v.info.Codec)
	}
}

func (v *video) packet(pkt *rtp.Packet, pts int64) {
	if !v.begun {
		v.begun, v.timestamp, v.pts = true, pkt.Timestamp, pts
	}
	nalus, err := v.codec.decode(pkt)
	switch {
	case errors.Is(err, errMore):
	case err != nil:
		v.lost()
	case v.splitsByTime && v.timestamp != pkt.Timestamp: // this packet already belongs to the next unit
		unitPTS := v.pts
		v.timestamp, v.pts = pkt.Timestamp, pts
		v.unit(nalus, unitPTS)
	default:
		v.begun = false
		v.unit(nalus, pts)
	}
}

// unit sorts an access unit's NAL units and emits what remains.
func (v *video) unit(nalus [][]byte, pts int64) {
	kept := nalus[:0:0]
	slices := 0
	for _, nalu := range nalus {
		if len(nalu) == 0 {
			continue
		}
		switch v.codec.kind(nalu) {
		case nalDiscard:
		case nalVPS:
			v.next.VPS = nalu
		case nalSPS:
			v.next.SPS = nalu
		case nalPPS:
			if !v.takePPS(nalu) {
				kept = append(kept, nalu)
			}
		case nalSlice:
			slices++
			kept = append(kept, nalu)
		default:
			kept = append(kept, nalu)
		}
	}
	if slices == 0 {
		return // parameter sets or SEI alone
	}
	p := v.codec.inspect(kept, &v.info)
	if v.resync.Waiting() && !p.whole {
		return // the picture's first packets came before ours
	}
	if p.randomAccess {
		v.announce()
	}
	u := &media.AccessUnit{RandomAccess: p.randomAccess, Disposable: p.disposable, PTS: pts}
	if !v.resync.Admit(u) {
		return
	}
	u.DTSOffset = v.dtsOffset(kept, u)
	if u.Payload = media.JoinNALUs(kept); len(u.Payload) > v.maxPayload {
		v.sink.Lost(media.Video, source.LostOversized)
		v.resync.Miss()
		return
	}
	v.emit(u)
}

// takePPS takes a picture parameter set, unless it is a second one beside that of the track: a track describes
// one, so further ones stay with the pictures.
func (v *video) takePPS(nalu []byte) bool {
	if len(v.next.PPS) > 0 {
		was, err1 := v.codec.ppsID(v.next.PPS)
		is, err2 := v.codec.ppsID(nalu)
		if err1 == nil && err2 == nil && was != is {
			return false
		}
	}
	v.next.PPS = nalu
	return true
}

// announce lets parameter sets take effect that came since the last random access point.
func (v *video) announce() {
	if v.ready && bytes.Equal(v.info.VPS, v.next.VPS) && bytes.Equal(v.info.SPS, v.next.SPS) && bytes.Equal(v.info.PPS, v.next.PPS) {
		return
	}
	if v.next.Validate() != nil {
		return // incomplete, or not to be parsed: go on with what there was
	}
	// Packets' buffers are not kept for a few bytes of parameter sets.
	v.next.VPS, v.next.SPS, v.next.PPS = bytes.Clone(v.next.VPS), bytes.Clone(v.next.SPS), bytes.Clone(v.next.PPS)
	v.info, v.ready, v.dirty = v.next, true, true
}

// dtsOffset is PTS minus DTS in ticks, and 0 where that cannot be told.
func (v *video) dtsOffset(nalus [][]byte, u *media.AccessUnit) int32 {
	if u.RandomAccess {
		withParameters := make([][]byte, 0, len(nalus)+3)
		for _, p := range [...][]byte{v.info.VPS, v.info.SPS, v.info.PPS} {
			if len(p) > 0 {
				withParameters = append(withParameters, p)
			}
		}
		nalus = append(withParameters, nalus...)
	}
	offset, err := v.reorder(nalus, u.PTS)
	if err != nil && u.RandomAccess {
		// The camera's clock may have been set, and the codec holds decoding times to those of before: for hours, where it was set back by hours.
		v.codec.resetDTS()
		offset, err = v.reorder(nalus, u.PTS)
	}
	if err == nil {
		return offset
	}
	if v.ready && !v.noDTS {
		v.noDTS = true
		v.log.Info("Decoding times cannot be told, presentation times are used", "codec", v.info.Codec, "reason", err.Error())
	}
	return 0
}

// reorder is PTS minus DTS in ticks.
func (v *video) reorder(nalus [][]byte, pts int64) (offset int32, err error) {
	dts, err := v.codec.dts(nalus, pts)
	if err != nil {
		return 0, err
	}
	if max(pts-dts, dts-pts) > v.info.Ticks(maxReorder) {
		return 0, errReorder
	}
	return int32(pts - dts), nil
}
