package kernel

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// TestDeadlineOfNoClock gives a listener a deadline by the wall clock, which may be
// set. What is compared with the poller's deadline must be of the poller's clock:
// otherwise Accept spins until the wall clock gets there.
func TestDeadlineOfNoClock(t *testing.T) {
	needSCTP(t)
	lo := &engine.Addr{IPAddrs: []net.IPAddr{{IP: net.IP{127, 0, 0, 1}}}}
	ln, err := kernelEngine{}.Listen(t.Context(), &engine.Socket{Network: "sctp", Local: lo})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	at := time.Now().Add(time.Hour)
	if err := ln.SetDeadline(at.Round(0)); err != nil { // Round drops the monotonic reading
		t.Fatal(err)
	}
	by := ln.(*listener).by
	if by == by.Round(0) {
		t.Errorf("the deadline %v has no monotonic reading", by)
	}
	if d := by.Sub(at); d.Abs() > time.Minute {
		t.Errorf("the deadline is off by %v", d)
	}
	if err := ln.SetDeadline(time.Time{}); err != nil || !ln.(*listener).by.IsZero() {
		t.Errorf("the zero time makes the deadline %v, %v", ln.(*listener).by, err)
	}
}

// TestStreamsOrRestart has an association that goes on after restarts be restarted
// while streams are asked for: the streams are of the old life, which then ends, or
// there are none.
func TestStreamsOrRestart(t *testing.T) {
	for range 20000 {
		c := &conn{socket: new(socket)}
		c.keeps = true
		var (
			wg   sync.WaitGroup
			ends bool
			err  error
		)
		begin := make(chan struct{})
		wg.Go(func() { <-begin; ends = c.restart(-1, engine.AssocEvent{}) })
		wg.Go(func() { <-begin; err = c.UseStreams() })
		close(begin)
		wg.Wait()
		if ends != (err == nil) {
			t.Fatalf("the life ends: %v; streams: %v", ends, err)
		}
	}
}

// TestCloseWithEventHeld closes an association that holds an event, and data or none.
// Only data that nobody has read makes Close an abort.
func TestCloseWithEventHeld(t *testing.T) {
	for _, tt := range []struct {
		name   string
		data   string
		aborts bool
	}{{"event", "", false}, {"data", "unread", true}} {
		t.Run(tt.name, func(t *testing.T) {
			client, _, _, s := owners(t)
			c := s.(*conn)
			c.hold(nil, engine.Message{Event: engine.SenderDryEvent{}})
			if tt.data != "" {
				c.hold([]byte(tt.data), engine.Message{})
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			var err error
			for err == nil {
				_, err = client.Recv(lent{{Data: make([]byte, 100)}})
			}
			if (err != io.EOF) != tt.aborts {
				t.Errorf("the peer gets %v", err)
			}
		})
	}
}

// TestFirstReaderPassesOn has a call begin the next life of an association, while
// others read. Only the first knows when it has kept all that it received of the next
// life. So no other gives that away; what they return depends on their deadline.
func TestFirstReaderPassesOn(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	sk, err := adopt(fds[0])
	if err != nil {
		t.Fatal(err)
	}
	defer sk.close()
	c := &conn{socket: sk}
	c.informs.Store(true)
	c.lives.mu.Lock()
	next := &newLife{fd: -1}
	c.begin(next, fds[0])
	c.lives.mu.Unlock()
	b := make([]byte, 10)
	reads := map[string]func() error{
		"Read":      func() error { _, err := c.Read(b); return err },
		"Recv":      func() error { _, _, err := c.Recv(b, true); return err },
		"RecvBatch": func() error { _, err := c.RecvBatch([]engine.Msg{{Data: b}}, true); return err },
	}
	for name, read := range reads {
		if err := read(); !errors.Is(err, unix.ECONNRESET) || c.next != next {
			t.Errorf("%s: %v, and the next life is %p; want ECONNRESET and %p", name, err, c.next, next)
		}
	}
	c.SetReadDeadline(time.Unix(1, 0))
	for name, read := range reads {
		if err := read(); err != os.ErrDeadlineExceeded || c.next != next {
			t.Errorf("%s after the deadline: %v, and the next life is %p; want the deadline's error and %p", name, err, c.next, next)
		}
	}
	c.passOn()
	for name, read := range reads {
		if err := read(); !errors.Is(err, unix.ECONNRESET) || c.next != nil {
			t.Errorf("%s when it was passed on: %v, and the next life is %p; want ECONNRESET and none", name, err, c.next)
		}
	}
}
