package sctpnet_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"github.com/sctpnet/sctpnet/internal/testnet"
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

// TestDefaultScheduler checks that streams in use take turns, unless another
// scheduler was asked for.
func TestDefaultScheduler(t *testing.T) {
	needSCTP(t)
	for _, tt := range []struct {
		config        sctpnet.Config
		set           bool // to first come, while running
		before, after sctpnet.Scheduler
	}{
		{sctpnet.Config{}, false, sctpnet.SchedulerFirstCome, sctpnet.SchedulerRoundRobin},
		{sctpnet.Config{}, true, sctpnet.SchedulerFirstCome, sctpnet.SchedulerFirstCome},
		{sctpnet.Config{KernelDefaults: true}, false, sctpnet.SchedulerFirstCome, sctpnet.SchedulerFirstCome},
		{sctpnet.Config{Scheduler: -1}, false, sctpnet.SchedulerFirstCome, sctpnet.SchedulerFirstCome},
		{sctpnet.Config{Scheduler: sctpnet.SchedulerPriority}, false, sctpnet.SchedulerPriority, sctpnet.SchedulerPriority},
	} {
		ln := listenWith(t, "sctp4", "127.0.0.1:0", sctpnet.ListenConfig{Config: tt.config})
		client := dial(t, &sctpnet.Dialer{Config: tt.config}, "sctp4", ln.Addr().String())
		server := accept(t, ln)
		for _, c := range []*sctpnet.Conn{client, server} {
			if tt.set {
				if err := c.Set(sctpnet.Config{Scheduler: -1}); err != nil {
					t.Fatal(err)
				}
			}
			if s := inForce(t, c).Scheduler; s != tt.before {
				t.Errorf("%+v: scheduler is %v before streams are in use; want %v", tt.config.Scheduler, s, tt.before)
			}
			if _, err := c.OpenStream(); err != nil {
				t.Fatal(err)
			}
			if s := inForce(t, c).Scheduler; s != tt.after {
				t.Errorf("%+v: scheduler is %v with streams in use; want %v", tt.config.Scheduler, s, tt.after)
			}
		}
	}
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
		any := closing(t, &sctpnet.StreamDialer{AnyPeer: true})
		for range 5 {
			c, err := any.Dial("sctp4", ln.Addr().String())
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

// TestLoss runs tests of streams where two of a hundred packets are lost: in a
// process that has a loopback interface of its own.
func TestLoss(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		if !inOwnNetwork(t) {
			return
		}
		netem(t, network, "loss 2%")
		for _, tt := range orderTests {
			t.Run(tt.name, func(t *testing.T) {
				const n, count = 50, max(6, 60/conformance.Slowness)
				from, to := pipeOf(t, network, n)
				watchdog(t, func() {
					together(t, []*sctpnet.Conn{from, to},
						func() error { return tt.send(from, n, count) },
						func() error { return tt.receive(to, n, count) },
					)
				})
			})
		}
		t.Run("half-close", func(t *testing.T) {
			client, server := pipe(t, network, "127.0.0.1:0")
			watchdog(t, func() {
				var fs []func() error
				for i := range 25 {
					c, s := streamPair(t, client, server)
					want := ballast()[i:][:100_000/conformance.Slowness]
					fs = append(fs, func() error { return errors.Join(sendAll(c, want), receiveAll(c, want)) })
					fs = append(fs, func() error { return errors.Join(receiveAll(s, want), sendAll(s, want)) })
				}
				together(t, []*sctpnet.Conn{client, server}, fs...)
			})
		})
		t.Run("churn", func(t *testing.T) {
			client, server := pipe(t, network, "127.0.0.1:0")
			watchdog(t, func() {
				churn(t, client, server, 400/min(conformance.Slowness, 4), openInTheEnd, churnClient, churnServer)
			})
		})
	})
}

// TestStreamCloseOnSlowNetwork has both ends close streams at the same time where packets take long:
// both ask, both are refused, and must not ask at the same time for ever.
func TestStreamCloseOnSlowNetwork(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		if !inOwnNetwork(t) {
			return
		}
		netem(t, network, "delay 50ms")
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			for range 5 {
				c, s := streamPair(t, client, server)
				exchange(t, c, s)
				var fs []func() error
				for _, s := range []*sctpnet.Stream{c, s} {
					fs = append(fs, func() error { return errors.Join(s.CloseWrite(), receiveAll(s, nil), s.Close()) })
				}
				together(t, []*sctpnet.Conn{client, server}, fs...)
			}
		})
	})
}

// openInTheEnd opens a stream however long it takes: where several packets of the
// resets are lost one after the other, no number is free for longer than OpenStream
// waits.
func openInTheEnd(c *sctpnet.Conn) (*sctpnet.Stream, error) {
	for {
		if s, err := c.OpenStream(); !errors.Is(err, sctpnet.ErrNoFreeStream) {
			return s, err
		}
	}
}

// netem makes a process's own loopback interface lose or delay packets. The tests
// of the kernel run where it can; SCTP over UDP is tested there, too.
func netem(t *testing.T, network, options string) {
	t.Helper()
	err := testnet.Own().Netem("lo", options)
	if err != nil && overUDP(network) && sctpnet.Available("sctp") != nil {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// sendAll writes b and half-closes.
func sendAll(s *sctpnet.Stream, b []byte) error {
	if _, err := s.Write(b); err != nil {
		return err
	}
	return s.CloseWrite()
}

// receiveAll checks that b comes, and then the end.
func receiveAll(s *sctpnet.Stream, b []byte) error {
	got, err := io.ReadAll(s)
	if err != nil || string(got) != string(b) {
		return fmt.Errorf("stream %d: read %d bytes, %v; want %d", s.ID(), len(got), err, len(b))
	}
	return nil
}

// TestTTLPartial has a message expire after a part of it was handed over: it
// must not go on with the next message.
func TestTTLPartial(t *testing.T) {
	needSCTP(t)
	if !inOwnNetwork(t) {
		return
	}
	for _, batch := range []bool{false, true} {
		t.Run(fmt.Sprintf("batch=%v", batch), func(t *testing.T) {
			// Once in a hundred times, if the machine is busy, the kernel itself
			// keeps to itself all that follows, though it has acknowledged it.
			for attempt := 1; !expirePartly(t, batch); attempt++ {
				if attempt == 3 {
					t.Fatal("what follows does not arrive")
				}
			}
		})
	}
}

// expirePartly is one try of TestTTLPartial. It reports whether what was sent last
// arrives.
func expirePartly(t *testing.T, batch bool) (arrives bool) {
	const ttl = 300 * time.Millisecond * conformance.Slowness
	ln := listenWith(t, "sctp4", "127.0.0.1:0", sctpnet.ListenConfig{Config: sctpnet.Config{ReadBuffer: 30_000}})
	c := dial(t, nil, "sctp4", ln.Addr().String())
	s := accept(t, ln)
	watchdog(t, func() {
		if _, err := c.WriteMsg(bytes.Repeat([]byte("a"), 100_000), sctpnet.MsgInfo{Stream: 1, TTL: ttl}); err != nil {
			t.Fatal(err)
		}
		for status(t, c).RWND > 2000 {
			time.Sleep(ms)
		}
		if err := testnet.Own().Netem("lo", "loss 100%"); err != nil {
			t.Fatal(err)
		}
		var got []sctpnet.Message
		last := make(chan struct{})
		reading := conformance.Start(t, func() (int, error) {
			for {
				msgs := batchOf(8, 200_000)
				n, err := 1, error(nil)
				if batch {
					n, err = s.ReadMsgs(msgs)
				} else {
					msgs[0].N, msgs[0].Info, err = s.ReadMsg(msgs[0].Data)
				}
				if err != nil {
					return 0, err
				}
				got = append(got, msgs[:n]...)
				if m := got[len(got)-1]; string(m.Data[:m.N]) == "world" {
					close(last)
				}
			}
		})
		time.Sleep(ttl + time.Second) // until it is to be sent again, and is too old
		if err := testnet.Own().Heal("lo"); err != nil {
			t.Fatal(err)
		}
		for _, m := range []string{"hello", "world"} {
			if _, err := c.WriteMsg([]byte(m), sctpnet.MsgInfo{Stream: 1, PPID: 7}); err != nil {
				t.Fatal(err)
			}
		}
		// The kernel also loses messages behind one that expired if the end of
		// the association comes before the peer knows that it did.
		select {
		case <-last:
			arrives = true
			c.Shutdown()
		case <-time.After(10 * time.Second):
			c.Abort()
			reading.Result()
			return
		}
		if _, err := reading.Result(); err != io.EOF {
			t.Errorf("reading ended by %v", err)
		}
		var part int
		for len(got) > 0 && got[0].Data[0] == 'a' {
			if m := got[0]; !m.Info.More || bytes.Count(m.Data[:m.N], []byte("a")) != m.N {
				t.Errorf("%d bytes of the message that expired, %+v", m.N, m.Info)
			}
			part += got[0].N
			got = got[1:]
		}
		if part == 0 || part == 100_000 {
			t.Errorf("read %d bytes of the message that expired", part)
		}
		for i, want := range []string{"hello", "world"} {
			if i >= len(got) || string(got[i].Data[:got[i].N]) != want || got[i].Info.PPID != 7 || got[i].Info.More {
				t.Fatalf("read %d messages after it, not %q", len(got), want)
			}
		}
	})
	return arrives
}

// TestStreamsWithPeerInC has a program in C for a peer, which dials or is dialed: message
// boundaries, streams and PPIDs are what it says they are, both ways.
func TestStreamsWithPeerInC(t *testing.T) {
	needSCTP(t)
	peer := buildC(t, "testdata/peer.c")
	for _, tt := range []struct {
		name    string
		connect func(t *testing.T) (c *sctpnet.Conn, out *bufio.Scanner)
	}{
		{"listens", func(t *testing.T) (*sctpnet.Conn, *bufio.Scanner) {
			out := startC(t, peer, "listen")
			var port int
			if _, err := fmt.Sscanf(line(out), "port %d", &port); err != nil {
				t.Fatal(err)
			}
			return dial(t, nil, "sctp", joinPort("127.0.0.1", port)), out
		}},
		{"dials", func(t *testing.T) (*sctpnet.Conn, *bufio.Scanner) {
			ln := listen(t, "sctp4", "127.0.0.1:0")
			out := startC(t, peer, "dial", fmt.Sprint(port(ln.Addr())))
			return accept(t, ln), out
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			watchdog(t, func() {
				c, out := tt.connect(t)
				if o, i := c.NumStreams(); o != 20 || i != 20 {
					t.Errorf("there are %d and %d streams, want 20", o, i)
				}
				buf := make([]byte, 300<<10)
				read := func(r messenger, data string, stream uint16, ppid uint32) {
					t.Helper()
					n, info, err := r.ReadMsg(buf)
					if err != nil || string(buf[:n]) != data || info.Stream != stream || info.PPID != ppid || info.Unordered || info.More {
						t.Errorf("read %.20q, %+v, %v; want %.20q on stream %d with PPID %d", buf[:n], info, err, data, stream, ppid)
					}
				}
				send := func(w messenger, data string, info sctpnet.MsgInfo, want string) {
					t.Helper()
					if _, err := w.WriteMsg([]byte(data), info); err != nil {
						t.Fatal(err)
					}
					if got := line(out); got != want {
						t.Errorf("the peer says %q, want %q", got, want)
					}
				}
				// The order of different streams is that of sending, on lo.
				got := make(map[uint16]bool)
				for range 3 {
					n, info, err := c.ReadMsg(buf)
					if err != nil {
						t.Fatal(err)
					}
					want := map[uint16]struct {
						data      string
						ppid      uint32
						unordered bool
					}{0: {"unordered", 0, true}, 1: {"one", 0x01020304, false}, 19: {"nineteen", 46, false}}[info.Stream]
					if string(buf[:n]) != want.data || info.PPID != want.ppid || info.Unordered != want.unordered || got[info.Stream] {
						t.Errorf("read %q, %+v; want %+v", buf[:n], info, want)
					}
					got[info.Stream] = true
				}

				send(c, "abc", sctpnet.MsgInfo{Stream: 3, PPID: 0xa1b2c3d4}, "received 3 bytes, stream 3, ppid 2712847316")
				read(c, "abc", 4, 0xa1b2c3d5)
				send(c, "d", sctpnet.MsgInfo{Unordered: true}, "received 1 bytes, stream 0, ppid 0, unordered")
				read(c, "d", 1, 1)
				large := strings.Repeat("large", 10_000)
				send(c, large, sctpnet.MsgInfo{Stream: 18, PPID: 1}, "received 50000 bytes, stream 18, ppid 1")
				read(c, large, 19, 2)

				// And of Streams. The C program has no stream reconfiguration.
				s7, s8 := claim(t, c, 7), claim(t, c, 8)
				send(s7, "stream", sctpnet.MsgInfo{PPID: 61}, "received 6 bytes, stream 7, ppid 61")
				read(s8, "stream", 8, 62)
				if err := s7.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				if err := c.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				if got := line(out); got != "end" {
					t.Errorf("the peer says %q, want its end", got)
				}
			})
		})
	}
}

// buildC compiles a program in C.
func buildC(t *testing.T, source string) string {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("no gcc (apt-get install gcc libsctp-dev): ", err)
	}
	if out, err := preprocess("#include <netinet/sctp.h>"); err != nil {
		t.Skipf("no netinet/sctp.h (apt-get install libsctp-dev libc6-dev): %s", out)
	}
	program := filepath.Join(t.TempDir(), "peer")
	if out, err := exec.Command("gcc", "-Wall", "-Wextra", "-Werror", "-o", program, source, "-lsctp").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program
}

func preprocess(source string) ([]byte, error) {
	cmd := exec.Command("gcc", "-E", "-o", "/dev/null", "-")
	cmd.Stdin = strings.NewReader(source)
	return cmd.CombinedOutput()
}

// startC starts a program, which must end by itself and well, and returns what
// it prints.
func startC(t *testing.T, program string, args ...string) *bufio.Scanner {
	t.Helper()
	cmd := exec.Command(program, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			cmd.Process.Kill()
		}
		io.Copy(io.Discard, stdout)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v: %s", program, err, &stderr)
		}
	})
	return bufio.NewScanner(stdout)
}

// line returns the next line of a program's output.
func line(out *bufio.Scanner) string {
	out.Scan()
	return out.Text()
}
