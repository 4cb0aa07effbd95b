// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package camera

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/pion/rtcp"
)

// reportPeriod is the time between RTCP sender reports of a track, in clip time. RFC 3550 section 6.2 suggests 5 s;
// tests should not wait so long.
const reportPeriod = time.Second

// player sends a clip in real time, from one goroutine.
type player struct {
	stream *gortsplib.ServerStream
	speed  float64
	start  time.Time // when clip time 0 is sent
	tracks []*playerTrack
	lead   *playerTrack // the video, or else the first: decides when to switch clips

	next    atomic.Pointer[Clip] // to switch to, or nil
	stalled atomic.Bool
	drop    atomic.Int64 // RTP packets still to be lost
	jump    atomic.Int64 // time.Duration that RTP timestamps are off
}

// playerTrack is the state of one track.
type playerTrack struct {
	track *Track
	media *description.Media
	ssrc  uint32
	base  time.Duration // clip time at which the track's current turn began, since the camera's start
	unit  int           // the next one to send, in this turn
	wait  bool          // for a random access point, after a stall

	sequence  uint16
	timestamp uint32 // of clip time 0
	report    time.Duration
	packets   uint32
	octets    uint32
}

func newPlayer(stream *gortsplib.ServerStream, clip *Clip, speed float64, wrapAfter time.Duration) *player {
	p := &player{stream: stream, speed: speed, start: time.Now()}
	stats := stream.Stats()
	for i, media := range stream.Desc.Medias {
		timestamp := rand.Uint32()
		if wrapAfter > 0 {
			timestamp = -uint32(ticks(wrapAfter, clip.Tracks[i].Format.ClockRate()))
		}
		p.tracks = append(p.tracks, &playerTrack{
			track:     clip.Tracks[i],
			media:     media,
			ssrc:      stats.Medias[media].Formats[media.Formats[0]].LocalSSRC,
			sequence:  uint16(rand.Uint32()),
			timestamp: timestamp,
		})
	}
	p.lead = p.tracks[max(0, slices.IndexFunc(clip.Tracks, (*Track).IsVideo))]
	return p
}

// run sends one unit after the other when it is due, until the context ends. What is overdue is sent at once.
func (p *player) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		t := p.earliest()
		timer.Reset(time.Until(p.wall(t.due())))
		select {
		case <-timer.C:
			p.play(t)
		case <-ctx.Done():
			return
		}
	}
}

// earliest returns the track whose next unit is due first.
func (p *player) earliest() *playerTrack {
	first := p.tracks[0]
	for _, t := range p.tracks[1:] {
		if t.due() < first.due() {
			first = t
		}
	}
	return first
}

// wall converts clip time to the time on the wall.
func (p *player) wall(clip time.Duration) time.Time {
	return p.start.Add(time.Duration(float64(clip) / p.speed))
}

// play sends the next unit of a track, unless the camera is stalled, and moves on.
func (p *player) play(t *playerTrack) {
	if t == p.lead && t.track.Units[t.unit].RandomAccess {
		if clip := p.next.Swap(nil); clip != nil {
			p.switchClip(clip, t.pts())
		}
	}
	unit := t.track.Units[t.unit]
	switch {
	case p.stalled.Load():
		t.wait = true
	case t.wait && !unit.RandomAccess:
	default:
		t.wait = false
		p.send(t, unit)
	}
	t.advance()
}

// switchClip begins another clip in all tracks, at that clip time.
func (p *player) switchClip(clip *Clip, at time.Duration) {
	for i, t := range p.tracks {
		t.track, t.base, t.unit = clip.Tracks[i], at, 0
	}
}

// send writes the packets of one unit to all sessions. Errors mean that the stream is closing, or that a
// session is too slow, which gortsplib closes itself.
func (p *player) send(t *playerTrack, unit *Unit) {
	pts := t.pts()
	rate := t.track.Format.ClockRate()
	timestamp := t.timestamp + uint32(ticks(t.base, rate)+unit.PTS+ticks(time.Duration(p.jump.Load()), rate))
	for _, shared := range unit.packets {
		pkt := *shared
		pkt.PayloadType = t.track.Format.PayloadType()
		pkt.SequenceNumber = t.sequence
		pkt.Timestamp = timestamp
		t.sequence++
		if p.drop.Load() > 0 {
			p.drop.Add(-1)
			continue
		}
		t.packets++
		t.octets += uint32(len(pkt.Payload))
		_ = p.stream.WritePacketRTPWithNTP(t.media, &pkt, p.wall(pts))
	}
	if pts >= t.report {
		t.report = pts + reportPeriod
		_ = p.stream.WritePacketRTCP(t.media, &rtcp.SenderReport{
			SSRC: t.ssrc, NTPTime: ntp(p.start.Add(pts)), RTPTime: timestamp, PacketCount: t.packets, OctetCount: t.octets,
		})
	}
}

// due returns the clip time at which the next unit is to be sent.
func (t *playerTrack) due() time.Duration {
	return t.base + duration(t.track.Units[t.unit].DTS, t.track.Format.ClockRate())
}

// pts returns the clip time of the next unit's presentation.
func (t *playerTrack) pts() time.Duration {
	return t.base + duration(t.track.Units[t.unit].PTS, t.track.Format.ClockRate())
}

func (t *playerTrack) advance() {
	if t.unit++; t.unit == len(t.track.Units) {
		t.unit = 0
		t.base += t.track.Period
	}
}

// ntp converts a time to the format of RFC 3550 section 4: seconds since 1900 and, in the lower half, 1/2^32 seconds.
func ntp(t time.Time) uint64 {
	const since1900 = 2208988800
	return uint64(t.Unix()+since1900)<<32 | uint64(t.Nanosecond())<<32/uint64(time.Second)
}
