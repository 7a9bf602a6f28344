package sctpnet_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
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
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%v, want Canceled", err)
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
