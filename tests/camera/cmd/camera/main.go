// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

// Command camera runs one simulated camera until it is interrupted.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/kubeedge/datastream/tests/camera"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "camera:", err)
		os.Exit(1)
	}
}

func run() error {
	var cfg camera.Config
	flag.StringVar(&cfg.Address, "listen", "127.0.0.1:8554", "host and port of the RTSP server")
	flag.StringVar(&cfg.Path, "path", "stream", "RTSP path")
	flag.StringVar(&cfg.Username, "username", "", "ask for this user name, and the password in $CAMERA_PASSWORD")
	flag.Float64Var(&cfg.Speed, "speed", 1, "seconds of the clip sent in one second")
	name := flag.String("clip", camera.Clock, "clip to play: clock, clock-bframes, clock-gop10s or clock-h265")
	g711 := flag.Bool("g711", false, "replace the clip's sound by G.711 A-law")
	flag.Parse()
	cfg.Password = os.Getenv("CAMERA_PASSWORD")

	var err error
	if cfg.Clip, err = camera.Load(*name); err != nil {
		return err
	}
	if *g711 {
		sound, err := camera.G711(false)
		if err != nil {
			return err
		}
		cfg.Clip = cfg.Clip.Only((*camera.Track).IsVideo).With(sound)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cam, err := camera.Start(cfg)
	if err != nil {
		return err
	}
	defer cam.Close()
	fmt.Println(cam.URL())
	<-ctx.Done()
	return nil
}
