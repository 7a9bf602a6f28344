package sctpnet_test

import (
	"context"
	"errors"
	"fmt"
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

// A countingListener counts the associations that it accepts, and keeps them.
type countingListener struct {
	*sctpnet.Listener
	network  string
	accepted atomic.Int32
	conns    chan *sctpnet.Conn // for the test to take

	mu  sync.Mutex
	all []*sctpnet.Conn
}

// countingListen listens until the test ends.
func countingListen(t testing.TB, network string) *countingListener {
	t.Helper()
	return &countingListener{
		Listener: listenStreams(t, network, "127.0.0.1:0"),
		network:  network,
		conns:    make(chan *sctpnet.Conn, 100),
	}
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.AcceptConn()
	if err != nil {
		return nil, err
	}
	l.accepted.Add(1)
	l.conns <- c
	l.mu.Lock()
	l.all = append(l.all, c)
	l.mu.Unlock()
	return c, nil
}

// wantAssociations checks how many associations were made. Where packets are lost
// there may be more: a dial begins anew that gets no answer to its cookie, and a
// stream may be closed later than a dial waits for it.
func wantAssociations(t testing.TB, got, want int32) {
	t.Helper()
	loss := os.Getenv("SCTPNET_TEST_LOSS")
	if isLossy := loss != "" && loss != "0"; got < want || got > want && !isLossy {
		t.Errorf("%d associations were made, want %d", got, want)
	}
}

// associations returns how many of its associations have not ended. Those of the
// kernel count until they have ended at both sides.
func (l *countingListener) associations(t testing.TB) (n int) {
	t.Helper()
	if !overUDP(l.network) {
		return (associations(t, port(l.Addr())) + 1) / 2
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.all {
		if _, err := c.Status(); err == nil {
			n++
		}
	}
	return n
}

// waitForEnd waits until all its associations have ended.
func (l *countingListener) waitForEnd(t testing.TB) {
	t.Helper()
	conformance.WaitFor(t, "the associations to end", func() bool { return l.associations(t) == 0 })
}

// streamServer listens for streams, and answers each message on them with the
// same, until the test ends.
func streamServer(t testing.TB, network string) (*countingListener, string) {
	t.Helper()
	ln := countingListen(t, network)
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
		ln.waitForEnd(t)
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
func dialStream(t testing.TB, d *sctpnet.StreamDialer, network, address string) *sctpnet.Stream {
	t.Helper()
	c, err := d.Dial(network, address)
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
	eachEngine(t, func(t *testing.T, network string) {
		const n = 50
		ln, address := streamServer(t, network)
		d := streamDialer(t)
		watchdog(t, func() {
			streams := make(chan net.Conn, n)
			var fs []func() error
			for range n {
				fs = append(fs, func() error {
					c, err := d.DialContext(t.Context(), network, address)
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
			wantAssociations(t, ln.accepted.Load(), 1)
			if got := ln.associations(t); got != 1 {
				t.Errorf("there are %d associations, want 1", got)
			}
			// Another network or address is another association.
			c, err := d.Dial(strings.Replace(network, "sctp4", "sctp", 1), address)
			if err != nil {
				t.Fatal(err)
			}
			exchange(t, c, c)
			c.Close()
			wantAssociations(t, ln.accepted.Load(), 2)
		})
	})
}

// TestStreamDialerReplaces ends the association, in every way: the next dial
// makes another.
func TestStreamDialerReplaces(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
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
					ln, address := streamServer(t, network)
					d := streamDialer(t)
					watchdog(t, func() {
						for i := range int32(3) {
							s := dialStream(t, d, network, address)
							wantAssociations(t, ln.accepted.Load(), i+1)
							for len(ln.conns) > 1 {
								<-ln.conns // of a dial that has begun anew
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
									c, err := d.Dial(network, address)
									if err != nil {
										return false
									}
									defer c.Close()
									_, err = c.Write([]byte("x"))
									return err == nil && ln.accepted.Load() >= i+2
								})
							}
						}
					})
				})
			}
		}
	})
}

// TestStreamDialerLetsGo has the peer end an association: while no stream is open,
// and while one is. What it took is free at once, not after IdleTimeout.
func TestStreamDialerLetsGo(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, tt := range []struct{ idle, events bool }{{true, false}, {false, false}, {true, true}, {false, true}} {
			idle := tt.idle
			t.Run(fmt.Sprintf("idle=%v,events=%v", idle, tt.events), func(t *testing.T) {
				ln, address := streamServer(t, network)
				d := streamDialer(t)
				if tt.events { // which have received before there is a stream
					d.Dialer.Config.OnEvent = func(*sctpnet.Conn, sctpnet.Event) {}
				}
				before := openFiles()
				watchdog(t, func() {
					s := dialStream(t, d, network, address)
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
	})
}

// TestStreamDialerIdle leaves an association without streams.
func TestStreamDialerIdle(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		const timeout = time.Second
		t.Run("IdleTimeout", func(t *testing.T) {
			ln, address := streamServer(t, network)
			d := streamDialer(t)
			d.IdleTimeout = timeout
			watchdog(t, func() {
				s1 := dialStream(t, d, network, address)
				s2 := dialStream(t, d, network, address)
				s1.Close()
				time.Sleep(2 * timeout)
				exchange(t, s2, s2) // which is not idle
				s2.Close()
				s3 := dialStream(t, d, network, address) // before it is over
				time.Sleep(2 * timeout)
				exchange(t, s3, s3)
				wantAssociations(t, ln.accepted.Load(), 1)
				s3.Close()
				start := time.Now()
				ln.waitForEnd(t)
				if took := time.Since(start); took < timeout*9/10 || took > timeout+atOnce {
					t.Errorf("took %v to be closed, want %v", took, timeout)
				}
				dialStream(t, d, network, address).Close()
				wantAssociations(t, ln.accepted.Load(), 2)
				ln.waitForEnd(t)
			})
		})
		t.Run("negative", func(t *testing.T) {
			ln, address := streamServer(t, network)
			d := streamDialer(t)
			d.IdleTimeout = -1
			watchdog(t, func() {
				s1 := dialStream(t, d, network, address)
				s2 := dialStream(t, d, network, address)
				s1.Close()
				exchange(t, s2, s2)
				s2.Close()
				ln.waitForEnd(t)
			})
		})
		t.Run("CloseIdleConnections", func(t *testing.T) {
			ln, address := streamServer(t, network)
			d := streamDialer(t)
			watchdog(t, func() {
				d.CloseIdleConnections() // there is none
				s := dialStream(t, d, network, address)
				d.CloseIdleConnections() // it is not idle
				exchange(t, s, s)
				s.Close()
				s = dialStream(t, d, network, address)
				d.CloseIdleConnections() // nor is it any more
				exchange(t, s, s)
				s.Close()
				d.CloseIdleConnections()
				ln.waitForEnd(t)
				dialStream(t, d, network, address)
			})
		})
		t.Run("delivers", func(t *testing.T) {
			ln := listenStreams(t, network, "127.0.0.1:0")
			d := streamDialer(t)
			d.IdleTimeout = -1
			watchdog(t, func() {
				c, err := d.Dial(network, ln.Addr().String())
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
	})
}

// TestStreamDialerFails has many dials wait for a handshake that fails. The
// failure is not kept.
func TestStreamDialerFails(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		p := unusedPort(t, network)
		address := joinPort("127.0.0.1", p)
		d := streamDialer(t)
		d.Dialer.Config = onlyTo(network, p)
		watchdog(t, func() {
			var fs []func() error
			for range 10 {
				fs = append(fs, func() error {
					c, err := d.Dial(network, address)
					if c != nil || !errors.Is(err, syscall.ECONNREFUSED) {
						return errors.New("want ECONNREFUSED, and no stream")
					}
					return nil
				})
			}
			together(t, nil, fs...)
			ln := listenStreams(t, network, address)
			c, err := d.Dial(network, address)
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
	})
}

// TestStreamDialerCancel cancels dials that wait for a handshake with a peer
// that does not answer: each its own only, and the last one leaves nothing.
func TestStreamDialerCancel(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		host, port := silentPeer(t, network)
		address := joinPort(host, port)
		watchdog(t, func() {
			before := runtime.NumGoroutine()
			d := &sctpnet.StreamDialer{}
			for range 2 {
				var cancels []context.CancelFunc
				var calls []*conformance.Call
				for range 3 {
					ctx, cancel := context.WithCancel(t.Context())
					cancels = append(cancels, cancel)
					calls = append(calls, conformance.Start(t, func() (int, error) {
						_, err := d.DialContext(ctx, network, address)
						return 0, err
					}))
				}
				for i, call := range calls {
					call.Waits()
					if !overUDP(network) {
						if n := countAssociations(t, host); n > 1 {
							t.Errorf("there are %d associations being made", n)
						}
					}
					cancels[i]()
					_, err := call.Result()
					wantError(t, "DialContext", err, context.Canceled)
				}
				leavesNothing(t, network, before, host)
			}
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, err := d.DialContext(ctx, network, address)
			wantDeadline(t, "DialContext", err, start, 50*time.Millisecond)
			leavesNothing(t, network, before, host)
		})
	})
}

// TestStreamListener uses what NewStreamListener returns as a net.Listener.
func TestStreamListener(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		t.Run("Close", func(t *testing.T) {
			inner := countingListen(t, network)
			ln := sctpnet.NewStreamListener(inner)
			if ln.Addr() != inner.Addr() {
				t.Errorf("Addr is %v, want %v", ln.Addr(), inner.Addr())
			}
			watchdog(t, func() {
				d := streamDialer(t)
				c, err := d.Dial(network, ln.Addr().String())
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
				inner.waitForEnd(t)
			})
		})
		t.Run("Close while streams are opened", func(t *testing.T) {
			// They end, and what the open one writes last arrives.
			inner := countingListen(t, network)
			ln := sctpnet.NewStreamListener(inner)
			watchdog(t, func() {
				c := dial(t, nil, network, ln.Addr().String())
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
				inner.waitForEnd(t)
			})
		})
		t.Run("its listener's Close", func(t *testing.T) {
			inner := countingListen(t, network)
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
			inner := countingListen(t, network)
			ln := sctpnet.NewStreamListener(inner)
			watchdog(t, func() {
				c := dial(t, nil, network, ln.Addr().String())
				s := claim(t, c, 2)
				write(t, s, "x")
				conformance.WaitFor(t, "the association", func() bool { return inner.associations(t) == 1 })
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
	})
}
