// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package fmp4

import (
	"bytes"
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4/seekablebuffer"

	"github.com/kubeedge/datastream/pkg/media"
)

func marshalInit(tracks []*track) ([]byte, error) {
	var init fmp4.Init
	for _, t := range tracks {
		init.Tracks = append(init.Tracks, &fmp4.InitTrack{ID: t.number(), TimeScale: uint32(t.ClockRate), Codec: t.codec})
	}
	var buf seekablebuffer.Buffer
	if err := init.Marshal(&buf); err != nil {
		return nil, fmt.Errorf("writing the initialization segment: %w", err)
	}
	segment := buf.Bytes()
	for _, t := range tracks {
		if t.Codec == media.H265 {
			if err := patchHEVC(segment, t.SPS); err != nil {
				return nil, err
			}
		}
	}
	return segment, nil
}

// patchHEVC corrects the next H.265 sample entry as the library writes it. Its name is hev1, which Safari does not play;
// hvc1 is for parameter sets in the sample entry, as here. And hvcC (ISO/IEC 14496-15, 8.3.3.1) lacks profile space and
// tier, and takes the constraint flags from one byte too early: profile and level are copied anew from the SPS.
func patchHEVC(segment, sps []byte) error {
	profile, err := parseHEVCProfile(sps)
	if err != nil {
		return err
	}
	_, entry, found := bytes.Cut(segment, []byte("hev1"))
	_, record, foundRecord := bytes.Cut(entry, []byte("hvcC"))
	if !found || !foundRecord {
		return nil // the library has learnt better
	}
	copy(segment[len(segment)-len(entry)-4:], "hvc1")
	copy(record[1:], profile[:]) // behind configurationVersion
	return nil
}
