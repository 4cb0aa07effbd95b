// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package media holds what both ends of a stream agree on about media: tracks,
// access units, the GOP cache and the timeline. It knows neither networks nor Kubernetes.
package media

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
)

// Kind is what a track is for.
type Kind string

// The kinds of track.
const (
	Video Kind = "video"
	Audio Kind = "audio"
	Data  Kind = "data"
)

// Codec names the coding of a track's payload.
type Codec string

// The codecs that are carried. Opaque is a data track: timed messages that nobody here interprets.
const (
	H264   Codec = "h264"
	H265   Codec = "h265"
	AAC    Codec = "aac"
	Opus   Codec = "opus"
	PCMA   Codec = "pcma"
	PCMU   Codec = "pcmu"
	Opaque Codec = "opaque"
)

// MaxTracks bounds the tracks of one stream.
const MaxTracks = 16

// maxParameterSet bounds a parameter set in bytes; real ones are below 1 KiB.
const maxParameterSet = 16 << 10

// Track is one elementary stream with what a decoder needs before the first access unit.
type Track struct {
	// ID is the number that access units refer to; unique within a stream.
	ID uint8 `json:"id"`
	// Kind is what the track is for.
	Kind Kind `json:"kind"`
	// Codec is the coding of the payload.
	Codec Codec `json:"codec"`
	// ClockRate is the number of timestamp ticks per second, as in the track's RTP payload format.
	ClockRate int `json:"clockRate"`
	// Channels is the number of audio channels.
	Channels int `json:"channels,omitempty"`
	// VPS (H.265), SPS and PPS are parameter sets as NAL units without start code or length.
	VPS []byte `json:"vps,omitempty"`
	SPS []byte `json:"sps,omitempty"`
	PPS []byte `json:"pps,omitempty"`
	// Config is the AudioSpecificConfig of an AAC track (ISO/IEC 14496-3, 1.6.2.1).
	Config []byte `json:"config,omitempty"`
	// Format says what an Opaque track's messages are, as a MIME type.
	Format string `json:"format,omitempty"`
}

// Validate says whether the track is complete and its parameters can be parsed.
func (t *Track) Validate() error {
	if t.ClockRate < 1 || t.ClockRate > 1_000_000_000 {
		return fmt.Errorf("track %d: clock rate %d is out of range", t.ID, t.ClockRate)
	}
	if len(t.VPS) > maxParameterSet || len(t.SPS) > maxParameterSet || len(t.PPS) > maxParameterSet || len(t.Config) > maxParameterSet {
		return fmt.Errorf("track %d: codec parameters are longer than %d bytes", t.ID, maxParameterSet)
	}
	if err := t.validateCodec(); err != nil {
		return fmt.Errorf("track %d (%.32s): %w", t.ID, t.Codec, err)
	}
	return nil
}

func (t *Track) validateCodec() error {
	want := Audio
	var err error
	switch t.Codec {
	case H264:
		want = Video
		var sps h264.SPS
		if err = sps.Unmarshal(t.SPS); err != nil {
			err = fmt.Errorf("parsing SPS: %w", err)
		} else if len(t.PPS) == 0 {
			err = errors.New("no PPS")
		} else {
			err = validateSize(sps.Width(), sps.Height())
		}
	case H265:
		want = Video
		var sps h265.SPS
		if err = sps.Unmarshal(t.SPS); err != nil {
			err = fmt.Errorf("parsing SPS: %w", err)
		} else if len(t.PPS) == 0 || len(t.VPS) < 3 {
			err = errors.New("no PPS or no VPS")
		} else {
			err = validateSize(sps.Width(), sps.Height())
		}
	case AAC:
		var c mpeg4audio.AudioSpecificConfig
		if err = c.Unmarshal(t.Config); err != nil {
			err = fmt.Errorf("parsing AudioSpecificConfig: %w", err)
		} else if c.SampleRate < 1 {
			err = errors.New("a sample rate of zero")
		}
	case Opus, PCMA, PCMU:
		if t.Channels < 1 || t.Channels > 8 {
			err = fmt.Errorf("%d channels", t.Channels)
		}
	case Opaque:
		want = Data
	default:
		return errors.New("unknown codec")
	}
	if err == nil && t.Kind != want {
		err = fmt.Errorf("kind is %.32q, want %q", t.Kind, want)
	}
	return err
}

// validateSize refuses what a broken SPS adds up to; files and players have 16 bits for either.
func validateSize(width, height int) error {
	if width < 1 || width > math.MaxUint16 || height < 1 || height > math.MaxUint16 {
		return fmt.Errorf("picture of %d by %d pixels", width, height)
	}
	return nil
}

// Size returns the picture's width and height in pixels, or zeros where the track has none.
func (t *Track) Size() (width, height int) {
	switch t.Codec {
	case H264:
		var sps h264.SPS
		if sps.Unmarshal(t.SPS) == nil {
			return sps.Width(), sps.Height()
		}
	case H265:
		var sps h265.SPS
		if sps.Unmarshal(t.SPS) == nil {
			return sps.Width(), sps.Height()
		}
	}
	return 0, 0
}

// Duration converts ticks of the track's clock to time.
func (t *Track) Duration(ticks int64) time.Duration {
	rate := int64(t.ClockRate)
	return time.Duration(ticks/rate)*time.Second + time.Duration(ticks%rate)*time.Second/time.Duration(rate)
}

// Ticks converts time to ticks of the track's clock.
func (t *Track) Ticks(d time.Duration) int64 {
	rate := int64(t.ClockRate)
	return int64(d/time.Second)*rate + int64(d%time.Second)*rate/int64(time.Second)
}

// ValidateTracks checks a stream's tracks one by one and together.
func ValidateTracks(tracks []Track) error {
	if len(tracks) == 0 || len(tracks) > MaxTracks {
		return fmt.Errorf("%d tracks, want 1 to %d", len(tracks), MaxTracks)
	}
	var seen [256]bool
	for i := range tracks {
		t := &tracks[i]
		if seen[t.ID] {
			return fmt.Errorf("track %d is there twice", t.ID)
		}
		seen[t.ID] = true
		if err := t.Validate(); err != nil {
			return err
		}
	}
	return nil
}

// Lead returns the track whose random access points are the stream's: the first video
// track, else the first one. It returns nil where there are no tracks.
func Lead(tracks []Track) *Track {
	for i := range tracks {
		if tracks[i].Kind == Video {
			return &tracks[i]
		}
	}
	if len(tracks) == 0 {
		return nil
	}
	return &tracks[0]
}

// Find returns the track with that ID, or nil.
func Find(tracks []Track, id uint8) *Track {
	for i := range tracks {
		if tracks[i].ID == id {
			return &tracks[i]
		}
	}
	return nil
}
