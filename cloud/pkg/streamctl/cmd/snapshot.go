// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubeedge/datastream/cloud/pkg/streamctl/picture"
)

func newSnapshot(t *tool) *cobra.Command {
	var file string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "snapshot RULE[/PATH]",
		Short: "Take one picture",
		Long: "Take the newest key frame of a stream: as an MP4 of one picture, since nothing here decodes video. For a .jpg or .png ffmpeg does,\n" +
			"if it is in PATH.",
		Example: "  kubectl streams snapshot gate/camera\n  kubectl streams snapshot gate/camera -o gate.jpg\n  kubectl streams snapshot gate/camera -o - | ffplay -",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: t.complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			write, err := t.writer(ctx, file)
			if err != nil {
				return err
			}
			s, server, err := t.one(ctx, args[0])
			if err != nil {
				return err
			}
			defer server.Close()
			stream, err := server.Watch(ctx, s.Key, "mp4")
			if err != nil {
				return err
			}
			defer stream.Close()
			clip, err := picture.Snapshot(stream)
			if err != nil {
				return err
			}
			if file == "" {
				file = strings.ReplaceAll(s.String(), "/", "-") + ".mp4"
			}
			return write(file, clip)
		},
	}
	cmd.Flags().StringVarP(&file, "output", "o", "", "file: .mp4, or .jpg and .png with ffmpeg; - is standard output; default RULE-PATH.mp4")
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long to wait for a picture")
	return cmd
}

// writer returns how a picture is written to such a file.
func (t *tool) writer(ctx context.Context, file string) (func(string, []byte) error, error) {
	switch strings.ToLower(filepath.Ext(file)) {
	case "", ".mp4", ".m4v":
		if file == "-" {
			return func(_ string, clip []byte) error {
				_, err := t.Out.Write(clip)
				return err
			}, nil
		}
		return func(file string, clip []byte) error { return t.written(file, os.WriteFile(file, clip, 0o600)) }, nil
	case ".jpg", ".jpeg", ".png":
		ffmpeg, err := exec.LookPath("ffmpeg")
		if err != nil {
			return nil, errors.New("a picture must be decoded for that, which ffmpeg does, and there is no ffmpeg in PATH: install it, or take -o NAME.mp4")
		}
		return func(file string, clip []byte) error { return t.written(file, decode(ctx, ffmpeg, file, clip)) }, nil
	default:
		return nil, fmt.Errorf("-o %s: want a name that ends in .mp4, .jpg or .png", file)
	}
}

func (t *tool) written(file string, err error) error {
	if err == nil {
		fmt.Fprintln(t.ErrOut, file)
	}
	return err
}

func decode(ctx context.Context, ffmpeg, file string, clip []byte) error {
	cmd := exec.CommandContext(ctx, ffmpeg, "-loglevel", "error", "-y", "-i", "-", "-frames:v", "1", "-update", "1", "file:"+file) //nolint:gosec // the caller's own file
	var errors bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(clip), &errors
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("ffmpeg: %w: %s", err, strings.TrimSpace(errors.String()))
	}
	return nil
}
