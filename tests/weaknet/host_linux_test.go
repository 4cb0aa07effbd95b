// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package weaknet

import (
	"net"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

func congestionOf(t *testing.T, conn *net.TCPConn) string {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var name string
	if e := raw.Control(func(fd uintptr) { name, err = unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION) }); e != nil {
		t.Fatal(e)
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestCongestionControl(t *testing.T) {
	for want, candidates := range map[string][]string{
		"": {"cubic", "reno"}, "reno": {"reno"}, "bbr": {"bbr", "cubic", "reno"}, "no-such": {"cubic", "reno"},
	} {
		link := Start(t, Config{CongestionControl: want})
		got := link.CongestionControl()
		var found bool
		for _, c := range candidates {
			found = found || c == got
		}
		if !found {
			t.Errorf("asked for %q, got %q", want, got)
		}
		edge, cloud := connect(t, link)
		if e, c := congestionOf(t, edge), congestionOf(t, cloud); e != got || c != got {
			t.Errorf("connections with %q and %q, want %q", e, c, got)
		}
	}
}

// TestOrdinaryNamespaceIsLeftAlone makes sockets on many threads: none of those that the rest of the process runs on may have been
// led away.
func TestOrdinaryNamespaceIsLeftAlone(t *testing.T) {
	namespace := func() string {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		name, err := os.Readlink("/proc/thread-self/ns/net")
		if err != nil {
			t.Error(err)
		}
		return name
	}
	before := namespace()
	files := openFiles(t)
	for range 5 {
		link, err := New(Config{})
		require(t, err)
		l, err := link.Cloud.Listen(testContext(t), 0)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		if err := link.Close(); err != nil {
			t.Fatal(err)
		}
	}
	names := make(chan string)
	for range 50 {
		go func() { names <- namespace() }()
	}
	for range 50 {
		if name := <-names; name != before {
			t.Fatalf("a thread is in %s, want %s", name, before)
		}
	}
	if now := openFiles(t); now > files {
		t.Errorf("%d files open, %d before", now, files)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
