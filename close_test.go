package sctpnet_test

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"
	"weak"

	"github.com/sctpnet/sctpnet"
	_ "github.com/sctpnet/sctpnet/udpencap"
)

// withAndWithoutStreams runs a test on both engines, with streams in use and with
// none.
func withAndWithoutStreams(t *testing.T, test func(t *testing.T, client, server *sctpnet.Conn)) {
	for _, name := range []string{"without streams", "with streams"} {
		t.Run(name, func(t *testing.T) {
			eachEngine(t, func(t *testing.T, network string) {
				client, server := pipe(t, network, "127.0.0.1:0")
				if name == "with streams" {
					for _, c := range []*sctpnet.Conn{client, server} {
						if _, err := c.Stream(5); err != nil {
							t.Fatal(err)
						}
					}
				}
				test(t, client, server)
			})
		})
	}
}

// TestClosedIsNoTimeout closes a Conn whose deadlines have passed. Its calls then fail
// with net.ErrClosed: a caller that tries again after a timeout would never end.
func TestClosedIsNoTimeout(t *testing.T) {
	withAndWithoutStreams(t, func(t *testing.T, c, _ *sctpnet.Conn) {
		c.SetDeadline(time.Now().Add(-time.Second))
		p := make([]byte, 10)
		calls := map[string]func() error{
			"Read":    func() error { _, err := c.Read(p); return err },
			"ReadMsg": func() error { _, _, err := c.ReadMsg(p); return err },
			"Write":   func() error { _, err := c.Write(p); return err },
		}
		for name, call := range calls {
			if err := call(); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: %v, want the deadline's error", name, err)
			}
		}
		c.Close()
		for name, call := range calls {
			if err := call(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s after Close: %v, want net.ErrClosed", name, err)
			}
		}
	})
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

// TestReadOfNothing reads into an empty slice. As in package net that does nothing,
// also after the deadline.
func TestReadOfNothing(t *testing.T) {
	withAndWithoutStreams(t, func(t *testing.T, c, _ *sctpnet.Conn) {
		for _, at := range []time.Time{{}, time.Now().Add(-time.Second)} {
			c.SetReadDeadline(at)
			if n, err := c.Read(nil); n != 0 || err != nil {
				t.Errorf("Read with deadline %v: %d, %v; want 0, nil", at, n, err)
			}
			if n, _, err := c.ReadMsg([]byte{}); n != 0 || err != nil {
				t.Errorf("ReadMsg with deadline %v: %d, %v; want 0, nil", at, n, err)
			}
		}
		c.Close()
		if _, err := c.Read(nil); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Read after Close: %v, want net.ErrClosed", err)
		}
	})
}

// TestCloseAfterPartialRead closes a Conn when a part of a message has been read. The
// rest is unread, so the association is aborted.
func TestCloseAfterPartialRead(t *testing.T) {
	withAndWithoutStreams(t, func(t *testing.T, client, server *sctpnet.Conn) {
		if _, err := client.Write([]byte("not all of this is read")); err != nil {
			t.Fatal(err)
		}
		if n, err := server.Read(make([]byte, 3)); n != 3 || err != nil {
			t.Fatalf("read %d bytes, %v; want 3", n, err)
		}
		server.Close()
		watchdog(t, func() { // where the ABORT is lost, a HEARTBEAT has another one sent
			if _, err := client.Read(make([]byte, 10)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the peer reads %v, want ECONNRESET", err)
			}
		})
	})
}

// TestCloseBesideAStuckHandler closes a Conn while OnEvent does not return. All calls
// that wait return.
func TestCloseBesideAStuckHandler(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		handling, handled := make(chan struct{}, 1), make(chan struct{})
		defer close(handled)
		c, _ := configured(t, network, "127.0.0.1:0", sctpnet.Config{OnEvent: func(*sctpnet.Conn, sctpnet.Event) {
			select {
			case handling <- struct{}{}:
			default:
			}
			<-handled
		}}, sctpnet.Config{})
		s, err := c.Stream(5)
		if err != nil {
			t.Fatal(err)
		}
		errs := make(chan error, 3)
		go func() { _, err := c.Read(make([]byte, 1)); errs <- err }()
		go func() { _, err := s.Read(make([]byte, 1)); errs <- err }()
		go func() { _, err := c.AcceptStream(context.Background()); errs <- err }()
		watchdog(t, func() {
			<-handling // of the event that the association is up
			c.Close()
			for range cap(errs) {
				if err := <-errs; !errors.Is(err, net.ErrClosed) {
					t.Errorf("a waiting call returned %v, want net.ErrClosed", err)
				}
			}
		})
	})
}

// TestClosedIsGarbage closes a Stream, its Conn and the Listener, all with deadlines
// far away. Their timers must not keep them in memory.
func TestClosedIsGarbage(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, streams := range []bool{false, true} {
			isInMemory := closed(t, network, streams)
			for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
				runtime.GC()
				left := isInMemory()
				if left == "" {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("with streams %v: what is closed stays in memory:%s", streams, left)
				}
			}
		}
	})
}

// closed makes a Listener, a Conn and, if asked to, a Stream, and closes them. It
// returns a function that tells which of them are in memory.
func closed(t *testing.T, network string, streams bool) (isInMemory func() string) {
	l, err := sctpnet.Listen(network, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d, err := sctpnet.Dial(network, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	a, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	far := time.Now().Add(time.Hour)
	ln, c := l.(*sctpnet.Listener), d.(*sctpnet.Conn)
	ln.SetDeadline(far)
	c.SetDeadline(far)
	var s *sctpnet.Stream
	if streams {
		if s, err = c.Stream(5); err != nil {
			t.Fatal(err)
		}
		s.SetDeadline(far)
		s.Close()
	}
	listener, conn, stream := weak.Make(ln), weak.Make(c), weak.Make(s)
	return func() (left string) {
		if listener.Value() != nil {
			left += " Listener"
		}
		if conn.Value() != nil {
			left += " Conn"
		}
		if stream.Value() != nil {
			left += " Stream"
		}
		return left
	}
}
