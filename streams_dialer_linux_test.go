package sctpnet_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"weak"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// associations returns how many ends of associations with a port there are on
// this host: two for each.
func associations(t testing.TB, port int) (n int) {
	t.Helper()
	b, err := os.ReadFile("/proc/thread-self/net/sctp/assocs")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		const localPort, remotePort = 11, 12
		f, p := strings.Fields(line), strconv.Itoa(port)
		if len(f) > remotePort && (f[localPort] == p || f[remotePort] == p) {
			n++
		}
	}
	return n
}

// A countingListener counts the associations that it accepts, and keeps them.
type countingListener struct {
	net.Listener
	accepted atomic.Int32
	conns    chan *sctpnet.Conn
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.accepted.Add(1)
		l.conns <- c.(*sctpnet.Conn)
	}
	return c, err
}

// streamServer listens for streams, and answers each message on them with the
// same, until the test ends.
func streamServer(t testing.TB) (*countingListener, string) {
	t.Helper()
	ln := &countingListener{Listener: listen(t, "sctp4", "127.0.0.1:0"), conns: make(chan *sctpnet.Conn, 100)}
	sl := sctpnet.NewStreamListener(ln)
	go func() {
		for {
			c, err := sl.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				s := c.(*sctpnet.Stream)
				for b := make([]byte, 1000); ; {
					n, info, err := s.ReadMsg(b)
					if err != nil {
						return
					}
					if _, err := s.WriteMsg(b[:n], info); err != nil {
						return
					}
				}
			}()
		}
	}()
	t.Cleanup(func() {
		sl.Close()
		for len(ln.conns) > 0 {
			(<-ln.conns).Close()
		}
		conformance.WaitFor(t, "the associations to end", func() bool { return associations(t, port(ln.Addr())) == 0 })
	})
	return ln, ln.Addr().String()
}

// streamDialer is a StreamDialer whose associations end with the test.
func streamDialer(t testing.TB) *sctpnet.StreamDialer {
	d := &sctpnet.StreamDialer{}
	t.Cleanup(func() {
		d.IdleTimeout = -1
		d.CloseIdleConnections()
	})
	return d
}

// dialStream dials a stream and uses it.
func dialStream(t testing.TB, d *sctpnet.StreamDialer, address string) *sctpnet.Stream {
	t.Helper()
	c, err := d.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	exchange(t, c, c)
	return c.(*sctpnet.Stream)
}

// TestStreamDialerShares dials many streams at the same time, when there is no
// association yet.
func TestStreamDialerShares(t *testing.T) {
	const n = 50
	ln, address := streamServer(t)
	d := streamDialer(t)
	watchdog(t, func() {
		streams := make(chan net.Conn, n)
		var fs []func() error
		for range n {
			fs = append(fs, func() error {
				c, err := d.DialContext(t.Context(), "tcp", address)
				if err == nil {
					streams <- c
				}
				return err
			})
		}
		together(t, nil, fs...)
		seen := make(map[uint16]bool)
		for range n {
			s := (<-streams).(*sctpnet.Stream)
			if seen[s.ID()] {
				t.Errorf("stream %d was dialled twice", s.ID())
			}
			seen[s.ID()] = true
			exchange(t, s, s)
			s.Close()
		}
		if got := ln.accepted.Load(); got != 1 {
			t.Errorf("%d associations were made", got)
		}
		if got := associations(t, port(ln.Addr())); got != 2 {
			t.Errorf("there are %d ends of associations, want 2", got)
		}
		// Another network or address is another association.
		c, err := d.Dial("sctp4", address)
		if err != nil {
			t.Fatal(err)
		}
		exchange(t, c, c)
		c.Close()
		if got := ln.accepted.Load(); got != 2 {
			t.Errorf("%d associations were made, want 2", got)
		}
	})
}

// TestStreamDialerReplaces ends the association, in every way: the next dial
// makes another.
func TestStreamDialerReplaces(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(c *sctpnet.Conn) error
	}{
		{"Close", (*sctpnet.Conn).Close},
		{"Abort", (*sctpnet.Conn).Abort},
		{"Shutdown", (*sctpnet.Conn).Shutdown},
	} {
		for _, idle := range []bool{false, true} {
			name := tt.name
			if idle {
				name += ", idle"
			}
			t.Run(name, func(t *testing.T) {
				ln, address := streamServer(t)
				d := streamDialer(t)
				watchdog(t, func() {
					for i := range int32(3) {
						s := dialStream(t, d, address)
						if got := ln.accepted.Load(); got != i+1 {
							t.Errorf("%d associations were made, want %d", got, i+1)
						}
						if idle {
							s.Close()
						}
						if err := tt.end(<-ln.conns); err != nil {
							t.Fatal(err)
						}
						if !idle {
							if _, err := s.Read(make([]byte, 1)); err == nil {
								t.Error("Read succeeds")
							}
							s.Close()
						} else {
							// The dialler may come to know a little later.
							conformance.WaitFor(t, "a new association", func() bool {
								c, err := d.Dial("tcp", address)
								if err != nil {
									return false
								}
								defer c.Close()
								_, err = c.Write([]byte("x"))
								return err == nil && ln.accepted.Load() == i+2
							})
						}
					}
				})
			})
		}
	}
}

// TestStreamDialerLetsGo has the peer end an association: while no stream is open,
// and while one is. What it took is free at once, not after IdleTimeout.
func TestStreamDialerLetsGo(t *testing.T) {
	for _, tt := range []struct{ idle, events bool }{{true, false}, {false, false}, {true, true}, {false, true}} {
		idle := tt.idle
		t.Run(fmt.Sprintf("idle=%v,events=%v", idle, tt.events), func(t *testing.T) {
			ln, address := streamServer(t)
			d := streamDialer(t)
			if tt.events { // which have received before there is a stream
				d.Dialer.Config.OnEvent = func(*sctpnet.Conn, sctpnet.Event) {}
			}
			before := openFiles()
			watchdog(t, func() {
				s := dialStream(t, d, address)
				if idle {
					s.Close()
				}
				(<-ln.conns).Close()
				if !idle {
					if _, err := s.Read(make([]byte, 1)); err == nil {
						t.Error("Read succeeds")
					}
					s.Close()
				}
				conformance.WaitFor(t, "the descriptors to be closed", func() bool {
					for f := range openFiles() {
						if !before[f] {
							return false
						}
					}
					return true
				})
			})
		})
	}
}

// TestStreamDialerIdle leaves an association without streams.
func TestStreamDialerIdle(t *testing.T) {
	gone := func(t *testing.T, ln net.Listener) {
		t.Helper()
		conformance.WaitFor(t, "the association to end", func() bool { return associations(t, port(ln.Addr())) == 0 })
	}
	const timeout = 100 * time.Millisecond
	t.Run("IdleTimeout", func(t *testing.T) {
		ln, address := streamServer(t)
		d := streamDialer(t)
		d.IdleTimeout = timeout
		watchdog(t, func() {
			s1 := dialStream(t, d, address)
			s2 := dialStream(t, d, address)
			s1.Close()
			time.Sleep(2 * timeout)
			exchange(t, s2, s2) // which is not idle
			s2.Close()
			s3 := dialStream(t, d, address) // before it is over
			time.Sleep(2 * timeout)
			exchange(t, s3, s3)
			if got := ln.accepted.Load(); got != 1 {
				t.Errorf("%d associations were made", got)
			}
			s3.Close()
			start := time.Now()
			gone(t, ln)
			if took := time.Since(start); took < timeout*9/10 || took > timeout+5*atOnce {
				t.Errorf("took %v to be closed, want %v", took, timeout)
			}
			dialStream(t, d, address).Close()
			if got := ln.accepted.Load(); got != 2 {
				t.Errorf("%d associations were made, want 2", got)
			}
			gone(t, ln)
		})
	})
	t.Run("negative", func(t *testing.T) {
		ln, address := streamServer(t)
		d := streamDialer(t)
		d.IdleTimeout = -1
		watchdog(t, func() {
			s1 := dialStream(t, d, address)
			s2 := dialStream(t, d, address)
			s1.Close()
			exchange(t, s2, s2)
			s2.Close()
			gone(t, ln)
		})
	})
	t.Run("CloseIdleConnections", func(t *testing.T) {
		ln, address := streamServer(t)
		d := streamDialer(t)
		watchdog(t, func() {
			d.CloseIdleConnections() // there is none
			s := dialStream(t, d, address)
			d.CloseIdleConnections() // it is not idle
			exchange(t, s, s)
			s.Close()
			s = dialStream(t, d, address)
			d.CloseIdleConnections() // nor is it any more
			exchange(t, s, s)
			s.Close()
			d.CloseIdleConnections()
			gone(t, ln)
			dialStream(t, d, address)
		})
	})
	t.Run("delivers", func(t *testing.T) {
		ln := listen(t, "sctp4", "127.0.0.1:0")
		d := streamDialer(t)
		d.IdleTimeout = -1
		watchdog(t, func() {
			c, err := d.Dial("sctp4", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			write(t, c, string(ballast()[:100_000]))
			c.Close()
			s := acceptStream(t, accept(t, ln))
			wantBytes(t, s, ballast()[:100_000])
			wantEOF(t, s)
		})
	})
}

// TestStreamDialerExhausted dials more streams than there are.
func TestStreamDialerExhausted(t *testing.T) {
	_, address := streamServer(t)
	d := streamDialer(t)
	d.Dialer.Config = sctpnet.Config{OutStreams: 6, MaxInStreams: 100}
	watchdog(t, func() {
		s := dialStream(t, d, address)
		dialStream(t, d, address)
		for range 2 {
			_, err := d.Dial("tcp", address)
			wantError(t, "Dial", err, sctpnet.ErrNoFreeStream)
		}
		s.Close()
		dialStream(t, d, address)
	})
}

// TestStreamDialerContext dials with a context that ends, or has, when a stream is
// being closed that the peer does not close, and when there is one that is free.
func TestStreamDialerContext(t *testing.T) {
	ln := listen(t, "sctp4", "127.0.0.1:0") // of which nobody closes streams
	d := streamDialer(t)
	d.Dialer.Config = sctpnet.Config{OutStreams: 3}
	watchdog(t, func() {
		c, err := d.Dial("sctp4", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		write(t, c, "x")
		c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		for range 2 {
			start := time.Now()
			_, err := d.DialContext(ctx, "sctp4", ln.Addr().String())
			wantError(t, "DialContext", err, context.DeadlineExceeded)
			if took := time.Since(start); took > atOnce {
				t.Errorf("took %v", took)
			}
		}
	})
	_, address := streamServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	watchdog(t, func() {
		dialStream(t, d, address).Close()
		_, err := d.DialContext(ctx, "sctp4", address)
		wantError(t, "DialContext", err, context.Canceled)
	})
}

// TestStreamDialerContextValues has the dial of an association see the values of
// the context that it is dialled for, and the association not keep them.
func TestStreamDialerContextValues(t *testing.T) {
	type key struct{}
	_, address := streamServer(t)
	d := streamDialer(t)
	seen := false
	d.Dialer.ControlContext = func(ctx context.Context, _, _ string, _ syscall.RawConn) error {
		_, seen = ctx.Value(key{}).(*[1 << 10]byte)
		return nil
	}
	value := new([1 << 10]byte)
	kept := weak.Make(value)
	c, err := d.DialContext(context.WithValue(t.Context(), key{}, value), "sctp4", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if !seen {
		t.Error("ControlContext does not see the value in DialContext's context")
	}
	conformance.WaitFor(t, "the value to be let go of", func() bool {
		runtime.GC()
		return kept.Value() == nil
	})
}

// TestStreamDialerMany dials as many streams as there are, all at once.
func TestStreamDialerMany(t *testing.T) {
	const most = 1024/2 - 1 // 2 to 1022
	ln, address := streamServer(t)
	d := streamDialer(t)
	watchdog(t, func() {
		streams := make(chan net.Conn, most)
		var fs []func() error
		for range most {
			fs = append(fs, func() error {
				s, err := d.Dial("sctp4", address)
				streams <- s
				return err
			})
		}
		together(t, nil, fs...)
		for range most {
			s := <-streams
			defer s.Close()
			write(t, s, "hello")
			wantBytes(t, s, []byte("hello"))
		}
		if _, err := d.Dial("sctp4", address); !errors.Is(err, sctpnet.ErrNoFreeStream) {
			t.Errorf("one more: %v", err)
		}
		if n := ln.accepted.Load(); n != 1 {
			t.Errorf("%d associations", n)
		}
	})
}

// TestStreamDialerFails has many dials wait for a handshake that fails. The
// failure is not kept.
func TestStreamDialerFails(t *testing.T) {
	needSCTP(t)
	address := joinPort("127.0.0.1", unusedPort(t))
	d := streamDialer(t)
	watchdog(t, func() {
		var fs []func() error
		for range 10 {
			fs = append(fs, func() error {
				c, err := d.Dial("sctp4", address)
				if c != nil || !errors.Is(err, syscall.ECONNREFUSED) {
					return errors.New("want ECONNREFUSED, and no stream")
				}
				return nil
			})
		}
		together(t, nil, fs...)
		ln := listen(t, "sctp4", address)
		c, err := d.Dial("sctp4", address)
		if err != nil {
			t.Fatal(err)
		}
		write(t, c, "x")
		wantBytes(t, acceptStream(t, accept(t, ln)), []byte("x"))
		c.Close()

		_, err = d.Dial("udp", address)
		if err == nil {
			t.Error("Dial accepts the network udp")
		}
	})
}

// TestStreamDialerCancel cancels dials that wait for a handshake with a peer
// that does not answer: each its own only, and the last one leaves nothing.
func TestStreamDialerCancel(t *testing.T) {
	silentNet(t)
	watchdog(t, func() {
		before := runtime.NumGoroutine()
		d := &sctpnet.StreamDialer{}
		address := joinPort(silent4, 9)
		for range 2 {
			var cancels []context.CancelFunc
			var calls []*conformance.Call
			for range 3 {
				ctx, cancel := context.WithCancel(t.Context())
				cancels = append(cancels, cancel)
				calls = append(calls, conformance.Start(t, func() (int, error) {
					_, err := d.DialContext(ctx, "sctp", address)
					return 0, err
				}))
			}
			for i, call := range calls {
				call.Waits()
				if n := countAssociations(t, silent4); n > 1 {
					t.Errorf("there are %d associations being made", n)
				}
				cancels[i]()
				_, err := call.Result()
				wantError(t, "DialContext", err, context.Canceled)
			}
			leavesNothing(t, before, silent4)
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := d.DialContext(ctx, "sctp", address)
		wantDeadline(t, "DialContext", err, start, 50*time.Millisecond)
		leavesNothing(t, before, silent4)
	})
}

// countAssociations returns how many associations with a peer there are.
func countAssociations(t testing.TB, peer string) int {
	t.Helper()
	b, err := os.ReadFile("/proc/thread-self/net/sctp/assocs")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(b), peer)
}

// TestStreamListener uses what NewStreamListener returns as a net.Listener.
func TestStreamListener(t *testing.T) {
	t.Run("Close", func(t *testing.T) {
		inner := listen(t, "sctp4", "127.0.0.1:0")
		ln := sctpnet.NewStreamListener(inner)
		if ln.Addr() != inner.Addr() {
			t.Errorf("Addr is %v, want %v", ln.Addr(), inner.Addr())
		}
		watchdog(t, func() {
			d := streamDialer(t)
			c, err := d.Dial("sctp4", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			write(t, c, "x")
			s, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			accept := conformance.Start(t, func() (int, error) {
				_, err := ln.Accept()
				return 0, err
			})
			accept.Waits()
			if err := ln.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			_, err = accept.Result()
			wantError(t, "waiting Accept", err, net.ErrClosed)
			_, err = ln.Accept()
			wantError(t, "Accept", err, net.ErrClosed)
			wantError(t, "a second Close", ln.Close(), net.ErrClosed)
			// The open stream is let be, and the last one ends the association.
			wantBytes(t, s, []byte("x"))
			exchange(t, s, c)
			s.Close()
			conformance.WaitFor(t, "the association to end", func() bool { return associations(t, port(inner.Addr())) == 0 })
		})
	})
	t.Run("Close while streams are opened", func(t *testing.T) {
		// They end, and what the open one writes last arrives.
		ln := sctpnet.NewStreamListener(listen(t, "sctp4", "127.0.0.1:0"))
		watchdog(t, func() {
			c := dial(t, nil, "sctp4", ln.Addr().String())
			first := claim(t, c, 2)
			write(t, first, "x")
			s, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			wantBytes(t, s, []byte("x"))
			if err := ln.Close(); err != nil {
				t.Fatal(err)
			}
			late := claim(t, c, 4)
			write(t, late, "too late")
			wantEOF(t, late)
			writing := startWriting(t, c, []byte("unclaimed"), time.Millisecond)
			last := ballast()[:100_000]
			if _, err := s.Write(last); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			wantBytes(t, first, last)
			wantEOF(t, first)
			if _, err := writing.Result(); err == nil {
				t.Error("Write succeeds")
			}
			conformance.WaitFor(t, "the association to end", func() bool { return associations(t, port(ln.Addr())) == 0 })
		})
	})
	t.Run("its listener's Close", func(t *testing.T) {
		inner := listen(t, "sctp4", "127.0.0.1:0")
		ln := sctpnet.NewStreamListener(inner)
		watchdog(t, func() {
			inner.Close()
			for range 3 {
				_, err := ln.Accept()
				wantError(t, "Accept", err, net.ErrClosed)
			}
		})
	})
	t.Run("not accepted", func(t *testing.T) {
		ln := sctpnet.NewStreamListener(listen(t, "sctp4", "127.0.0.1:0"))
		watchdog(t, func() {
			c := dial(t, nil, "sctp4", ln.Addr().String())
			s := claim(t, c, 2)
			write(t, s, "x")
			conformance.WaitFor(t, "the message to be received", func() bool { return associations(t, port(ln.Addr())) == 2 })
			ln.Close()
			if _, err := s.Read(make([]byte, 1)); err == nil {
				t.Error("Read succeeds")
			}
			c.Close()
		})
	})
	t.Run("other Conns", func(t *testing.T) {
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ln := sctpnet.NewStreamListener(tcp)
		watchdog(t, func() {
			c, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			s, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			exchange(t, c, s)
			if err := ln.Close(); err != nil {
				t.Error(err)
			}
		})
	})
}
