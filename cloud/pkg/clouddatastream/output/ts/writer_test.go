// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package ts

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"

	"github.com/kubeedge/datastream/cloud/pkg/clouddatastream/output/fmp4/cliptest"
	"github.com/kubeedge/datastream/pkg/media"
)

// As in ISO/IEC 13818-1, 2.4.3; pmtPID is the library's.
const (
	syncByte = 0x47
	pmtPID   = 0x1000
	maxPCR   = clockRate / 10 // 2.7.2
)

// mux writes a clip and returns what was written, and where the random access points begin.
func mux(t *testing.T, w *writer, c *cliptest.Clip, shift time.Duration) (stream []byte, points []int) {
	t.Helper()
	for _, u := range c.Units {
		u = c.Shifted(u, shift)
		if w.isRandomAccess(u) {
			points = append(points, len(stream))
		}
		packets, err := w.write(u)
		if err != nil {
			t.Fatal(err)
		}
		stream = append(stream, packets...)
	}
	return stream, points
}

func newWriter(t testing.TB, tracks []media.Track) *writer {
	t.Helper()
	w := &writer{}
	if err := w.setTracks(tracks); err != nil {
		t.Fatal(err)
	}
	return w
}

type frame struct {
	pts, dts int64
	data     [][]byte
}

// demux reads a transport stream with somebody else's reader, which reports each error.
func demux(t *testing.T, stream []byte) (types []string, frames map[uint16][]frame) {
	t.Helper()
	r := &mpegts.Reader{R: bytes.NewReader(stream)}
	if err := r.Initialize(); err != nil {
		t.Fatal(err)
	}
	r.OnDecodeError(func(err error) { t.Error(err) })
	frames = map[uint16][]frame{}
	for _, track := range r.Tracks() {
		add := func(pts, dts int64, data [][]byte) error { //nolint:unparam // the reader wants it so
			frames[track.PID] = append(frames[track.PID], frame{pts, dts, data})
			return nil
		}
		switch track.Codec.(type) {
		case *mpegts.CodecH264:
			types = append(types, "h264")
			r.OnDataH264(track, add)
		case *mpegts.CodecH265:
			types = append(types, "h265")
			r.OnDataH265(track, add)
		case *mpegts.CodecMPEG4Audio:
			types = append(types, "aac")
			r.OnDataMPEG4Audio(track, func(pts int64, aus [][]byte) error { return add(pts, pts, aus) })
		case *mpegts.CodecOpus:
			types = append(types, "opus")
			r.OnDataOpus(track, func(pts int64, packets [][]byte) error { return add(pts, pts, packets) })
		}
	}
	for {
		if err := r.Read(); errors.Is(err, io.EOF) {
			return types, frames
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for _, c := range []struct {
		name string
		want []string
	}{
		{cliptest.H264, []string{"h264", "aac"}},
		{cliptest.BFrames, []string{"h264", "aac"}},
		{cliptest.H265, []string{"h265", "opus"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			clip := cliptest.Load(t, c.name)
			w := newWriter(t, clip.Tracks)
			stream, _ := mux(t, w, clip, 0)
			types, frames := demux(t, stream)
			if !slices.Equal(types, c.want) {
				t.Fatalf("tracks %v, want %v", types, c.want)
			}
			for _, u := range clip.Units {
				track := w.find(u.Track)
				got := frames[track.pid()]
				if len(got) == 0 {
					t.Fatalf("unit %d of track %d is missing", u.Sequence, u.Track)
				}
				frames[track.pid()] = got[1:]
				checkFrame(t, track, u, got[0])
			}
			for pid, rest := range frames {
				if len(rest) > 0 {
					t.Errorf("%d frames too many with PID %d", len(rest), pid)
				}
			}
		})
	}
}

func checkFrame(t *testing.T, track *track, u *media.AccessUnit, got frame) {
	t.Helper()
	if got.pts != track.time(u.PTS) || got.dts != track.time(u.DTS()) {
		t.Fatalf("unit %d: PTS %d and DTS %d, want %d and %d", u.Sequence, got.pts, got.dts, track.time(u.PTS), track.time(u.DTS()))
	}
	want := [][]byte{u.Payload}
	if track.Kind == media.Video {
		nalus, err := media.NALUs(nil, u.Payload)
		if err != nil {
			t.Fatal(err)
		}
		want = nil // the reader takes the delimiter away
		if u.RandomAccess {
			for _, p := range [][]byte{track.VPS, track.SPS, track.PPS} {
				if len(p) > 0 {
					want = append(want, p)
				}
			}
		}
		want = append(want, nalus...)
	}
	if !slices.EqualFunc(got.data, want, bytes.Equal) {
		t.Fatalf("unit %d of track %d differs", u.Sequence, u.Track)
	}
}

func TestJoin(t *testing.T) {
	clip := cliptest.Load(t, cliptest.H264)
	w := newWriter(t, clip.Tracks)
	stream, points := mux(t, w, clip, 0)
	if len(points) < 4 {
		t.Fatalf("%d random access points", len(points))
	}
	checkTables(t, stream, points)
	for _, p := range points {
		_, frames := demux(t, stream[p:])
		first := frames[w.lead.pid()][0]
		if len(first.data) < 3 || first.data[0][0]&0x1f != 7 {
			t.Error("the first frame is no random access point")
		}
	}
}

// checkTables checks that there is a PAT and then a PMT at each of the points.
func checkTables(t *testing.T, stream []byte, points []int) {
	t.Helper()
	for _, p := range points {
		if pat, pmt := pid(stream[p:]), pid(stream[p+packetSize:]); pat != 0 || pmt != pmtPID {
			t.Fatalf("chunk begins with PID %d and %d", pat, pmt)
		}
	}
}

func pid(packet []byte) uint16 { return uint16(packet[1]&0x1f)<<8 | uint16(packet[2]) }

// TestContinuity checks counters and PCR packet by packet, through a change of parameter sets.
func TestContinuity(t *testing.T) {
	clip := cliptest.Load(t, cliptest.H264)
	w := newWriter(t, clip.Tracks)
	stream, _ := mux(t, w, clip, 0)
	changed := slices.Clone(clip.Tracks)
	changed[0].PPS = append(bytes.Clone(changed[0].PPS), 0x80)
	if err := w.setTracks(changed); err != nil {
		t.Fatal(err)
	}
	more, _ := mux(t, w, clip, clip.Length)
	checkContinuity(t, append(stream, more...), w.lead.pid())
	_, frames := demux(t, more)
	if got := frames[w.lead.pid()][0].data[1]; !bytes.Equal(got, changed[0].PPS) {
		t.Errorf("PPS %x, want %x", got, changed[0].PPS)
	}
}

// TestTrackChange has a stream that begins with other tracks behind what went before.
func TestTrackChange(t *testing.T) {
	clip := cliptest.Load(t, cliptest.H264)
	w := newWriter(t, clip.Tracks)
	mux(t, w, clip, 0)
	if err := w.setTracks(clip.Tracks[1:]); err != nil {
		t.Fatal(err)
	}
	stream, points := mux(t, w, clip, clip.Length)
	checkTables(t, stream, points)
	if types, _ := demux(t, stream); !slices.Equal(types, []string{"aac"}) {
		t.Errorf("tracks %v", types)
	}
}

// TestAudioFirst: the lead track's random access points have the tables, whichever track is first.
func TestAudioFirst(t *testing.T) {
	clip := cliptest.Load(t, cliptest.H264)
	slices.SortStableFunc(clip.Units[:10], func(a, b *media.AccessUnit) int { return int(b.Track) - int(a.Track) })
	w := newWriter(t, clip.Tracks)
	if clip.Units[0].Track == w.lead.ID {
		t.Fatal("the lead is first")
	}
	stream, points := mux(t, w, clip, 0)
	checkTables(t, stream, points)
	_, frames := demux(t, stream)
	if len(frames[w.lead.pid()]) == 0 {
		t.Error("no pictures")
	}
}

// fields are what the tests want to know of one packet.
type fields struct {
	pid           uint16
	counter       byte
	payload       bool
	discontinuity bool
	pcr           int64 // -1: none
}

func parse(t *testing.T, stream []byte) []fields {
	t.Helper()
	if len(stream)%packetSize != 0 {
		t.Fatalf("%d bytes are no whole packets", len(stream))
	}
	var all []fields
	for i := 0; i < len(stream); i += packetSize {
		p := stream[i : i+packetSize]
		if p[0] != syncByte {
			t.Fatalf("packet %d: no sync byte", i/packetSize)
		}
		f := fields{pid: pid(p), counter: p[3] & 0x0f, payload: p[3]&0x10 != 0, pcr: -1}
		if p[3]&0x20 != 0 && p[4] > 0 {
			f.discontinuity = p[5]&0x80 != 0
			if p[5]&0x10 != 0 {
				f.pcr = int64(p[6])<<25 | int64(p[7])<<17 | int64(p[8])<<9 | int64(p[9])<<1 | int64(p[10])>>7
			}
		}
		all = append(all, f)
	}
	return all
}

// checkContinuity checks counters and PCRs (ISO/IEC 13818-1, 2.4.3.3 and 2.7.2) and returns how often each PID is marked as discontinuous.
func checkContinuity(t *testing.T, stream []byte, pcrPID uint16) (marks map[uint16]int) {
	t.Helper()
	marks = map[uint16]int{}
	counters := map[uint16]byte{}
	lastPCR, pcrs := int64(-1), 0
	for i, f := range parse(t, stream) {
		if f.discontinuity {
			marks[f.pid]++
		}
		want := counters[f.pid]
		if f.payload {
			want = (want + 1) & 0x0f
		}
		if _, seen := counters[f.pid]; seen && !f.discontinuity && f.counter != want {
			t.Fatalf("packet %d: counter %d of PID %d, want %d", i, f.counter, f.pid, want)
		}
		counters[f.pid] = f.counter
		if f.pcr < 0 {
			continue
		}
		if f.pid != pcrPID || f.pcr <= lastPCR || pcrs > 0 && !f.discontinuity && f.pcr-lastPCR > maxPCR {
			t.Fatalf("packet %d: PCR %d of PID %d after %d", i, f.pcr, f.pid, lastPCR)
		}
		lastPCR = f.pcr
		pcrs++
	}
	if pcrs == 0 {
		t.Error("no PCR")
	}
	return marks
}

// TestDiscontinuity has a break: the first packet of each PID behind it is marked, and none else.
func TestDiscontinuity(t *testing.T) {
	clip := cliptest.Load(t, cliptest.BFrames)
	w := newWriter(t, clip.Tracks)
	clip.Units[0].Discontinuity = true // nothing was before it
	stream, _ := mux(t, w, clip, 0)
	if marks := checkContinuity(t, stream, w.lead.pid()); len(marks) > 0 {
		t.Errorf("marks %v without a break", marks)
	}
	more, _ := mux(t, w, clip, clip.Length+5*time.Second)
	marks := checkContinuity(t, append(stream, more...), w.lead.pid())
	if len(marks) != 2 || marks[w.tracks[0].pid()] != 1 || marks[w.tracks[1].pid()] != 1 {
		t.Errorf("marks %v, want one for each of two", marks)
	}
	if first := parse(t, more)[2]; first.pid != w.lead.pid() || !first.discontinuity || first.pcr < 0 {
		t.Errorf("behind the tables comes %+v", first)
	}
}

// TestCodecChange has other codecs on the same PIDs, and back: a demuxer of one program follows.
func TestCodecChange(t *testing.T) {
	h264, h265 := cliptest.Load(t, cliptest.H264), cliptest.Load(t, cliptest.H265)
	w := newWriter(t, h264.Tracks)
	stream, _ := mux(t, w, h264, 0)
	var versions []byte
	for i, clip := range []*cliptest.Clip{h265, h264} {
		if err := w.setTracks(clip.Tracks); err != nil {
			t.Fatal(err)
		}
		more, points := mux(t, w, clip, time.Duration(i+1)*h264.Length)
		checkTables(t, more, points)
		versions = append(versions, more[packetSize+10]>>1&0x1f) // behind pointer, ID, length and program
		demux(t, more)
		stream = append(stream, more...)
	}
	if versions[0] == versions[1] {
		t.Errorf("versions of the PMT are %v", versions)
	}
	marks := checkContinuity(t, stream, w.lead.pid())
	if marks[w.tracks[0].pid()] != 2 || marks[w.tracks[1].pid()] != 2 {
		t.Errorf("marks %v, want two for each", marks)
	}
}

// TestAudioComesAndGoes leaves the picture alone.
func TestAudioComesAndGoes(t *testing.T) {
	clip := cliptest.Load(t, cliptest.H264)
	w := newWriter(t, clip.Tracks)
	stream, _ := mux(t, w, clip, 0)
	for i, tracks := range [][]media.Track{clip.Tracks[:1], clip.Tracks} {
		if err := w.setTracks(tracks); err != nil {
			t.Fatal(err)
		}
		more, _ := mux(t, w, clip, time.Duration(i+1)*clip.Length)
		if types, _ := demux(t, more); len(types) != len(tracks) {
			t.Errorf("tracks %v, want %d", types, len(tracks))
		}
		stream = append(stream, more...)
	}
	if marks := checkContinuity(t, stream, w.lead.pid()); marks[w.lead.pid()] != 0 || marks[w.tracks[1].pid()] != 1 {
		t.Errorf("marks %v", marks)
	}
}

// TestRareFrames has a picture every half second in GOPs without end: sound brings the PCR, and tables come all the same.
func TestRareFrames(t *testing.T) {
	clip := cliptest.Load(t, cliptest.H264)
	w := newWriter(t, clip.Tracks)
	n, kept := 0, []*media.AccessUnit{}
	for _, u := range clip.Units {
		if u.Track == w.lead.ID {
			n++
			u.RandomAccess = n == 1
			if n%12 != 1 {
				continue
			}
		}
		kept = append(kept, u)
	}
	clip.Units = kept
	stream, _ := mux(t, w, clip, 0)
	checkContinuity(t, stream, w.lead.pid())
	tables := 0
	for _, f := range parse(t, stream) {
		if f.pid == 0 {
			tables++
		}
	}
	if want := int(clip.Length / (600 * time.Millisecond)); tables < want {
		t.Errorf("%d tables, want %d or more", tables, want)
	}
	demux(t, stream)
}

// TestWrap lets the clock run over 33 bits.
func TestWrap(t *testing.T) {
	clip := cliptest.Load(t, cliptest.BFrames)
	w := newWriter(t, clip.Tracks)
	const wrap = (1<<33 - startTime) * time.Second / clockRate
	stream, _ := mux(t, w, clip, wrap-clip.Length/2)
	_, frames := demux(t, stream)
	first, last := frames[w.lead.pid()][0], frames[w.lead.pid()][len(frames[w.lead.pid()])-1]
	if first.pts < 1<<33-5*clockRate || last.pts > 5*clockRate {
		t.Errorf("first PTS %d, last %d", first.pts, last.pts)
	}
}

func TestTime(t *testing.T) {
	year := int64(365 * 24 * 3600)
	for _, c := range []struct {
		rate  int
		ticks int64
		want  int64
	}{
		{90000, 0, startTime},
		{90000, 4500, startTime + 4500},
		{90000, -1, startTime},
		{48000, 1024, startTime + 1920},
		{1_000_000_000, 100 * year * 1_000_000_000, startTime + 100*year*clockRate},
	} {
		tr := &track{Track: media.Track{ClockRate: c.rate}}
		if got := tr.time(c.ticks); got != c.want {
			t.Errorf("%d ticks of %d Hz: %d, want %d", c.ticks, c.rate, got, c.want)
		}
	}
}

// TestDelimiter has payloads that begin with an access unit delimiter, which has to stay in front of the parameter sets.
func TestDelimiter(t *testing.T) {
	for _, c := range []struct {
		clip      string
		delimiter []byte
	}{
		{cliptest.H264, []byte{0x09, 0x10}},
		{cliptest.H265, []byte{0x46, 0x01, 0x10}},
	} {
		video := cliptest.Load(t, c.clip).Tracks[:1]
		w := newWriter(t, video)
		slice := []byte{0x26, 1, 2}
		if video[0].Codec == media.H264 {
			slice[0] = 0x65
		}
		u := &media.AccessUnit{Track: w.lead.ID, RandomAccess: true, Payload: media.JoinNALUs([][]byte{c.delimiter, slice})}
		packets, err := w.write(u)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(packets, append([]byte{0, 0, 0, 1}, c.delimiter[:1]...)); n != 1 {
			t.Errorf("%s: %d delimiters", c.clip, n)
		}
		_, frames := demux(t, packets)
		got := frames[w.lead.pid()][0].data
		want := [][]byte{w.lead.SPS, w.lead.PPS, slice}
		if w.lead.Codec == media.H265 {
			want = append([][]byte{w.lead.VPS}, want...)
		}
		if !slices.EqualFunc(got, want, bytes.Equal) {
			t.Errorf("%s: got %x, want %x", c.clip, got, want)
		}
		alone := &media.AccessUnit{Track: w.lead.ID, Payload: media.JoinNALUs([][]byte{c.delimiter})}
		if b, err := w.write(alone); err != nil || len(b) != 0 {
			t.Errorf("%s: %d bytes of nothing but a delimiter, error %v", c.clip, len(b), err)
		}
	}
}

// TestNoIDR has a stream whose random access points are recovery points only: tables come all the same.
func TestNoIDR(t *testing.T) {
	clip := cliptest.Load(t, cliptest.H264)
	w := newWriter(t, clip.Tracks[:1])
	var stream []byte
	join := 0
	for i := range int64(200) {
		u := &media.AccessUnit{Track: w.lead.ID, RandomAccess: i%10 == 0, PTS: i * 3600, Payload: media.JoinNALUs([][]byte{{0x61, byte(i)}})}
		if i == 50 {
			join = len(stream)
		}
		packets, err := w.write(u)
		if err != nil {
			t.Fatal(err)
		}
		stream = append(stream, packets...)
	}
	_, frames := demux(t, stream[join:])
	if n := len(frames[w.lead.pid()]); n < 100 {
		t.Errorf("%d frames", n)
	}
}

func TestMalformed(t *testing.T) {
	clip := cliptest.Load(t, cliptest.H264)
	w := newWriter(t, clip.Tracks)
	for _, payload := range [][]byte{{1}, {0, 0, 0, 9, 1}, {0xff, 0xff, 0xff, 0xff, 1}} {
		if _, err := w.write(&media.AccessUnit{Track: w.lead.ID, Payload: payload}); err == nil {
			t.Errorf("%x: no error", payload)
		}
	}
	mux(t, w, clip, 0)
	if b, err := w.write(&media.AccessUnit{Track: clip.Tracks[1].ID, Payload: make([]byte, 9000)}); err != nil || len(b) > 0 {
		t.Errorf("an AAC frame of 9000 bytes became %d: %v", len(b), err)
	}
}

func TestSubset(t *testing.T) {
	g711 := media.Track{ID: 7, Kind: media.Audio, Codec: media.PCMU, ClockRate: 8000, Channels: 1}
	w := &writer{}
	if err := w.setTracks([]media.Track{g711}); !errors.Is(err, errNoTrack) {
		t.Errorf("error is %v", err)
	}
	w = newWriter(t, append([]media.Track{g711}, cliptest.Load(t, cliptest.H264).Tracks...))
	if b, err := w.write(&media.AccessUnit{Track: 7, Payload: []byte{1}}); err != nil || len(b) != 0 {
		t.Errorf("%d bytes for a track that is left out, error %v", len(b), err)
	}
	var many []media.Track
	for i := range media.MaxTracks {
		many = append(many, media.Track{ID: uint8(240 + i), Kind: media.Audio, Codec: media.Opus, ClockRate: 48000, Channels: 2})
	}
	w = newWriter(t, many)
	b, err := w.write(&media.AccessUnit{Track: w.lead.ID, RandomAccess: true, Payload: []byte{1}})
	if err != nil || len(w.tracks) != maxTracks || len(b) != 3*packetSize {
		t.Errorf("%d tracks, %d bytes, error %v", len(w.tracks), len(b), err)
	}
}

func BenchmarkWrite(b *testing.B) {
	clip := cliptest.Load(b, cliptest.H264)
	w := newWriter(b, clip.Tracks)
	u := &media.AccessUnit{Track: w.lead.ID, Payload: media.JoinNALUs([][]byte{make([]byte, 16<<10)})}
	b.ReportAllocs()
	b.SetBytes(int64(len(u.Payload)))
	for b.Loop() {
		u.PTS += 3600
		if _, err := w.write(u); err != nil {
			b.Fatal(err)
		}
	}
}
