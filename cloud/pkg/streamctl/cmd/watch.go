// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubeedge/datastream/cloud/pkg/streamctl/streamserver"
	"github.com/kubeedge/datastream/cloud/pkg/streamctl/target"
)

// players read a stream from their standard input: their command line, which others on this machine can see, holds no ticket.
var players = map[string][]string{
	"ffplay": {"ffplay", "-loglevel", "warning", "-fflags", "nobuffer", "-"},
	"vlc":    {"vlc", "--quiet", "-"},
}

func newWatch(t *tool) *cobra.Command {
	var format, file, player string
	cmd := &cobra.Command{
		Use:   "watch RULE[/PATH]",
		Short: "Watch a stream: in a browser, a player, a file or a pipe",
		Long: "Print a URL with a ticket at which the stream can be watched; with -o write the stream to a file, or to standard output;\n" +
			"with --player show it.",
		Example: "  kubectl streams watch gate/camera\n  kubectl streams watch gate/camera --player ffplay\n" +
			"  kubectl streams watch gate/camera -o clip.mp4\n  kubectl streams watch gate/camera --format ts -o - | ffmpeg -i - -c copy clip.mkv",
		Args: cobra.ExactArgs(1), ValidArgsFunction: t.complete,
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "ts" && format != "mp4" {
				return fmt.Errorf("--format %s: want ts or mp4", format)
			}
			command, known := players[player]
			switch {
			case player != "" && !known:
				return fmt.Errorf("--player %s: want ffplay or vlc", player)
			case player != "" && file != "":
				return errors.New("-o and --player exclude each other")
			}
			s, server, err := t.one(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			defer server.Close()
			switch {
			case file != "":
				return t.record(cmd.Context(), server, s, format, file)
			case known:
				return t.play(cmd.Context(), server, s, format, command)
			default:
				return t.printURL(cmd.Context(), server, s)
			}
		},
	}
	cmd.Flags().StringVar(&format, "format", "mp4", "ts or mp4")
	cmd.Flags().StringVarP(&file, "output", "o", "", "file to write to; - is standard output")
	cmd.Flags().StringVar(&player, "player", "", "ffplay or vlc")
	return cmd
}

// record writes the stream until it or ctx ends.
func (t *tool) record(ctx context.Context, server *streamserver.Client, s *target.Target, format, file string) error {
	stream, err := server.Watch(ctx, s.Key, format)
	if err != nil {
		return err
	}
	defer stream.Close()
	if file == "-" {
		_, err := io.Copy(t.Out, stream)
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	began := time.Now()
	n, err := io.Copy(f, stream)
	err = errors.Join(err, f.Close())
	fmt.Fprintf(t.ErrOut, "%s: %d bytes in %s\n", file, n, time.Since(began).Round(time.Second))
	return err
}

// play shows the stream until the player ends.
func (t *tool) play(ctx context.Context, server *streamserver.Client, s *target.Target, format string, command []string) error {
	stream, err := server.Watch(ctx, s.Key, format)
	if err != nil {
		return err
	}
	defer stream.Close()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // one of players
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stream, t.Out, t.ErrOut
	cmd.WaitDelay = time.Second // the copying to a player that is gone ends only with the next frame
	if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return fmt.Errorf("%s: %w", command[0], err)
	}
	return nil
}

// printURL prints where the stream can be watched. A port-forward lasts until ctx ends.
func (t *tool) printURL(ctx context.Context, server *streamserver.Client, s *target.Target) error {
	ticket, expires, err := server.Ticket(ctx, s.Key)
	if err != nil {
		return err
	}
	query := url.Values{}
	hint := "Open it in a browser; add ?format=ts for ffplay or VLC."
	if ticket != "" {
		query.Set("ticket", ticket)
		hint = fmt.Sprintf("Open it in a browser within %.0f s; add &format=ts for ffplay or VLC.", time.Until(expires).Seconds())
	}
	fmt.Fprintln(t.Out, server.URL(s.Key, query))
	if !server.Forwarded() {
		fmt.Fprintln(t.ErrOut, hint)
		return nil
	}
	fmt.Fprintln(t.ErrOut, hint, "Ctrl-C ends the port-forward.")
	<-ctx.Done()
	return nil
}
