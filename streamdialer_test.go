package sctpnet_test

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"weak"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

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
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := sl.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				handle(c.(*sctpnet.Stream))
			})
		}
	})
	t.Cleanup(func() {
		sl.Close()
		watchdog(t, running.Wait)
	})
	return ln.Addr().String(), made
}

// listenStreams listens for peers that dial streams, until the test ends, also
// where NewStreamListener cannot tell the listener.
func listenStreams(t testing.TB, network, address string) *sctpnet.Listener {
	t.Helper()
	needNetwork(t, network)
	lc := sctpnet.ListenConfig{Config: sctpnet.Config{Adaptation: sctpnet.AdaptationStreams}}
	ln, err := lc.Listen(context.Background(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln.(*sctpnet.Listener)
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
					conformance.WaitFor(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
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
				conformance.WaitFor(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
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
