// Copyright The KubeEdge Authors.
// SPDX-License-Identifier: Apache-2.0

package weaknet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Host is one end of a link: a network namespace with one interface, the TUN device that the link reads and writes.
type Host struct {
	addr       netip.Addr
	congestion string
	namespace  *os.File
	tun        *os.File
}

// newHost makes a namespace with a device that leads to peer.
func newHost(addr, peer netip.Addr) (*Host, error) {
	h := &Host{addr: addr}
	err := onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("making a network namespace: %w", err)
		}
		var err error
		if h.namespace, err = os.Open("/proc/thread-self/ns/net"); err != nil {
			return err
		}
		if err := tune(); err != nil {
			return err
		}
		if h.tun, err = openTUN(); err != nil {
			return err
		}
		return configure(addr, peer)
	})
	if err != nil {
		h.close()
		if notPermitted(err) {
			err = fmt.Errorf("%w: %w", ErrNotPermitted, err)
		}
		return nil, err
	}
	return h, nil
}

// tune makes the thread's namespace alike on all machines. It comes before the device, which takes the defaults over.
func tune() error {
	const dir = "/proc/sys/net/"
	// A host without IPv6 announces nothing by itself: only the test's packets are counted. The kernel may have none.
	_ = os.WriteFile(dir+"ipv6/conf/default/disable_ipv6", []byte("1"), 0)
	return errors.Join( // the kernel's own defaults, where the machine's may be others
		os.WriteFile(dir+"ipv4/tcp_rmem", []byte("4096 131072 6291456"), 0),
		os.WriteFile(dir+"ipv4/tcp_wmem", []byte("4096 16384 4194304"), 0),
	)
}

func notPermitted(err error) bool {
	for _, e := range []syscall.Errno{
		unix.EPERM, unix.EACCES, unix.EROFS, unix.ENOENT, unix.ENODEV, unix.ENXIO, unix.ENOSYS, unix.EOPNOTSUPP,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// onOwnThread runs f on a thread that may be led into another namespace: it ends with its goroutine, because it is not unlocked.
func onOwnThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- f()
	}()
	return <-done
}

const device = "tun0" // alone in its namespace

// openTUN makes the device in the namespace of the thread. Reading from the file gives the packets that the kernel sends, whole
// and with checksums, since no offload is asked for.
func openTUN() (*os.File, error) {
	const path = "/dev/net/tun"
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	req, err := unix.NewIfreq(device)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("making a TUN device: %w", err)
	}
	return os.NewFile(uintptr(fd), path), nil // only now: the poller refuses a file without a device
}

// configure gives the device of the thread's namespace its address, and the route to peer that comes with it.
func configure(addr, peer netip.Addr) error {
	for _, step := range []struct {
		what string
		req  uint
		set  func(*unix.Ifreq) error
	}{
		{"MTU", unix.SIOCSIFMTU, func(r *unix.Ifreq) error { r.SetUint32(MTU); return nil }},
		// What the link has not read yet must not be dropped before it can be counted.
		{"queue length", unix.SIOCSIFTXQLEN, func(r *unix.Ifreq) error { r.SetUint32(10_000); return nil }},
		{"address", unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(addr.AsSlice()) }},
		{"peer", unix.SIOCSIFDSTADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(peer.AsSlice()) }},
		{"flags", unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING); return nil }},
	} {
		req, err := unix.NewIfreq(device)
		if err == nil {
			err = step.set(req)
		}
		if err == nil {
			err = withSocket(func(fd int) error { return unix.IoctlIfreq(fd, step.req, req) })
		}
		if err != nil {
			return fmt.Errorf("setting the device's %s: %w", step.what, err)
		}
	}
	return nil
}

// withSocket lends f a TCP socket of the thread's namespace.
func withSocket(f func(fd int) error) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening a socket: %w", err)
	}
	return errors.Join(f(fd), unix.Close(fd))
}

func (h *Host) close() {
	if h.tun != nil {
		h.tun.Close()
	}
	if h.namespace != nil {
		h.namespace.Close()
	}
}

// Addr is the host's address, the same for every link's edge, and every link's cloud.
func (h *Host) Addr() netip.Addr { return h.addr }

// Listen opens a TCP listener on that port of the host, or on a free one if it is 0.
func (h *Host) Listen(ctx context.Context, port uint16) (l net.Listener, err error) {
	lc := net.ListenConfig{Control: h.control}
	lc.SetMultipathTCP(false) // another protocol, with other congestion control
	err = h.enter(func() error {
		l, err = lc.Listen(ctx, "tcp", h.endpoint(port))
		return err
	})
	return l, err
}

// ListenPacket opens a UDP socket on that port of the host, or on a free one if it is 0.
func (h *Host) ListenPacket(ctx context.Context, port uint16) (c net.PacketConn, err error) {
	var lc net.ListenConfig
	err = h.enter(func() error {
		c, err = lc.ListenPacket(ctx, "udp", h.endpoint(port))
		return err
	})
	return c, err
}

// DialContext connects the host to an address of the other one, an IP address and port. The connection is a *net.TCPConn or a
// *net.UDPConn like any other.
func (h *Host) DialContext(ctx context.Context, network, address string) (c net.Conn, err error) {
	if _, err := netip.ParseAddrPort(address); err != nil {
		return nil, fmt.Errorf("dialling over a link: %w", err) // a name would be resolved on other threads
	}
	d := net.Dialer{Control: h.control}
	d.SetMultipathTCP(false)
	err = h.enter(func() error {
		c, err = d.DialContext(ctx, network, address)
		return err
	})
	return c, err
}

func (h *Host) endpoint(port uint16) string {
	return net.JoinHostPort(h.addr.String(), strconv.Itoa(int(port)))
}

// enter runs f on a thread in the host's namespace. Sockets belong to the namespace of the thread that makes them, and stay there
// whoever uses them.
func (h *Host) enter(f func() error) error {
	return onOwnThread(func() error {
		raw, err := h.namespace.SyscallConn()
		if err != nil {
			return fmt.Errorf("entering the host's namespace: %w", err)
		}
		var entered error
		if err := raw.Control(func(fd uintptr) { entered = unix.Setns(int(fd), unix.CLONE_NEWNET) }); err != nil {
			return fmt.Errorf("entering the host's namespace: %w", err)
		}
		if entered != nil {
			return fmt.Errorf("entering the host's namespace: %w", entered)
		}
		return f()
	})
}

// control sets the congestion control of a new socket; a listener's connections inherit it. The namespace's default will not do:
// the kernel refuses there what the machine does not allow to everybody.
func (h *Host) control(network, _ string, raw syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	var err error
	if e := raw.Control(func(fd uintptr) { err = setCongestion(int(fd), h.congestion) }); e != nil {
		return e
	}
	return err
}

func setCongestion(socket int, name string) error {
	if err := unix.SetsockoptString(socket, unix.IPPROTO_TCP, unix.TCP_CONGESTION, name); err != nil {
		return fmt.Errorf("setting congestion control %s: %w", name, err)
	}
	return nil
}

// chooseCongestion is the first that the kernel has of want, cubic and reno, which is always there.
func (h *Host) chooseCongestion(want string) (chosen string, err error) {
	err = h.enter(func() error {
		return withSocket(func(fd int) error {
			for _, chosen = range []string{want, "cubic", "reno"} {
				if chosen == "" {
					continue
				}
				if err = setCongestion(fd, chosen); err == nil {
					return nil
				}
			}
			return err
		})
	})
	return chosen, err
}
