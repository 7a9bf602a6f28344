package sctpnet_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// TestDialTriesAddresses dials a name of which only the last address has a
// listener. What is tried before it must not cost the 3 s that the kernel waits
// for it. TestRace has the exact times.
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
	}{
		{name: "IPv4 silent, IPv6 good", listen: ownPrivate6, addrs: []string{silent4, ownPrivate6},
			tries: []string{silent4, ownPrivate6}, min: 300 * time.Millisecond},
		{name: "IPv6 silent, IPv4 good", listen: own4, addrs: []string{own4, silentPublic6},
			tries: []string{silentPublic6, own4}, min: 300 * time.Millisecond},
		{name: "first of two IPv4 silent", listen: own4, addrs: []string{silent4, own4},
			tries: []string{silent4, own4}, min: 300 * time.Millisecond},
		{name: "two silent", listen: own4, addrs: []string{silent4, "198.51.100.3", own4}, delay: 50 * time.Millisecond,
			tries: []string{silent4, "198.51.100.3", own4}, min: 100 * time.Millisecond},
		{name: "families in turn", listen: own4, addrs: []string{silentPublic6, "2001:db8:5c79::3", own4}, delay: 50 * time.Millisecond,
			tries: []string{silentPublic6, own4}, min: 50 * time.Millisecond},
		{name: "first refuses", listen: own4, addrs: []string{own4, ownPublic6}, delay: time.Hour,
			tries: []string{ownPublic6, own4}},
		{name: "serial, first refuses", listen: own4, addrs: []string{own4, ownPublic6}, delay: -1,
			tries: []string{ownPublic6, own4}},
		{name: "serial, first silent", listen: own4, addrs: []string{silent4, own4}, delay: -1, timeout: 5 * time.Second,
			tries: []string{silent4, own4}, min: 2500 * time.Millisecond},
		{name: "first good", listen: own4, addrs: []string{own4, silent4},
			tries: []string{own4}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			ln := listen(t, "sctp", joinPort(tt.listen, 0))
			tries := make(chan string, 10)
			d := sctpnet.Dialer{
				FallbackDelay: tt.delay,
				Timeout:       tt.timeout,
				Resolver:      fakeDNS(name, tt.addrs...),
				Control: func(_, address string, _ syscall.RawConn) error {
					tries <- address
					return nil
				},
			}
			start := time.Now()
			var c *sctpnet.Conn
			watchdog(t, func() { c = dial(t, &d, "sctp", joinPort(name, port(ln.Addr()))) })
			if took := time.Since(start); took < tt.min || took > tt.min+atOnce {
				t.Errorf("took %v, want %v", took, tt.min)
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
				leavesNothing(t, "sctp", before, a+" ")
			}
		})
	}
}

// TestDialNoAddressAnswers checks whose error is returned: the first address's.
func TestDialNoAddressAnswers(t *testing.T) {
	silentNet(t)
	const name = "peer.example."
	p := unusedPort(t, "sctp")
	for _, delay := range []time.Duration{0, -1} {
		d := sctpnet.Dialer{
			FallbackDelay: delay,
			Timeout:       2 * time.Second,
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
	leavesNothing(t, "sctp", before, "198.51.100.")
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
	conformance.WaitFor(t, "the port to be free", func() bool { return !alive(t, port(d.LocalAddr)) })

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
