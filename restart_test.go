package sctpnet_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"github.com/sctpnet/sctpnet/internal/engine"
)

// A crasher is a peer that can vanish without a word and dial again from the same
// address and port.
type crasher struct {
	network string
	ns      *netns
	peer    *netns // where the server is
	dialer  sctpnet.Dialer
	server  string
}

// newCrasher makes a listener and a peer that dials it.
func newCrasher(t testing.TB, lc sctpnet.ListenConfig) (*crasher, *sctpnet.Listener) {
	t.Helper()
	return newCrasherOn(t, "sctp", lc)
}

// newCrasherOn is newCrasher on a network.
func newCrasherOn(t testing.TB, network string, lc sctpnet.ListenConfig) (*crasher, *sctpnet.Listener) {
	t.Helper()
	a, b := linksFor(t, network)
	server := linkAddr(2, 5000).String()
	ln := b.listenOn(t, network, lc, server).(*sctpnet.Listener)
	return &crasher{network, a, b, sctpnet.Dialer{LocalAddr: linkAddr(1, 6000)}, server}, ln
}

// newCallback makes an association c with a peer that listened, and stops to. The
// peer can vanish and dial c back, from the port on which it listened.
func newCallback(t testing.TB, network string, config sctpnet.Config) (p *crasher, peer, c *sctpnet.Conn) {
	t.Helper()
	a, b := linksFor(t, network)
	server := linkAddr(2, 5000)
	ln := b.listenOn(t, network, sctpnet.ListenConfig{}, server.String())
	c = a.dialOn(t, network, sctpnet.Dialer{LocalAddr: linkAddr(1, 6000), Config: config}, server.String())
	peer = accept(t, ln)
	ln.Close()
	return &crasher{network, b, a, sctpnet.Dialer{LocalAddr: server}, linkAddr(1, 6000).String()}, peer, c
}

func (p *crasher) dial(t testing.TB) *sctpnet.Conn {
	t.Helper()
	return p.ns.dialOn(t, p.network, p.dialer, p.server)
}

// crash has an association vanish from the peer.
func (p *crasher) crash(t testing.TB, c *sctpnet.Conn) {
	t.Helper()
	p.ns.ip(t, "link set link1 down")
	if err := c.Abort(); err != nil {
		t.Fatal(err)
	}
	p.ns.ip(t, "link set link1 up")
}

// dialAborted dials where the server aborts what comes of it.
func (p *crasher) dialAborted(t testing.TB) {
	t.Helper()
	p.ns.do(t, func() error {
		c, err := p.dialer.Dial(p.network, p.server)
		if err == nil {
			defer c.Close()
			var b []byte
			c.Write([]byte("for nobody"))
			b, err = io.ReadAll(c)
			if len(b) > 0 {
				t.Errorf("a life that is for nobody reads %q", b)
			}
		}
		// Over UDP, and where COOKIE ACK is lost, it is told so in the handshake.
		if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a life that is for nobody: %v; want ECONNRESET", err)
		}
		return nil
	})
}

// say writes messages and waits until they are at the other end.
func say(t testing.TB, c *sctpnet.Conn, messages ...string) {
	t.Helper()
	for i, m := range messages {
		if _, err := c.WriteMsg([]byte(m), sctpnet.MsgInfo{Stream: uint16(i % 3), PPID: uint32(i + 1)}); err != nil {
			t.Fatal(err)
		}
	}
	arrived(t, c)
}

// wantLife reads all that is left of a life, and that it has ended by a restart.
func wantLife(t testing.TB, c net.Conn, want string) {
	t.Helper()
	got, err := io.ReadAll(c)
	if string(got) != want || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read %q and %v; want %q and ECONNRESET", got, err, want)
	}
	wantReset(t, c)
}

// wantReset checks that each call says that the life is over.
func wantReset(t testing.TB, c net.Conn) {
	t.Helper()
	for range 2 {
		if n, err := c.Read(make([]byte, 10)); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read %d bytes and %v; want ECONNRESET", n, err)
		}
		if n, err := c.Write([]byte("too late")); n != 0 || !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			t.Errorf("wrote %d bytes and %v; want ECONNRESET or EPIPE", n, err)
		}
	}
	if c, ok := c.(*sctpnet.Conn); ok {
		if n, err := c.WriteMsgs(batchOf(4, 10)); n != 0 || !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			t.Errorf("wrote %d messages and %v; want ECONNRESET or EPIPE", n, err)
		}
	}
}

// wantNoStreams checks that a new life has no streams.
func wantNoStreams(t testing.TB, c *sctpnet.Conn) {
	t.Helper()
	_, err1 := c.Stream(3)
	_, err2 := c.OpenStream()
	_, err3 := c.AcceptStream(t.Context())
	for _, err := range []error{err1, err2, err3} {
		var op *net.OpError
		if !errors.Is(err, errors.ErrUnsupported) || !errors.As(err, &op) {
			t.Errorf("a stream: %v; want ErrUnsupported in a *net.OpError", err)
		}
	}
}

// TestRestartEndsLife has a peer restart an association that is read or not.
func TestRestartEndsLife(t *testing.T) { eachEngine(t, testRestartEndsLife) }

func testRestartEndsLife(t *testing.T, network string) {
	for _, tt := range []struct {
		name             string
		isRead, isWaited bool // before the restart; Accept before the old life is read
		events           bool
	}{
		{name: "Unread"},
		{name: "Read", isRead: true},
		{name: "Awaited", isWaited: true},
		{name: "ReadAndAwaited", isRead: true, isWaited: true},
		{name: "Events", events: true},
		{name: "EventsRead", events: true, isRead: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			watchdog(t, func() {
				var lc sctpnet.ListenConfig
				rec := newRecorder(ofEngine(network, "sctp4"))
				if tt.events {
					lc.Config = rec.config()
				}
				p, ln := newCrasherOn(t, network, lc)
				client := p.dial(t)
				old := accept(t, ln)
				old.SetLinger(0)       // which must not be the new life's
				if !overUDP(network) { // which lacks it
					old.SetNoDelay(false)
				}
				say(t, client, "one ", "half of")
				read := make(chan bool)
				readOld := func() {
					defer close(read)
					wantLife(t, old, "one half of")
				}
				if tt.isRead {
					go readOld()
				}
				accepted := make(chan *sctpnet.Conn, 1)
				acceptNew := func() {
					c, err := ln.AcceptConn()
					if err != nil {
						t.Error(err)
					}
					accepted <- c
				}
				if tt.isWaited {
					go acceptNew()
				}
				p.crash(t, client)
				again := p.dial(t)
				say(t, again, "a new life")
				if !tt.isRead {
					readOld()
				}
				<-read
				if !tt.isWaited {
					acceptNew()
				}
				c := <-accepted
				if c == nil {
					return
				}
				defer c.Close()
				wantBytes(t, c, []byte("a new life"))
				wantReset(t, old)
				if overUDP(network) { // whose new life is like the first
					exchange(t, claim(t, again, 5), claim(t, c, 5))
				} else {
					wantNoStreams(t, c)
				}
				if config, err := c.Config(); config.Nagle || err != nil {
					t.Errorf("Nagle %v, %v; want the Config's", config.Nagle, err)
				}
				if err := old.Close(); err != nil {
					t.Errorf("Close of the old life: %v", err)
				}
				if err := old.Close(); !errors.Is(err, net.ErrClosed) {
					t.Errorf("second Close: %v", err)
				}
				exchange(t, again, c)
				if err := c.Close(); err != nil {
					t.Error(err)
				}
				if n, err := again.Read(make([]byte, 1)); err != io.EOF {
					t.Errorf("read %d bytes and %v after the new life's Close; want EOF", n, err)
				}
				if tt.events {
					all := rec.all()
					restarts := 0
					for _, e := range all {
						if e, ok := e.(sctpnet.AssocEvent); ok && e.Change == sctpnet.AssocRestarted {
							restarts++
						}
					}
					if restarts != 1 {
						t.Errorf("%d restarts in %v; want 1", restarts, all)
					}
				}
			})
		})
	}
}

// TestRestartManyTimes has a peer restart again and again, while nobody reads. The
// lives are read one after the other, each with its own messages.
func TestRestartManyTimes(t *testing.T) { eachEngine(t, testRestartManyTimes) }

func testRestartManyTimes(t *testing.T, network string) {
	const lives, messages = 4, 12
	life := func(i int) (m []string) {
		for k := range messages {
			m = append(m, fmt.Sprintf("%d of %d;", k, i))
		}
		return m
	}
	type reader func(t *testing.T, c *sctpnet.Conn, n int) (data string)
	readers := map[string]reader{
		"Read": func(t *testing.T, c *sctpnet.Conn, n int) string {
			var all []byte
			b := make([]byte, 4096)
			for len(all) < n {
				n, err := c.Read(b)
				if err != nil {
					t.Error(err)
					break
				}
				all = append(all, b[:n]...)
			}
			return string(all)
		},
		"ReadMsg": func(t *testing.T, c *sctpnet.Conn, n int) string {
			var all []byte
			b := make([]byte, 4096)
			for i := 0; len(all) < n; i++ {
				n, info, err := c.ReadMsg(b)
				if err != nil {
					t.Error(err)
					break
				}
				if info.More || info.Stream != uint16(i%3) || info.PPID != uint32(i+1) {
					t.Errorf("message %d is %+v", i, info)
				}
				all = append(all, b[:n]...)
			}
			return string(all)
		},
		"ReadMsgs": func(t *testing.T, c *sctpnet.Conn, n int) string {
			var all []byte
			i := 0
			for len(all) < n {
				ms := make([]sctpnet.Message, 32)
				for k := range ms {
					ms[k].Data = make([]byte, 100)
				}
				k, err := c.ReadMsgs(ms)
				if err != nil {
					t.Error(err)
					break
				}
				for _, m := range ms[:k] {
					if m.Info.PPID != uint32(i+1) {
						t.Errorf("message %d is %+v", i, m.Info)
					}
					i++
					all = append(all, m.Data[:m.N]...)
				}
			}
			return string(all)
		},
	}
	for name, order := range map[string][]string{
		"Read":               {"Read"},
		"ReadMsg":            {"ReadMsg"},
		"ReadMsgs":           {"ReadMsgs"},
		"ReadAndReadMsg":     {"Read", "ReadMsg"},
		"ReadMsgsAndReadMsg": {"ReadMsgs", "ReadMsg"},
	} {
		t.Run(name, func(t *testing.T) {
			watchdog(t, func() {
				p, ln := newCrasherOn(t, network, sctpnet.ListenConfig{})
				c := p.dial(t)
				s := accept(t, ln)
				for i := range lives {
					if i > 0 {
						p.crash(t, c)
						c = p.dial(t)
					}
					say(t, c, life(i)...)
				}
				for i := range lives {
					if i > 0 {
						s = accept(t, ln)
					}
					want := strings.Join(life(i), "")
					if got := readers[order[i%len(order)]](t, s, len(want)); got != want {
						t.Errorf("life %d: read %q, want %q", i, got, want)
					}
					if i < lives-1 {
						wantReset(t, s)
					}
				}
				exchange(t, c, s)
			})
		})
	}
}

// TestRestartAborted has a peer restart where the new life goes to nobody. It is
// told so, and dials once more. Over UDP Accept returns it although streams are in use.
func TestRestartAborted(t *testing.T) { eachEngine(t, testRestartAborted) }

func testRestartAborted(t *testing.T, network string) {
	acceptOld := func(t *testing.T, ln *sctpnet.Listener, s, client *sctpnet.Conn) net.Conn {
		return acceptStream(t, s)
	}
	for name, use := range map[string]func(t *testing.T, ln *sctpnet.Listener, s, client *sctpnet.Conn) net.Conn{
		"ClosedListener": func(t *testing.T, ln *sctpnet.Listener, s, client *sctpnet.Conn) net.Conn {
			ln.Close()
			return s
		},
		"Streams":       acceptOld,
		"StreamsUnread": acceptOld,
		"File":          func(t *testing.T, ln *sctpnet.Listener, s, client *sctpnet.Conn) net.Conn { return refiled(t, s) },
	} {
		streams := strings.HasPrefix(name, "Streams")
		isServed := streams && overUDP(network)
		if _, lacks := lacksOf(t, network).Find(engine.LacksCall, "Conn.File"); lacks && name == "File" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			watchdog(t, func() {
				p, ln := newCrasherOn(t, network, sctpnet.ListenConfig{})
				client := p.dial(t)
				s := accept(t, ln)
				old := net.Conn(nil)
				if streams {
					if _, err := client.WriteStream([]byte("old"), 2); err != nil {
						t.Fatal(err)
					}
				} else {
					say(t, client, "old")
				}
				old = use(t, ln, s, client)
				arrived(t, client)
				p.crash(t, client)
				read := make(chan bool)
				readOld := func() {
					defer close(read)
					wantLife(t, old, "old")
				}
				if name != "StreamsUnread" {
					go readOld()
				}
				if !isServed {
					p.dialAborted(t)
				}
				if name == "ClosedListener" {
					<-read
					return
				}
				c := p.dial(t)
				if name == "StreamsUnread" {
					readOld()
				}
				<-read
				s2 := accept(t, ln)
				exchange(t, c, s2)
				if streams {
					if _, err := s2.OpenStream(); err != nil {
						t.Errorf("a stream of an association that is new: %v", err)
					}
				}
			})
		})
	}
}

// TestRestartOfDialed has the peer that was dialed restart, by dialing back from
// the port on which it listened.
func TestRestartOfDialed(t *testing.T) { eachEngine(t, testRestartOfDialed) }

func testRestartOfDialed(t *testing.T, network string) {
	for _, tt := range []struct {
		name    string
		streams bool // in use
		isRead  bool // while the peer restarts
	}{{"Unread", false, false}, {"Read", false, true}, {"Stream", true, false}, {"StreamRead", true, true}} {
		t.Run(tt.name, func(t *testing.T) {
			watchdog(t, func() {
				p, peer, c := newCallback(t, network, sctpnet.Config{})
				old := net.Conn(c)
				if tt.streams {
					old = claim(t, c, 2)
					if _, err := peer.WriteStream([]byte("old"), 2); err != nil {
						t.Fatal(err)
					}
					arrived(t, peer)
				} else {
					say(t, peer, "old")
				}
				read := make(chan bool)
				readOld := func() {
					defer close(read)
					wantLife(t, old, "old")
				}
				p.crash(t, peer)
				switch {
				case tt.isRead:
					go readOld()
					p.dialAborted(t)
				case tt.streams || overUDP(network): // which are received for, or it is told at once
					p.dialAborted(t)
					readOld()
				default: // the new life lasts until the old one has been read
					again := p.dial(t)
					readOld()
					if b, err := io.ReadAll(again); len(b) > 0 || !errors.Is(err, syscall.ECONNRESET) {
						t.Errorf("a life that is for nobody: %q, %v; want ECONNRESET", b, err)
					}
				}
				<-read
				if tt.streams {
					wantReset(t, c)
				}
			})
		})
	}
}

// TestRestartWakesWrite has a peer restart while a Write waits for it.
func TestRestartWakesWrite(t *testing.T) { eachEngine(t, testRestartWakesWrite) }

func testRestartWakesWrite(t *testing.T, network string) {
	watchdog(t, func() {
		p, ln := newCrasherOn(t, network, sctpnet.ListenConfig{Config: sctpnet.Config{WriteBuffer: 64 << 10}})
		p.dialer.Config.ReadBuffer = 64 << 10
		client := p.dial(t)
		s := accept(t, ln)
		writing := conformance.Start(t, func() (int, error) { return s.Write(make([]byte, 8<<20)) })
		writing.Waits()
		p.crash(t, client)
		again := p.dial(t)
		say(t, again, "new")
		wantLife(t, s, "")
		if _, err := writing.Result(); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			// The kernel drops what was queued, and takes the rest for the new life.
			t.Errorf("write %v; want ECONNRESET", err)
		}
		wantBytes(t, accept(t, ln), []byte("new"))
	})
}

// TestRestartQueue checks that deadlines and Close of a Listener hold for new
// lives too.
func TestRestartQueue(t *testing.T) { eachEngine(t, testRestartQueue) }

func testRestartQueue(t *testing.T, network string) {
	watchdog(t, func() {
		p, ln := newCrasherOn(t, network, sctpnet.ListenConfig{})
		client := p.dial(t)
		s := accept(t, ln)
		p.crash(t, client)
		again := p.dial(t)
		wantLife(t, s, "")
		ln.SetDeadline(time.Now().Add(-time.Second))
		if _, err := ln.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Accept after the deadline: %v", err)
		}
		ln.SetDeadline(time.Now().Add(time.Hour))
		s = accept(t, ln)
		exchange(t, again, s)
		ln.SetDeadline(time.Now().Add(time.Millisecond))
		if _, err := ln.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Accept with nothing there: %v", err)
		}
		ln.SetDeadline(time.Time{})
		p.crash(t, again)
		last := p.dial(t)
		wantLife(t, s, "")
		ln.Close()
		if _, err := ln.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept after Close: %v", err)
		}
		if b, err := io.ReadAll(last); len(b) > 0 || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the new life reads %q and %v; want ECONNRESET", b, err)
		}
	})
}

// TestRestartAlreadyOver has the new life end before the old one was read, when the
// kernel has forgotten its peer. Accept returns it all the same, and it knows its
// addresses.
func TestRestartAlreadyOver(t *testing.T) { eachEngine(t, testRestartAlreadyOver) }

func testRestartAlreadyOver(t *testing.T, network string) {
	watchdog(t, func() {
		p, ln := newCrasherOn(t, network, sctpnet.ListenConfig{})
		client := p.dial(t)
		s := accept(t, ln)
		say(t, client, "old")
		p.crash(t, client)
		again := p.dial(t)
		if err := again.Abort(); err != nil {
			t.Fatal(err)
		}
		if !overUDP(network) {
			eventually(t, "the new life is over", func() bool {
				is := false
				p.peer.do(t, func() error { is = alive(t, 5000); return nil })
				return !is
			})
		}
		wantLife(t, s, "old")
		c := accept(t, ln)
		if local, remote := c.LocalAddr().String(), c.RemoteAddr().String(); local != p.server || remote != linkAddr(1, 6000).String() {
			t.Errorf("the new life is of %s and %s, want %s and %s", local, remote, p.server, linkAddr(1, 6000))
		}
		if n, err := c.Read(make([]byte, 10)); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the new life reads %d bytes and %v; want ECONNRESET", n, err)
		}
		c.Close()
	})
}

// TestEndBeforeRestartIsRead has a Conn be closed or shut down that was not read since
// the peer restarted the association, or never, so that nobody knows. The new life does not take
// this for an end of its own. Over the kernel's SCTP Close aborts it.
func TestEndBeforeRestartIsRead(t *testing.T) { eachEngine(t, testEndBeforeRestartIsRead) }

func testEndBeforeRestartIsRead(t *testing.T, network string) {
	for i := range 4 {
		reads, shuts := i&1 != 0, i&2 != 0
		t.Run(fmt.Sprintf("reads=%v,shuts=%v", reads, shuts), func(t *testing.T) {
			watchdog(t, func() {
				p, ln := newCrasherOn(t, network, sctpnet.ListenConfig{Config: promptTag(network)})
				client := p.dial(t)
				old := accept(t, ln)
				if reads {
					exchange(t, client, old)
				}
				p.crash(t, client)
				again := p.dial(t)
				switch {
				case shuts:
					if err := old.Shutdown(); err != nil && !overUDP(network) {
						t.Error(err)
					}
					wantReset(t, old)
				default:
					if err := old.Close(); err != nil {
						t.Error(err)
					}
				}
				if !shuts && !overUDP(network) {
					if n, err := again.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
						t.Errorf("the new life reads %d bytes, %v; want ECONNRESET", n, err)
					}
					return
				}
				exchange(t, again, accept(t, ln))
			})
		})
	}
}

// TestShutdownBeforeDataAndRestartAreRead has a Conn be shut down that has something to read
// before it comes to the peer's restart. The new life does not take this for an end of its
// own.
func TestShutdownBeforeDataAndRestartAreRead(t *testing.T) {
	needNetwork(t, "sctp4")
	watchdog(t, func() {
		p, ln := newCrasher(t, sctpnet.ListenConfig{Config: promptTag("sctp4")})
		client := p.dial(t)
		old := accept(t, ln)
		write(t, client, "unread")
		arrived(t, client)
		p.crash(t, client)
		again := p.dial(t)
		if err := old.Shutdown(); err != nil {
			t.Error(err)
		}
		wantBytes(t, old, []byte("unread"))
		wantReset(t, old)
		exchange(t, again, accept(t, ln))
	})
}

// TestCloseOfKeptBeforeRestartIsRead is the same of a Conn that goes on with the new life:
// Close ends that as it ends any association.
func TestCloseOfKeptBeforeRestartIsRead(t *testing.T) {
	needNetwork(t, "sctp4")
	watchdog(t, func() {
		config := promptTag("sctp4")
		config.KeepRestarted = true
		p, ln := newCrasher(t, sctpnet.ListenConfig{Config: config})
		client := p.dial(t)
		c := accept(t, ln)
		exchange(t, client, c)
		p.crash(t, client)
		again := p.dial(t)
		write(t, c, "last words")
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		wantBytes(t, again, []byte("last words"))
		wantEOF(t, again)
	})
}

// TestRestartInMessage has a peer crash in the middle of a message. Nothing of it is
// read, in either life.
func TestRestartInMessage(t *testing.T) { eachEngine(t, testRestartInMessage) }

func testRestartInMessage(t *testing.T, network string) {
	watchdog(t, func() {
		p, ln := newCrasherOn(t, network, sctpnet.ListenConfig{})
		client := p.dial(t)
		s := accept(t, ln)
		say(t, client, "old")
		before, err := s.Stats()
		if err != nil {
			t.Fatal(err)
		}
		// The first flight gets there, and no acknowledgement of it back.
		p.peer.netem(t, "link1", "loss 100%")
		if _, err := client.WriteMsg(bytes.Repeat([]byte("o"), 40<<10), sctpnet.MsgInfo{}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a part of the message arrives", func() bool {
			st, err := s.Stats()
			return err == nil && st.OrderedReceived > before.OrderedReceived
		})
		p.crash(t, client)
		p.peer.heal(t, "link1")
		again := p.dial(t)
		say(t, again, "new", "er")
		wantLife(t, s, "old")
		wantBytes(t, accept(t, ln), []byte("newer"))
	})
}

// TestRestartWithFewerStreams has a peer restart an association with fewer streams than it
// had. There are no others in its new life: a message on one of those is an error, and not
// lost.
func TestRestartWithFewerStreams(t *testing.T) { eachEngine(t, testRestartWithFewerStreams) }

func testRestartWithFewerStreams(t *testing.T, network string) {
	// restart has the peer dial with 60 streams, calls meanwhile, and then has the peer
	// restart with 4.
	restart := func(t *testing.T, p *crasher, meanwhile func()) *sctpnet.Conn {
		p.dialer.Config.OutStreams, p.dialer.Config.MaxInStreams = 60, 60
		client := p.dial(t)
		say(t, client, "one")
		meanwhile()
		p.crash(t, client)
		p.dialer.Config.OutStreams, p.dialer.Config.MaxInStreams = 4, 4
		again := p.dial(t)
		say(t, again, "two")
		return again
	}
	conn := func(keeps bool) func(t *testing.T) {
		return func(t *testing.T) {
			watchdog(t, func() {
				p, ln := newCrasherOn(t, network, sctpnet.ListenConfig{Config: sctpnet.Config{KeepRestarted: keeps}})
				var c *sctpnet.Conn
				again := restart(t, p, func() {
					c = accept(t, ln)
					wantBytes(t, c, []byte("one"))
				})
				if !keeps {
					wantLife(t, c, "")
					c = accept(t, ln)
				}
				wantBytes(t, c, []byte("two"))
				if out, in := c.NumStreams(); out != 4 || in != 4 {
					t.Errorf("%d streams out, %d in; want 4 each way", out, in)
				}
				if st, err := c.Status(); st.OutStreams != 4 || st.InStreams != 4 || err != nil {
					t.Errorf("Status: %d streams out, %d in, %v; want 4 each way", st.OutStreams, st.InStreams, err)
				}
				_, err := c.WriteStream([]byte("lost"), 50)
				wantNoSuchStream(t, err)
				n, err := c.WriteMsgs([]sctpnet.Message{
					{Data: []byte("answer"), Info: sctpnet.MsgInfo{Stream: 3}},
					{Data: []byte("lost"), Info: sctpnet.MsgInfo{Stream: 4}},
				})
				if n != 1 {
					t.Errorf("%d messages of 2 were written, want 1", n)
				}
				wantNoSuchStream(t, err)
				wantBytes(t, again, []byte("answer"))
			})
		}
	}
	t.Run("Accepted", conn(false))
	if _, lacks := lacksOf(t, network).Find(engine.LacksSetting, "KeepRestarted"); !lacks {
		t.Run("KeepRestarted", conn(true))
	}
	t.Run("PacketConn", func(t *testing.T) {
		watchdog(t, func() {
			p, c, d := keepDiary(t, network, sctpnet.Config{})
			again := restart(t, p, func() {})
			d.await(t, "6000", "two")
			peer := d.peer("6000")
			_, err := c.WriteMsg([]byte("lost"), sctpnet.MsgInfo{Stream: 50}, peer)
			wantNoSuchStream(t, err)
			exchangeWith(t, c, peer, again)
			var peeled *sctpnet.Conn
			p.peer.do(t, func() error { // Linux peels nothing off from another network
				peeled, err = c.PeelOff(peer)
				return err
			})
			defer peeled.Close()
			_, err = peeled.WriteStream([]byte("lost"), 50)
			wantNoSuchStream(t, err)
			if !overUDP(network) {
				wantNoStreams(t, peeled)
			}
			exchange(t, again, peeled)
		})
	})
}

// wantNoSuchStream checks the error of a message on a stream that there is not.
func wantNoSuchStream(t testing.TB, err error) {
	t.Helper()
	if !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), "there are streams 0 to 3") {
		t.Errorf("a message on a stream of the life before: %v; want EINVAL, and which streams there are", err)
	}
}

// TestRestartBesideStuckHandler has a peer restart an association while OnEvent does not
// return. What waits learns of it.
func TestRestartBesideStuckHandler(t *testing.T) { eachEngine(t, testRestartBesideStuckHandler) }

func testRestartBesideStuckHandler(t *testing.T, network string) {
	for _, streams := range []bool{false, true} {
		t.Run(fmt.Sprintf("streams=%v", streams), func(t *testing.T) {
			watchdog(t, func() {
				stuck, release := make(chan struct{}), make(chan struct{})
				var called atomic.Bool
				defer close(release)
				lc := sctpnet.ListenConfig{Config: promptTag(network)}
				lc.Config.OnEvent = func(*sctpnet.Conn, sctpnet.Event) {
					if called.CompareAndSwap(false, true) { // not for the new life
						close(stuck)
						<-release
					}
				}
				p, ln := newCrasherOn(t, network, lc)
				client := p.dial(t)
				c := accept(t, ln)
				s := net.Conn(c)
				if streams {
					s = claim(t, c, 3)
				}
				<-stuck
				reading := conformance.Start(t, func() (int, error) { return s.Read(make([]byte, 10)) })
				reading.Waits()
				p.crash(t, client)
				if streams && !overUDP(network) {
					p.dialAborted(t)
				} else {
					exchange(t, p.dial(t), accept(t, ln))
				}
				if n, err := reading.Result(); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("read %d bytes, %v; want ECONNRESET", n, err)
				}
			})
		})
	}
}

// promptTag is a Config of the kernel's SCTP by which an association of any age notices
// a restart.
func promptTag(network string) (config sctpnet.Config) {
	if !overUDP(network) {
		config.PartialDeliveryPoint = 64 << 10
	}
	return config
}

// TestRestartBesideFullStream has a peer restart an association while one Stream is full,
// so that nothing is received. The others learn of it.
func TestRestartBesideFullStream(t *testing.T) { eachEngine(t, testRestartBesideFullStream) }

func testRestartBesideFullStream(t *testing.T, network string) {
	watchdog(t, func() {
		p, ln := newCrasherOn(t, network, sctpnet.ListenConfig{Config: promptTag(network)})
		client := p.dial(t)
		c := accept(t, ln)
		full, other := claim(t, c, 1), claim(t, c, 2)
		const size = 290 << 10 // a Stream takes 256 KiB; what is left does not fill the window
		for sent := 0; sent < size; sent += 10 << 10 {
			if _, err := client.WriteStream(make([]byte, 10<<10), 1); err != nil {
				t.Fatal(err)
			}
		}
		arrived(t, client)
		reading := conformance.Start(t, func() (int, error) { return other.Read(make([]byte, 10)) })
		reading.Waits()
		p.crash(t, client)
		if overUDP(network) {
			exchange(t, p.dial(t), accept(t, ln))
		} else {
			p.dialAborted(t)
		}
		if n, err := reading.Result(); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read %d bytes, %v; want ECONNRESET", n, err)
		}
		n, err := io.Copy(io.Discard, full)
		if n != size || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read %d bytes of the full one, %v; want %d and ECONNRESET", n, err, size)
		}
	})
}

// TestKeepRestarted has a peer restart an association whose Conn goes on.
func TestKeepRestarted(t *testing.T) {
	for _, events := range []bool{false, true} {
		t.Run(fmt.Sprintf("Events=%v", events), func(t *testing.T) {
			watchdog(t, func() {
				lc := sctpnet.ListenConfig{Config: sctpnet.Config{KeepRestarted: true}}
				rec := newRecorder("sctp4")
				if events {
					lc.Config.OnEvent = rec.handle
				}
				p, ln := newCrasher(t, lc)
				client := p.dial(t)
				s := accept(t, ln)
				say(t, client, "one", "two")
				p.crash(t, client)
				again := p.dial(t)
				say(t, again, "three")
				b := make([]byte, 100)
				for _, want := range []string{"one", "two", "three"} {
					if n, info, err := s.ReadMsg(b); string(b[:n]) != want || info.More || err != nil {
						t.Errorf("read %q, %+v, %v; want %q", b[:n], info, err, want)
					}
				}
				exchange(t, again, s)
				wantNoStreams(t, s)
				if events {
					awaitAssociation(t, rec, sctpnet.AssocRestarted)
				}
			})
		})
	}
}

// TestRestartStreamListener has a StreamDialer's process crash. Its streams end at
// the server, and it is served again.
func TestRestartStreamListener(t *testing.T) { eachEngine(t, testRestartStreamListener) }

func testRestartStreamListener(t *testing.T, network string) {
	watchdog(t, func() {
		p, ln := newCrasherOn(t, network, sctpnet.ListenConfig{Config: sctpnet.Config{Adaptation: sctpnet.AdaptationStreams}})
		p.dialer.Config.Adaptation = sctpnet.AdaptationStreams
		sl := sctpnet.NewStreamListener(ln)
		defer sl.Close()
		client := p.dial(t)
		st, err := client.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := st.Write([]byte("old")); err != nil {
			t.Fatal(err)
		}
		s, err := sl.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		arrived(t, client)
		p.crash(t, client)
		if !overUDP(network) { // whose new life is like the first
			p.dialAborted(t)
			wantLife(t, s, "old")
		}
		c, err := p.dial(t).OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		write(t, c, "new")
		s2, err := sl.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer s2.Close()
		wantBytes(t, s2, []byte("new"))
		exchange(t, c, s2)
		if overUDP(network) {
			wantLife(t, s, "old")
		}
	})
}

// TestRestartStreamDialer has a StreamDialer's process crash, with a stream that the
// server reads or not, and another StreamDialer dial from the same port.
func TestRestartStreamDialer(t *testing.T) {
	needSCTP(t)
	if inOwnNetwork(t) {
		eachEngine(t, testRestartStreamDialer)
	}
}

func testRestartStreamDialer(t *testing.T, network string) {
	for i, isRead := range []bool{false, true} {
		t.Run(fmt.Sprintf("Read=%v", isRead), func(t *testing.T) {
			watchdog(t, func() {
				p, ln := newCrasherOn(t, network, sctpnet.ListenConfig{Config: sctpnet.Config{Adaptation: sctpnet.AdaptationStreams}})
				p.dialer.LocalAddr = linkAddr(1, 6000+i) // the last one may not be free yet
				sl := sctpnet.NewStreamListener(ln)
				defer sl.Close()
				conns := make(chan *sctpnet.Conn, 10)
				p.dialer.Config.OnEvent = func(c *sctpnet.Conn, e sctpnet.Event) {
					if e, ok := e.(sctpnet.AssocEvent); ok && e.Change == sctpnet.AssocUp {
						conns <- c
					}
				}
				dial := func(d *sctpnet.StreamDialer) (c net.Conn) {
					p.ns.do(t, func() (err error) {
						c, err = d.Dial(network, p.server)
						return err
					})
					return c
				}
				old := dial(&sctpnet.StreamDialer{Dialer: p.dialer})
				defer old.Close()
				write(t, old, "old")
				s, err := sl.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				client := <-conns
				arrived(t, client)
				read := make(chan bool)
				readOld := func() {
					defer close(read)
					wantLife(t, s, "old")
				}
				if isRead {
					go readOld()
				}
				p.crash(t, client)
				d := closing(t, &sctpnet.StreamDialer{Dialer: p.dialer})
				c := dial(d) // twice, if the first association is aborted
				defer c.Close()
				write(t, c, "new")
				s2, err := sl.Accept()
				if err != nil {
					t.Fatal(err)
				}
				defer s2.Close()
				wantBytes(t, s2, []byte("new"))
				exchange(t, c, s2)
				if !isRead {
					readOld()
				}
				<-read
			})
		})
	}
}

// TestRestartOfStreamServer has a StreamDialer's server crash, and dial back from the
// port on which it listened. The streams end, and a dial makes another association
// once the server listens again.
func TestRestartOfStreamServer(t *testing.T) {
	needSCTP(t)
	if inOwnNetwork(t) {
		eachEngine(t, testRestartOfStreamServer)
	}
}

func testRestartOfStreamServer(t *testing.T, network string) {
	watchdog(t, func() {
		a, b := linksFor(t, network)
		lc := sctpnet.ListenConfig{Config: sctpnet.Config{Adaptation: sctpnet.AdaptationStreams}}
		local, remote := linkAddr(1, 6000), linkAddr(2, 5000)
		server := remote.String()
		ln := b.listenOn(t, network, lc, server)
		d := closing(t, &sctpnet.StreamDialer{Dialer: sctpnet.Dialer{LocalAddr: local}})
		dial := func() (c *sctpnet.Stream) {
			a.do(t, func() error {
				nc, err := d.Dial(network, server)
				if err != nil {
					return err
				}
				c = nc.(*sctpnet.Stream)
				return nil
			})
			return c
		}
		old := dial()
		defer old.Close()
		peer := accept(t, ln)
		if _, err := peer.WriteStream([]byte("old"), old.ID()); err != nil {
			t.Fatal(err)
		}
		arrived(t, peer)
		ln.Close()
		p := &crasher{network, b, a, sctpnet.Dialer{LocalAddr: remote}, local.String()}
		p.crash(t, peer)
		p.dialAborted(t)
		wantLife(t, old, "old")
		ln = b.listenOn(t, network, lc, server)
		c := dial()
		defer c.Close()
		write(t, c, "new")
		wantBytes(t, acceptStream(t, accept(t, ln)), []byte("new"))
	})
}

// A pieceReader is a way to read a message that has come in part only.
type pieceReader struct {
	name   string
	config sctpnet.Config
	from   func(t *testing.T, c *sctpnet.Conn) net.Conn // what is read, nil for c
	read   func(c net.Conn, b []byte) (int, error)      // nil for Read
}

var pieceReaders = []pieceReader{
	{name: "Read"},
	{name: "ReadMsg", read: func(c net.Conn, b []byte) (int, error) {
		n, _, err := c.(*sctpnet.Conn).ReadMsg(b)
		return n, err
	}},
	{name: "ReadMsgs", read: func(c net.Conn, b []byte) (int, error) {
		ms := []sctpnet.Message{{Data: b}, {Data: make([]byte, 100)}}
		n, err := c.(*sctpnet.Conn).ReadMsgs(ms)
		if n > 1 {
			return 0, errors.New("two messages")
		}
		return ms[0].N, err
	}},
	{name: "KeepRestarted", config: sctpnet.Config{KeepRestarted: true}},
	{name: "Events", config: sctpnet.Config{OnEvent: func(*sctpnet.Conn, sctpnet.Event) {}}},
	{name: "Stream", from: func(t *testing.T, c *sctpnet.Conn) net.Conn { return claim(t, c, 0) }},
	{name: "File", from: refiled},
}

// refiled is a Conn that goes on as that of a file.
func refiled(t *testing.T, c *sctpnet.Conn) net.Conn {
	t.Helper()
	f, err := c.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fc, err := sctpnet.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fc.Close() })
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return fc
}

// start has c read to its end. The result counts the bytes.
func (r *pieceReader) start(t *testing.T, c net.Conn) *conformance.Call {
	read := r.read
	if read == nil {
		read = net.Conn.Read
	}
	return conformance.Start(t, func() (got int, err error) {
		for err == nil {
			var n int
			n, err = read(c, make([]byte, 64<<10))
			got += n
		}
		return got, err
	})
}

// wantPart checks that a call has read a part of a message, and that its life ended.
func wantPart(t testing.TB, reading *conformance.Call, c net.Conn) {
	t.Helper()
	got, err := reading.Result()
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read: %v; want ECONNRESET", err)
	}
	if got == 0 || got >= 40<<10 {
		t.Errorf("read %d bytes, want a part of the message", got)
	}
	wantReset(t, c)
}

// sendPieces has a peer send a message to c, which hands out what has come of it. The
// first flight gets there, and no acknowledgement of it back.
func (p *crasher) sendPieces(t *testing.T, peer, c *sctpnet.Conn) {
	t.Helper()
	p.sendPart(t, c.Stats, func() {
		if _, err := peer.WriteMsg(bytes.Repeat([]byte("o"), 40<<10), sctpnet.MsgInfo{}); err != nil {
			t.Fatal(err)
		}
	})
}

// TestRestartInPieces has a peer crash in the middle of a message, after a part of it
// was handed over. A reader that waits for the rest learns of it.
func TestRestartInPieces(t *testing.T) {
	for _, r := range pieceReaders {
		t.Run(r.name, func(t *testing.T) {
			watchdog(t, func() {
				lc := sctpnet.ListenConfig{Config: r.config}
				lc.Config.PartialDeliveryPoint = 1000
				p, ln := newCrasher(t, lc)
				client := p.dial(t)
				c := accept(t, ln)
				s := net.Conn(c)
				if r.from != nil {
					s = r.from(t, c)
				}
				if fc, ok := s.(*sctpnet.Conn); ok {
					c = fc
				}
				reading := r.start(t, s)
				p.sendPieces(t, client, c)
				reading.Waits()
				p.crash(t, client)
				p.peer.heal(t, "link1")
				p.dialAborted(t)
				wantPart(t, reading, s)
				again := p.dial(t)
				exchange(t, again, accept(t, ln))
			})
		})
	}
}

// TestReadAfterRestartInPieces is the same where nothing waits to be read when the peer
// restarts. A reader that begins to wait later learns of it, whether it has read the
// part before or not.
func TestReadAfterRestartInPieces(t *testing.T) {
	for _, r := range pieceReaders {
		if r.config.OnEvent != nil || r.from != nil {
			continue // something waits all the time; or the tag is learned late
		}
		for _, begun := range []bool{false, true} {
			if begun && r.read != nil {
				continue // it reads the message as a whole
			}
			t.Run(fmt.Sprintf("%s,begun=%v", r.name, begun), func(t *testing.T) {
				watchdog(t, func() {
					lc := sctpnet.ListenConfig{Config: r.config}
					lc.Config.PartialDeliveryPoint = 1000
					p, ln := newCrasher(t, lc)
					client := p.dial(t)
					c := accept(t, ln)
					p.sendPieces(t, client, c)
					if begun {
						if _, err := io.ReadFull(c, make([]byte, 100)); err != nil {
							t.Fatal(err)
						}
					}
					ended := p.restartUnnoticed(t, client)
					wantPart(t, r.start(t, c), c)
					ended()
					again := p.dial(t)
					exchange(t, again, accept(t, ln))
				})
			})
		}
	}
}

// restartUnnoticed has a peer crash and dial again, which nobody notices who does not
// read. ended waits until that was aborted.
func (p *crasher) restartUnnoticed(t *testing.T, old *sctpnet.Conn) (ended func()) {
	t.Helper()
	p.crash(t, old)
	p.peer.heal(t, "link1")
	again := p.dial(t)
	write(t, again, "for nobody")
	arrived(t, again)
	return func() {
		t.Helper()
		if b, err := io.ReadAll(again); len(b) > 0 || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a life that is for nobody: %q, %v; want ECONNRESET", b, err)
		}
		again.Close()
	}
}

// TestRestartOfDialedInPieces is the same where the reader has dialed.
func TestRestartOfDialedInPieces(t *testing.T) {
	for _, waits := range []bool{true, false} {
		t.Run(fmt.Sprintf("waits=%v", waits), func(t *testing.T) {
			watchdog(t, func() {
				r := &pieceReader{}
				p, peer, c := newCallback(t, "sctp", sctpnet.Config{PartialDeliveryPoint: 1000})
				p.sendPieces(t, peer, c)
				if !waits {
					ended := p.restartUnnoticed(t, peer)
					wantPart(t, r.start(t, c), c)
					ended()
					return
				}
				reading := r.start(t, c)
				reading.Waits()
				p.crash(t, peer)
				p.peer.heal(t, "link1")
				p.dialAborted(t)
				wantPart(t, reading, c)
			})
		})
	}
}

// TestKeepRestartedInPieces has a Conn that goes on after a restart wait for the rest of
// a message, in its first life and in the next one. That is no restart.
func TestKeepRestartedInPieces(t *testing.T) {
	watchdog(t, func() {
		lc := sctpnet.ListenConfig{Config: sctpnet.Config{KeepRestarted: true, PartialDeliveryPoint: 1000}}
		p, ln := newCrasher(t, lc)
		p.dialer.Config.RTO.Max = time.Second
		client := p.dial(t)
		c := accept(t, ln)
		message := ballast()[:40<<10]
		for range 2 {
			p.sendPart(t, c.Stats, func() {
				if _, err := client.WriteMsg(message, sctpnet.MsgInfo{}); err != nil {
					t.Fatal(err)
				}
			})
			b := make([]byte, len(message))
			reading := conformance.Start(t, func() (int, error) { return io.ReadFull(c, b) })
			// The tag is looked at meanwhile.
			time.Sleep(time.Second)
			p.peer.heal(t, "link1")
			if _, err := reading.Result(); !bytes.Equal(b, message) || err != nil {
				t.Fatalf("read %v, want the message", err)
			}
			exchange(t, client, c)
			p.crash(t, client)
			client = p.dial(t)
			exchange(t, client, c)
		}
	})
}

// TestMessageInPiecesGoesOn has the rest of a message come late. That is no restart.
func TestMessageInPiecesGoesOn(t *testing.T) {
	watchdog(t, func() {
		lc := sctpnet.ListenConfig{Config: sctpnet.Config{PartialDeliveryPoint: 1000}}
		p, ln := newCrasher(t, lc)
		p.dialer.Config.RTO.Max = time.Second
		client := p.dial(t)
		p.sendSlowly(t, client, accept(t, ln))
	})
}

// TestKeptMessageInPiecesGoesOn is the same in two lives of one Conn: in the second one
// the tag is another one than in the first.
func TestKeptMessageInPiecesGoesOn(t *testing.T) {
	watchdog(t, func() {
		lc := sctpnet.ListenConfig{Config: sctpnet.Config{PartialDeliveryPoint: 1000, KeepRestarted: true}}
		p, ln := newCrasher(t, lc)
		p.dialer.Config.RTO.Max = time.Second
		client := p.dial(t)
		s := accept(t, ln)
		p.sendSlowly(t, client, s)
		p.crash(t, client)
		p.sendSlowly(t, p.dial(t), s)
	})
}

// sendSlowly has a message of the client's arrive at s, its rest after a while.
func (p *crasher) sendSlowly(t *testing.T, client, s *sctpnet.Conn) {
	t.Helper()
	p.peer.netem(t, "link1", "loss 100%")
	message := ballast()[:40<<10]
	if _, err := client.WriteMsg(message, sctpnet.MsgInfo{}); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len(message))
	n, err := s.Read(b)
	if err != nil || n == len(b) {
		t.Fatalf("read %d bytes, %v; want a part", n, err)
	}
	// The tag is looked at meanwhile.
	s.SetReadDeadline(time.Now().Add(time.Second))
	for err == nil {
		var k int
		k, err = s.Read(b[n:])
		n += k
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) || n == len(b) {
		t.Fatalf("read %d bytes, %v; want a part and the deadline", n, err)
	}
	s.SetReadDeadline(time.Time{})
	p.peer.heal(t, "link1")
	if _, err := io.ReadFull(s, b[n:]); err != nil || !bytes.Equal(b, message) {
		t.Errorf("the rest: %v", err)
	}
	exchange(t, client, s)
}

// TestRestartWithFullWindow has a peer vanish that has filled the window of an
// association which nobody reads, and dial again: from another port, and from the same
// one. No dial waits for a reader, and each life reads its own bytes.
func TestRestartWithFullWindow(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		watchdog(t, func() {
			p, ln := newCrasherOn(t, network, sctpnet.ListenConfig{Config: sctpnet.Config{ReadBuffer: 64 << 10}})
			p.dialer.Config.WriteBuffer = 256 << 10
			client := p.dial(t)
			s := accept(t, ln)
			n := fillWindow(t, client)

			// Another association, beside the one that is stuck.
			other := p.ns.dialOn(t, network, sctpnet.Dialer{}, p.server)
			exchange(t, other, accept(t, ln))

			p.crash(t, client)
			type result struct {
				data []byte
				err  error
			}
			old := make(chan result, 1)
			readOld := func() {
				b, err := io.ReadAll(s)
				old <- result{b, err}
			}
			dial := func() (c net.Conn, err error) {
				p.ns.do(t, func() error {
					c, err = p.dialer.Dial(network, p.server)
					return nil
				})
				return c, err
			}
			again, err := dial()
			if err == nil {
				go readOld()
			} else {
				// Linux says that the new life has no window either, and takes the same
				// of a peer for an error. Once somebody reads there is one.
				if overUDP(network) || !errors.Is(err, syscall.ECONNREFUSED) {
					t.Fatal(err)
				}
				go readOld()
				eventually(t, "a dial that succeeds", func() bool {
					again, err = dial()
					return err == nil
				})
			}
			defer again.Close()
			write(t, again, "new life")
			if r := <-old; len(r.data) > n || bytes.ContainsRune(r.data, 'n') || !errors.Is(r.err, syscall.ECONNRESET) {
				t.Errorf("the old life reads %d bytes of %d and %v; want ECONNRESET", len(r.data), n, r.err)
			}
			c := accept(t, ln)
			wantBytes(t, c, []byte("new life"))
			exchange(t, again, c)
		})
	})
}

// A diary is what a PacketConn that is always read has received: messages, and changes
// of associations by their names.
type diary struct {
	mu      sync.Mutex
	entries []string
	peers   map[string]*sctpnet.Addr // by the port
}

func (d *diary) enter(peer net.Addr, what string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, port, _ := net.SplitHostPort(peer.String())
	d.entries = append(d.entries, port+" "+what)
	d.peers[port] = peer.(*sctpnet.Addr)
}

// of returns what has come from a peer.
func (d *diary) of(port string) (entries []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.entries {
		if what, ok := strings.CutPrefix(e, port+" "); ok {
			entries = append(entries, what)
		}
	}
	return entries
}

func (d *diary) peer(port string) *sctpnet.Addr {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.peers[port]
}

// await waits until an entry of a peer has been made.
func (d *diary) await(t testing.TB, port, what string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%q of %s", what, port), func() bool { return slices.Contains(d.of(port), what) })
}

// keepDiary makes a PacketConn that is always read, and a peer that can crash.
func keepDiary(t *testing.T, network string, config sctpnet.Config) (*crasher, *sctpnet.PacketConn, *diary) {
	t.Helper()
	p, c, d := keepQuiet(t, network, config)
	d.keepOf(t, c)
	return p, c, d
}

// keepQuiet is keepDiary, but nothing is read yet.
func keepQuiet(t *testing.T, network string, config sctpnet.Config) (*crasher, *sctpnet.PacketConn, *diary) {
	t.Helper()
	a, b := linksFor(t, network)
	d := &diary{peers: make(map[string]*sctpnet.Addr)}
	lc := sctpnet.ListenConfig{Config: config, OnEvent: func(_ *sctpnet.PacketConn, peer *sctpnet.Addr, e sctpnet.Event) {
		if e, ok := e.(sctpnet.AssocEvent); ok {
			d.enter(peer, "is "+e.Change.String())
		}
	}}
	server := linkAddr(2, 5000).String()
	var c *sctpnet.PacketConn
	b.do(t, func() error {
		pc, err := lc.ListenPacket(t.Context(), network, server)
		if err == nil {
			c = pc.(*sctpnet.PacketConn)
		}
		return err
	})
	t.Cleanup(func() { c.Close() })
	return &crasher{network, a, b, sctpnet.Dialer{LocalAddr: linkAddr(1, 6000)}, server}, c, d
}

// keepOf has all of a PacketConn be read.
func (d *diary) keepOf(t *testing.T, c *sctpnet.PacketConn) {
	var reading sync.WaitGroup
	reading.Go(func() {
		for d.readOne(c) == nil {
		}
	})
	t.Cleanup(func() {
		c.Close()
		reading.Wait()
	})
}

// readOne reads a message. That of a ticker is answered.
func (d *diary) readOne(c *sctpnet.PacketConn) error {
	p := make([]byte, 64<<10)
	n, from, err := c.ReadFrom(p)
	switch {
	case err != nil:
	case string(p[:n]) == "tick":
		c.WriteTo(p[:n], from)
	default:
		d.enter(from, string(p[:n]))
	}
	return err
}

// sendPart has a peer send a message, and a part of it arrive: the first flight gets
// there, and no acknowledgement of it back. stats are of the end that receives.
func (p *crasher) sendPart(t *testing.T, stats func() (sctpnet.Stats, error), send func()) {
	t.Helper()
	p.peer.netem(t, "link1", "loss 100%")
	awaitPart(t, stats, send)
}

// awaitPart has a peer send a message, and waits until a part of it has arrived.
func awaitPart(t *testing.T, stats func() (sctpnet.Stats, error), send func()) {
	t.Helper()
	received := func() uint64 {
		st, err := stats()
		if err != nil {
			t.Error(err)
		}
		return st.OrderedReceived + st.UnorderedReceived
	}
	before := received()
	send()
	eventually(t, "a part of the message arrives", func() bool { return received() > before })
}

// statsOf are those of a PacketConn's association with a peer.
func statsOf(t *testing.T, c *sctpnet.PacketConn, client *sctpnet.Conn) func() (sctpnet.Stats, error) {
	t.Helper()
	peer := packetPeer(t, c, client.LocalAddr())
	return func() (sctpnet.Stats, error) { return c.Stats(peer) }
}

// A ticker is a peer whose messages are answered, at the host of a PacketConn.
type ticker struct{ c *sctpnet.Conn }

func (p *crasher) tick(t *testing.T) *ticker {
	t.Helper()
	p.peer.ip(t, "link set lo up")
	return &ticker{p.peer.dialOn(t, p.network, sctpnet.Dialer{LocalAddr: linkAddr(2, 7000)}, p.server)}
}

// once has one message answered.
func (k *ticker) once() error {
	if _, err := k.c.Write([]byte("tick")); err != nil {
		return err
	}
	_, err := io.ReadFull(k.c, make([]byte, len("tick")))
	return err
}

// TestPacketConnRestartInMessage has a peer crash in the middle of a message, after a
// part of it was received. The reader learns of the restart, whether other peers are
// quiet or not. Nothing of the message is read.
func TestPacketConnRestartInMessage(t *testing.T) {
	for _, busy := range []bool{false, true} {
		t.Run(fmt.Sprintf("busy=%v", busy), func(t *testing.T) {
			eachPacketEngine(t, func(t *testing.T, network string) {
				watchdog(t, func() { testPacketRestartInMessage(t, network, busy) })
			})
		})
	}
}

func testPacketRestartInMessage(t *testing.T, network string, busy bool) {
	var config sctpnet.Config
	if !overUDP(network) {
		config.PartialDeliveryPoint = 1000
	}
	p, c, d := keepDiary(t, network, config)
	other := p.tick(t)
	first := p.dial(t)
	say(t, first, "old")
	p.sendPart(t, statsOf(t, c, first), func() {
		if _, err := first.WriteMsg(bytes.Repeat([]byte("o"), 40<<10), sctpnet.MsgInfo{}); err != nil {
			t.Fatal(err)
		}
	})
	for range 2 { // then what has arrived was read, and the reader waited
		if err := other.once(); err != nil {
			t.Fatal(err)
		}
	}
	stop := make(chan struct{})
	ticking := conformance.Start(t, func() (int, error) {
		for {
			select {
			case <-stop:
				return 0, nil
			default:
				if err := other.once(); err != nil || !busy {
					return 0, err
				}
			}
		}
	})
	p.crash(t, first)
	p.peer.heal(t, "link1")
	want := []string{"is up", "old", "is restarted", "last"}
	if !overUDP(network) {
		p.dialAborted(t)
		want = []string{"is up", "old", "is restarted", "is lost", "is up", "last"}
	}
	close(stop)
	if _, err := ticking.Result(); err != nil {
		t.Errorf("the other peer: %v", err)
	}
	again := p.dial(t)
	say(t, again, "last")
	d.await(t, "6000", "last")
	exchangeWith(t, c, d.peer("6000"), again)
	got := slices.DeleteFunc(d.of("6000"), func(e string) bool { return e == "for nobody" }) // Linux may hand it over
	if !slices.Equal(got, want) {
		t.Errorf("%.300q, want %q", got, want)
	}
}

// TestPacketConnReadAfterRestartInPieces is the same where nobody waits for the rest of
// the message when the peer restarts. A ReadFrom that begins to wait later learns of it.
func TestPacketConnReadAfterRestartInPieces(t *testing.T) {
	needNetwork(t, "sctp4")
	watchdog(t, func() {
		p, c, d := keepQuiet(t, "sctp", sctpnet.Config{PartialDeliveryPoint: 1000})
		first := p.dial(t)
		say(t, first, "old")
		if err := d.readOne(c); err != nil {
			t.Fatal(err)
		}
		p.sendPart(t, statsOf(t, c, first), func() {
			if _, err := first.WriteMsg(bytes.Repeat([]byte("o"), 40<<10), sctpnet.MsgInfo{}); err != nil {
				t.Fatal(err)
			}
		})
		p.crash(t, first)
		p.peer.heal(t, "link1")
		again := p.dial(t)
		d.keepOf(t, c)
		if b, err := io.ReadAll(again); len(b) > 0 || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a life that is for nobody: %q, %v; want ECONNRESET", b, err)
		}
		again.Close()
		again = p.dial(t)
		say(t, again, "last")
		d.await(t, "6000", "last")
		if got, want := d.of("6000"), []string{"is up", "old", "is restarted", "is lost", "is up", "last"}; !slices.Equal(got, want) {
			t.Errorf("%.300q, want %q", got, want)
		}
	})
}

// exchangeWith has a PacketConn send a message to a peer.
func exchangeWith(t *testing.T, c *sctpnet.PacketConn, peer *sctpnet.Addr, client *sctpnet.Conn) {
	t.Helper()
	if _, err := c.WriteTo([]byte("answer"), peer); err != nil {
		t.Error(err)
	}
	buf := make([]byte, 100)
	if n, err := client.Read(buf); string(buf[:n]) != "answer" || err != nil {
		t.Errorf("%q, %v", buf[:n], err)
	}
}

// TestPacketConnMessageInPiecesGoesOn has the rest of a message come late. That is no
// restart.
func TestPacketConnMessageInPiecesGoesOn(t *testing.T) {
	watchdog(t, func() {
		p, c, d := keepDiary(t, "sctp", sctpnet.Config{PartialDeliveryPoint: 1000})
		p.dialer.Config.RTO.Max = time.Second
		client := p.dial(t)
		message := ballast()[:40<<10]
		p.sendPart(t, statsOf(t, c, client), func() {
			if _, err := client.WriteMsg(message, sctpnet.MsgInfo{}); err != nil {
				t.Fatal(err)
			}
		})
		// The tags are looked at meanwhile.
		time.Sleep(time.Second)
		p.peer.heal(t, "link1")
		d.await(t, "6000", string(message))
		if got := d.of("6000"); len(got) != 2 {
			t.Errorf("%.300q, want that it is up, and one message", got)
		}
	})
}
