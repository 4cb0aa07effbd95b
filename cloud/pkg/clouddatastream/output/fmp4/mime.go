// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package fmp4

import (
	"fmt"
	"math/bits"
	"strings"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"github.com/kubeedge/datastream/pkg/media"
)

// Types of the body with and without pictures.
const (
	VideoType = "video/mp4"
	AudioType = "audio/mp4"
)

func contentType(tracks []*track) string {
	for _, t := range tracks {
		if t.Kind == media.Video {
			return VideoType
		}
	}
	return AudioType
}

func codecsParameter(tracks []*track) string {
	codecs := make([]string, len(tracks))
	for i, t := range tracks {
		codecs[i] = t.codec
	}
	return fmt.Sprintf("; codecs=%q", strings.Join(codecs, ","))
}

// codecString names a track's codec, profile and level (RFC 6381, 3.3 and 3.4; ISO/IEC 14496-15, Annex E).
func codecString(t *track) (string, error) {
	switch t.Codec {
	case media.H264:
		if len(t.SPS) < 4 {
			return "", fmt.Errorf("SPS of %d bytes", len(t.SPS))
		}
		return fmt.Sprintf("avc1.%02x%02x%02x", t.SPS[1], t.SPS[2], t.SPS[3]), nil
	case media.H265:
		p, err := parseHEVCProfile(t.SPS)
		if err != nil {
			return "", err
		}
		return p.String(), nil
	case media.AAC:
		var c mpeg4audio.AudioSpecificConfig
		if err := c.Unmarshal(t.Config); err != nil {
			return "", fmt.Errorf("parsing AudioSpecificConfig: %w", err)
		}
		objectType := c.Type
		if c.ExtensionType != 0 {
			objectType = c.ExtensionType
		}
		return fmt.Sprintf("mp4a.40.%d", objectType), nil
	default:
		return "opus", nil
	}
}

// hevcProfile is the general part of profile_tier_level (ITU-T H.265, 7.3.3) as it stands in the SPS.
type hevcProfile struct {
	sps  []byte // without emulation prevention
	head byte   // general_profile_space, general_tier_flag, general_profile_idc
	// compatibility holds general_profile_compatibility_flag, the first one as the most significant bit.
	compatibility uint32
	constraints   [6]byte
	level         byte
}

func parseHEVCProfile(sps []byte) (*hevcProfile, error) {
	b := h264.EmulationPreventionRemove(sps) // H.265 has the same
	if len(b) < 15 {
		return nil, fmt.Errorf("SPS of %d bytes", len(sps))
	}
	// Two bytes of NAL unit header, one of IDs and layers.
	return &hevcProfile{
		sps:           b,
		head:          b[3],
		compatibility: uint32(b[4])<<24 | uint32(b[5])<<16 | uint32(b[6])<<8 | uint32(b[7]),
		constraints:   [6]byte(b[8:14]),
		level:         b[14],
	}, nil
}

func (p *hevcProfile) String() string {
	var s strings.Builder
	s.WriteString("hvc1.")
	if space := p.head >> 6; space > 0 {
		s.WriteByte('A' + space - 1)
	}
	tier := 'L'
	if p.head&0x20 != 0 {
		tier = 'H'
	}
	fmt.Fprintf(&s, "%d.%X.%c%d", p.head&0x1f, bits.Reverse32(p.compatibility), tier, p.level)
	last := len(p.constraints)
	for last > 0 && p.constraints[last-1] == 0 {
		last--
	}
	for _, c := range p.constraints[:last] {
		fmt.Fprintf(&s, ".%X", c)
	}
	return s.String()
}
