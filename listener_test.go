package sctpnet_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

func init() {
	children["privileged port"] = privilegedPort
	children["out of descriptors"] = outOfDescriptors
}

// child runs one of the children. It fails the test if that fails.
func child(t *testing.T, name string) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"="+name)
	watchdog(t, func() {
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
}

// wantListenerError checks that err has the shape of package net's.
func wantListenerError(t *testing.T, ln net.Listener, op string, err, cause error) {
	t.Helper()
	e, ok := err.(*net.OpError)
	if !ok {
		t.Errorf("%s: error is %T (%v), want a *net.OpError", op, err, err)
		return
	}
	if e.Op != op || e.Net != "sctp" || e.Source != nil || e.Addr != ln.Addr() {
		t.Errorf("%s: error is %#v", op, e)
	}
	if !errors.Is(err, cause) {
		t.Errorf("%s: error is %v, want %v", op, err, cause)
	}
}

func TestAcceptDeadline(t *testing.T) {
	ln := listen(t, "sctp", "127.0.0.1:0")
	watchdog(t, func() {
		wantExceeded := func() {
			t.Helper()
			c, err := ln.Accept()
			if c != nil {
				t.Errorf("Accept returned %v with an error", c)
			}
			wantListenerError(t, ln, "accept", err, os.ErrDeadlineExceeded)
			var nerr net.Error
			if !errors.As(err, &nerr) || !nerr.Timeout() {
				t.Errorf("%v: Timeout() is false", err)
			}
		}
		// In the past, even if one could be accepted.
		c := dial(t, nil, "sctp", ln.Addr().String())
		ln.SetDeadline(time.Unix(1, 0))
		wantExceeded()
		wantExceeded()
		ln.SetDeadline(time.Time{})
		echo(t, c, accept(t, ln))

		// In the future.
		start := time.Now()
		ln.SetDeadline(start.Add(20 * time.Millisecond))
		wantExceeded()
		if took := time.Since(start); took < 20*time.Millisecond || took > 20*time.Millisecond+atOnce {
			t.Errorf("Accept took %v", took)
		}

		// Moved while Accept waits.
		ln.SetDeadline(start.Add(time.Hour))
		time.AfterFunc(20*time.Millisecond, func() { ln.SetDeadline(time.Unix(1, 0)) })
		wantExceeded()
	})
}

func TestListenerClose(t *testing.T) {
	ln := listen(t, "sctp", "127.0.0.1:0")
	a := ln.Addr()
	s := a.String()
	watchdog(t, func() {
		errs := make(chan error)
		for range 2 {
			go func() {
				_, err := ln.Accept()
				errs <- err
			}()
		}
		time.Sleep(10 * time.Millisecond) // for one of them to wait, or both
		if err := ln.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		for range 2 {
			wantListenerError(t, ln, "accept", <-errs, net.ErrClosed)
		}
		_, err := ln.Accept()
		wantListenerError(t, ln, "accept", err, net.ErrClosed)
		wantListenerError(t, ln, "close", ln.Close(), net.ErrClosed)
		wantListenerError(t, ln, "set", ln.SetDeadline(time.Now()), net.ErrClosed)
	})
	if ln.Addr() != a || a.String() != s {
		t.Errorf("Addr is %v after Close, was %s", ln.Addr(), s)
	}
	if _, err := sctpnet.Dial("sctp", s); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dialling a closed listener: %v", err)
	}
}

// TestListenWildcard checks that listening on any address is said in one, and
// that an association has a specific one.
func TestListenWildcard(t *testing.T) {
	for _, tt := range []struct{ network, address, want, dial, local string }{
		{"sctp", ":0", "[::]:%d", "127.0.0.1:%d", "127.0.0.1:%d"},
		{"sctp", "", "[::]:%d", "[::1]:%d", "[::1]:%d"},
		{"sctp", "[::]:0", "[::]:%d", "127.0.0.1:%d", "127.0.0.1:%d"},
		{"sctp", "0.0.0.0:0", "[::]:%d", "127.0.0.1:%d", "127.0.0.1:%d"}, // as TCP in package net
		{"sctp4", ":0", "0.0.0.0:%d", "127.0.0.1:%d", "127.0.0.1:%d"},
		{"sctp6", ":0", "[::]:%d", "[::1]:%d", "[::1]:%d"},
	} {
		t.Run(tt.network+" "+tt.address, func(t *testing.T) {
			ln := listen(t, tt.network, tt.address)
			p := port(ln.Addr())
			if got, want := ln.Addr().String(), fmt.Sprintf(tt.want, p); got != want || p == 0 {
				t.Errorf("Addr is %s, want %s", got, want)
			}
			c := dial(t, nil, "sctp", fmt.Sprintf(tt.dial, p))
			s := accept(t, ln)
			if got, want := s.LocalAddr().String(), fmt.Sprintf(tt.local, p); got != want {
				t.Errorf("the accepted Conn's LocalAddr is %s, want %s", got, want)
			}
			if got, want := port(s.RemoteAddr()), port(c.LocalAddr()); got != want {
				t.Errorf("the accepted Conn's RemoteAddr has port %d, want %d", got, want)
			}
			for _, ip := range s.RemoteAddr().(*sctpnet.Addr).IPAddrs {
				if ip.IP.To4() != nil && len(ip.IP) != net.IPv4len {
					t.Errorf("RemoteAddr %v holds an IPv4 address mapped into IPv6", s.RemoteAddr())
				}
			}
		})
	}
}

// TestListenSixOnly checks that "sctp6" on any address leaves IPv4 alone.
func TestListenSixOnly(t *testing.T) {
	ln := listen(t, "sctp6", ":0")
	if _, err := sctpnet.Dial("sctp4", joinPort("127.0.0.1", port(ln.Addr()))); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v, want ECONNREFUSED", err)
	}
	listen(t, "sctp4", joinPort("", port(ln.Addr())))
}

func TestListenAddressInUse(t *testing.T) {
	ln := listen(t, "sctp", "127.0.0.1:0")
	p := port(ln.Addr())
	for _, address := range []string{joinPort("127.0.0.1", p), joinPort("", p), fmt.Sprintf("127.0.0.2/127.0.0.1:%d", p)} {
		second, err := sctpnet.Listen("sctp", address)
		if second != nil {
			second.Close()
		}
		var e *net.OpError
		if !errors.Is(err, syscall.EADDRINUSE) || !errors.As(err, &e) || e.Op != "listen" || e.Addr == nil {
			t.Errorf("%s: %v, want EADDRINUSE", address, err)
		}
	}
	listen(t, "sctp", joinPort("127.0.0.2", p)) // not in use there
}

func TestListenAddressNotAvailable(t *testing.T) {
	needSCTP(t)
	for _, address := range []string{"192.0.2.1:0", "127.0.0.1/192.0.2.1:0"} {
		if _, err := sctpnet.Listen("sctp", address); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("%s: %v, want EADDRNOTAVAIL", address, err)
		}
	}
}

func TestListenPrivilegedPort(t *testing.T) {
	needSCTP(t)
	if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start"); err == nil && strings.TrimSpace(string(b)) == "0" {
		t.Skip("here net.ipv4.ip_unprivileged_port_start lets everybody have every port")
	}
	child(t, "privileged port")
}

func privilegedPort() error {
	if os.Geteuid() == 0 {
		if err := syscall.Setuid(65534); err != nil {
			return err
		}
	}
	ln, err := sctpnet.Listen("sctp", "127.0.0.1:7")
	if err == nil {
		ln.Close()
	}
	if !errors.Is(err, syscall.EACCES) {
		return fmt.Errorf("Listen: %v, want EACCES", err)
	}
	return nil
}

// TestAcceptOutOfDescriptors needs a process of its own to run out of them.
func TestAcceptOutOfDescriptors(t *testing.T) {
	needSCTP(t)
	child(t, "out of descriptors")
}

func outOfDescriptors() error {
	limit := syscall.Rlimit{Cur: 64, Max: 64}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	ln, err := sctpnet.Listen("sctp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	c, err := sctpnet.Dial("sctp", ln.Addr().String())
	if err != nil {
		return err
	}
	var files []*os.File
	for {
		f, err := os.Open("/dev/null")
		if err != nil {
			break
		}
		files = append(files, f)
	}
	for range 3 {
		_, err = ln.Accept()
		//lint:ignore SA1019 http.Server asks so
		if nerr, ok := err.(net.Error); !ok || !nerr.Temporary() || !errors.Is(err, syscall.EMFILE) {
			return fmt.Errorf("Accept without descriptors: %v, want a temporary EMFILE", err)
		}
	}
	if _, err := sctpnet.Dial("sctp", ln.Addr().String()); !errors.Is(err, syscall.EMFILE) {
		return fmt.Errorf("Dial without descriptors: %v, want EMFILE", err)
	}
	files[0].Close()
	s, err := ln.Accept()
	if err != nil {
		return fmt.Errorf("Accept with a descriptor: %v", err)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		return err
	}
	_, err = io.ReadFull(s, make([]byte, 1))
	return err
}

// TestAcceptPeerGone accepts associations that have ended before. Their Conns
// have addresses, and end as any other.
func TestAcceptPeerGone(t *testing.T) {
	for _, tt := range []struct {
		name   string
		data   string
		end    func(*sctpnet.Conn) error
		causes []error
	}{
		{"closed", "", (*sctpnet.Conn).Close, []error{io.EOF}},
		{"closed after data", "data", (*sctpnet.Conn).Close, []error{io.EOF}},
		// The kernel may have forgotten how it ended.
		{"aborted", "", (*sctpnet.Conn).Abort, []error{io.EOF, syscall.ECONNRESET}},
		{"aborted after data", "data", (*sctpnet.Conn).Abort, []error{io.EOF, syscall.ECONNRESET}},
	} {
		for _, listenOn := range []string{"127.0.0.1:0", ":0", "[::1]:0", "127.0.0.1/127.0.0.2:0"} {
			t.Run(tt.name+"/"+listenOn, func(t *testing.T) {
				ln := listen(t, "sctp", listenOn)
				c := dial(t, nil, "sctp", ln.Addr().String())
				if tt.data != "" {
					if _, err := c.Write([]byte(tt.data)); err != nil {
						t.Fatal(err)
					}
				}
				if err := tt.end(c); err != nil {
					t.Fatal(err)
				}
				conformance.WaitFor(t, "the association to end", func() bool {
					return !alive(t, port(c.LocalAddr()))
				})

				watchdog(t, func() {
					s := accept(t, ln)
					remote, ok := s.RemoteAddr().(*sctpnet.Addr)
					if !ok || remote == nil || len(remote.IPAddrs) == 0 {
						t.Fatalf("RemoteAddr is %#v", s.RemoteAddr())
					}
					if !remote.IPAddrs[0].IP.IsLoopback() || remote.Port != port(c.LocalAddr()) {
						t.Errorf("RemoteAddr is %s, want that of %s", remote, c.LocalAddr())
					}
					local, ok := s.LocalAddr().(*sctpnet.Addr)
					if !ok || local == nil || local.Port != port(ln.Addr()) {
						t.Errorf("LocalAddr is %v, want that of %s", s.LocalAddr(), ln.Addr())
					}
					b, err := io.ReadAll(s)
					if err == nil {
						err = io.EOF
					}
					if !errors.Is(err, tt.causes[0]) && !errors.Is(err, tt.causes[len(tt.causes)-1]) {
						t.Errorf("Read: %v, want one of %v", err, tt.causes)
					}
					if err == io.EOF && tt.causes[0] == io.EOF && len(tt.causes) == 1 && string(b) != tt.data {
						t.Errorf("read %q, want %q", b, tt.data)
					}
					if _, err := s.Write([]byte("x")); err == nil {
						t.Error("Write succeeded")
					}
					if err := s.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
				})
			})
		}
	}
}

// TestListenAgain listens on a port while associations of an earlier listener
// on it live on.
func TestListenAgain(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", ":0", "127.0.0.1/127.0.0.2:0"} {
		ln := listen(t, "sctp", address)
		c := dial(t, nil, "sctp", ln.Addr().String())
		s := accept(t, ln)
		ln.Close()
		again := listen(t, "sctp", ln.Addr().String())
		if again.Addr().String() != ln.Addr().String() {
			t.Errorf("listens on %s, want %s", again.Addr(), ln.Addr())
		}
		echo(t, c, s)
		c2 := dial(t, nil, "sctp", again.Addr().String())
		echo(t, c2, accept(t, again))
	}
}

func TestListenControl(t *testing.T) {
	needSCTP(t)
	for _, tt := range []struct{ network, address, wantNetwork, wantAddress string }{
		{"sctp", "127.0.0.1:0", "sctp4", "127.0.0.1:0"},
		{"sctp", "[::1]:0", "sctp6", "[::1]:0"},
		{"sctp4", "127.0.0.1/127.0.0.2:0", "sctp4", "127.0.0.1/127.0.0.2:0"},
		{"sctp", ":0", "sctp6", ":0"},
	} {
		calls := 0
		lc := sctpnet.ListenConfig{Control: func(network, address string, c syscall.RawConn) error {
			calls++
			if network != tt.wantNetwork || address != tt.wantAddress {
				t.Errorf("Control was told %s, %s; want %s, %s", network, address, tt.wantNetwork, tt.wantAddress)
			}
			return c.Control(func(uintptr) {})
		}}
		ln, err := lc.Listen(context.Background(), tt.network, tt.address)
		if err != nil {
			t.Fatal(err)
		}
		ln.Close()
		if calls != 1 {
			t.Errorf("Control was called %d times", calls)
		}

		errControl := errors.New("control")
		lc.Control = func(string, string, syscall.RawConn) error { return errControl }
		if _, err := lc.Listen(context.Background(), tt.network, tt.address); !errors.Is(err, errControl) {
			t.Errorf("Listen: %v, want Control's error", err)
		}
	}
}

// TestListenContext checks that the context counts while a name is looked up.
func TestListenContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := new(sctpnet.ListenConfig).Listen(ctx, "sctp", "host.invalid:0")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want Canceled", err)
	}
}

// TestZero calls everything on nil and on values that nobody made.
func TestZero(t *testing.T) {
	for _, c := range []*sctpnet.Conn{nil, {}} {
		_, rerr := c.Read(make([]byte, 1))
		_, werr := c.Write(make([]byte, 1))
		_, serr := c.SyscallConn()
		for name, err := range map[string]error{
			"Read": rerr, "Write": werr, "SyscallConn": serr,
			"Close": c.Close(), "Abort": c.Abort(), "Shutdown": c.Shutdown(),
			"SetDeadline":      c.SetDeadline(time.Time{}),
			"SetReadDeadline":  c.SetReadDeadline(time.Time{}),
			"SetWriteDeadline": c.SetWriteDeadline(time.Time{}),
			"SetLinger":        c.SetLinger(0), "SetNoDelay": c.SetNoDelay(true),
			"SetReadBuffer": c.SetReadBuffer(1), "SetWriteBuffer": c.SetWriteBuffer(1),
		} {
			if err != syscall.EINVAL {
				t.Errorf("%s of a zero Conn: %v, want EINVAL", name, err)
			}
		}
		if c.LocalAddr() != nil || c.RemoteAddr() != nil {
			t.Error("a zero Conn has addresses")
		}
	}
	for _, l := range []*sctpnet.Listener{nil, {}} {
		_, aerr := l.Accept()
		_, cerr := l.AcceptConn()
		_, serr := l.SyscallConn()
		for name, err := range map[string]error{
			"Accept": aerr, "AcceptConn": cerr, "SyscallConn": serr,
			"Close": l.Close(), "SetDeadline": l.SetDeadline(time.Time{}),
		} {
			if err != syscall.EINVAL {
				t.Errorf("%s of a zero Listener: %v, want EINVAL", name, err)
			}
		}
		if l.Addr() != nil {
			t.Error("a zero Listener has an address")
		}
	}
}
