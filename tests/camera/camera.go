// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Package camera simulates an IP camera: a real RTSP server that plays a short clip for ever, with continuous
// RTP timestamps. It serves `make demo`, the tests and the benchmarks.
package camera

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/auth"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/format"

	"github.com/kubeedge/datastream/tests/ports"
)

// writeQueueSize is the number of packets that may wait for one session before gortsplib closes it: several
// key frames, so that a test with a high Speed does not lose its session to a busy machine.
const writeQueueSize = 2048

// Config says what a camera plays and to whom.
type Config struct {
	// Address is the host and port to listen on; default 127.0.0.1:0. Port 0 takes a free one, see Camera.Address.
	Address string
	// Path is the RTSP path, without a slash in front; default "stream".
	Path string
	// Clip is what to play; default Clock.
	Clip *Clip

	// Username and Password are asked for when Username is not empty.
	Username, Password string
	// AuthMethods defaults to Basic and Digest with MD5.
	AuthMethods []auth.VerifyMethod

	// Transports are those allowed, of gortsplib.TransportTCP and TransportUDP; default both. Others are answered
	// with 461 Unsupported Transport.
	Transports []gortsplib.Transport

	// Speed is how many seconds of the clip are sent in one second; default 1. Timestamps stay at clip rate, and so
	// do the times in sender reports, which thus run ahead of the clock.
	Speed float64

	// WrapAfter lets all RTP timestamps run over 32 bits so much clip time after the start; by default they begin
	// anywhere (RFC 3550, 5.1).
	WrapAfter time.Duration
}

// Camera is one running camera.
type Camera struct {
	closeOnce sync.Once
	cfg       Config
	address   string
	server    *gortsplib.Server
	stream    *gortsplib.ServerStream
	player    *player
	cancel    context.CancelFunc
	wait      sync.WaitGroup

	sessions sessions
}

// Start starts a camera. It runs until Close.
func Start(cfg Config) (*Camera, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}

	ln, err := ports.Listen(cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("starting camera: %w", err)
	}
	c := &Camera{cfg: cfg, address: ln.Addr().String()}
	c.sessions.init()
	c.server = &gortsplib.Server{
		Handler:        c,
		RTSPAddress:    c.address,
		Listen:         func(string, string) (net.Listener, error) { return ln, nil },
		WriteQueueSize: writeQueueSize,
		AuthMethods:    cfg.AuthMethods,
		// gortsplib v4.16.2 writes nanoseconds where RFC 3550 section 4 wants 1/2^32 seconds; the player sends reports itself.
		DisableRTCPSenderReports: true,
	}
	closeUDP := func() {}
	if slices.Contains(cfg.Transports, gortsplib.TransportUDP) {
		rtp, rtcp, err := listenUDPPair(c.address)
		if err != nil {
			ln.Close()
			return nil, fmt.Errorf("starting camera: %w", err)
		}
		closeUDP = func() { _, _ = rtp.Close(), rtcp.Close() }
		c.server.UDPRTPAddress, c.server.UDPRTCPAddress = rtp.LocalAddr().String(), rtcp.LocalAddr().String()
		c.server.ListenPacket = func(_, address string) (net.PacketConn, error) {
			if address == rtp.LocalAddr().String() {
				return rtp, nil
			}
			return rtcp, nil
		}
	}
	if err := c.server.Start(); err != nil {
		ln.Close()
		closeUDP()
		return nil, fmt.Errorf("starting camera: %w", err)
	}

	c.stream = &gortsplib.ServerStream{Server: c.server, Desc: describe(cfg.Clip)}
	if err := c.stream.Initialize(); err != nil {
		c.server.Close()
		return nil, fmt.Errorf("starting camera: %w", err)
	}
	c.sessions.ready(c.stream)

	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	c.player = newPlayer(c.stream, cfg.Clip, cfg.Speed, cfg.WrapAfter)
	c.wait.Go(func() { c.player.run(ctx) })
	return c, nil
}

func (cfg *Config) complete() error {
	if cfg.Address == "" {
		cfg.Address = "127.0.0.1:0"
	}
	if cfg.Path = strings.Trim(cfg.Path, "/"); cfg.Path == "" {
		cfg.Path = "stream"
	}
	if cfg.Clip == nil {
		clip, err := Load(Clock)
		if err != nil {
			return err
		}
		cfg.Clip = clip
	}
	if len(cfg.Clip.Tracks) == 0 {
		return fmt.Errorf("clip without tracks")
	}
	if cfg.Transports == nil {
		cfg.Transports = []gortsplib.Transport{gortsplib.TransportTCP, gortsplib.TransportUDP}
	}
	if cfg.Speed == 0 {
		cfg.Speed = 1
	}
	if cfg.Speed < 0 {
		return fmt.Errorf("negative speed %v", cfg.Speed)
	}
	return nil
}

// describe makes the session description of a clip. The formats with parameter sets are copies, for
// SwitchClip changes them.
func describe(clip *Clip) *description.Session {
	desc := &description.Session{Title: "camera"}
	for _, t := range clip.Tracks {
		media := &description.Media{Type: description.MediaTypeAudio, Formats: []format.Format{t.Format}}
		switch f := t.Format.(type) {
		case *format.H264:
			media.Type = description.MediaTypeVideo
			media.Formats[0] = &format.H264{
				PayloadTyp: f.PayloadTyp, PacketizationMode: f.PacketizationMode, SPS: f.SPS, PPS: f.PPS,
			}
		case *format.H265:
			media.Type = description.MediaTypeVideo
			media.Formats[0] = &format.H265{PayloadTyp: f.PayloadTyp, VPS: f.VPS, SPS: f.SPS, PPS: f.PPS}
		}
		desc.Medias = append(desc.Medias, media)
	}
	return desc
}

// Close ends all sessions and waits for everything to stop. Another camera may then start on the same
// address. Only the first call counts.
func (c *Camera) Close() {
	c.closeOnce.Do(func() {
		c.cancel()
		c.wait.Wait()
		c.stream.Close()
		c.server.Close()
	})
}

// Address returns the host and port the camera listens on.
func (c *Camera) Address() string { return c.address }

// URL returns the RTSP URL, without credentials.
func (c *Camera) URL() string {
	return (&url.URL{Scheme: "rtsp", Host: c.address, Path: "/" + c.cfg.Path}).String()
}

// Stall makes the camera send nothing, neither RTP nor RTCP, while connections stay open.
func (c *Camera) Stall() { c.player.stalled.Store(true) }

// Resume ends a stall. Sequence numbers go on where they were and timestamps where they would have been, from
// the next random access point on.
func (c *Camera) Resume() { c.player.stalled.Store(false) }

// Jump sets the clock of all RTP timestamps forward, or back, between two packets of a session that goes on.
func (c *Camera) Jump(d time.Duration) { c.player.jump.Add(int64(d)) }

// Drop makes the camera lose its next n RTP packets: their sequence numbers are missing, as if the network
// had lost them.
func (c *Camera) Drop(n int) { c.player.drop.Add(int64(n)) }

// SwitchClip changes what the camera plays, at the next random access point of its video and without a
// break in RTP: new parameter sets come in-band, and in the descriptions given from then on. It is an error
// if the new clip's tracks differ from the old one's in number, codec or clock rate.
func (c *Camera) SwitchClip(clip *Clip) error {
	old := c.cfg.Clip.Tracks
	if len(clip.Tracks) != len(old) {
		return fmt.Errorf("switching clip: %d tracks instead of %d", len(clip.Tracks), len(old))
	}
	for i, t := range clip.Tracks {
		if was := old[i].Format; t.Format.RTPMap() != was.RTPMap() || t.Format.PayloadType() != was.PayloadType() {
			return fmt.Errorf("switching clip: track %d is %s instead of %s", i, t.Format.RTPMap(), was.RTPMap())
		}
	}
	for i, media := range c.stream.Desc.Medias {
		switch f := media.Formats[0].(type) {
		case *format.H264:
			to := clip.Tracks[i].Format.(*format.H264)
			f.SafeSetParams(to.SPS, to.PPS)
		case *format.H265:
			to := clip.Tracks[i].Format.(*format.H265)
			f.SafeSetParams(to.VPS, to.SPS, to.PPS)
		}
	}
	c.player.next.Store(clip)
	return nil
}
