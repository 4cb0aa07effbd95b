#!/bin/sh
# Copyright The KubeEdge Authors.
# SPDX-License-Identifier: Apache-2.0

# Makes the clips in this folder. Needs ffmpeg with libx264, libx265, libopus and drawtext, and
# fontconfig with the DejaVu fonts. The pictures and sounds are drawn here, from nothing.
#
# Every clip loops without a seam:
#   - the moving parts have periods that divide the length of the clip;
#   - the length is a whole number of audio frames, and the sound is silent around the joint, where a
#     decoder overlaps the last frame with the first;
#   - GOPs are closed and fixed, so the last picture needs nothing from the first, nor the other way round.
#
# One thread and bit-exact flags: the same ffmpeg makes the same bytes.
set -eu
cd "$(dirname "$0")"

fps=25
text="drawtext=font=DejaVu Sans:fontcolor"

# scene DURATION LABEL: a filter graph of 1280x720 pictures, labelled [v].
# The clock shows the time in the clip to the millisecond; a ball swings below it, once every 4 seconds.
scene() {
	cat <<-GRAPH
	gradients=s=1280x720:r=$fps:d=$1:c0=0x1e3a5f:c1=0x0b1220:x0=0:y0=0:x1=1280:y1=720:speed=0.00001:seed=1,
	loop=loop=-1:size=1,setpts=N/$fps/TB,trim=duration=$1,
	drawbox=x=140:y=492:w=1000:h=4:color=0x64748b:t=fill,
	$text=0x94a3b8:text=$2:fontsize=36:x=(w-tw)/2:y=140,
	$text=white:text='%{pts\\:hms}':fontsize=144:x=(w-tw)/2:y=250[bg];
	color=c=0x38bdf8:s=96x96:r=$fps:d=$1,format=yuva420p,
	geq=lum='lum(X,Y)':cb='cb(X,Y)':cr='cr(X,Y)':a='255*clip(47-hypot(X-47.5,Y-47.5),0,1)'[ball];
	[bg][ball]overlay=x='592+452*sin(2*PI*t/4)':y=446:eval=frame,format=yuv420p[v]
	GRAPH
}

# beep DURATION RATE FRAME_SIZE: a filter graph of mono sound, labelled [a]: 80 ms of 880 Hz each second, from .02 on.
beep() {
	echo "aevalsrc='0.2*sin(2*PI*880*t)*clip(min((mod(t,1)-0.02)*100,(0.1-mod(t,1))*100),0,1)':d=$1:s=$2,asetnsamples=$3:p=0[a]"
}

# clip FILE DURATION LABEL SIZE SAMPLE_RATE AUDIO_FRAMES
# Encodes with the options in $video and $audio. Sound and picture apart, for ffmpeg ends both when one has its
# number of frames; the sound is drawn too long, so that the encoder's look-ahead never shortens it.
clip() {
	file=$1 duration=$2 label=$3 size=$4 rate=$5 frames=$6
	exact="-threads 1 -fflags +bitexact -flags:v +bitexact+cgop -flags:a +bitexact -map_metadata -1"
	# shellcheck disable=SC2086 # the options are lists
	{
		ffmpeg -nostdin -v error -y \
			-filter_complex "$(scene "$duration" "$label" | tr -d '\n');[v]scale=$size:flags=bicubic[s]" \
			-map '[s]' $video $exact -f nut "$tmp/video"
		ffmpeg -nostdin -v error -y \
			-filter_complex "$(beep $((duration + 1)) "$rate" $((duration * rate / frames)))" \
			-map '[a]' $audio $exact -frames:a "$frames" -f nut "$tmp/audio"
		ffmpeg -nostdin -v error -y -i "$tmp/video" -i "$tmp/audio" -map 0 -map 1 -c copy $exact \
			-video_track_timescale 90000 ${tag:-} \
			-movflags +empty_moov+default_base_moof+frag_keyframe+negative_cts_offsets "$file"
	}
	ls -l "$file"
}

tmp=$(mktemp -d)
trap 'rm -r "$tmp"' EXIT

# Encoders sign their work with an SEI message of several hundred bytes; cameras do not: it is removed.
h264="-c:v libx264 -preset veryslow -profile:v high -pix_fmt yuv420p -sc_threshold 0 -bsf:v filter_units=remove_types=6"

audio="-c:a aac -b:a 40k"
video="$h264 -crf 23 -g 50 -keyint_min 50 -bf 0"
clip clock.mp4 16 'KubeEdge data streaming' 1280:720 48000 750

video="$h264 -crf 27 -g 50 -keyint_min 50 -bf 2 -x264-params b-adapt=0:b-pyramid=none"
clip clock-bframes.mp4 8 'B-frames' 640:360 48000 375

audio="-c:a aac -b:a 16k"
video="$h264 -crf 30 -g 250 -keyint_min 250 -bf 0"
clip clock-gop10s.mp4 20 'GOP 10 s' 640:360 32000 625

audio="-c:a libopus -b:a 24k -frame_duration 20 -vbr off"
video="-c:v libx265 -preset slow -pix_fmt yuv420p -crf 28
	-x265-params log-level=error:info=0:pools=none:frame-threads=1:keyint=50:min-keyint=50:scenecut=0:open-gop=0:bframes=0"
tag="-tag:v hvc1"
clip clock-h265.mp4 8 'H.265' 640:360 48000 400
