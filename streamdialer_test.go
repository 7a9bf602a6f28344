package sctpnet_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"weak"

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
	eventually(t, "the associations to end", func() bool { return l.associations(t) == 0 })
}

// streamServer listens for streams, and answers each message on them with the
// same, until the test ends.
func streamServer(t testing.TB, network string) (*countingListener, string) {
	t.Helper()
	ln := countingListen(t, network)
	sl := sctpnet.NewStreamListener(ln)
	serve(sl, func(c net.Conn) {
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
	})
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
					t.Errorf("stream %d was dialed twice", s.ID())
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
								// The dialer may come to know a little later.
								eventually(t, "a new association", func() bool {
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
					eventually(t, "the descriptors to be closed", func() bool {
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
	t.Parallel() // it waits, most of the time
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

// streamsOf listens for streams on a network and runs handle for each, until the
// test ends. It counts the associations that were made.
func streamsOf(t testing.TB, network string, c sctpnet.Config, handle func(s *sctpnet.Stream)) (address string, made *atomic.Int32) {
	t.Helper()
	needNetwork(t, network)
	made = new(atomic.Int32)
	c.OnEvent = func(_ *sctpnet.Conn, e sctpnet.Event) {
		if e, ok := e.(sctpnet.AssocEvent); ok && e.Change == sctpnet.AssocUp {
			made.Add(1)
		}
	}
	lc := sctpnet.ListenConfig{Config: c}
	ln, err := lc.Listen(context.Background(), network, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sl := sctpnet.NewStreamListener(ln)
	wait := serve(sl, func(c net.Conn) { handle(c.(*sctpnet.Stream)) })
	t.Cleanup(func() {
		sl.Close()
		watchdog(t, wait)
	})
	return ln.Addr().String(), made
}

// listenStreams listens for peers that dial streams, until the test ends, also
// where NewStreamListener cannot tell the listener.
func listenStreams(t testing.TB, network, address string) *sctpnet.Listener {
	t.Helper()
	return listenWith(t, network, address, sctpnet.ListenConfig{Config: sctpnet.Config{Adaptation: sctpnet.AdaptationStreams}})
}

// echoAll answers with what it reads, until the peer ends the stream.
func echoAll(s *sctpnet.Stream) { io.Copy(s, s) }

// echoed checks that a stream echoes.
func echoed(t testing.TB, c net.Conn) {
	t.Helper()
	write(t, c, "hello")
	wantBytes(t, c, []byte("hello"))
}

// closing closes a StreamDialer when the test ends.
func closing(t testing.TB, d *sctpnet.StreamDialer) *sctpnet.StreamDialer {
	t.Cleanup(func() { d.Close() })
	return d
}

// TestStreamDialerMakesAnother dials more streams than an association has: the
// StreamDialer makes another, and uses numbers that become free.
func TestStreamDialerMakesAnother(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		const perAssociation = 2 // 2 and 4
		address, made := streamsOf(t, network, sctpnet.Config{}, echoAll)
		d := closing(t, &sctpnet.StreamDialer{})
		d.Dialer.Config = sctpnet.Config{OutStreams: 6, MaxInStreams: 100}
		watchdog(t, func() {
			var open []net.Conn
			for i := range 5 {
				c, err := d.Dial(network, address)
				if err != nil {
					t.Fatal(err)
				}
				echoed(t, c)
				open = append(open, c)
				wantAssociations(t, made.Load(), int32(i/perAssociation+1))
			}
			for _, c := range open {
				c.Close()
			}
		})
	})
}

// TestStreamDialerManyAtOnce dials far more streams than an association has, all
// at the same time.
func TestStreamDialerManyAtOnce(t *testing.T) {
	const dials = 600
	eachEngine(t, func(t *testing.T, network string) {
		address, made := streamsOf(t, network, sctpnet.Config{}, echoAll)
		d := closing(t, &sctpnet.StreamDialer{})
		watchdog(t, func() {
			open := make(chan net.Conn, dials)
			var fs []func() error
			for range dials {
				fs = append(fs, func() error {
					c, err := d.Dial(network, address)
					if err == nil {
						open <- c
					}
					return err
				})
			}
			together(t, nil, fs...)
			for range dials {
				c := <-open
				echoed(t, c)
				c.Close()
			}
			// 256 streams are 127 for the dialer: 2 to 254.
			wantAssociations(t, made.Load(), (dials+126)/127)
		})
	})
}

// TestStreamDialerGrantedNone dials a peer that grants no stream for this side to
// open.
func TestStreamDialerGrantedNone(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		address, _ := streamsOf(t, network, sctpnet.Config{OutStreams: 2}, echoAll)
		d := closing(t, &sctpnet.StreamDialer{})
		watchdog(t, func() {
			_, err := d.Dial(network, address)
			wantError(t, "Dial", err, sctpnet.ErrNoFreeStream)
		})
	})
}

// TestStreamDialerClose closes a StreamDialer that has open streams, idle
// associations and ended ones, and waiting dials.
func TestStreamDialerClose(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		address, _ := streamsOf(t, network, sctpnet.Config{}, echoAll)
		for _, tt := range []struct {
			name  string
			state func(d *sctpnet.StreamDialer, s net.Conn)
		}{
			{"used", func(d *sctpnet.StreamDialer, s net.Conn) {}},
			{"idle", func(d *sctpnet.StreamDialer, s net.Conn) { s.Close() }},
			{"closed", func(d *sctpnet.StreamDialer, s net.Conn) {
				s.Close()
				d.CloseIdleConnections()
			}},
		} {
			t.Run(tt.name, func(t *testing.T) {
				var d sctpnet.StreamDialer
				watchdog(t, func() {
					before := runtime.NumGoroutine()
					s, err := d.Dial(network, address)
					if err != nil {
						t.Fatal(err)
					}
					echoed(t, s)
					tt.state(&d, s)
					var read *conformance.Call
					if tt.name == "used" {
						read = conformance.Start(t, func() (int, error) { return s.Read(make([]byte, 1)) })
						read.Waits()
					}
					if err := d.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
					if read != nil {
						_, err := read.Result()
						wantError(t, "waiting Read", err, net.ErrClosed)
						_, err = s.Write([]byte("x"))
						wantError(t, "Write", err, net.ErrClosed)
					}
					_, err = d.Dial(network, address)
					wantError(t, "Dial", err, net.ErrClosed)
					wantError(t, "a second Close", d.Close(), net.ErrClosed)
					d.CloseIdleConnections()
					s.Close()
					eventually(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
				})
			})
		}
		t.Run("dialing", func(t *testing.T) {
			silent := silentAddress(t, network)
			var d sctpnet.StreamDialer
			watchdog(t, func() {
				before := runtime.NumGoroutine()
				var calls []*conformance.Call
				for range 3 {
					calls = append(calls, conformance.Start(t, func() (int, error) {
						_, err := d.Dial(network, silent)
						return 0, err
					}))
				}
				for _, call := range calls {
					call.Waits()
				}
				d.Close()
				for _, call := range calls {
					_, err := call.Result()
					wantError(t, "waiting Dial", err, net.ErrClosed)
					if e := new(net.OpError); !errors.As(err, &e) || e.Op != "dial" {
						t.Errorf("Dial: %v, want a *net.OpError of dial", err)
					}
				}
				eventually(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
			})
		})
		t.Run("unused", func(t *testing.T) {
			var d sctpnet.StreamDialer
			if err := d.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			_, err := d.Dial(network, address)
			wantError(t, "Dial", err, net.ErrClosed)
		})
	})
}

// silentAddress is one that does not answer.
func silentAddress(t testing.TB, network string) string {
	t.Helper()
	if !overUDP(network) {
		silentNet(t)
		return joinPort(silent4, 9)
	}
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.LocalAddr().String()
}

// TestStreamDialerContextValues has ControlContext see the values of the dial's
// context, and not its end.
func TestStreamDialerContextValues(t *testing.T) {
	type key struct{}
	eachEngine(t, func(t *testing.T, network string) {
		address, _ := streamsOf(t, network, sctpnet.Config{}, echoAll)
		d := closing(t, &sctpnet.StreamDialer{})
		seen := make(chan context.Context, 10)
		d.Dialer.ControlContext = func(ctx context.Context, _, _ string, _ syscall.RawConn) error {
			seen <- ctx
			return nil
		}
		watchdog(t, func() {
			ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
			defer cancel()
			c, err := d.DialContext(ctx, network, address)
			if err != nil {
				t.Fatal(err)
			}
			got := <-seen
			if v := got.Value(key{}); v != "value" {
				t.Errorf("the context's value is %v", v)
			}
			if _, ok := got.Deadline(); ok {
				t.Error("the context has the deadline of one dial")
			}
			cancel()
			echoed(t, c)
			c.Close()
		})
	})
}

// TestStreamDialerForgetsContext has the association outlive the context that it
// was dialed with.
func TestStreamDialerForgetsContext(t *testing.T) {
	type key struct{}
	eachEngine(t, func(t *testing.T, network string) {
		address, _ := streamsOf(t, network, sctpnet.Config{}, echoAll)
		d := closing(t, &sctpnet.StreamDialer{})
		watchdog(t, func() {
			value := new([1 << 10]byte)
			held := weak.Make(value)
			c, err := d.DialContext(context.WithValue(t.Context(), key{}, value), network, address)
			if err != nil {
				t.Fatal(err)
			}
			soon(t, func() error {
				runtime.GC()
				if held.Value() != nil {
					return errors.New("the context's value is still in memory")
				}
				return nil
			})
			echoed(t, c)
			c.Close()
		})
	})
}

// TestStreamDialerEndsAtOnce dials a server that closes each association as soon
// as it is made.
func TestStreamDialerEndsAtOnce(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		ln := listenStreams(t, network, "127.0.0.1:0")
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				c.(*sctpnet.Conn).Abort()
			}
		}()
		d := closing(t, &sctpnet.StreamDialer{})
		watchdog(t, func() {
			for range 20 {
				if c, err := d.Dial(network, ln.Addr().String()); err == nil {
					_, err = c.Read(make([]byte, 1))
					if err == nil {
						t.Error("Read succeeds")
					}
					c.Close()
				}
			}
		})
	})
}

// TestStreamDialerWaitsForClosing dials again and again where one stream is all
// there is, and each is closed before the next dial.
func TestStreamDialerWaitsForClosing(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		address, made := streamsOf(t, network, sctpnet.Config{}, echoAll)
		d := closing(t, &sctpnet.StreamDialer{})
		d.Dialer.Config = sctpnet.Config{OutStreams: 3}
		watchdog(t, func() {
			start := time.Now()
			for range 5 {
				c, err := d.Dial(network, address)
				if err != nil {
					t.Fatal(err)
				}
				echoed(t, c)
				c.Close()
			}
			// A machine that is too busy may take its time to close one.
			if n := made.Load(); n != 1 && time.Since(start) < time.Second {
				t.Errorf("%d associations were made", n)
			}
		})
	})
}

// TestStreamDialerNeverClosed dials where one stream is all there is, and the
// peer does not close that: another association is made. A dial that has no time
// for it fails.
func TestStreamDialerNeverClosed(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		hold := make(chan struct{})
		address, made := streamsOf(t, network, sctpnet.Config{}, func(s *sctpnet.Stream) {
			io.WriteString(s, "hello")
			<-hold
		})
		defer close(hold)
		d := closing(t, &sctpnet.StreamDialer{})
		d.Dialer.Config = sctpnet.Config{OutStreams: 3}
		dial := func(ctx context.Context) error {
			c, err := d.DialContext(ctx, network, address)
			if err == nil {
				wantBytes(t, c, []byte("hello"))
				c.Close()
			}
			return err
		}
		watchdog(t, func() {
			if err := dial(t.Context()); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			for range 2 { // the second time with a context that has ended
				wantError(t, "DialContext", dial(ctx), context.DeadlineExceeded)
			}
			if err := dial(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantAssociations(t, made.Load(), 2)
		})
	})
}

// TestStreamDialerLocalPort dials from one port again and again, when the association
// before has just ended: each dial waits until the port is free.
func TestStreamDialerLocalPort(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		address, _ := streamsOf(t, network, sctpnet.Config{}, echoAll)
		// A port that was free just now.
		free := listen(t, network, "127.0.0.1:0")
		local := &sctpnet.Addr{IPAddrs: []net.IPAddr{{IP: net.IP{127, 0, 0, 1}}}, Port: port(free.Addr())}
		free.Close()
		d := closing(t, &sctpnet.StreamDialer{Dialer: sctpnet.Dialer{LocalAddr: local}, IdleTimeout: -1})
		watchdog(t, func() {
			for range 10 {
				c, err := d.Dial(network, address)
				if err != nil {
					t.Fatal(err)
				}
				if got := port(c.LocalAddr()); got != local.Port {
					t.Errorf("dialed from port %d, want %d", got, local.Port)
				}
				echoed(t, c)
				c.Close() // and with it the association
			}
		})
	})
}

// TestStreamDialerLastWords closes the last Stream of an association while much of
// what the peer has sent is unread, and much of what was written is not delivered.
// All that was written arrives.
func TestStreamDialerLastWords(t *testing.T) {
	for _, tt := range []struct {
		name string
		idle time.Duration // IdleTimeout
		end  func(t *testing.T, d *sctpnet.StreamDialer, s *sctpnet.Stream)
	}{
		{"no IdleTimeout", -1, func(t *testing.T, d *sctpnet.StreamDialer, s *sctpnet.Stream) {
			s.Close()
		}},
		{"CloseIdleConnections", 0, func(t *testing.T, d *sctpnet.StreamDialer, s *sctpnet.Stream) {
			s.Close()
			d.CloseIdleConnections()
		}},
		{"Close", 0, func(t *testing.T, d *sctpnet.StreamDialer, s *sctpnet.Stream) {
			s.Close()
			d.Close()
		}},
		{"Close while it ends", -1, func(t *testing.T, d *sctpnet.StreamDialer, s *sctpnet.Stream) {
			s.Close()
			d.Close()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, network string) {
				const size = 64 << 10
				lc := sctpnet.ListenConfig{Config: sctpnet.Config{
					Adaptation: sctpnet.AdaptationStreams,
					ReadBuffer: size / 2,
				}}
				ln := listenWith(t, network, "127.0.0.1:0", lc)
				d := &sctpnet.StreamDialer{IdleTimeout: tt.idle}
				d.Dialer.Config = sctpnet.Config{ReadBuffer: size, WriteBuffer: 4 * size}
				defer d.Close()
				watchdog(t, func() {
					nc, err := d.Dial(network, ln.Addr().String())
					if err != nil {
						t.Fatal(err)
					}
					s := nc.(*sctpnet.Stream)
					c := accept(t, ln)
					b := make([]byte, 100)
					if n, _, err := c.ReadMsg(b); n == 0 || err != nil {
						t.Fatalf("the announcement: %d bytes, %v", n, err)
					}
					writing := conformance.Start(t, func() (n int, err error) {
						for err == nil { // what nobody reads
							_, err = c.WriteStream(ballast()[:10_000], s.ID())
						}
						return 0, err
					})
					writing.Waits()
					want := ballast()[:3*size]
					if _, err := s.Write(want); err != nil {
						t.Fatal(err)
					}
					tt.end(t, d, s)
					wantBytes(t, c, want)
					if n, err := c.Read(b); n != 0 || !errors.Is(err, io.EOF) {
						t.Errorf("and then %d bytes, %v; want EOF", n, err)
					}
					if _, err := writing.Result(); err == nil {
						t.Error("Write succeeds")
					}
				})
			})
		})
	}
}

// TestStreamDialerPlainPeer dials a server that serves associations, not streams.
func TestStreamDialerPlainPeer(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		needNetwork(t, network)
		ln, err := sctpnet.Listen(network, "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		var accepted atomic.Int32
		serve(ln, func(c net.Conn) {
			accepted.Add(1)
			for {
				s, err := c.(*sctpnet.Conn).AcceptStream(context.Background())
				if err != nil {
					return
				}
				go func() {
					defer s.Close()
					io.Copy(s, s)
				}()
			}
		})
		watchdog(t, func() {
			d := closing(t, &sctpnet.StreamDialer{})
			start := time.Now()
			_, err := d.Dial(network, ln.Addr().String())
			wantError(t, "Dial", err, errors.ErrUnsupported)
			if !strings.Contains(err.Error(), "NewStreamListener") {
				t.Errorf("Dial: %v, want what is needed", err)
			}
			if took := time.Since(start); took < 100*time.Millisecond {
				t.Errorf("Dial took %v, want it to try again", took)
			}
			eventually(t, "two associations", func() bool { return accepted.Load() >= 2 })

			anyPeer := closing(t, &sctpnet.StreamDialer{AnyPeer: true})
			for range 3 {
				c, err := anyPeer.Dial(network, ln.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				echoed(t, c) // no announcement
				c.Close()
			}
			wantAssociations(t, accepted.Load(), 3)
		})
	})
}

// TestStreamDialerLateListener has NewStreamListener called after the first dial.
func TestStreamDialerLateListener(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		needNetwork(t, network)
		ln, err := sctpnet.Listen(network, "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var sl net.Listener
		d := closing(t, &sctpnet.StreamDialer{})
		dials := 0
		d.Dialer.ControlContext = func(context.Context, string, string, syscall.RawConn) error {
			if dials++; dials == 2 {
				sl = sctpnet.NewStreamListener(ln)
				serve(sl, func(c net.Conn) { io.Copy(c, c) })
			}
			return nil
		}
		watchdog(t, func() {
			c, err := d.Dial(network, ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			echoed(t, c)
			c.Close()
			sl.Close()
		})
		if dials != 2 {
			t.Errorf("%d dials, want 2", dials)
		}
	})
}

// A mutableServer serves streams and echoes, but on the associations that were
// made while it was mute it never answers. It counts what is made and what ends.
type mutableServer struct {
	address     string
	mute        atomic.Bool
	made, ended atomic.Int32
}

func newMutableServer(t testing.TB, network string) *mutableServer {
	t.Helper()
	needNetwork(t, network)
	v := new(mutableServer)
	var mu sync.Mutex
	muted := make(map[string]bool) // by the peer's address
	lc := sctpnet.ListenConfig{}
	lc.Config.OnEvent = func(c *sctpnet.Conn, e sctpnet.Event) {
		switch e := e.(type) {
		case sctpnet.AssocEvent:
			switch e.Change {
			case sctpnet.AssocUp:
				mu.Lock()
				muted[c.RemoteAddr().String()] = v.mute.Load()
				mu.Unlock()
				v.made.Add(1)
			case sctpnet.AssocLost, sctpnet.AssocEnded:
				v.ended.Add(1)
			}
		}
	}
	ln, err := lc.Listen(context.Background(), network, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sl := sctpnet.NewStreamListener(ln)
	done := make(chan struct{})
	wait := serve(sl, func(c net.Conn) {
		mu.Lock()
		isMute := muted[c.RemoteAddr().String()]
		mu.Unlock()
		if isMute {
			<-done
			return
		}
		io.Copy(c, c)
	})
	t.Cleanup(func() {
		close(done)
		sl.Close()
		watchdog(t, wait)
	})
	v.address = ln.Addr().String()
	return v
}

// wantMade checks how many associations were made.
func (v *mutableServer) wantMade(t testing.TB, n int32, when string) {
	t.Helper()
	if got := v.made.Load(); got != n {
		t.Errorf("%s: %d associations were made, want %d", when, got, n)
	}
}

// TestStuckAssociationIsReplaced has a call run into its deadline on an association on which
// nothing arrives: the next dial makes another association, and the old one is
// closed with its last stream.
func TestStuckAssociationIsReplaced(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		v := newMutableServer(t, network)
		v.mute.Store(true)
		d := closing(t, &sctpnet.StreamDialer{})
		dial := func() net.Conn {
			t.Helper()
			c, err := d.Dial(network, v.address)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		watchdog(t, func() {
			first, second := dial(), dial()
			write(t, first, "question")
			read := conformance.Start(t, func() (int, error) { return first.Read(make([]byte, 1)) })
			read.Waits()
			first.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			_, err := read.Result()
			wantError(t, "Read", err, os.ErrDeadlineExceeded)
			v.wantMade(t, 1, "before the next dial")

			v.mute.Store(false)
			third := dial()
			echoed(t, third)
			v.wantMade(t, 2, "after a timeout")

			first.Close()
			if v.ended.Load() != 0 {
				t.Error("the association ended while a stream was open")
			}
			second.Close()
			eventually(t, "the stuck association to end", func() bool { return v.ended.Load() == 1 })
			echoed(t, third)
			third.Close()
			echoed(t, dial())
			v.wantMade(t, 2, "after all")
		})
	})
}

// TestDeadlineOnLiveAssociation has calls fail with deadlines on an association that works.
func TestDeadlineOnLiveAssociation(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		v := newMutableServer(t, network)
		d := closing(t, &sctpnet.StreamDialer{})
		dial := func() net.Conn {
			t.Helper()
			c, err := d.Dial(network, v.address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			return c
		}
		watchdog(t, func() {
			first, second := dial(), dial()
			echoed(t, first)

			// A deadline that had passed.
			first.SetDeadline(time.Now().Add(-time.Second))
			_, err := first.Read(make([]byte, 1))
			wantError(t, "Read", err, os.ErrDeadlineExceeded)
			_, err = first.Write([]byte("x"))
			wantError(t, "Write", err, os.ErrDeadlineExceeded)
			echoed(t, dial())
			v.wantMade(t, 1, "after a past deadline")

			// One that interrupts a call.
			first.SetDeadline(time.Time{})
			read := conformance.Start(t, func() (int, error) { return first.Read(make([]byte, 1)) })
			read.Waits()
			first.SetReadDeadline(time.Unix(1, 0))
			_, err = read.Result()
			wantError(t, "Read", err, os.ErrDeadlineExceeded)
			echoed(t, dial())
			v.wantMade(t, 1, "after an interrupted call")

			// One that passes while another stream receives.
			first.SetReadDeadline(time.Time{})
			read = conformance.Start(t, func() (int, error) { return first.Read(make([]byte, 1)) })
			read.Waits()
			echoed(t, second)
			first.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			_, err = read.Result()
			wantError(t, "Read", err, os.ErrDeadlineExceeded)
			echoed(t, dial())
			v.wantMade(t, 1, "after a timeout while something arrived")

			// Streams that are closed while a Read waits, for nothing that was
			// asked: see TestStreamWatchAtClose.
			first.SetReadDeadline(time.Time{})
			read = conformance.Start(t, func() (int, error) { return first.Read(make([]byte, 1)) })
			read.Waits()
			first.Close()
			read.Result()
			echoed(t, dial())
			v.wantMade(t, 1, "after Close of an idle stream")
		})
	})
}

// TestStuckHTTP has requests time out: those that follow go to another
// association.
func TestStuckHTTP(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		needNetwork(t, network)
		var made atomic.Int32
		lc := sctpnet.ListenConfig{}
		lc.Config.OnEvent = func(_ *sctpnet.Conn, e sctpnet.Event) {
			if e, ok := e.(sctpnet.AssocEvent); ok && e.Change == sctpnet.AssocUp {
				made.Add(1)
			}
		}
		ln, err := lc.Listen(t.Context(), network, "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		stuck := make(chan struct{})
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/stuck" {
				<-stuck
			}
			io.WriteString(w, "ok")
		})}
		served := make(chan error, 1)
		sl := sctpnet.NewStreamListener(ln)
		go func() { served <- server.Serve(sl) }()
		var d sctpnet.StreamDialer
		tr := &http.Transport{DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			return d.DialContext(ctx, network, address)
		}}
		watchdog(t, func() {
			get := func(path string, timeout time.Duration) error {
				resp, err := (&http.Client{Transport: tr, Timeout: timeout}).Get("http://" + ln.Addr().String() + path)
				if err != nil {
					return err
				}
				defer resp.Body.Close()
				_, err = io.ReadAll(resp.Body)
				return err
			}
			if err := get("/", 0); err != nil { // the handshake may take longer than the timeout
				t.Error(err)
			}
			if err := get("/stuck", 1500*time.Millisecond); !os.IsTimeout(err) {
				t.Errorf("a request that is not answered: %v, want a timeout", err)
			}
			for range 5 {
				if err := get("/", 20*time.Second); err != nil {
					t.Error(err)
				}
			}
			wantAssociations(t, made.Load(), 2)
			close(stuck)
			tr.CloseIdleConnections()
			d.Close()
			server.Close()
			<-served
		})
	})
}
