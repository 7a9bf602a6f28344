package sctpnet_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// wantListenerError checks that err has the shape of package net's.
func wantListenerError(t *testing.T, network string, ln net.Listener, op string, err, cause error) {
	t.Helper()
	e, ok := err.(*net.OpError)
	if !ok {
		t.Errorf("%s: error is %T (%v), want a *net.OpError", op, err, err)
		return
	}
	if e.Op != op || e.Net != network || e.Source != nil || e.Addr != ln.Addr() {
		t.Errorf("%s: error is %#v", op, e)
	}
	if !errors.Is(err, cause) {
		t.Errorf("%s: error is %v, want %v", op, err, cause)
	}
}

func TestAcceptDeadline(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		ln := listen(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			wantExceeded := func() {
				t.Helper()
				c, err := ln.Accept()
				if c != nil {
					t.Errorf("Accept returned %v with an error", c)
				}
				wantListenerError(t, network, ln, "accept", err, os.ErrDeadlineExceeded)
				var nerr net.Error
				if !errors.As(err, &nerr) || !nerr.Timeout() {
					t.Errorf("%v: Timeout() is false", err)
				}
			}
			// In the past, even if one could be accepted.
			c := dial(t, nil, network, ln.Addr().String())
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
	})
}

func TestListenerClose(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		ln := listen(t, network, "127.0.0.1:0")
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
				wantListenerError(t, network, ln, "accept", <-errs, net.ErrClosed)
			}
			_, err := ln.Accept()
			wantListenerError(t, network, ln, "accept", err, net.ErrClosed)
			wantListenerError(t, network, ln, "close", ln.Close(), net.ErrClosed)
			wantListenerError(t, network, ln, "set", ln.SetDeadline(time.Now()), net.ErrClosed)
		})
		if ln.Addr() != a || a.String() != s {
			t.Errorf("Addr is %v after Close, was %s", ln.Addr(), s)
		}
		d := &sctpnet.Dialer{Config: onlyTo(network, port(a))}
		if _, err := d.Dial(network, s); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dialing a closed listener: %v", err)
		}
	})
}

// TestListenWildcard checks that listening on any address is said in one, and
// that an association has a specific one.
func TestListenWildcard(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, tt := range []struct{ network, address, want, dial, local string }{
			{"sctp", ":0", "[::]:%d", "127.0.0.1:%d", "127.0.0.1:%d"},
			{"sctp", "", "[::]:%d", "[::1]:%d", "[::1]:%d"},
			{"sctp", "[::]:0", "[::]:%d", "127.0.0.1:%d", "127.0.0.1:%d"},
			{"sctp", "0.0.0.0:0", "[::]:%d", "127.0.0.1:%d", "127.0.0.1:%d"}, // as TCP in package net
			{"sctp4", ":0", "0.0.0.0:%d", "127.0.0.1:%d", "127.0.0.1:%d"},
			{"sctp6", ":0", "[::]:%d", "[::1]:%d", "[::1]:%d"},
		} {
			t.Run(tt.network+" "+tt.address, func(t *testing.T) {
				ln := listen(t, ofEngine(network, tt.network), tt.address)
				p := port(ln.Addr())
				if got, want := ln.Addr().String(), fmt.Sprintf(tt.want, p); got != want || p == 0 {
					t.Errorf("Addr is %s, want %s", got, want)
				}
				c := dial(t, nil, ofEngine(network, "sctp"), fmt.Sprintf(tt.dial, p))
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
	})
}

// TestListenSixOnly checks that "sctp6" on any address leaves IPv4 alone.
func TestListenSixOnly(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		ln := listen(t, ofEngine(network, "sctp6"), ":0")
		d := &sctpnet.Dialer{Config: onlyTo(network, port(ln.Addr()))}
		if _, err := d.Dial(network, joinPort("127.0.0.1", port(ln.Addr()))); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%v, want ECONNREFUSED", err)
		}
		listen(t, network, joinPort("", port(ln.Addr())))
	})
}

func TestListenAddressInUse(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		ln := listen(t, network, "127.0.0.1:0")
		p := port(ln.Addr())
		for _, address := range []string{joinPort("127.0.0.1", p), joinPort("", p), fmt.Sprintf("127.0.0.2/127.0.0.1:%d", p)} {
			if noList(t, network, address) {
				continue
			}
			second, err := sctpnet.Listen(network, address)
			if second != nil {
				second.Close()
			}
			var e *net.OpError
			if !errors.Is(err, syscall.EADDRINUSE) || !errors.As(err, &e) || e.Op != "listen" || e.Addr == nil {
				t.Errorf("%s: %v, want EADDRINUSE", address, err)
			}
		}
		listen(t, network, joinPort("127.0.0.2", p)) // not in use there
	})
}

func TestListenAddressNotAvailable(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, address := range []string{"192.0.2.1:0", "127.0.0.1/192.0.2.1:0"} {
			if noList(t, network, address) {
				continue
			}
			if _, err := sctpnet.Listen(network, address); !errors.Is(err, syscall.EADDRNOTAVAIL) {
				t.Errorf("%s: %v, want EADDRNOTAVAIL", address, err)
			}
		}
	})
}

// awaitGone waits until an association has ended that was dialed and closed. Over UDP there
// are no more goroutines then than before.
func awaitGone(t *testing.T, network string, c *sctpnet.Conn, before int) {
	t.Helper()
	eventually(t, "the association to end", func() bool {
		if overUDP(network) {
			return runtime.NumGoroutine() <= before
		}
		return !alive(t, port(c.LocalAddr()))
	})
}

// TestAcceptPeerGone accepts associations that have ended before. Their Conns
// have addresses, and end as any other.
func TestAcceptPeerGone(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, tt := range []struct {
			name  string
			data  string
			end   func(*sctpnet.Conn) error
			cause error
		}{
			{"closed", "", (*sctpnet.Conn).Close, io.EOF},
			{"closed after data", "data", (*sctpnet.Conn).Close, io.EOF},
			{"aborted", "", (*sctpnet.Conn).Abort, syscall.ECONNRESET},
			{"aborted after data", "data", (*sctpnet.Conn).Abort, syscall.ECONNRESET},
		} {
			for _, listenOn := range []string{"127.0.0.1:0", ":0", "[::1]:0", "127.0.0.1/127.0.0.2:0"} {
				t.Run(tt.name+"/"+listenOn, func(t *testing.T) {
					network := ofEngine(network, "sctp")
					if noList(t, network, listenOn) {
						return
					}
					ln := listen(t, network, listenOn)
					before := runtime.NumGoroutine()
					c := dial(t, inTurn(), network, ln.Addr().String())
					if tt.data != "" {
						if _, err := c.Write([]byte(tt.data)); err != nil {
							t.Fatal(err)
						}
					}
					if err := tt.end(c); err != nil {
						t.Fatal(err)
					}
					awaitGone(t, network, c, before)

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
						if !errors.Is(err, tt.cause) {
							t.Errorf("Read: %v, want %v", err, tt.cause)
						}
						if err == io.EOF && string(b) != tt.data {
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
	})
}

// TestStreamsOfPeerGone accepts an association that has ended before, and claims streams of
// it: they give what has arrived, and the end.
func TestStreamsOfPeerGone(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		ln := listen(t, network, "127.0.0.1:0")
		before := runtime.NumGoroutine()
		c := dial(t, inTurn(), network, ln.Addr().String())
		if _, err := c.WriteStream([]byte("data"), 3); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		awaitGone(t, network, c, before)
		watchdog(t, func() {
			conn := accept(t, ln)
			for id, want := range map[uint16]string{3: "data", 5: ""} {
				s, err := conn.Stream(id)
				if err != nil {
					t.Fatal(err)
				}
				if b, err := io.ReadAll(s); string(b) != want || err != nil {
					t.Errorf("stream %d gave %q, %v; want %q", id, b, err, want)
				}
			}
		})
	})
}

// TestListenAgain listens on a port while associations of an earlier listener
// on it live on.
func TestListenAgain(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, address := range []string{"127.0.0.1:0", ":0", "127.0.0.1/127.0.0.2:0"} {
			network := ofEngine(network, "sctp")
			if noList(t, network, address) {
				continue
			}
			ln := listen(t, network, address)
			c := dial(t, nil, network, ln.Addr().String())
			s := accept(t, ln)
			ln.Close()
			again := listen(t, network, ln.Addr().String())
			if again.Addr().String() != ln.Addr().String() {
				t.Errorf("listens on %s, want %s", again.Addr(), ln.Addr())
			}
			echo(t, c, s)
			c2 := dial(t, nil, network, again.Addr().String())
			echo(t, c2, accept(t, again))
		}
	})
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

// TestMethodsOfNilAndZero calls everything on nil and on values that nobody made.
func TestMethodsOfNilAndZero(t *testing.T) {
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

// TestNilPanicsAtTheCaller has nil where something must be. The caller can recover from
// the panic.
func TestNilPanicsAtTheCaller(t *testing.T) {
	c, _ := pipe(t, "sctp4+udp", "127.0.0.1:0")
	var none context.Context
	for name, call := range map[string]func(){
		"Dialer.DialContext":       func() { new(sctpnet.Dialer).DialContext(none, "sctp+udp", "127.0.0.1:9") },
		"StreamDialer.DialContext": func() { new(sctpnet.StreamDialer).DialContext(none, "sctp+udp", "127.0.0.1:9") },
		"AcceptStream":             func() { c.AcceptStream(none) },
		"NewStreamListener":        func() { sctpnet.NewStreamListener(nil) },
	} {
		func() {
			defer func() {
				if r := fmt.Sprint(recover()); !strings.HasPrefix(r, "nil ") {
					t.Errorf("%s: panic %q, want one that says what is nil", name, r)
				}
			}()
			call()
		}()
	}
}

// TestListenerGrants has peers that ask for many streams. Each can be answered on
// the stream of its question.
func TestListenerGrants(t *testing.T) { eachEngine(t, testListenerGrants) }

func testListenerGrants(t *testing.T, network string) {
	for _, tt := range []struct {
		server sctpnet.Config
		want   int
	}{
		{sctpnet.Config{}, 256},
		{sctpnet.Config{MaxInStreams: 500}, 500},
		{sctpnet.Config{OutStreams: 100}, 100},
		{sctpnet.Config{OutStreams: 100, MaxInStreams: 300}, 100},
	} {
		c, s := configured(t, network, "127.0.0.1:0", sctpnet.Config{OutStreams: 65535, MaxInStreams: 65535}, tt.server)
		for what, conn := range map[string]*sctpnet.Conn{"dialed": c, "accepted": s} {
			if out, in := conn.NumStreams(); int(out) != tt.want || int(in) != tt.want {
				t.Errorf("%+v: the %s end has %d and %d streams, want %d", tt.server, what, out, in, tt.want)
			}
		}
		watchdog(t, func() {
			last := uint16(tt.want - 1)
			p := make([]byte, 10)
			if _, err := c.WriteStream([]byte("question"), last); err != nil {
				t.Fatal(err)
			}
			_, stream, err := s.ReadStream(p)
			if err != nil || stream != last {
				t.Fatalf("the question is on stream %d, %v", stream, err)
			}
			if _, err := s.WriteStream([]byte("answer"), stream); err != nil {
				t.Fatal(err)
			}
			if n, stream, err := c.ReadStream(p); string(p[:n]) != "answer" || stream != last || err != nil {
				t.Fatalf("the answer is %q on stream %d, %v", p[:n], stream, err)
			}
		})
	}
}

// TestClosedListenerIsNoTimeout is TestClosedIsNoTimeout of a Listener.
func TestClosedListenerIsNoTimeout(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		l, err := sctpnet.Listen(network, "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ln := l.(*sctpnet.Listener)
		ln.SetDeadline(time.Now().Add(-time.Second))
		if _, err := ln.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Accept: %v, want the deadline's error", err)
		}
		ln.Close()
		if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept after Close: %v, want net.ErrClosed", err)
		}
	})
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

// TestListenAsNet listens as package net does on TCP.
func TestListenAsNet(t *testing.T) {
	needSCTP(t)
	for _, suffix := range []string{"", "4", "6"} {
		for _, host := range []string{"", "[::]", "0.0.0.0", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:0.0.0.0]"} {
			t.Run(suffix+" "+host, func(t *testing.T) {
				want, terr := listenHost(net.Listen("tcp"+suffix, host+":0"))
				got, err := listenHost(sctpnet.Listen("sctp"+suffix, host+":0"))
				if got != want || (err == nil) != (terr == nil) {
					t.Errorf("SCTP listens at %q, %v; TCP at %q, %v", got, err, want, terr)
				}
			})
		}
	}
}

// listenHost returns the host that a listener has, and closes it.
func listenHost(ln net.Listener, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer ln.Close()
	host, _, err := net.SplitHostPort(ln.Addr().String())
	return host, err
}

// TestAcceptEnding accepts associations that the peer has begun to shut down.
// Their sockets do not become readable when they end. Whoever waits for
// something to read must be woken all the same.
func TestAcceptEnding(t *testing.T) {
	ignore := func(*sctpnet.Conn, sctpnet.Event) {}
	for _, tt := range []struct {
		name   string
		config sctpnet.Config
		wait   func(*sctpnet.Conn) error
	}{
		{"Read", sctpnet.Config{}, func(c *sctpnet.Conn) error {
			_, err := c.Read(make([]byte, 10))
			return err
		}},
		{"ReadMsg", sctpnet.Config{}, func(c *sctpnet.Conn) error {
			_, _, err := c.ReadMsg(make([]byte, 10))
			return err
		}},
		{"Read with events", sctpnet.Config{OnEvent: ignore}, func(c *sctpnet.Conn) error {
			_, err := c.Read(make([]byte, 10))
			return err
		}},
		{"Stream.Read", sctpnet.Config{}, func(c *sctpnet.Conn) error {
			s, err := c.Stream(3)
			if err != nil {
				return err
			}
			_, err = s.Read(make([]byte, 10))
			return err
		}},
		{"AcceptStream", sctpnet.Config{}, func(c *sctpnet.Conn) error {
			_, err := c.AcceptStream(context.Background())
			return err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := newLinks(t)
			ln := b.listen(t, sctpnet.ListenConfig{Config: tt.config}, "10.77.1.2:0")
			client := a.dial(t, sctpnet.Dialer{}, ln.Addr().String())
			b.awaitState(t, port(ln.Addr()), "3") // ESTABLISHED
			b.netem(t, "link1", "loss 100%")
			if err := client.Shutdown(); err != nil {
				t.Fatal(err)
			}
			b.awaitState(t, port(ln.Addr()), "7") // SHUTDOWN ACK SENT
			server := accept(t, ln)
			waiting := conformance.Start(t, func() (int, error) { return 0, tt.wait(server) })
			waiting.Waits()
			b.heal(t, "link1")
			watchdog(t, func() {
				if _, err := waiting.Result(); !isEOF(err) {
					t.Errorf("the wait ended by %v, want the end of the association", err)
				}
			})
		})
	}
}

func isEOF(err error) bool { return err != nil && strings.HasSuffix(err.Error(), io.EOF.Error()) }
