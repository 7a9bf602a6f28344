package sctpnet_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet"
	"golang.org/x/sys/unix"
)

// TestNoReconfiguration uses streams with a peer that cannot reset them: there
// is no half-close, Close is local, and the rest works.
func TestNoReconfiguration(t *testing.T) {
	needSCTP(t)
	for _, tt := range []struct {
		name           string
		client, server func(network, address string, c syscall.RawConn) error
	}{
		{"client", withoutReconfig, nil},
		{"server", nil, withoutReconfig},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lc := sctpnet.ListenConfig{Control: tt.server}
			ln := listenWith(t, "sctp4", "127.0.0.1:0", lc)
			d := &sctpnet.Dialer{}
			if tt.client != nil {
				d.ControlContext = func(_ context.Context, network, address string, c syscall.RawConn) error {
					return tt.client(network, address, c)
				}
			}
			client := dial(t, d, "sctp4", ln.Addr().String())
			server := accept(t, ln)
			watchdog(t, func() {
				for _, ends := range [][2]*sctpnet.Conn{{client, server}, {server, client}} {
					a, b := streamPair(t, ends[0], ends[1])
					exchange(t, a, b)
					err := a.CloseWrite()
					wantError(t, "CloseWrite", err, errors.ErrUnsupported)
					exchange(t, a, b) // nothing has changed

					if err := a.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
					b.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
					if n, err := b.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("the peer's Read: %d, %v; want it to wait", n, err)
					}
					// What arrives for the closed one is dropped.
					write(t, b, "late")
					_, err = ends[0].Stream(a.ID())
					wantError(t, "Stream", err, sctpnet.ErrNoFreeStream)
					if err := b.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
				}
				exchange(t, client, server)
				client.Close()
				_, err := server.AcceptStream(t.Context())
				if err == nil {
					t.Error("AcceptStream succeeds")
				}
			})
		})
	}
}

// TestWriteAfterPeerAsksReset has the peer's system ask for the reset of a stream that we
// write on, which it then carries out: Write fails as on a closed connection,
// and other streams go on.
func TestWriteAfterPeerAsksReset(t *testing.T) {
	client, server := pipe(t, "sctp4", "127.0.0.1:0")
	watchdog(t, func() {
		c, s := streamPair(t, client, server)
		other1, other2 := streamPair(t, client, server)
		exchange(t, c, s)
		ask := func() {
			// A struct sctp_reset_streams: the association, flags, count, list.
			const resetStreams, incoming = 119, 1 // SCTP_RESET_STREAMS, SCTP_STREAM_RESET_INCOMING
			b := binary.NativeEndian.AppendUint32(nil, 0)
			for _, v := range []uint16{incoming, 1, c.ID()} {
				b = binary.NativeEndian.AppendUint16(b, v)
			}
			control(t, server, func(fd int) error {
				return unix.SetsockoptString(fd, sctp.SOL_SCTP, resetStreams, string(b))
			})
		}
		ask()
		wantEOF(t, s)
		_, err := startWriting(t, c, []byte("x"), time.Millisecond).Result()
		wantError(t, "Write", err, syscall.EPIPE)
		exchange(t, other1, other2)
		write(t, s, "answer")
		wantBytes(t, c, []byte("answer"))
	})
}

// withoutReconfig makes a socket one of a peer that cannot reset streams.
func withoutReconfig(_, _ string, raw syscall.RawConn) (err error) {
	const reconfigSupported = 117 // SCTP_RECONFIG_SUPPORTED
	cerr := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptString(int(fd), sctp.SOL_SCTP, reconfigSupported, string(make([]byte, 8)))
	})
	return errors.Join(cerr, err)
}

// TestStreamDialerNoReset dials a server that serves streams and cannot reset
// them.
func TestStreamDialerNoReset(t *testing.T) {
	needSCTP(t)
	lc := sctpnet.ListenConfig{Control: withoutReconfig}
	ln, err := lc.Listen(t.Context(), "sctp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sl := sctpnet.NewStreamListener(ln)
	defer sl.Close()
	serve(sl, func(c net.Conn) {
		b := make([]byte, 5)
		io.ReadFull(c, b)
		c.Write(b)
	})
	watchdog(t, func() {
		d := closing(t, &sctpnet.StreamDialer{})
		_, err := d.Dial("sctp4", ln.Addr().String())
		wantError(t, "Dial", err, errors.ErrUnsupported)
		if !strings.Contains(err.Error(), "cannot reset") {
			t.Errorf("Dial: %v, want the reason", err)
		}
		anyPeer := closing(t, &sctpnet.StreamDialer{AnyPeer: true})
		for range 5 {
			c, err := anyPeer.Dial("sctp4", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			echoed(t, c)
			c.Close()
		}
	})
}

// TestNoResetPeerOfStreamListener has a peer that cannot reset streams use the
// association as a connection: it reads EOF.
func TestNoResetPeerOfStreamListener(t *testing.T) {
	needSCTP(t)
	address, _ := streamsOf(t, "sctp4", sctpnet.Config{}, func(s *sctpnet.Stream) {
		io.ReadFull(s, make([]byte, 5))
		io.WriteString(s, "answer")
	})
	watchdog(t, func() {
		d := &sctpnet.Dialer{Control: withoutReconfig}
		c := dial(t, d, "sctp4", address)
		write(t, c, "hello")
		b, err := io.ReadAll(c)
		if string(b) != "answer" || err != nil {
			t.Errorf("read %q, %v", b, err)
		}
		// Another stream is open when stream 0 is closed: it goes on.
		c = dial(t, d, "sctp4", address)
		if _, err := c.WriteStream([]byte("hel"), 5); err != nil {
			t.Fatal(err)
		}
		arrived(t, c) // before the other, also where packets are lost
		write(t, c, "hello")
		wantBytes(t, c, []byte("answer"))
		if _, err := c.WriteStream([]byte("lo"), 5); err != nil {
			t.Fatal(err)
		}
		b, err = io.ReadAll(c)
		if string(b) != "answer" || err != nil {
			t.Errorf("read %q, %v", b, err)
		}
	})
}

// TestLateDenialEndsPlainPeer has a peer deny the resets of its streams when all are
// closed. It reads EOF.
func TestLateDenialEndsPlainPeer(t *testing.T) {
	needSCTP(t)
	var both sync.WaitGroup // are closed at the same time
	both.Add(2)
	address, _ := streamsOf(t, "sctp4", sctpnet.Config{}, func(s *sctpnet.Stream) {
		io.ReadFull(s, make([]byte, 5))
		io.WriteString(s, "answer")
		both.Done()
		both.Wait()
	})
	watchdog(t, func() {
		c := dial(t, nil, "sctp4", address)
		denyResets(t, c)
		if _, err := c.WriteStream([]byte("hello"), 5); err != nil {
			t.Fatal(err)
		}
		write(t, c, "hello")
		b, err := io.ReadAll(c)
		if string(b) != "answeranswer" || err != nil {
			t.Errorf("read %q, %v", b, err)
		}
	})
}

// noResetPeers are the ways for a server not to reset streams. Each makes a
// listener, and what each of its associations needs.
var noResetPeers = []struct {
	name    string
	control func(network, address string, c syscall.RawConn) error
	deny    bool
	why     string // in errors
}{
	{"no RE-CONFIG", withoutReconfig, false, "stream reconfiguration"},
	{"denies", nil, true, "denies"},
}

// denyResets has an association deny all requests of its peer for resets.
func denyResets(t *testing.T, c *sctpnet.Conn) {
	t.Helper()
	const enableStreamReset = 118                 // SCTP_ENABLE_STREAM_RESET
	b := binary.NativeEndian.AppendUint64(nil, 0) // the association, and no flag
	control(t, c, func(fd int) error {
		return unix.SetsockoptString(fd, sctp.SOL_SCTP, enableStreamReset, string(b))
	})
}

// TestNoResetLateAnswers has a peer that does not reset streams answer each question
// late, when its Stream was closed. No answer is read on another stream. At last
// there are no more streams.
func TestNoResetLateAnswers(t *testing.T) {
	needSCTP(t)
	for _, peer := range noResetPeers {
		t.Run(peer.name, func(t *testing.T) {
			lc := sctpnet.ListenConfig{Control: peer.control}
			ln := listenWith(t, "sctp4", "127.0.0.1:0", lc)
			const n = 4 // streams that can be opened
			client := dial(t, &sctpnet.Dialer{Config: sctpnet.Config{OutStreams: 2*n + 2, MaxInStreams: 2*n + 2}}, "sctp4", ln.Addr().String())
			server := accept(t, ln)
			if peer.deny {
				denyResets(t, server)
			}
			watchdog(t, func() {
				for i := range n {
					s, err := client.OpenStream()
					if err != nil {
						t.Fatalf("OpenStream: %v", err)
					}
					write(t, s, fmt.Sprintf("question %d", i))
					b := make([]byte, 100)
					k, info, err := server.ReadMsg(b)
					if err != nil || info.Stream != s.ID() {
						t.Fatalf("the server read %q on stream %d, %v", b[:k], info.Stream, err)
					}
					s.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
					if k, err := s.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("stream %d: read %q, %v", s.ID(), b[:k], err)
					}
					s.Close()
					if _, err := server.WriteStream([]byte("late"), info.Stream); err != nil {
						t.Fatal(err)
					}
					write(t, server, "x")
					wantBytes(t, client, []byte("x")) // so the late one has arrived
				}
				start := time.Now()
				_, err := client.OpenStream()
				wantError(t, "OpenStream", err, sctpnet.ErrNoFreeStream)
				if !strings.Contains(err.Error(), peer.why) {
					t.Errorf("OpenStream: %v, want %q in it", err, peer.why)
				}
				_, err = client.Stream(2)
				wantError(t, "Stream", err, sctpnet.ErrNoFreeStream)
				if took := time.Since(start); took > atOnce {
					t.Errorf("took %v", took)
				}
				last := claim(t, client, 1)
				wantError(t, "CloseWrite", last.CloseWrite(), errors.ErrUnsupported)
				write(t, last, "goes on")
			})
		})
	}
}

// TestNoResetAcceptedOnce has a peer that cannot reset streams go on with a stream
// that the server has closed: that is no other stream.
func TestNoResetAcceptedOnce(t *testing.T) {
	needSCTP(t)
	accepted := make(chan uint16, 10)
	address, _ := streamsOf(t, "sctp4", sctpnet.Config{}, func(s *sctpnet.Stream) {
		s.Read(make([]byte, 100))
		s.Close()
		accepted <- s.ID()
	})
	watchdog(t, func() {
		c := dial(t, &sctpnet.Dialer{Control: withoutReconfig}, "sctp4", address)
		for i, m := range []struct {
			id, want uint16 // want is of those that are accepted
		}{{2, 2}, {2, 0}, {4, 4}, {2, 0}, {4, 0}, {6, 6}} {
			if _, err := c.WriteStream(fmt.Append(nil, "part ", i), m.id); err != nil {
				t.Fatal(err)
			}
			if m.want != 0 {
				if id := <-accepted; id != m.want {
					t.Errorf("part %d: accepted stream %d, want %d", i, id, m.want)
				}
			}
		}
	})
}

// TestNoResetStreamDialer dials more streams than an association to such a peer has:
// there is another association, and the first one ends with its last Stream.
func TestNoResetStreamDialer(t *testing.T) {
	needSCTP(t)
	for _, peer := range noResetPeers {
		t.Run(peer.name, func(t *testing.T) {
			lc := sctpnet.ListenConfig{Control: peer.control, Config: sctpnet.Config{Adaptation: sctpnet.AdaptationStreams}}
			ln := listenWith(t, "sctp4", "127.0.0.1:0", lc)
			var made, ended atomic.Int32
			serve(ln, func(c net.Conn) {
				made.Add(1)
				if peer.deny {
					denyResets(t, c.(*sctpnet.Conn))
				}
				defer ended.Add(1)
				for {
					s, err := c.(*sctpnet.Conn).AcceptStream(context.Background())
					if err != nil {
						return
					}
					go echoAll(s)
				}
			})
			d := closing(t, &sctpnet.StreamDialer{AnyPeer: true})
			d.Dialer.Config.OutStreams, d.Dialer.Config.MaxInStreams = 10, 10 // 4 can be opened
			watchdog(t, func() {
				for range 10 {
					c, err := d.Dial("sctp4", ln.Addr().String())
					if err != nil {
						t.Fatal(err)
					}
					echoed(t, c)
					c.Close()
				}
				wantAssociations(t, made.Load(), 3)
				eventually(t, "the end of the first ones", func() bool { return ended.Load() == made.Load()-1 })
			})
		})
	}
}
