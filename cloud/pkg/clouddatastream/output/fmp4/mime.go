// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package fmp4

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mp4"

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
		codecs[i] = t.name
	}
	return fmt.Sprintf("; codecs=%q", strings.Join(codecs, ","))
}

// codecName names a codec, its profile and level (RFC 6381, 3.3 and 3.4; ISO/IEC 14496-15, Annex E).
func codecName(codec mp4.Codec) (string, error) {
	switch c := codec.(type) {
	case *mp4.CodecH264:
		if len(c.SPS) < 4 {
			return "", fmt.Errorf("SPS of %d bytes", len(c.SPS))
		}
		return fmt.Sprintf("avc1.%02x%02x%02x", c.SPS[1], c.SPS[2], c.SPS[3]), nil
	case *mp4.CodecH265:
		p, err := parseHEVCProfile(c.SPS)
		return p.String(), err
	case *mp4.CodecMPEG4Audio:
		objectType := c.Config.Type
		if c.Config.ExtensionType != 0 {
			objectType = c.Config.ExtensionType
		}
		return fmt.Sprintf("mp4a.40.%d", objectType), nil
	default:
		return "opus", nil
	}
}

// hevcProfile is the general part of profile_tier_level (ITU-T H.265, 7.3.3) without emulation prevention: one byte of
// profile space, tier and profile, four of compatibility flags, six of constraint flags, and the level.
type hevcProfile [12]byte

func parseHEVCProfile(sps []byte) (hevcProfile, error) {
	b := h264.EmulationPreventionRemove(sps) // H.265 has the same
	if len(b) < 15 {
		return hevcProfile{}, fmt.Errorf("SPS of %d bytes", len(sps))
	}
	return hevcProfile(b[3:15]), nil // behind two bytes of NAL unit header, one of IDs and layers
}

func (p hevcProfile) String() string {
	var s strings.Builder
	s.WriteString("hvc1.")
	if space := p[0] >> 6; space > 0 {
		s.WriteByte('A' + space - 1)
	}
	tier := 'L'
	if p[0]&0x20 != 0 {
		tier = 'H'
	}
	fmt.Fprintf(&s, "%d.%X.%c%d", p[0]&0x1f, bits.Reverse32(binary.BigEndian.Uint32(p[1:])), tier, p[11])
	for _, c := range bytes.TrimRight(p[5:11], "\x00") {
		fmt.Fprintf(&s, ".%X", c)
	}
	return s.String()
}
