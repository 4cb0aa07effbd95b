// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package fmp4

import (
	"encoding/binary"

	"github.com/kubeedge/datastream/pkg/media"
)

// Sizes in bytes of a fragment's boxes, which contain one sample each.
const (
	mfhdSize = 8 + 8
	tfhdSize = 8 + 8
	tfdtSize = 8 + 12
	trunSize = 8 + 12 + 16
	trafSize = 8 + tfhdSize + tfdtSize + trunSize
	moofSize = 8 + mfhdSize + trafSize
	// dataOffset is where the sample lies, from the start of moof.
	dataOffset = moofSize + 8
)

// Flags of track fragment boxes (ISO/IEC 14496-12, 8.8.7 and 8.8.8).
const (
	tfhdDefaultBaseIsMoof = 0x020000
	trunDataOffset        = 0x000001
	trunDuration          = 0x000100
	trunSampleSize        = 0x000200
	trunSampleFlags       = 0x000400
	trunCompositionOffset = 0x000800
)

// Sample flags (ISO/IEC 14496-12, 8.8.3.1).
const (
	sampleDependsOnNone   = 2 << 24
	sampleDependsOnOthers = 1 << 24
	sampleIsNotDependedOn = 2 << 22
	sampleIsNonSync       = 1 << 16
)

// AppendFragment appends the fragment of one access unit to dst. It appends nothing where the unit's track is not carried.
func (m *Muxer) AppendFragment(dst []byte, u *media.AccessUnit) []byte {
	t := m.find(u.Track)
	if t == nil || len(u.Payload) == 0 {
		return dst
	}
	var parameter []byte
	if m.inBand && u.RandomAccess {
		parameter = t.parameter
	}
	// Decoding times are unsigned (8.8.12). Where reordering would begin below zero, decoding begins at zero.
	dts := max(u.DTS(), 0)
	size := uint32(len(parameter) + len(u.Payload))
	m.sequence++

	be := binary.BigEndian
	dst = appendHeader(dst, moofSize, "moof")

	dst = appendHeader(dst, mfhdSize, "mfhd")
	dst = be.AppendUint32(dst, 0)
	dst = be.AppendUint32(dst, m.sequence)

	dst = appendHeader(dst, trafSize, "traf")

	dst = appendHeader(dst, tfhdSize, "tfhd")
	dst = be.AppendUint32(dst, tfhdDefaultBaseIsMoof)
	dst = be.AppendUint32(dst, t.number())

	dst = appendHeader(dst, tfdtSize, "tfdt")
	dst = be.AppendUint32(dst, 1<<24)
	dst = be.AppendUint64(dst, uint64(dts))

	dst = appendHeader(dst, trunSize, "trun")
	dst = be.AppendUint32(dst, 1<<24|trunDataOffset|trunDuration|trunSampleSize|trunSampleFlags|trunCompositionOffset)
	dst = be.AppendUint32(dst, 1) // samples
	dst = be.AppendUint32(dst, dataOffset)
	dst = be.AppendUint32(dst, t.duration(u, dts))
	dst = be.AppendUint32(dst, size)
	dst = be.AppendUint32(dst, sampleFlags(u))
	dst = be.AppendUint32(dst, uint32(int32(u.PTS-dts)))

	dst = appendHeader(dst, 8+size, "mdat")
	dst = append(dst, parameter...)
	return append(dst, u.Payload...)
}

func appendHeader(dst []byte, size uint32, name string) []byte {
	dst = binary.BigEndian.AppendUint32(dst, size)
	return append(dst, name...)
}

func sampleFlags(u *media.AccessUnit) uint32 {
	flags := uint32(sampleDependsOnNone)
	if !u.RandomAccess {
		flags = sampleDependsOnOthers | sampleIsNonSync
	}
	if u.Disposable {
		flags |= sampleIsNotDependedOn
	}
	return flags
}

// number is the track's ID in MP4, where zero is not allowed.
func (t *track) number() uint32 { return uint32(t.ID) + 1 }
