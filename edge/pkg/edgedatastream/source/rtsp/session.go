// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package rtsp

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/pion/rtp"
	"go.opentelemetry.io/otel/trace"
	"k8s.io/klog/v2"

	"github.com/kubeedge/datastream/edge/pkg/edgedatastream/source"
	"github.com/kubeedge/datastream/pkg/media"
	"github.com/kubeedge/datastream/pkg/tunnel"
)

// session turns the packets of one RTSP session into a sink's tracks and units.
type session struct {
	maxPayload int
	tracks     []*track
	lead       *track
	skipped    []tunnel.SkippedTrack
	// packets counts those of the lead; open is set with the first unit.
	packets atomic.Uint64
	open    atomic.Bool
	log     klog.Logger // with the stream

	mutex sync.Mutex // with UDP each track has a goroutine of its own
	sink  source.Sink
	dirty bool // the sink has not heard of the tracks as they are now
	// picture is the part of a trace that ends with the first unit.
	picture trace.Span
}

// track is one medium of the session.
type track struct {
	*session
	media  *description.Media
	format format.Format
	info   media.Track
	ready  bool // info is complete
	depacketizer

	numbered bool
	sequence uint16 // of the next packet, once numbered
}

// depacketizer turns a track's packets into units, which it gives to the track's emit.
type depacketizer interface {
	// packet takes the next packet; pts is its presentation time in ticks.
	packet(pkt *rtp.Packet, pts int64)
	// lost says that packets are missing before the next one.
	lost()
}

func newSession(desc *description.Session, sink source.Sink, maxPayload int) (*session, error) {
	s := &session{maxPayload: maxPayload, sink: sink, dirty: true, picture: trace.SpanFromContext(context.Background())}
	for _, m := range desc.Medias {
		if m.IsBackChannel || len(s.tracks) == media.MaxTracks {
			continue
		}
		s.addMedia(m)
	}
	if len(s.tracks) == 0 {
		var codecs []string
		for _, t := range s.skipped {
			codecs = append(codecs, t.Codec)
		}
		return nil, &source.Error{Reason: source.NoSupportedTracks, Message: fmt.Sprintf(
			"The camera offers no track that can be carried, only %s; set it to H.264 or H.265.", strings.Join(codecs, ", "))}
	}
	s.lead = s.tracks[0]
	for _, t := range s.tracks {
		if t.info.Kind == media.Video {
			s.lead = t
			break
		}
	}
	return s, nil
}

// addMedia adds the first format of m that can be carried, or notes why none can.
func (s *session) addMedia(m *description.Media) {
	var skipped []tunnel.SkippedTrack
	for _, f := range m.Formats {
		t := &track{session: s, media: m, format: f, info: media.Track{ID: uint8(len(s.tracks)), ClockRate: f.ClockRate()}}
		if err := t.init(); err != nil {
			skipped = append(skipped, tunnel.SkippedTrack{Codec: fmt.Sprintf("%.32s", codecName(f)), Reason: fmt.Sprintf("%.200s", err.Error())})
			continue
		}
		t.ready = t.info.Validate() == nil
		s.tracks = append(s.tracks, t)
		return
	}
	// All of it is the camera's word, and has to fit into a message.
	s.skipped = append(s.skipped, skipped[:min(len(skipped), media.MaxTracks-len(s.skipped))]...)
}

// codecName is the encoding name of the SDP where it has one (RFC 8866, 6.6).
func codecName(f format.Format) string {
	if name, _, ok := strings.Cut(f.RTPMap(), "/"); ok {
		return name
	}
	return f.Codec()
}

// listen takes the packets of a track that has been set up.
func (s *session) listen(client *gortsplib.Client, t *track) {
	client.OnPacketRTP(t.media, t.format, func(pkt *rtp.Packet) {
		s.mutex.Lock()
		defer s.mutex.Unlock()
		if t == s.lead {
			s.packets.Add(1)
		}
		if t.numbered && pkt.SequenceNumber != t.sequence {
			t.lost()
		}
		t.numbered, t.sequence = true, pkt.SequenceNumber+1
		if pts, ok := client.PacketPTS2(t.media, pkt); ok {
			t.packet(pkt, pts)
		}
	})
}

// emit hands over a unit, once the stream has begun: with a random access point of the lead.
func (t *track) emit(u *media.AccessUnit) {
	s := t.session
	if !t.ready {
		return
	}
	if !s.open.Load() {
		if t != s.lead || !u.RandomAccess {
			return
		}
		s.open.Store(true)
		s.picture.End()
	}
	if s.dirty {
		s.dirty = false
		s.sink.Tracks(s.readyTracks(), s.skipped)
	}
	u.Track, u.Capture = t.info.ID, time.Now()
	s.sink.Unit(u)
}

func (s *session) readyTracks() []media.Track {
	var tracks []media.Track
	for _, t := range s.tracks {
		if t.ready {
			tracks = append(tracks, t.info)
		}
	}
	return tracks
}
