package kernel

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet/internal/conformance"
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

// adoptedPipe returns one end of a pipe as a socket, and its number.
func adoptedPipe(t *testing.T) (*socket, int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fds[1]) })
	sk, err := adopt(fds[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sk.close() })
	return sk, fds[0]
}

// TestFirstReaderPassesOn has a call begin the next life of an association, while
// others read. Only the first knows when it has kept all that it received of the next
// life. So no other gives that away; what they return depends on their deadline.
func TestFirstReaderPassesOn(t *testing.T) {
	sk, fd := adoptedPipe(t)
	c := &conn{socket: sk}
	c.informs.Store(true)
	c.lives.mu.Lock()
	next := &newLife{fd: -1}
	c.begin(next, fd)
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
	for _, set := range []func(time.Time) error{c.SetDeadline, c.SetReadDeadline, c.SetWriteDeadline} {
		if err := set(time.Now()); err != nil {
			t.Errorf("a deadline when it was passed on: %v", err)
		}
	}
}

// listening makes a listener and an association that it has accepted.
func listening(t *testing.T) (l *listener, client engine.Conn, c *conn) {
	t.Helper()
	needSCTP(t)
	lo := &engine.Addr{IPAddrs: []net.IPAddr{{IP: net.IP{127, 0, 0, 1}}}}
	ln, err := kernelEngine{}.Listen(t.Context(), &engine.Socket{Network: "sctp", Local: lo})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	l = ln.(*listener)
	client, c = another(t, l)
	return l, client, c
}

// another makes one more association that a listener accepts.
func another(t *testing.T, l *listener) (client engine.Conn, c *conn) {
	t.Helper()
	client, err := kernelEngine{}.Dial(t.Context(), &engine.Socket{Network: "sctp"}, l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return client, s.(*conn)
}

// nextOf takes an association for the next life of itself.
func nextOf(t *testing.T, c *conn) *newLife {
	t.Helper()
	next := &newLife{remote: c.remote}
	err := c.control(func(fd int) (err error) {
		next.fd, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	c.file.Close()
	return next
}

// TestAcceptBesideNewLives has new lives wait for Accept. Its deadline is that of all that
// it returns, and a new life does not keep others away.
func TestAcceptBesideNewLives(t *testing.T) {
	conformance.Watchdog(t, func() {
		l, _, c := listening(t)
		_, d := another(t, l)
		l.welcome(nextOf(t, c))
		l.SetDeadline(time.Now().Add(10 * time.Second))
		// An Accept may have looked for a new life just before this one came.
		if err := l.raw.Read(func(uintptr) bool { return false }); !l.isWoken(err) {
			t.Errorf("Accept is not woken for a new life: %v", err)
		}
		l.SetDeadline(time.Unix(1, 0))
		if _, err := l.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Accept after the deadline: %v", err)
		}
		l.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := l.Accept(); err != nil {
			t.Errorf("Accept of a new life: %v", err)
		}
		another(t, l)

		l.welcome(nextOf(t, d))
		for wait := time.Millisecond; ; wait *= 2 {
			l.SetDeadline(time.Now().Add(wait))
			if _, err := l.Accept(); err == nil {
				break
			}
		}
		if _, err := l.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Accept after a new life, with nothing there: %v", err)
		}
	})
}

// TestNewLifeWhileListenerCloses has a new life come when Close has looked for those that
// wait, and has not closed the descriptor yet. It is aborted as they are.
func TestNewLifeWhileListenerCloses(t *testing.T) {
	l, client, c := listening(t)
	l.mu.Lock()
	l.isClosed = true
	l.mu.Unlock()
	l.welcome(nextOf(t, c))
	client.SetReadDeadline(time.Now().Add(10 * time.Second))
	if n, _, err := client.Recv(make([]byte, 10), true); n != 0 || !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("the new life reads %d bytes, %v; want ECONNRESET", n, err)
	}
}

// TestNewLifeKnowsItsCause has a new life fail before the old one has been read. The kernel
// says why once, and a Write of the old life was told.
func TestNewLifeKnowsItsCause(t *testing.T) {
	l, client, c := listening(t)
	client.Abort()
	c.control(func(fd int) error {
		for !isGone(uintptr(fd)) {
			time.Sleep(time.Millisecond)
		}
		return nil
	})
	next := nextOf(t, c)
	next.cause = uint32(unix.ETIMEDOUT)
	l.welcome(next)
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 2 {
		if n, _, err := s.Recv(make([]byte, 10), true); n != 0 || !errors.Is(err, unix.ETIMEDOUT) {
			t.Errorf("the new life reads %d bytes, %v; want ETIMEDOUT", n, err)
		}
	}
}

// TestRestartOfWhatEnds has a reader or a watch find a restart when Close was called, and
// when the other one has found it. A Conn that is being closed has no next life, and one
// life has one next life.
func TestRestartOfWhatEnds(t *testing.T) {
	sk, fd := adoptedPipe(t)
	leaving := &conn{socket: sk}
	leaving.parent, leaving.isLeaving = new(listener), true
	if leaving.lose(fd); leaving.restarted.Load() {
		t.Error("a watch has ended what is being closed")
	}
	if leaving.restart(fd, engine.AssocEvent{}); leaving.next.fd >= 0 {
		t.Error("what is being closed has a next life")
		unix.Close(leaving.next.fd)
	}
	c := &conn{socket: sk}
	c.parent = new(listener)
	c.restart(fd, engine.AssocEvent{})
	next := c.next
	defer unix.Close(next.fd)
	if c.lose(fd); c.next != next {
		t.Error("a watch has lost the next life")
	}
}

// TestNewLifeWithWhatCameAtOnce has one system call receive the end of the old life and
// all of the new one: data, an event in two pieces, and its end.
func TestNewLifeWithWhatCameAtOnce(t *testing.T) {
	dry := make([]byte, 12)
	binary.NativeEndian.PutUint16(dry, eventSenderDry)
	lost := make([]byte, 20)
	binary.NativeEndian.PutUint16(lost, eventAssocChange)
	binary.NativeEndian.PutUint16(lost[8:], uint16(engine.AssocLost))
	more := engine.Message{More: true}
	for _, events := range []bool{false, true} {
		l, _, c := listening(t)
		l.from.options.Events = events
		next := nextOf(t, c)
		next.held = []piece{{[]byte("new"), false, engine.Message{PPID: 5}}, {dry[:7], true, more}, {dry[7:], true, engine.Message{}}, {lost, true, engine.Message{}}}
		l.welcome(next)
		ec, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer ec.Close()
		s := ec.(*conn)
		want := []engine.Message{{PPID: 5}}
		if events {
			want = append(want, engine.Message{Event: engine.SenderDryEvent{}}, engine.Message{Event: engine.AssocEvent{Change: engine.AssocLost}})
		}
		var got []engine.Message
		for _, h := range s.held {
			got = append(got, h.msg)
		}
		if !reflect.DeepEqual(got, want) || string(s.held[0].data) != "new" {
			t.Errorf("events %v: the new life begins with %+v, want %+v", events, got, want)
		}
		if !s.lost.Load() {
			t.Errorf("events %v: the new life does not know that it was lost", events)
		}
	}
}

// TestNewLifeHasListenersBuffer has the old life change its receive buffer.
func TestNewLifeHasListenersBuffer(t *testing.T) {
	l, _, c := listening(t)
	size := func(sk *socket) int {
		t.Helper()
		n, err := read(sk, optReadBuffer.getInt)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if err := c.Set(netip.Addr{}, engine.Settings{ReadBuffer: 20_000}); err != nil {
		t.Fatal(err)
	}
	l.welcome(nextOf(t, c))
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got, want := size(s.(*conn).socket), size(l.socket); got != want {
		t.Errorf("the new life's receive buffer has %d bytes, want the listener's %d", got, want)
	}
}
