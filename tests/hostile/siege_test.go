// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// siegeEnv makes a process of this program an attacker, which runs no tests.
const siegeEnv = "DATASTREAM_HOSTILE_SIEGE"

// siegeOrders are what an attacker does: it connects so often, says the same on each connection, and holds all of them.
type siegeOrders struct {
	Address string // that is attacked
	From    net.IP // the attacker's address; nil: any
	Count   int
	Words   []byte // said at once
	Drip    []byte // said thrice, when all connections are there
}

// siege is an attacker in a process of its own: a process may have only so many files, and the cloud needs its share of them.
type siege struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.Closer
}

// besiege returns when the attacker holds its connections. It does so until lift, and not longer than this process lives.
func besiege(t *testing.T, orders siegeOrders) *siege {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), siegeEnv+"=1")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	s := &siege{t, cmd, stdin}
	late := time.AfterFunc(5*patience, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	held := 0
	if err = json.NewEncoder(stdin).Encode(orders); err == nil {
		_, err = fmt.Fscanln(stdout, &held)
	}
	if err != nil || held != orders.Count {
		s.lift()
		t.Fatalf("the attacker holds %d of %d connections: %v", held, orders.Count, err)
	}
	return s
}

// lift ends the attack, and returns when the attacker's process has ended.
func (s *siege) lift() {
	s.t.Helper()
	s.stdin.Close()
	if err := s.cmd.Wait(); err != nil {
		s.t.Errorf("the attacker: %v", err)
	}
}

// holdSiege is the attacker's process. in has its orders, and ends when it is to end; out gets how many connections it holds.
func holdSiege(in io.Reader, out io.Writer) error {
	var orders siegeOrders
	if err := json.NewDecoder(in).Decode(&orders); err != nil {
		return fmt.Errorf("reading orders: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	d := net.Dialer{Timeout: patience}
	if orders.From != nil {
		d.LocalAddr = &net.TCPAddr{IP: orders.From}
	}
	c := gather(orders.Count, func() (net.Conn, error) {
		conn, err := d.DialContext(ctx, "tcp", orders.Address)
		if err == nil {
			_, _ = conn.Write(orders.Words) // who is thrown out already still holds its end
		}
		return conn, err
	})
	defer c.leave()
	for range 3 {
		for _, conn := range c.conns {
			_ = conn.SetWriteDeadline(time.Now().Add(time.Millisecond))
			_, _ = conn.Write(orders.Drip)
		}
	}
	_, err := fmt.Fprintln(out, len(c.conns))
	<-ctx.Done()
	return err
}

// files is how many of want connections a process can have.
func files(t *testing.T, want int) int {
	t.Helper()
	const others = 100
	var limit syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	if most := int(min(limit.Cur, 1<<20)) - others; want > most {
		t.Logf("%d connections instead of %d: RLIMIT_NOFILE is %d", most, want, limit.Cur)
		return most
	}
	return want
}
