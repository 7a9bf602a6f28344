package sctpnet_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
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
func unusedPort(t testing.TB, network string) int {
	t.Helper()
	ln := listen(t, ofEngine(network, "sctp"), ":0")
	ln.Close()
	return port(ln.Addr())
}

// silentPeer returns an address at which nobody answers.
func silentPeer(t testing.TB, network string) (host string, port int) {
	t.Helper()
	if !overUDP(network) {
		silentNet(t)
		return silent4, 9
	}
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	a := c.LocalAddr().(*net.UDPAddr)
	return a.IP.String(), a.Port
}

// leavesNothing checks that after a dial neither an association with the peer
// nor a goroutine is left.
func leavesNothing(t testing.TB, network string, goroutines int, peer string) {
	t.Helper()
	if !overUDP(network) {
		eventually(t, "the associations to go", func() bool { return countAssociations(t, peer) == 0 })
	}
	eventually(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines })
}

func TestDialRefused(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		network = ofEngine(network, "sctp")
		p := unusedPort(t, network)
		d := &sctpnet.Dialer{Config: onlyTo(network, p)}
		for _, host := range []string{"127.0.0.1", "::1", "127.0.0.1/127.0.0.2"} {
			address := fmt.Sprintf("%s:%d", host, p)
			if host == "::1" {
				address = joinPort(host, p)
			}
			took, err := dialFails(t, func() (net.Conn, error) { return d.Dial(network, address) })
			if strings.Contains(host, "/") && lacking(t, network, severalAddresses, func() error { return err }) {
				continue
			}
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
	})
}

// TestDialSilentPeer ends the dial of a peer that does not answer, by all that
// can end it.
func TestDialSilentPeer(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		const wait = 200 * time.Millisecond
		host, port := silentPeer(t, network)
		address := joinPort(host, port)
		for _, tt := range []struct {
			name string
			dial func() (net.Conn, error)
		}{
			{"DialTimeout", func() (net.Conn, error) { return sctpnet.DialTimeout(network, address, wait) }},
			{"Timeout", func() (net.Conn, error) {
				d := sctpnet.Dialer{Timeout: wait, Deadline: time.Now().Add(time.Hour)}
				return d.Dial(network, address)
			}},
			{"Deadline", func() (net.Conn, error) {
				d := sctpnet.Dialer{Timeout: time.Hour, Deadline: time.Now().Add(wait)}
				return d.Dial(network, address)
			}},
			{"context", func() (net.Conn, error) {
				ctx, cancel := context.WithTimeout(context.Background(), wait)
				defer cancel()
				return new(sctpnet.Dialer).DialContext(ctx, network, address)
			}},
		} {
			t.Run(tt.name, func(t *testing.T) {
				before := runtime.NumGoroutine()
				took, err := dialFails(t, tt.dial)
				wantTimeout(t, err)
				if took < wait || took > wait+atOnce {
					t.Errorf("took %v, want %v", took, wait)
				}
				leavesNothing(t, network, before, host)
			})
		}
	})
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

// TestDialNoHost dials addresses that no host has, and from ports that there are not.
func TestDialNoHost(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		from := func(port int) sctpnet.Dialer { return sctpnet.Dialer{LocalAddr: &sctpnet.Addr{Port: port}} }
		for _, tt := range []struct {
			d             sctpnet.Dialer
			address, want string
		}{
			{sctpnet.Dialer{}, "224.0.0.1:9", "224.0.0.1 is not the address of one host"},
			{sctpnet.Dialer{}, "255.255.255.255:9", "255.255.255.255 is not the address of one host"},
			{sctpnet.Dialer{}, "[fe80::1]:9", "fe80::1 is link-local and needs a zone"},
			{sctpnet.Dialer{}, "127.0.0.1/224.0.0.1:9", "224.0.0.1 is not the address of one host"},
			{from(-1), "127.0.0.1:9", "no local port; allowed are 0 to 65535"},
			{from(65536), "127.0.0.1:9", "no local port; allowed are 0 to 65535"},
		} {
			watchdog(t, func() {
				_, err := tt.d.Dial(ofEngine(network, "sctp"), tt.address)
				if _, ok := err.(*net.OpError); !ok || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%s from %v: %v, want %q", tt.address, tt.d.LocalAddr, err, tt.want)
				}
			})
		}
	})
}

func TestDialCanceled(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		host, port := silentPeer(t, network)
		peers := []string{host}
		if !overUDP(network) {
			peers = append(peers, silentPublic6)
		}
		for _, peer := range peers {
			before := runtime.NumGoroutine()
			ctx, cancel := context.WithCancel(context.Background())
			d := sctpnet.Dialer{Control: func(_, _ string, _ syscall.RawConn) error {
				time.AfterFunc(50*time.Millisecond, cancel)
				return nil
			}}
			took, err := dialFails(t, func() (net.Conn, error) {
				return d.DialContext(ctx, ofEngine(network, "sctp"), joinPort(peer, port))
			})
			if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "operation was canceled") {
				t.Errorf("%v, want Canceled, in the words of package net", err)
			}
			if took > 50*time.Millisecond+atOnce {
				t.Errorf("took %v", took)
			}
			leavesNothing(t, network, before, peer)
		}
	})
}

// TestDialContextEndsLater checks that the context has no hold on what it has
// helped to dial.
func TestDialContextEndsLater(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		ln := listen(t, network, "127.0.0.1:0")
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		c, err := new(sctpnet.Dialer).DialContext(ctx, network, ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		cancel()
		echo(t, c, accept(t, ln))
	})
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
	eachEngine(t, func(t *testing.T, network string) {
		canceled, cancel := context.WithCancel(context.Background())
		cancel()
		expired, cancel := context.WithTimeout(context.Background(), -time.Second)
		defer cancel()
		for _, tt := range []struct {
			name string
			d    sctpnet.Dialer
			ctx  context.Context
		}{
			{name: "canceled", ctx: canceled},
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
					took, err := dialFails(t, func() (net.Conn, error) { return d.DialContext(tt.ctx, network, host+":9") })
					if tt.ctx == canceled {
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
	})
}

func TestDialLocalAddr(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		ln := listen(t, network, "127.0.0.1:0")
		free := unusedPort(t, network)
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
				d := &sctpnet.Dialer{LocalAddr: tt.local}
				if strings.Contains(tt.want, "/") && lacking(t, network, severalAddresses, func() error {
					_, err := d.Dial(network, ln.Addr().String())
					return err
				}) {
					return
				}
				c := dial(t, d, network, ln.Addr().String())
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
	})
}

func TestDialLocalAddrUnfit(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
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
				_, err := dialFails(t, func() (net.Conn, error) { return d.Dial(ofEngine(network, tt.network), "127.0.0.1:9") })
				var aerr *net.AddrError
				if !errors.As(err, &aerr) {
					t.Errorf("%v, want an AddrError", err)
				}
			})
		}
	})
}

func TestDialLocalAddrInUse(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		ln := listen(t, network, "127.0.0.1:0")
		d := sctpnet.Dialer{LocalAddr: ln.Addr()}
		_, err := dialFails(t, func() (net.Conn, error) { return d.Dial(network, ln.Addr().String()) })
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("%v, want EADDRINUSE", err)
		}
	})
}

// TestDialWildcard dials what a listener on any address says of itself.
func TestDialWildcard(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, tt := range []struct{ listenOn, listen, network, address string }{
			{"sctp", ":0", "sctp", ":%d"},
			{"sctp", ":0", "sctp", "0.0.0.0:%d"},
			{"sctp", ":0", "sctp", "[::]:%d"},
			{"sctp", ":0", "sctp4", ":%d"},
			{"sctp", ":0", "sctp6", "[::]:%d"},
			{"sctp4", "0.0.0.0:0", "sctp", "[::]:%d"},
			{"sctp6", "[::]:0", "sctp", ":%d"},
			{"sctp", "[::]:0", "sctp", ":%d"},
		} {
			t.Run(tt.listenOn+" "+tt.listen+" "+tt.network+" "+tt.address, func(t *testing.T) {
				ln := listen(t, ofEngine(network, tt.listenOn), tt.listen)
				c := dial(t, inTurn(), ofEngine(network, tt.network), fmt.Sprintf(tt.address, port(ln.Addr())))
				if a := c.RemoteAddr().(*sctpnet.Addr); len(a.IPAddrs) != 1 || !a.IPAddrs[0].IP.IsLoopback() {
					t.Errorf("RemoteAddr is %s, want the loopback address", a)
				}
				echo(t, c, accept(t, ln))
			})
		}
	})
}

// TestDialTriesAddresses dials a name whose last address alone has a listener. What is tried before it must not cost the 3 s that the kernel waits
// for it. TestFallbackRace has the exact times.
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
			took := time.Since(start)
			if took < tt.min || took > tt.min+atOnce {
				t.Errorf("took %v, want %v", took, tt.min)
			}
			close(tries)
			var tried []string
			for a := range tries {
				host, _, _ := net.SplitHostPort(a)
				tried = append(tried, host)
			}
			// On a busy machine the one that answers may take longer than its head start.
			// Then the next one is tried, too.
			headStart := cmp.Or(tt.delay, 300*time.Millisecond)
			if more := len(tried) - len(tt.tries); more > 0 && headStart > 0 && took >= tt.min+time.Duration(more)*headStart {
				tried = tried[:len(tt.tries)]
			}
			if fmt.Sprint(tried) != fmt.Sprint(tt.tries) {
				t.Errorf("tried %v, want %v", tried, tt.tries)
			}
			if got := c.RemoteAddr().String(); got != ln.Addr().String() {
				t.Errorf("RemoteAddr is %s, want %s", got, ln.Addr())
			}
			echo(t, c, accept(t, ln))
			for _, a := range tt.tries[:len(tt.tries)-1] {
				leavesNothing(t, "sctp", before, a)
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
	leavesNothing(t, "sctp", before, "198.51.100.0/24")
}

// TestDialRaceHasOneWinner has two attempts succeed at the same time: one of
// the associations must go.
func TestDialRaceHasOneWinner(t *testing.T) {
	silentNet(t)
	const name = "peer.example."
	ln := listen(t, "sctp", ":0")
	serve(ln, func(s net.Conn) { io.Copy(s, s) })
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
		eventually(t, "both associations to end", func() bool { return !alive(t, port(ln.Addr())) })
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
	eventually(t, "the port to be free", func() bool { return !alive(t, port(d.LocalAddr)) })

	dial(t, &d, "sctp4", ln.Addr().String()).Close()
	eventually(t, "the port to be free again", func() bool { return !alive(t, port(d.LocalAddr)) })
	old := accept(t, ln)
	time.AfterFunc(time.Second, func() { old.Close() }) // it has the handshake by then
	watchdog(t, func() { echo(t, dial(t, &d, "sctp4", ln.Addr().String()), accept(t, ln)) })
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

// TestDialNoRoute dials where there is no route. SCTP fails as fast as TCP, with
// TCP's errno.
func TestDialNoRoute(t *testing.T) {
	a, _ := newLinks(t)
	for _, route := range []string{
		"unreachable 10.99.1.0/24",
		"prohibit 10.99.2.0/24",
		"blackhole 10.99.3.0/24",
		"unreachable 2001:db8:1::/48",
		"prohibit 2001:db8:2::/48",
		"blackhole 2001:db8:3::/48",
	} {
		a.ip(t, "route add "+route)
	}
	for _, tt := range []struct{ local, address string }{
		{"", "192.0.2.1:5000"},
		{"", "10.99.1.1:5000"},
		{"", "10.99.2.1:5000"},
		{"", "10.99.3.1:5000"},
		{"", "10.77.1.255:5000"},
		{"", "255.255.255.255:5000"},
		{"", "224.0.0.1:5000"},
		{"", "[ff02::1%link1]:5000"},
		{"", "[2001:db8::1]:5000"},
		{"", "[2001:db8:1::1]:5000"},
		{"", "[2001:db8:2::1]:5000"},
		{"", "[2001:db8:3::1]:5000"},
		{"", "[fe80::1]:5000"},
		{"10.77.1.1", "192.0.2.1:5000"},
		{"10.77.1.1", "10.99.1.1:5000"},
		{"127.0.0.1", "192.0.2.1:5000"},
	} {
		t.Run(tt.local+"-"+tt.address, func(t *testing.T) {
			want, _ := a.dialErrno(t, "tcp", tt.local, tt.address)
			got, took := a.dialErrno(t, "sctp", tt.local, tt.address)
			if got != want || took > time.Second*conformance.Slowness {
				t.Errorf("SCTP fails with %v after %v, TCP with %v", got, took, want)
			}
		})
	}
	t.Run("list", func(t *testing.T) {
		got, took := a.dialErrno(t, "sctp", "", "10.99.2.1/10.99.1.1:5000")
		if got != syscall.EACCES || took > time.Second*conformance.Slowness {
			t.Errorf("failed with %v after %v, want the first address's %v", got, took, syscall.EACCES)
		}
	})
}

// dialErrno dials in the network, which must fail.
func (ns *netns) dialErrno(t *testing.T, network, local, address string) (errno syscall.Errno, took time.Duration) {
	t.Helper()
	ns.do(t, func() error {
		start := time.Now()
		var c net.Conn
		var err error
		ip := net.ParseIP(local)
		if network == "tcp" {
			d := net.Dialer{Timeout: 20 * time.Second}
			if ip != nil {
				d.LocalAddr = &net.TCPAddr{IP: ip}
			}
			c, err = d.Dial(network, address)
		} else {
			d := sctpnet.Dialer{Timeout: 20 * time.Second}
			if ip != nil {
				d.LocalAddr = &sctpnet.Addr{IPAddrs: []net.IPAddr{{IP: ip}}}
			}
			c, err = d.Dial(network, address)
		}
		took = time.Since(start)
		if err == nil {
			c.Close()
			return fmt.Errorf("%s connects to %s", network, address)
		}
		if !errors.As(err, &errno) {
			return fmt.Errorf("%s: no errno: %v", network, err)
		}
		var e *net.OpError
		if !errors.As(err, &e) || e.Op != "dial" {
			t.Errorf("%s: %v is not an OpError of dial", network, err)
		}
		return nil
	})
	return errno, took
}

// TestDialSelf dials a port where nobody listens, but which the system may choose
// for the dialer. The dial fails, as TCP's.
func TestDialSelf(t *testing.T) {
	a := newNetns(t)
	a.ip(t, "address add 127.0.0.2/8 dev lo")
	a.ip(t, "address add 10.1.1.1/32 dev lo")
	a.sysctl(t, "ipv4/ip_local_port_range", "40000 40003")
	for _, hosts := range []string{"127.0.0.1", "[::1]", "127.0.0.1/10.1.1.1", "10.1.1.1/127.0.0.1"} {
		t.Run(hosts, func(t *testing.T) {
			for range 50 {
				a.do(t, func() error {
					d := sctpnet.Dialer{Timeout: 10 * time.Second}
					c, err := d.Dial("sctp", hosts+":40002")
					if err == nil {
						c.Close()
						return fmt.Errorf("nobody listens, and yet %v is connected to %v", c.LocalAddr(), c.RemoteAddr())
					}
					if !errors.Is(err, syscall.ECONNREFUSED) {
						return fmt.Errorf("the dial failed with %v, want ECONNREFUSED", err)
					}
					return nil
				})
			}
		})
	}
}

// TestDialSelfOnPurpose dials from the port that it dials.
func TestDialSelfOnPurpose(t *testing.T) {
	a := newNetns(t)
	local := &sctpnet.Addr{IPAddrs: []net.IPAddr{{IP: net.IP{127, 0, 0, 1}}}, Port: 40000}
	c := a.dial(t, sctpnet.Dialer{LocalAddr: local}, "127.0.0.1:40000")
	exchange(t, c, c)
}

// TestDialNoPort dials when all local ports are in use.
func TestDialNoPort(t *testing.T) {
	a := newNetns(t)
	a.sysctl(t, "ipv4/ip_local_port_range", "40000 40003")
	ln := a.listen(t, sctpnet.ListenConfig{}, "127.0.0.1:30000")
	for range 4 {
		a.dial(t, sctpnet.Dialer{}, ln.Addr().String())
	}
	for _, local := range []*sctpnet.Addr{nil, {IPAddrs: []net.IPAddr{{IP: net.IP{127, 0, 0, 1}}}}} {
		t.Run(fmt.Sprint("from ", local), func(t *testing.T) {
			a.do(t, func() error {
				want := syscall.EADDRNOTAVAIL
				if local != nil {
					want = syscall.EADDRINUSE // as of TCP, whose bind it is
				}
				d := sctpnet.Dialer{Timeout: 10 * time.Second}
				if local != nil {
					d.LocalAddr = local
				}
				c, err := d.Dial("sctp", ln.Addr().String())
				if err == nil {
					c.Close()
					return errors.New("there is a port left")
				}
				var e net.Error
				if !errors.Is(err, want) || errors.As(err, &e) && e.Timeout() {
					return fmt.Errorf("the dial failed with %v, want %v and no timeout", err, want)
				}
				return nil
			})
		})
	}
	a.do(t, func() error {
		ln, err := sctpnet.Listen("sctp", "127.0.0.1:0")
		if err == nil {
			ln.Close()
			return errors.New("there is a port left to listen at")
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("Listen failed with %v, want EADDRINUSE", err)
		}
		return nil
	})
}

// TestDialAsNet dials as package net does on TCP, from local addresses of all
// kinds.
func TestDialAsNet(t *testing.T) {
	tln, err := net.Listen("tcp", "[::]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tln.Close()
	ln := listen(t, "sctp", "[::]:0")
	for _, suffix := range []string{"", "4", "6"} {
		for _, local := range []string{"none", "", "::", "0.0.0.0", "127.0.0.1", "::1"} {
			for _, host := range []string{"", "[::]", "0.0.0.0", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"} {
				t.Run(fmt.Sprintf("%s from %s to %s", suffix, local, host), func(t *testing.T) {
					td := net.Dialer{FallbackDelay: -1} // a lost packet would decide a race
					d := sctpnet.Dialer{FallbackDelay: -1}
					if local != "none" {
						ip := net.ParseIP(local)
						td.LocalAddr = &net.TCPAddr{IP: ip}
						a := &sctpnet.Addr{}
						if ip != nil {
							a.IPAddrs = []net.IPAddr{{IP: ip}}
						}
						d.LocalAddr = a
					}
					want, terr := hosts(td.Dial("tcp"+suffix, host+":"+strconv.Itoa(tln.Addr().(*net.TCPAddr).Port)))
					got, err := hosts(d.Dial("sctp"+suffix, host+":"+strconv.Itoa(port(ln.Addr()))))
					if got != want || (err == nil) != (terr == nil) {
						t.Errorf("SCTP connects %q, %v; TCP %q, %v", got, err, want, terr)
					}
				})
			}
		}
	}
}

// hosts returns the hosts of a Conn's ends, and closes it.
func hosts(c net.Conn, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer c.Close()
	local, _, err1 := net.SplitHostPort(c.LocalAddr().String())
	remote, _, err2 := net.SplitHostPort(c.RemoteAddr().String())
	if err1 != nil {
		return "", err1
	}
	return local + " -> " + remote, err2
}

// TestLinkLocalAddrs looks at the addresses of associations between link-local
// addresses. Each has its zone, as of TCP.
func TestLinkLocalAddrs(t *testing.T) {
	a, b := newLinks(t)
	a.ip(t, "address add fe80::a/64 dev link1 nodad")
	b.ip(t, "address add fe80::b/64 dev link1 nodad")
	for _, host := range []string{"[fe80::b%link1]", "[::]"} {
		for _, local := range []string{"", "fe80::a"} {
			t.Run(fmt.Sprintf("listening at %s, from %s", host, local), func(t *testing.T) {
				ln := b.listen(t, sctpnet.ListenConfig{}, host+":0")
				d := sctpnet.Dialer{Timeout: 10 * time.Second}
				if local != "" {
					d.LocalAddr = &sctpnet.Addr{IPAddrs: []net.IPAddr{{IP: net.ParseIP(local), Zone: "link1"}}}
				}
				c := a.dial(t, d, fmt.Sprintf("[fe80::b%%link1]:%d", port(ln.Addr())))
				// Reading the name of a zone takes the network of the socket.
				var s net.Conn
				b.do(t, func() (err error) {
					s, err = ln.Accept()
					return err
				})
				defer s.Close()
				// Of a peer's other addresses the system knows no zone.
				for what, addr := range map[string]net.Addr{
					"LocalAddr of the dialed one":    c.LocalAddr(),
					"RemoteAddr of the dialed one":   c.RemoteAddr(),
					"LocalAddr of the accepted one":  s.LocalAddr(),
					"RemoteAddr of the accepted one": s.RemoteAddr(),
				} {
					if ip := addr.(*sctpnet.Addr).IPAddrs[0]; !ip.IP.IsLinkLocalUnicast() || ip.Zone != "link1" {
						t.Errorf("%s is %v, want a link-local address with the zone link1", what, addr)
					}
				}
			})
		}
	}
}
