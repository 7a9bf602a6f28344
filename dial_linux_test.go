package sctpnet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// joinPort returns the address of a host with a port.
func joinPort(host string, port int) string { return net.JoinHostPort(host, fmt.Sprint(port)) }

// unusedPort returns a port on which nobody listens.
func unusedPort(t testing.TB) int {
	t.Helper()
	ln := listen(t, "sctp", ":0")
	ln.Close()
	return port(ln.Addr())
}

// leavesNothing checks that after a dial neither an association with the peer
// nor a goroutine is left.
func leavesNothing(t testing.TB, goroutines int, peer string) {
	t.Helper()
	conformance.WaitFor(t, "the associations to go", func() bool {
		assocs, err := os.ReadFile("/proc/thread-self/net/sctp/assocs")
		if err != nil {
			t.Fatal(err)
		}
		return !bytes.Contains(assocs, []byte(peer))
	})
	conformance.WaitFor(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines })
}

func TestDialRefused(t *testing.T) {
	needSCTP(t)
	p := unusedPort(t)
	for _, host := range []string{"127.0.0.1", "::1", "127.0.0.1/127.0.0.2"} {
		address := fmt.Sprintf("%s:%d", host, p)
		if host == "::1" {
			address = joinPort(host, p)
		}
		took, err := dialFails(t, func() (net.Conn, error) { return sctpnet.Dial("sctp", address) })
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: %v, want ECONNREFUSED", address, err)
		}
		var e *net.OpError
		if errors.As(err, &e) && (e.Addr == nil || !strings.HasSuffix(e.Addr.String(), fmt.Sprint(p))) {
			t.Errorf("%s: Addr is %v", address, e.Addr)
		}
		if took > atOnce {
			t.Errorf("%s: took %v", address, took)
		}
	}
}

// TestDialSilentPeer ends the dial of a peer that does not answer, by all that
// can end it.
func TestDialSilentPeer(t *testing.T) {
	silentNet(t)
	const wait = 200 * time.Millisecond
	address := joinPort(silent4, 9)
	for _, tt := range []struct {
		name string
		dial func() (net.Conn, error)
	}{
		{"DialTimeout", func() (net.Conn, error) { return sctpnet.DialTimeout("sctp", address, wait) }},
		{"Timeout", func() (net.Conn, error) {
			d := sctpnet.Dialer{Timeout: wait, Deadline: time.Now().Add(time.Hour)}
			return d.Dial("sctp", address)
		}},
		{"Deadline", func() (net.Conn, error) {
			d := sctpnet.Dialer{Timeout: time.Hour, Deadline: time.Now().Add(wait)}
			return d.Dial("sctp", address)
		}},
		{"context", func() (net.Conn, error) {
			ctx, cancel := context.WithTimeout(context.Background(), wait)
			defer cancel()
			return new(sctpnet.Dialer).DialContext(ctx, "sctp", address)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			took, err := dialFails(t, tt.dial)
			wantTimeout(t, err)
			if took < wait || took > wait+atOnce {
				t.Errorf("took %v, want %v", took, wait)
			}
			leavesNothing(t, before, silent4)
		})
	}
}

// wantTimeout checks for the error of a dial that took too long.
func wantTimeout(t testing.TB, err error) {
	t.Helper()
	var nerr net.Error
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.Is(err, context.DeadlineExceeded) ||
		!errors.As(err, &nerr) || !nerr.Timeout() {
		t.Errorf("%v: want ErrDeadlineExceeded, context.DeadlineExceeded and Timeout()", err)
	}
}

func TestDialCancelled(t *testing.T) {
	silentNet(t)
	for _, peer := range []string{silent4, silentPublic6} {
		before := runtime.NumGoroutine()
		ctx, cancel := context.WithCancel(context.Background())
		d := sctpnet.Dialer{Control: func(_, _ string, _ syscall.RawConn) error {
			time.AfterFunc(50*time.Millisecond, cancel)
			return nil
		}}
		took, err := dialFails(t, func() (net.Conn, error) { return d.DialContext(ctx, "sctp", joinPort(peer, 9)) })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want Canceled", err)
		}
		if took > 50*time.Millisecond+atOnce {
			t.Errorf("took %v", took)
		}
		leavesNothing(t, before, peer)
	}
}

// TestDialContextEndsLater checks that the context has no hold on what it has
// helped to dial.
func TestDialContextEndsLater(t *testing.T) {
	ln := listen(t, "sctp", "127.0.0.1:0")
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	c, err := new(sctpnet.Dialer).DialContext(ctx, "sctp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cancel()
	echo(t, c, accept(t, ln))
}

// echo checks that bytes go both ways.
func echo(t testing.TB, c, s net.Conn) {
	t.Helper()
	watchdog(t, func() {
		b := make([]byte, 100)
		for _, way := range [][2]net.Conn{{c, s}, {s, c}} {
			if _, err := way[0].Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			if n, err := way[1].Read(b); err != nil || string(b[:n]) != "hello" {
				t.Fatalf("read %q, %v", b[:n], err)
			}
		}
	})
}

func TestDialFailsAtOnce(t *testing.T) {
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	expired, cancel := context.WithTimeout(context.Background(), -time.Second)
	defer cancel()
	for _, tt := range []struct {
		name string
		d    sctpnet.Dialer
		ctx  context.Context
	}{
		{name: "cancelled", ctx: cancelled},
		{name: "expired", ctx: expired},
		{name: "negative timeout", d: sctpnet.Dialer{Timeout: -time.Second}},
		{name: "past deadline", d: sctpnet.Dialer{Deadline: time.Now().Add(-time.Hour)}},
		{name: "ancient deadline", d: sctpnet.Dialer{Deadline: time.Unix(1, 0)}},
	} {
		for _, host := range []string{"192.0.2.1", "host.invalid", "127.0.0.1/127.0.0.2", ""} {
			t.Run(tt.name+"/"+host, func(t *testing.T) {
				if tt.ctx == nil {
					tt.ctx = context.Background()
				}
				d := tt.d
				d.Control = func(_, _ string, _ syscall.RawConn) error {
					t.Error("a socket was made")
					return nil
				}
				took, err := dialFails(t, func() (net.Conn, error) { return d.DialContext(tt.ctx, "sctp", host+":9") })
				if tt.ctx == cancelled {
					if !errors.Is(err, context.Canceled) {
						t.Errorf("%v, want Canceled", err)
					}
				} else {
					wantTimeout(t, err)
				}
				if took > atOnce {
					t.Errorf("took %v", took)
				}
			})
		}
	}
}

// TestDialTriesAddresses dials a name of which only the last address has a
// listener. What is tried before it must not cost the 3 s that the kernel waits
// for it.
func TestDialTriesAddresses(t *testing.T) {
	silentNet(t)
	const name = "peer.example."
	for _, tt := range []struct {
		name    string
		listen  string
		addrs   []string
		delay   time.Duration
		timeout time.Duration
		tries   []string // in this order
		min     time.Duration
		max     time.Duration
	}{
		{name: "IPv4 silent, IPv6 good", listen: ownPrivate6, addrs: []string{silent4, ownPrivate6},
			tries: []string{silent4, ownPrivate6}, min: 300 * time.Millisecond, max: 500 * time.Millisecond},
		{name: "IPv6 silent, IPv4 good", listen: own4, addrs: []string{own4, silentPublic6},
			tries: []string{silentPublic6, own4}, min: 300 * time.Millisecond, max: 500 * time.Millisecond},
		{name: "first of two IPv4 silent", listen: own4, addrs: []string{silent4, own4},
			tries: []string{silent4, own4}, min: 300 * time.Millisecond, max: 500 * time.Millisecond},
		{name: "two silent", listen: own4, addrs: []string{silent4, "198.51.100.3", own4}, delay: 50 * time.Millisecond,
			tries: []string{silent4, "198.51.100.3", own4}, min: 100 * time.Millisecond, max: 300 * time.Millisecond},
		{name: "families in turn", listen: own4, addrs: []string{silentPublic6, "2001:db8:5c79::3", own4}, delay: 50 * time.Millisecond,
			tries: []string{silentPublic6, own4}, min: 50 * time.Millisecond, max: 250 * time.Millisecond},
		{name: "first refuses", listen: own4, addrs: []string{own4, ownPublic6}, delay: time.Hour,
			tries: []string{ownPublic6, own4}, max: 100 * time.Millisecond},
		{name: "serial, first refuses", listen: own4, addrs: []string{own4, ownPublic6}, delay: -1,
			tries: []string{ownPublic6, own4}, max: 100 * time.Millisecond},
		{name: "serial, first silent", listen: own4, addrs: []string{silent4, own4}, delay: -1, timeout: 2200 * time.Millisecond,
			tries: []string{silent4, own4}, min: 2 * time.Second, max: 2200 * time.Millisecond},
		{name: "first good", listen: own4, addrs: []string{own4, silent4},
			tries: []string{own4}, max: 100 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			ln := listen(t, "sctp", joinPort(tt.listen, 0))
			tries := make(chan string, 10)
			d := sctpnet.Dialer{
				FallbackDelay: tt.delay,
				Timeout:       tt.timeout * conformance.Slowness,
				Resolver:      fakeDNS(name, tt.addrs...),
				Control: func(_, address string, _ syscall.RawConn) error {
					tries <- address
					return nil
				},
			}
			start := time.Now()
			var c *sctpnet.Conn
			watchdog(t, func() { c = dial(t, &d, "sctp", joinPort(name, port(ln.Addr()))) })
			if took := time.Since(start); took < tt.min || took > tt.max*conformance.Slowness {
				t.Errorf("took %v, want %v to %v", took, tt.min, tt.max)
			}
			close(tries)
			var tried []string
			for a := range tries {
				host, _, _ := net.SplitHostPort(a)
				tried = append(tried, host)
			}
			if fmt.Sprint(tried) != fmt.Sprint(tt.tries) {
				t.Errorf("tried %v, want %v", tried, tt.tries)
			}
			if got := c.RemoteAddr().String(); got != ln.Addr().String() {
				t.Errorf("RemoteAddr is %s, want %s", got, ln.Addr())
			}
			echo(t, c, accept(t, ln))
			for _, a := range tt.tries[:len(tt.tries)-1] {
				leavesNothing(t, before, a+" ")
			}
		})
	}
}

// TestDialNoAddressAnswers checks whose error is returned: the first address's.
func TestDialNoAddressAnswers(t *testing.T) {
	silentNet(t)
	const name = "peer.example."
	p := unusedPort(t)
	for _, delay := range []time.Duration{0, -1} {
		d := sctpnet.Dialer{
			FallbackDelay: delay,
			Timeout:       500 * time.Millisecond,
			Resolver:      fakeDNS(name, ownPublic6, silent4),
		}
		_, err := dialFails(t, func() (net.Conn, error) { return d.Dial("sctp", joinPort(name, p)) })
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("FallbackDelay %v: %v, want ECONNREFUSED", delay, err)
		}
	}
}

// TestDialRaceEnds cancels a race of silent addresses.
func TestDialRaceEnds(t *testing.T) {
	silentNet(t)
	const name = "peer.example."
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(context.Background())
	var tries atomic.Int32
	d := sctpnet.Dialer{
		FallbackDelay: time.Millisecond,
		Resolver:      fakeDNS(name, silent4, "198.51.100.3"),
		Control: func(_, _ string, _ syscall.RawConn) error {
			if tries.Add(1) == 2 {
				time.AfterFunc(20*time.Millisecond, cancel)
			}
			return nil
		},
	}
	_, err := dialFails(t, func() (net.Conn, error) { return d.DialContext(ctx, "sctp", joinPort(name, 9)) })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want Canceled", err)
	}
	leavesNothing(t, before, "198.51.100.")
}

// TestDialRaceHasOneWinner has two attempts succeed at the same time: one of
// the associations must go.
func TestDialRaceHasOneWinner(t *testing.T) {
	silentNet(t)
	const name = "peer.example."
	ln := listen(t, "sctp", ":0")
	go func() {
		for {
			s, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(s, s)
				s.Close()
			}()
		}
	}()
	for range 20 {
		var both sync.WaitGroup
		both.Add(2)
		d := sctpnet.Dialer{
			FallbackDelay: time.Millisecond,
			Resolver:      fakeDNS(name, own4, ownPublic6),
			Control: func(string, string, syscall.RawConn) error {
				both.Done()
				both.Wait()
				return nil
			},
		}
		watchdog(t, func() {
			c := dial(t, &d, "sctp", joinPort(name, port(ln.Addr())))
			if _, err := c.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			c.Close()
		})
		conformance.WaitFor(t, "both associations to end", func() bool { return !alive(t, port(ln.Addr())) })
	}
}

func TestDialList(t *testing.T) {
	for _, tt := range []struct{ network, address, client string }{
		{"sctp", "127.0.0.1/127.0.0.2", ""},
		{"sctp4", "127.0.0.1/127.0.0.2/127.0.0.3", ""},
		{"sctp", "127.0.0.1/[::1]", "[::1]/127.0.0.1"},
		{"sctp", "[::1]/127.0.0.1", ""},
		{"sctp6", "[::1]", ""},
	} {
		t.Run(tt.address, func(t *testing.T) {
			ln := listen(t, tt.network, tt.address+":0")
			want := fmt.Sprintf("%s:%d", tt.address, port(ln.Addr()))
			if got := ln.Addr().String(); got != want {
				t.Errorf("the listener's Addr is %s, want %s", got, want)
			}
			c := dial(t, nil, tt.network, want)
			s := accept(t, ln)
			if got := c.RemoteAddr().String(); got != want {
				t.Errorf("RemoteAddr is %s, want %s", got, want)
			}
			if got := s.LocalAddr().String(); got != want {
				t.Errorf("the accepted Conn's LocalAddr is %s, want %s", got, want)
			}
			echo(t, c, s)
		})
	}
}

func TestDialLocalAddr(t *testing.T) {
	ln := listen(t, "sctp", "127.0.0.1:0")
	free := unusedPort(t)
	for _, tt := range []struct {
		name  string
		local net.Addr
		want  string // of LocalAddr, without the port
		port  int
	}{
		{"nil", nil, "127.0.0.1", 0},
		{"typed nil", (*sctpnet.Addr)(nil), "127.0.0.1", 0},
		{"nothing", &sctpnet.Addr{}, "127.0.0.1", 0},
		{"port only", &sctpnet.Addr{Port: free}, "127.0.0.1", free},
		{"wildcard", addr(free, "0.0.0.0"), "127.0.0.1", free},
		{"one address", addr(0, "127.0.0.2"), "127.0.0.2", 0},
		{"address and port", addr(free, "127.0.0.2"), "127.0.0.2", free},
		{"two addresses", addr(0, "127.0.0.2", "127.0.0.3"), "127.0.0.2/127.0.0.3", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := dial(t, &sctpnet.Dialer{LocalAddr: tt.local}, "sctp", ln.Addr().String())
			s := accept(t, ln)
			p := tt.port
			if p == 0 {
				p = port(c.LocalAddr())
			}
			want := fmt.Sprintf("%s:%d", tt.want, p)
			if got := c.LocalAddr().String(); got != want || p == 0 {
				t.Errorf("LocalAddr is %s, want %s", got, want)
			}
			if port(s.RemoteAddr()) != p {
				t.Errorf("the peer's RemoteAddr is %s, want port %d", s.RemoteAddr(), p)
			}
			if strings.Contains(tt.want, "/") && s.RemoteAddr().String() != want {
				t.Errorf("the peer's RemoteAddr is %s, want %s", s.RemoteAddr(), want)
			}
			c.Abort() // the port is free at once
		})
	}
}

// TestDialLocalAddrWildcard has the wildcard of IPv4 mean any address on
// IPv6's network too, as package net does.
func TestDialLocalAddrWildcard(t *testing.T) {
	ln := listen(t, "sctp6", "[::1]:0")
	local := addr(unusedPort(t), "0.0.0.0")
	c := dial(t, &sctpnet.Dialer{LocalAddr: local}, "sctp6", ln.Addr().String())
	if want := joinPort("::1", local.Port); c.LocalAddr().String() != want {
		t.Errorf("LocalAddr is %s, want %s", c.LocalAddr(), want)
	}
	c.Abort()
}

func TestDialLocalAddrUnfit(t *testing.T) {
	for _, tt := range []struct {
		name, network string
		local         net.Addr
	}{
		{"other type", "sctp", &net.TCPAddr{IP: net.IPv4zero}},
		{"IPv6 on sctp4", "sctp4", addr(0, "::1")},
		{"IPv4 on sctp6", "sctp6", addr(0, "127.0.0.1")},
		{"other family than the peer's", "sctp", addr(0, "::1")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := sctpnet.Dialer{LocalAddr: tt.local}
			_, err := dialFails(t, func() (net.Conn, error) { return d.Dial(tt.network, "127.0.0.1:9") })
			var aerr *net.AddrError
			if !errors.As(err, &aerr) {
				t.Errorf("%v, want an AddrError", err)
			}
		})
	}
}

func TestDialLocalAddrInUse(t *testing.T) {
	ln := listen(t, "sctp", "127.0.0.1:0")
	d := sctpnet.Dialer{LocalAddr: ln.Addr()}
	_, err := dialFails(t, func() (net.Conn, error) { return d.Dial("sctp", ln.Addr().String()) })
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("%v, want EADDRINUSE", err)
	}
}

// TestDialAgain dials from a port whose earlier association was over before it was
// accepted, and is not closed yet. The kernel answers for that one, with a cookie
// that nobody knows when it is closed, and a handshake that goes on with that
// cookie gets nowhere.
func TestDialAgain(t *testing.T) {
	ln := listen(t, "sctp4", "127.0.0.1:0")
	local := dial(t, nil, "sctp4", ln.Addr().String())
	accept(t, ln)
	d := sctpnet.Dialer{LocalAddr: local.LocalAddr(), Timeout: 20 * time.Second * conformance.Slowness}
	local.Close()
	eventually(t, "the port is free", func() bool { return !alive(t, port(d.LocalAddr)) })

	dial(t, &d, "sctp4", ln.Addr().String()).Close()
	old := accept(t, ln)
	time.AfterFunc(time.Second, func() { old.Close() }) // it has the handshake by then
	watchdog(t, func() { echo(t, dial(t, &d, "sctp4", ln.Addr().String()), accept(t, ln)) })
}

func TestDialControl(t *testing.T) {
	type key struct{}
	errControl := errors.New("control")
	for _, tt := range []struct{ listen, network, address string }{
		{"127.0.0.1:0", "sctp4", "127.0.0.1:%d"},
		{"[::1]:0", "sctp6", "[::1]:%d"},
		{"127.0.0.1/127.0.0.2:0", "sctp4", "127.0.0.1/127.0.0.2:%d"},
	} {
		ln := listen(t, "sctp", tt.listen)
		calls := 0
		check := func(network, address string, c syscall.RawConn) error {
			calls++
			if want := fmt.Sprintf(tt.address, port(ln.Addr())); network != tt.network || address != want {
				t.Errorf("Control was told %s, %s; want %s, %s", network, address, tt.network, want)
			}
			var v int
			var err error
			cerr := c.Control(func(fd uintptr) {
				v, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_PROTOCOL)
			})
			if cerr != nil || err != nil || v != syscall.IPPROTO_SCTP {
				t.Errorf("the protocol of Control's socket is %d, %v, %v", v, err, cerr)
			}
			return nil
		}
		dial(t, &sctpnet.Dialer{Control: check}, "sctp", ln.Addr().String())
		if calls != 1 {
			t.Errorf("Control was called %d times", calls)
		}

		// ControlContext takes precedence and has the values of the context.
		d := sctpnet.Dialer{
			Control: func(_, _ string, _ syscall.RawConn) error {
				t.Error("Control was called beside ControlContext")
				return nil
			},
			ControlContext: func(ctx context.Context, network, address string, c syscall.RawConn) error {
				if ctx.Value(key{}) != "value" {
					t.Error("ControlContext did not get the context")
				}
				check(network, address, c)
				return errControl
			},
		}
		ctx := context.WithValue(context.Background(), key{}, "value")
		_, err := dialFails(t, func() (net.Conn, error) { return d.DialContext(ctx, "sctp", ln.Addr().String()) })
		if !errors.Is(err, errControl) {
			t.Errorf("%v, want Control's error", err)
		}
		if calls != 2 {
			t.Errorf("ControlContext was called %d times", calls-1)
		}
	}
}

// TestDialWildcard dials what a listener on any address says of itself.
func TestDialWildcard(t *testing.T) {
	for _, tt := range []struct{ listenOn, listen, network, address string }{
		{"sctp", ":0", "sctp", ":%d"},
		{"sctp", ":0", "sctp", "0.0.0.0:%d"},
		{"sctp", ":0", "sctp", "[::]:%d"},
		{"sctp", ":0", "sctp4", ":%d"},
		{"sctp", ":0", "sctp6", "[::]:%d"},
		{"sctp4", "0.0.0.0:0", "sctp", "[::]:%d"},
		{"sctp6", "[::]:0", "sctp", ":%d"},
		{"sctp", ":0", "sctp4", "[::]:%d"},
		{"sctp4", "[::]:0", "sctp4", ":%d"},
		{"sctp", "[::]:0", "tcp", ":%d"},
	} {
		t.Run(tt.listenOn+" "+tt.listen+" "+tt.network+" "+tt.address, func(t *testing.T) {
			ln := listen(t, tt.listenOn, tt.listen)
			c := dial(t, nil, tt.network, fmt.Sprintf(tt.address, port(ln.Addr())))
			if a := c.RemoteAddr().(*sctpnet.Addr); len(a.IPAddrs) != 1 || !a.IPAddrs[0].IP.IsLoopback() {
				t.Errorf("RemoteAddr is %s, want the loopback address", a)
			}
			echo(t, c, accept(t, ln))
		})
	}
}

// TestDialTCPNames has code for TCP get SCTP.
func TestDialTCPNames(t *testing.T) {
	for _, tt := range []struct{ network, address, want string }{
		{"tcp", "127.0.0.1:0", "sctp"},
		{"tcp4", "127.0.0.1:0", "sctp4"},
		{"tcp6", "[::1]:0", "sctp6"},
	} {
		client, server := pipe(t, tt.network, tt.address)
		echo(t, client, server)
		for _, c := range []net.Conn{client, server} {
			c.Close()
			_, err := c.Read(nil)
			var e *net.OpError
			if !errors.As(err, &e) || e.Net != tt.want {
				t.Errorf("%s: %v, want an error of %s", tt.network, err, tt.want)
			}
			if got := c.LocalAddr().Network(); got != "sctp" {
				t.Errorf("%s: LocalAddr's network is %s", tt.network, got)
			}
		}
	}
}
