package sctpnet_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// pipeOf makes an association with itself that has n streams each way.
func pipeOf(t testing.TB, network string, n int) (client, server *sctpnet.Conn) {
	t.Helper()
	return pipeWith(t, network, sctpnet.Config{OutStreams: n, MaxInStreams: n, AcceptStreams: n})
}

// pipeWith makes an association with itself. Both ends have the Config.
func pipeWith(t testing.TB, network string, config sctpnet.Config) (client, server *sctpnet.Conn) {
	t.Helper()
	return configured(t, network, "127.0.0.1:0", config, config)
}

// smallPipe makes an association with itself that holds less than a megabyte on
// the way, whatever the system's limits are.
func smallPipe(t testing.TB, network string) (client, server *sctpnet.Conn) {
	t.Helper()
	return pipeWith(t, network, sctpnet.Config{ReadBuffer: 200_000, WriteBuffer: 200_000})
}

// openStream opens a stream on one side of an association and takes it on the
// other, which needs a message to know of it.
func openStream(from, to *sctpnet.Conn) (s1, s2 *sctpnet.Stream, err error) {
	if s1, err = from.OpenStream(); err != nil {
		return nil, nil, err
	}
	if s2, err = to.Stream(s1.ID()); err != nil {
		s1.Close()
		return nil, nil, err
	}
	return s1, s2, nil
}

// streamPair is openStream for tests.
func streamPair(t testing.TB, from, to *sctpnet.Conn) (s1, s2 *sctpnet.Stream) {
	t.Helper()
	s1, s2, err := openStream(from, to)
	if err != nil {
		t.Fatal(err)
	}
	return s1, s2
}

// claim claims the stream with a number.
func claim(t testing.TB, c *sctpnet.Conn, id uint16) *sctpnet.Stream {
	t.Helper()
	s, err := c.Stream(id)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// acceptStream accepts a stream, and fails the test if none comes.
func acceptStream(t testing.TB, c *sctpnet.Conn) *sctpnet.Stream {
	t.Helper()
	s, err := c.AcceptStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A messenger is what has messages: a Conn or a Stream.
type messenger interface {
	net.Conn
	WriteMsg(p []byte, info sctpnet.MsgInfo) (int, error)
	ReadMsg(p []byte) (int, sctpnet.MsgInfo, error)
	ReadMessage(limit int) ([]byte, sctpnet.MsgInfo, error)
}

// messengers makes every kind of messenger at the two ends of an association.
var messengers = []struct {
	name string
	make func(t testing.TB, c1, c2 *sctpnet.Conn) (m1, m2 messenger)
}{
	{"Conn", func(_ testing.TB, c1, c2 *sctpnet.Conn) (m1, m2 messenger) { return c1, c2 }},
	{"ConnWithStreams", func(t testing.TB, c1, c2 *sctpnet.Conn) (m1, m2 messenger) {
		claim(t, c1, 7)
		claim(t, c2, 7)
		return c1, c2
	}},
	{"Stream", func(t testing.TB, c1, c2 *sctpnet.Conn) (m1, m2 messenger) {
		return streamPair(t, c1, c2)
	}},
}

// onMessengers runs a test on every kind of messenger of each engine. c is the association
// that m1 is or is of.
func onMessengers(t *testing.T, f func(t *testing.T, network string, c *sctpnet.Conn, m1, m2 messenger)) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, m := range messengers {
			t.Run(m.name, func(t *testing.T) {
				c1, c2 := pipe(t, network, "127.0.0.1:0")
				m1, m2 := m.make(t, c1, c2)
				watchdog(t, func() { f(t, network, c1, m1, m2) })
			})
		}
	})
}

// ballast is more than the buffers on the way hold, and does not repeat.
var ballast = sync.OnceValue(func() []byte {
	b := make([]byte, 16<<20)
	rand.NewChaCha8([32]byte{}).Read(b)
	return b
})

// fill writes the beginning of ballast until nothing more is taken, because
// nobody reads it, and returns how much that is.
func fill(t testing.TB, c net.Conn) (n int) {
	t.Helper()
	return conformance.Fill(t, c, ballast())
}

// wantBytes checks that the next that is read is b.
func wantBytes(t testing.TB, r io.Reader, b []byte) {
	t.Helper()
	got := make([]byte, len(b))
	if n, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, b) {
		t.Fatalf("read %d bytes, %v: %.20q..., want the %d of %.20q...", n, err, got[:n], len(b), b)
	}
}

// wantEOF checks that there is nothing more to read, every time.
func wantEOF(t testing.TB, r io.Reader) {
	t.Helper()
	for range 3 {
		if n, err := r.Read(make([]byte, 10)); n != 0 || err != io.EOF {
			t.Errorf("Read returned %d, %v; want 0, EOF", n, err)
		}
	}
}

// wantError checks that err is one of package net's shape around one of the
// causes.
func wantError(t testing.TB, what string, err error, causes ...error) {
	t.Helper()
	if _, ok := err.(*net.OpError); !ok {
		t.Errorf("%s: error is %T (%v), want a *net.OpError around %v", what, err, err, causes)
		return
	}
	for _, cause := range causes {
		if errors.Is(err, cause) {
			return
		}
	}
	t.Errorf("%s: %v, want %v", what, err, causes)
}

// write writes what the buffers on the way hold.
func write(t testing.TB, w io.Writer, s string) {
	t.Helper()
	if n, err := io.WriteString(w, s); n != len(s) || err != nil {
		t.Fatalf("Write returned %d, %v; want %d, nil", n, err, len(s))
	}
}

// exchange checks that two ends still work.
func exchange(t testing.TB, c1, c2 net.Conn) {
	t.Helper()
	write(t, c1, "question")
	wantBytes(t, c2, []byte("question"))
	write(t, c2, "answer")
	wantBytes(t, c1, []byte("answer"))
}

// together runs functions at the same time and waits for all. The first error
// fails the test and closes the associations, so that the others come to an
// end.
func together(t testing.TB, conns []*sctpnet.Conn, fs ...func() error) {
	t.Helper()
	errs := make(chan error)
	for _, f := range fs {
		go func() { errs <- f() }()
	}
	for range fs {
		if err := <-errs; err != nil {
			if !t.Failed() {
				t.Error(err)
			}
			for _, c := range conns {
				c.Abort()
			}
		}
	}
}

// A flow is the messages that tests send on a stream. Their numbers and sizes
// are in them, and no two are alike.
type flow struct {
	stream uint16
	next   int    // message
	rest   []byte // of the message that take has seen the beginning of
}

// msg returns the next message.
func (f *flow) msg() []byte {
	i := f.next
	f.next++
	h := i*31 + int(f.stream)*17
	size := 12 + h%300
	switch {
	case h%256 == 0:
		size += 70_000
	case h%16 == 0:
		size += 3000
	}
	b := binary.BigEndian.AppendUint16(make([]byte, 0, size), f.stream)
	b = binary.BigEndian.AppendUint32(b, uint32(i))
	b = binary.BigEndian.AppendUint32(b, uint32(size))
	for k := len(b); k < size; k++ {
		b = append(b, byte(k*7+h))
	}
	return b
}

// take checks the next bytes that have come on the stream.
func (f *flow) take(b []byte) error {
	for len(b) > 0 {
		if len(f.rest) == 0 {
			f.rest = f.msg()
		}
		n := min(len(f.rest), len(b))
		if !bytes.Equal(b[:n], f.rest[:n]) {
			return fmt.Errorf("stream %d, message %d: got %.30x..., want %.30x...", f.stream, f.next-1, b, f.rest)
		}
		f.rest, b = f.rest[n:], b[n:]
	}
	return nil
}

// takeMsg is take of a message, or of a piece of it if more comes.
func (f *flow) takeMsg(b []byte, more bool) error {
	err := f.take(b)
	if err == nil && more != (len(f.rest) > 0) {
		err = fmt.Errorf("stream %d, message %d: %d bytes are missing, but More is %t", f.stream, f.next-1, len(f.rest), more)
	}
	return err
}

// TestStreamsAfterEnd has the peer end an association. The error for a stream to open is no
// io.EOF, which would say that all was read. What has arrived can still be claimed.
func TestStreamsAfterEnd(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			s, err := server.OpenStream()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client.WriteStream([]byte("late"), 8); err != nil {
				t.Fatal(err)
			}
			client.Close()
			if _, err := s.Read(make([]byte, 1)); err != io.EOF {
				t.Fatal(err)
			}
			_, err = server.OpenStream()
			wantError(t, "OpenStream", err, syscall.ENOTCONN)
			if errors.Is(err, io.EOF) {
				t.Errorf("OpenStream: %v is io.EOF", err)
			}
			late := claim(t, server, 8)
			if b, err := io.ReadAll(late); string(b) != "late" || err != nil {
				t.Errorf("read %q, %v", b, err)
			}
		})
	})
}

func TestStreamBasics(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			s, err := client.OpenStream()
			if err != nil {
				t.Fatal(err)
			}
			if s.ID() == 0 || s.ID()%2 != 0 {
				t.Errorf("the dialing side opened stream %d", s.ID())
			}
			if _, err := s.WriteMsg([]byte("hello"), sctpnet.MsgInfo{PPID: 46}); err != nil {
				t.Fatal(err)
			}
			r, err := server.AcceptStream(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 100)
			n, info, err := r.ReadMsg(buf)
			if err != nil || string(buf[:n]) != "hello" || info.PPID != 46 || info.Stream != s.ID() || r.ID() != s.ID() {
				t.Fatalf("read %q, %+v, %v", buf[:n], info, err)
			}
			// Half-close, and an answer.
			if err := s.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if n, err := r.Read(buf); err == nil {
				t.Fatalf("read %d bytes after CloseWrite", n)
			}
			if _, err := r.Write([]byte("answer")); err != nil {
				t.Fatal(err)
			}
			r.Close()
			var all bytes.Buffer
			if _, err := all.ReadFrom(s); err != nil || all.String() != "answer" {
				t.Fatalf("read %q, %v", all.String(), err)
			}
			s.Close()
		})
	})
}

// openAll opens streams until there is none left.
func openAll(t *testing.T, c *sctpnet.Conn) []*sctpnet.Stream {
	t.Helper()
	for all := []*sctpnet.Stream(nil); ; {
		start := time.Now()
		s, err := c.OpenStream()
		if err == nil {
			all = append(all, s)
			continue
		}
		wantError(t, "OpenStream", err, sctpnet.ErrNoFreeStream)
		if took := time.Since(start); took > atOnce {
			t.Errorf("took %v to find that all streams are open", took)
		}
		return all
	}
}

// TestOpenStream opens all streams on both sides: the numbers are the side's
// own, and when there are no more, it says so and can be helped.
func TestOpenStream(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, tt := range []struct {
			streams        int
			client, server int // how many it can open
		}{
			{1, 0, 0},
			{2, 0, 1},
			{3, 1, 1},
			{10, 4, 5},
			{11, 5, 5},
			{1000, 499, 500},
		} {
			t.Run(fmt.Sprint(tt.streams), func(t *testing.T) {
				client, server := pipeOf(t, network, tt.streams)
				watchdog(t, func() {
					for _, end := range []struct {
						c, peer      *sctpnet.Conn
						count, first int
					}{{client, server, tt.client, 2}, {server, client, tt.server, 1}} {
						all := openAll(t, end.c)
						if len(all) != end.count {
							t.Errorf("%d streams can be opened, want %d", len(all), end.count)
						}
						seen := make(map[uint16]bool)
						for _, s := range all {
							if id := int(s.ID()); id < end.first || id%2 != end.first%2 || id >= tt.streams || seen[s.ID()] {
								t.Errorf("stream %d was opened", id)
							}
							seen[s.ID()] = true
						}
						if len(all) == 0 {
							continue
						}
						// One that both sides close can be opened again, and is
						// worth waiting for.
						s := all[len(all)/2]
						p := claim(t, end.peer, s.ID())
						s.Close()
						var again *sctpnet.Stream
						open := conformance.Start(t, func() (_ int, err error) {
							again, err = end.c.OpenStream()
							return 0, err
						})
						open.Waits()
						p.Close()
						if _, err := open.Result(); err != nil {
							t.Fatal(err)
						}
						if again.ID() != s.ID() {
							t.Errorf("OpenStream returned stream %d, want %d", again.ID(), s.ID())
						}
						exchange(t, again, claim(t, end.peer, again.ID()))
					}
				})
			})
		}
	})
}

// TestStreamClaimAfterClose claims a number again after it was closed.
func TestStreamClaimAfterClose(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			for i := range 20 {
				c, s := claim(t, client, 6), claim(t, server, 6)
				exchange(t, c, s)
				if i%2 == 0 {
					c, s = s, c
				}
				if err := errors.Join(c.Close(), s.Close()); err != nil {
					t.Fatal(err)
				}
			}
		})
	})
}

// TestStreamChurn opens and closes many more streams than there are numbers, on
// one association, and checks that nothing is left of them.
func TestStreamChurn(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, tt := range []struct {
			name   string
			total  int
			client func(s *sctpnet.Stream, i int) error
			server func(s *sctpnet.Stream) error
		}{
			{"echo", 100_000, churnClient, churnServer},
			{"unused", 5000, closeStream, wantStreamEOF},
		} {
			t.Run(tt.name, func(t *testing.T) {
				client, server := pipe(t, network, "127.0.0.1:0")
				total := tt.total / conformance.Slowness / conformance.Slowness
				churn := func(n int) { churn(t, client, server, n, (*sctpnet.Conn).OpenStream, tt.client, tt.server) }
				watchdog(t, func() {
					churn(1000 / conformance.Slowness)
					before := conformance.HeapBytes()
					churn(total)
					conformance.WaitForHeap(t, before+1<<20)
				})
			})
		}
	})
}

// churn opens n streams, has each used from both ends, and closes it.
func churn(t *testing.T, client, server *sctpnet.Conn, n int, open func(*sctpnet.Conn) (*sctpnet.Stream, error), useClient func(s *sctpnet.Stream, i int) error, useServer func(s *sctpnet.Stream) error) {
	t.Helper()
	const workers = 8
	var fs []func() error
	for range workers {
		fs = append(fs, func() error {
			for i := range n / workers {
				s, err := open(client)
				if err != nil {
					return fmt.Errorf("after %d streams: %w", i, err)
				}
				if err := errors.Join(useClient(s, i), s.Close()); err != nil {
					return fmt.Errorf("after %d streams: stream %d: %w", i, s.ID(), err)
				}
			}
			return nil
		}, func() error {
			for i := range n / workers {
				s, err := server.AcceptStream(context.Background())
				if err != nil {
					return fmt.Errorf("after %d streams: %w", i, err)
				}
				if err := errors.Join(useServer(s), s.Close()); err != nil {
					return fmt.Errorf("after %d streams: the server's stream %d: %w", i, s.ID(), err)
				}
			}
			return nil
		})
	}
	together(t, []*sctpnet.Conn{client, server}, fs...)
}

// churnClient sends a byte and reads it back.
func churnClient(s *sctpnet.Stream, i int) error {
	b := [1]byte{byte(i)}
	if _, err := s.Write(b[:]); err != nil {
		return err
	}
	if _, err := s.Read(b[:]); err != nil || b[0] != byte(i) {
		return fmt.Errorf("read %d, %v; want %d", b[0], err, byte(i))
	}
	return nil
}

func churnServer(s *sctpnet.Stream) error {
	var b [10]byte
	n, err := s.Read(b[:])
	if err != nil {
		return err
	}
	_, err = s.Write(b[:n])
	return err
}

func closeStream(s *sctpnet.Stream, _ int) error { return nil }

func wantStreamEOF(s *sctpnet.Stream) error {
	if n, err := s.Read(make([]byte, 1)); err != io.EOF {
		return fmt.Errorf("read %d, %v; want EOF", n, err)
	}
	return nil
}

// startAccept calls AcceptStream n times at the same time.
func startAccept(t *testing.T, ctx context.Context, c *sctpnet.Conn, n int) []*conformance.Call {
	var calls []*conformance.Call
	for range n {
		calls = append(calls, conformance.Start(t, func() (int, error) {
			s, err := c.AcceptStream(ctx)
			return int(s.ID()), err
		}))
	}
	for _, call := range calls {
		call.Waits()
	}
	return calls
}

// TestAcceptStreamWaiting has several goroutines wait for streams: each gets
// one.
func TestAcceptStreamWaiting(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		const n = 5
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			calls := startAccept(t, t.Context(), server, n)
			for range n {
				s, err := client.OpenStream()
				if err != nil {
					t.Fatal(err)
				}
				write(t, s, "x")
			}
			seen := make(map[int]bool)
			for _, call := range calls {
				id, err := call.Result()
				if err != nil || seen[id] {
					t.Errorf("stream %d: %v", id, err)
				}
				seen[id] = true
			}
		})
	})
}

// TestAcceptStreamContext ends AcceptStream by its context. Nothing is lost by
// it.
func TestAcceptStreamContext(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			other := startAccept(t, t.Context(), server, 1)[0]

			ctx, cancel := context.WithCancel(t.Context())
			calls := startAccept(t, ctx, server, 2)
			cancel()
			for _, call := range calls {
				_, err := call.Result()
				wantError(t, "AcceptStream", err, context.Canceled)
			}
			_, err := server.AcceptStream(ctx)
			wantError(t, "AcceptStream", err, context.Canceled)

			start := time.Now()
			ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, err = server.AcceptStream(ctx)
			wantError(t, "AcceptStream", err, context.DeadlineExceeded)
			if took := time.Since(start); took < 50*time.Millisecond || took > 50*time.Millisecond+atOnce {
				t.Errorf("took %v, want 50ms", took)
			}

			for range 2 {
				s, err := client.OpenStream()
				if err != nil {
					t.Fatal(err)
				}
				write(t, s, "x")
			}
			if _, err := other.Result(); err != nil {
				t.Error(err)
			}
			acceptStream(t, server)
		})
	})
}

// TestAcceptStreamEnd ends the association: what has arrived can still be
// accepted, then AcceptStream says why there is no more, as do those that wait.
func TestAcceptStreamEnd(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, tt := range []struct {
			name string
			end  func(client, server *sctpnet.Conn) error
			want error
		}{
			{"peer's Close", func(c, s *sctpnet.Conn) error { return c.Close() }, io.EOF},
			{"peer's Shutdown", func(c, s *sctpnet.Conn) error { return c.Shutdown() }, io.EOF},
			{"Shutdown", func(c, s *sctpnet.Conn) error { return s.Shutdown() }, io.EOF},
			{"peer's Abort", func(c, s *sctpnet.Conn) error { return c.Abort() }, syscall.ECONNRESET},
			{"Close", func(c, s *sctpnet.Conn) error { return s.Close() }, net.ErrClosed},
			{"Abort", func(c, s *sctpnet.Conn) error { return s.Abort() }, net.ErrClosed},
		} {
			t.Run(tt.name, func(t *testing.T) {
				t.Run("waiting", func(t *testing.T) {
					client, server := pipe(t, network, "127.0.0.1:0")
					watchdog(t, func() {
						calls := startAccept(t, t.Context(), server, 3)
						if err := tt.end(client, server); err != nil {
							t.Fatal(err)
						}
						for _, call := range calls {
							_, err := call.Result()
							wantError(t, "waiting AcceptStream", err, tt.want)
						}
						for range 3 {
							_, err := server.AcceptStream(t.Context())
							wantError(t, "AcceptStream", err, tt.want)
						}
					})
				})
				t.Run("with streams", func(t *testing.T) {
					client, server := pipe(t, network, "127.0.0.1:0")
					watchdog(t, func() {
						ids := []uint16{4, 2, 9}
						for _, id := range ids {
							write(t, claim(t, client, id), "x")
							arrived(t, client) // later ones must not pass it
						}
						acceptStream(t, server)
						if err := tt.end(client, server); err != nil {
							t.Fatal(err)
						}
						for _, id := range ids[1:] {
							if tt.want == net.ErrClosed {
								break // everything is
							}
							if s := acceptStream(t, server); s.ID() != id {
								t.Errorf("accepted stream %d, want %d", s.ID(), id)
							} else {
								wantBytes(t, s, []byte("x"))
							}
						}
						_, err := server.AcceptStream(t.Context())
						wantError(t, "AcceptStream", err, tt.want)
					})
				})
			})
		}
	})
}

// TestAcceptStreamKept does all that a peer can do with streams before anybody
// accepts: it is kept.
func TestAcceptStreamKept(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, tt := range []struct {
			name  string
			data  string
			end   func(s *sctpnet.Stream) error // nil for not at all
			delay time.Duration                 // until somebody accepts
		}{
			{"written, at once", "data", nil, 0},
			{"written", "data", nil, 20 * time.Millisecond},
			{"written and half-closed, at once", "data", (*sctpnet.Stream).CloseWrite, 0},
			{"written and half-closed", "data", (*sctpnet.Stream).CloseWrite, 20 * time.Millisecond},
			{"written and closed, at once", "data", (*sctpnet.Stream).Close, 0},
			{"written and closed", "data", (*sctpnet.Stream).Close, 20 * time.Millisecond},
			{"closed, at once", "", (*sctpnet.Stream).Close, 0},
			{"closed", "", (*sctpnet.Stream).Close, 20 * time.Millisecond},
		} {
			t.Run(tt.name, func(t *testing.T) {
				const n = 20
				client, server := pipe(t, network, "127.0.0.1:0")
				watchdog(t, func() {
					opened := make(map[uint16]*sctpnet.Stream)
					for range n {
						s, err := client.OpenStream()
						if err != nil {
							t.Fatal(err)
						}
						write(t, s, tt.data)
						if tt.end != nil {
							if err := tt.end(s); err != nil {
								t.Fatal(err)
							}
						}
						opened[s.ID()] = s
					}
					time.Sleep(tt.delay)
					for range n {
						s := acceptStream(t, server)
						c := opened[s.ID()]
						if c == nil {
							t.Fatalf("accepted stream %d", s.ID())
						}
						delete(opened, s.ID())
						wantBytes(t, s, []byte(tt.data))
						if tt.end != nil {
							wantEOF(t, s)
						}
						write(t, s, "answer")
						if _, err := c.Read(nil); !errors.Is(err, net.ErrClosed) {
							wantBytes(t, c, []byte("answer"))
						}
					}
				})
			})
		}
	})
}

// TestAcceptStreamLeavesZero has streams be accepted, and the Conn be read now and
// then: stream 0 is the Conn's, whether a Read waits or not, and all others go to
// AcceptStream.
func TestAcceptStreamLeavesZero(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			writeOn := func(id uint16, data string) {
				t.Helper()
				if _, err := client.WriteStream([]byte(data), id); err != nil {
					t.Fatal(err)
				}
				arrived(t, client) // before what is on another stream
			}
			var b [10]byte
			read := conformance.Start(t, func() (int, error) { return server.Read(b[:]) })
			read.Waits()
			accept := startAccept(t, t.Context(), server, 1)[0]
			for _, id := range []uint16{4, 0, 5} {
				writeOn(id, string(rune('0'+id)))
			}
			if n, err := read.Result(); string(b[:n]) != "0" || err != nil {
				t.Errorf("read %q, %v; want stream 0's", b[:n], err)
			}
			if id, err := accept.Result(); id != 4 || err != nil {
				t.Errorf("accepted stream %d, %v; want 4", id, err)
			}
			wantBytes(t, acceptStream(t, server), []byte("5"))
			// With nobody to read, stream 0 waits for a Read.
			accept = startAccept(t, t.Context(), server, 1)[0]
			writeOn(0, "plain")
			writeOn(6, "six")
			if id, err := accept.Result(); id != 6 || err != nil {
				t.Errorf("accepted stream %d, %v; want 6", id, err)
			}
			wantBytes(t, server, []byte("plain"))
			exchange(t, client, server)
		})
	})
}

// TestAcceptStreamAfterRead has the Conn read all streams until the first
// AcceptStream, which gets what is unread of them.
func TestAcceptStreamAfterRead(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			for _, m := range []struct {
				id   uint16
				data string
			}{{4, "first"}, {4, "second"}, {0, "zero"}, {6, "third"}} {
				if _, err := client.WriteStream([]byte(m.data), m.id); err != nil {
					t.Fatal(err)
				}
				arrived(t, client) // before what is on another stream
			}
			b := make([]byte, 10)
			if n, info, err := server.ReadMsg(b); string(b[:n]) != "first" || info.Stream != 4 || err != nil {
				t.Errorf("read %q of stream %d, %v", b[:n], info.Stream, err)
			}
			wantBytes(t, acceptStream(t, server), []byte("second"))
			wantBytes(t, acceptStream(t, server), []byte("third"))
			if n, info, err := server.ReadMsg(b); string(b[:n]) != "zero" || info.Stream != 0 || err != nil {
				t.Errorf("read %q of stream %d, %v", b[:n], info.Stream, err)
			}
		})
	})
}

// TestAcceptStreams has a peer open more streams than may wait to be accepted: it
// learns that the next one is closed, both ways. The others are accepted.
func TestAcceptStreams(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		const most = 3
		client, server := pipeWith(t, network, sctpnet.Config{AcceptStreams: most})
		watchdog(t, func() {
			first := startAccept(t, t.Context(), server, 1)[0]
			var opened []*sctpnet.Stream
			for range most + 2 {
				s, err := client.OpenStream()
				if err != nil {
					t.Fatal(err)
				}
				write(t, s, "question")
				if opened = append(opened, s); len(opened) == 1 {
					if id, err := first.Result(); id != int(s.ID()) || err != nil {
						t.Fatalf("accepted stream %d, %v; want %d", id, err, s.ID())
					}
				}
			}
			last := opened[most+1]
			wantEOF(t, last)
			eventually(t, "an error of Write on the stream that was closed", func() bool {
				_, err := last.Write([]byte("x"))
				return errors.Is(err, syscall.EPIPE)
			})
			for _, c := range opened[1 : most+1] {
				s := acceptStream(t, server)
				if s.ID() != c.ID() {
					t.Errorf("accepted stream %d, want %d", s.ID(), c.ID())
				}
				wantBytes(t, s, []byte("question"))
				exchange(t, s, c)
			}
		})
	})
}

// TestUnacceptedStreams has a peer send without end on a stream that nobody accepts.
// It is closed, and one that is read goes on.
func TestUnacceptedStreams(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			c, err := client.OpenStream()
			if err != nil {
				t.Fatal(err)
			}
			write(t, c, "read")
			s := acceptStream(t, server)
			wantBytes(t, s, []byte("read"))
			greedy, err := client.OpenStream()
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			for err == nil {
				_, err = greedy.Write(ballast()[:1<<20])
				if took := time.Since(start); took > 30*time.Second*conformance.Slowness {
					t.Fatalf("after %v all is still taken", took)
				}
			}
			wantError(t, "Write on the stream that sends so much", err, syscall.EPIPE)
			wantEOF(t, greedy)
			start = time.Now()
			exchange(t, c, s)
			if took := time.Since(start); took > 5*time.Second*conformance.Slowness {
				t.Errorf("the stream that is read waited for %v", took)
			}
		})
	})
}

// TestDialBesidePushedStreams has a server open streams and send much on them, to a StreamDialer
// that accepts none. Dials go on.
func TestDialBesidePushedStreams(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		ln := listenStreams(t, network, "127.0.0.1:0")
		go func() {
			c, err := ln.AcceptConn()
			if err != nil {
				return
			}
			defer c.Close()
			for range 4 {
				go func() {
					for {
						s, err := c.OpenStream()
						if err != nil {
							return
						}
						s.Write(ballast()[:400_000])
						s.Close()
					}
				}()
			}
			for {
				s, err := c.AcceptStream(t.Context())
				if err != nil {
					return
				}
				go func() {
					defer s.Close()
					io.Copy(s, s)
				}()
			}
		}()
		d := closing(t, &sctpnet.StreamDialer{})
		watchdog(t, func() {
			for range 5 {
				c, err := d.Dial(network, ln.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				echoed(t, c)
				c.Close()
			}
		})
	})
}

// wantDeadline checks that a call failed because of a deadline set from now on,
// and that it did so in time.
func wantDeadline(t *testing.T, what string, err error, start time.Time, d time.Duration) {
	t.Helper()
	took := time.Since(start)
	wantError(t, what, err, os.ErrDeadlineExceeded)
	var nerr net.Error
	if !errors.As(err, &nerr) || !nerr.Timeout() {
		t.Errorf("%s: %v: is no timeout", what, err)
	}
	if took < d || took > d+atOnce {
		t.Errorf("%s took %v, want %v", what, took, d)
	}
}

// TestStreamWriteDeadlines has several streams and the Conn wait for room, each
// with a deadline of its own, while one that has none holds the turn.
func TestStreamWriteDeadlines(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			holder, holderPeer := streamPair(t, client, server)
			n := fill(t, holder)
			holds := conformance.Start(t, func() (int, error) { return holder.Write(ballast()[n : n+100_000]) })
			holds.Waits()
			s1, _ := streamPair(t, client, server)
			s2, _ := streamPair(t, client, server)
			writers := []struct {
				c    net.Conn
				d    time.Duration
				call *conformance.Call
			}{
				{c: s1, d: 100 * time.Millisecond},
				{c: s2, d: 50 * time.Millisecond},
				{c: client, d: 150 * time.Millisecond},
				{c: s2, d: 50 * time.Millisecond}, // waits for the other Write as well
			}
			start := time.Now()
			for i := range writers {
				w := &writers[i]
				w.c.SetWriteDeadline(start.Add(w.d))
				w.call = conformance.Start(t, func() (int, error) { return w.c.Write(ballast()) })
			}
			for _, i := range []int{1, 3, 0, 2} {
				w := writers[i]
				n, err := w.call.Result()
				if n != 0 {
					t.Errorf("wrote %d bytes", n)
				}
				wantDeadline(t, "Write", err, start, w.d)
			}
			holds.Waits()

			// The one that holds the turn has its deadline too, moved twice.
			start = time.Now()
			holder.SetWriteDeadline(start.Add(20 * time.Second))
			holder.SetWriteDeadline(start.Add(50 * time.Millisecond))
			k, err := holds.Result()
			wantDeadline(t, "Write with the turn", err, start, 50*time.Millisecond)

			// And then nothing is in the way of the others.
			holder.SetWriteDeadline(time.Time{})
			w := conformance.Start(t, func() (int, error) {
				s1.SetWriteDeadline(time.Time{})
				return s1.Write([]byte("x"))
			})
			wantBytes(t, holderPeer, ballast()[:n+k])
			if n, err := w.Result(); n != 1 || err != nil {
				t.Errorf("Write returned %d, %v", n, err)
			}
		})
	})
}

// TestDeadlineEndsNoOtherWrite has a Write with a deadline hold the turn, and one without
// wait behind it: that one is not cut off.
func TestDeadlineEndsNoOtherWrite(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		client, server := pipe(t, network, "127.0.0.1:0")
		const d = 2 * time.Second // by when the calls wait, on a busy machine too
		watchdog(t, func() {
			s1, p1 := streamPair(t, client, server)
			s2, p2 := streamPair(t, client, server)
			n := fill(t, s1)
			start := time.Now()
			s1.SetWriteDeadline(start.Add(d))
			w1 := conformance.Start(t, func() (int, error) { return s1.Write(ballast()[n:]) })
			w1.Waits()
			w2 := conformance.Start(t, func() (int, error) { return s2.Write(ballast()[:200_000]) })
			k, err := w1.Result()
			wantDeadline(t, "Write", err, start, d)
			w2.Waits()
			wantBytes(t, p1, ballast()[:n+k])
			wantBytes(t, p2, ballast()[:200_000])
			if n, err := w2.Result(); n != 200_000 || err != nil {
				t.Errorf("Write returned %d, %v", n, err)
			}
		})
	})
}

// TestStreamReadDeadlines has several streams and the Conn wait for data, each
// with a deadline of its own.
func TestStreamReadDeadlines(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			never, neverPeer := streamPair(t, client, server)
			s1, p1 := streamPair(t, client, server)
			s2, _ := streamPair(t, client, server)
			waits := conformance.Start(t, func() (int, error) { return never.Read(make([]byte, 10)) })
			readers := []struct {
				c    net.Conn
				d    time.Duration
				call *conformance.Call
			}{
				{c: s1, d: 100 * time.Millisecond},
				{c: s2, d: 50 * time.Millisecond},
				{c: client, d: 150 * time.Millisecond},
				{c: s2, d: 50 * time.Millisecond},
			}
			start := time.Now()
			for i := range readers {
				r := &readers[i]
				r.c.SetReadDeadline(start.Add(r.d))
				r.call = conformance.Start(t, func() (int, error) { return r.c.Read(make([]byte, 10)) })
			}
			for _, i := range []int{1, 3, 0, 2} {
				_, err := readers[i].call.Result()
				wantDeadline(t, "Read", err, start, readers[i].d)
			}
			waits.Waits()
			// A Read that ran into its deadline has lost nothing, and its deadline
			// is for reading only.
			write(t, p1, "late")
			write(t, s1, "meanwhile")
			wantBytes(t, p1, []byte("meanwhile"))
			s1.SetReadDeadline(time.Time{})
			wantBytes(t, s1, []byte("late"))
			write(t, neverPeer, "x")
			if n, err := waits.Result(); n != 1 || err != nil {
				t.Errorf("Read returned %d, %v", n, err)
			}
		})
	})
}

// TestHalfClose ends one direction after the other: all data comes first, and
// what is not ended goes on.
func TestHalfClose(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, size := range []int{0, 1, 1 << 20} {
			for _, accepted := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d bytes, accepted %t", size, accepted), func(t *testing.T) {
					c1, c2 := pipe(t, network, "127.0.0.1:0")
					if accepted {
						c1, c2 = c2, c1
					}
					watchdog(t, func() {
						other1, other2 := streamPair(t, c1, c2)
						s1, s2 := streamPair(t, c1, c2)
						for _, dir := range [][2]*sctpnet.Stream{{s1, s2}, {s2, s1}} {
							from, to := dir[0], dir[1]
							w := conformance.Start(t, func() (int, error) {
								n, err := from.Write(ballast()[:size])
								return n, errors.Join(err, from.CloseWrite())
							})
							wantBytes(t, to, ballast()[:size])
							wantEOF(t, to)
							if n, err := w.Result(); n != size || err != nil {
								t.Errorf("Write and CloseWrite returned %d, %v", n, err)
							}
							for range 3 {
								n, err := from.Write([]byte("x"))
								if n != 0 {
									t.Errorf("Write returned %d after CloseWrite", n)
								}
								wantError(t, "Write after CloseWrite", err, syscall.EPIPE)
								_, err = from.WriteMsg([]byte("x"), sctpnet.MsgInfo{})
								wantError(t, "WriteMsg after CloseWrite", err, syscall.EPIPE)
							}
							if err := from.CloseWrite(); err != nil {
								t.Errorf("a second CloseWrite: %v", err)
							}
							exchange(t, other1, other2)
						}
						if err := errors.Join(s1.Close(), s2.Close()); err != nil {
							t.Error(err)
						}
						exchange(t, claim(t, c2, s1.ID()), claim(t, c1, s1.ID()))
					})
				})
			}
		}
	})
}

// TestCloseWriteWhileHeldBack half-closes with data on the way that nobody
// reads yet.
func TestCloseWriteWhileHeldBack(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, tt := range []struct {
			name  string
			close func(s *sctpnet.Stream) error
		}{
			{"CloseWrite", (*sctpnet.Stream).CloseWrite},
			{"Close", (*sctpnet.Stream).Close},
		} {
			t.Run(tt.name, func(t *testing.T) {
				client, server := pipe(t, network, "127.0.0.1:0")
				watchdog(t, func() {
					c, s := streamPair(t, client, server)
					n := fill(t, c)
					start := time.Now()
					if err := tt.close(c); err != nil {
						t.Fatal(err)
					}
					if took := time.Since(start); took > atOnce {
						t.Errorf("took %v", took)
					}
					wantBytes(t, s, ballast()[:n])
					wantEOF(t, s)
				})
			})
		}
	})
}

// TestCloseWriteDuringWrite ends a Write that waits. What it has accepted
// arrives.
func TestCloseWriteDuringWrite(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			c, s := streamPair(t, client, server)
			sent := fill(t, c)
			w := conformance.Start(t, func() (int, error) { return c.Write(ballast()[sent:]) })
			w.Waits()
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			n, err := w.Result()
			wantError(t, "waiting Write", err, syscall.EPIPE)
			wantBytes(t, s, ballast()[:sent+n])
			wantEOF(t, s)
			write(t, s, "answer")
			wantBytes(t, c, []byte("answer"))
		})
	})
}

// TestCloseRead ends reading: what waits sees the end, and writing goes on.
func TestCloseRead(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			c, s := streamPair(t, client, server)
			write(t, s, "not read")
			read := conformance.Start(t, func() (int, error) {
				if _, err := io.ReadFull(c, make([]byte, 8)); err != nil {
					return 0, err
				}
				return c.Read(make([]byte, 1))
			})
			read.Waits()
			if err := c.CloseRead(); err != nil {
				t.Fatal(err)
			}
			if n, err := read.Result(); n != 0 || err != io.EOF {
				t.Errorf("waiting Read returned %d, %v; want 0, EOF", n, err)
			}
			wantEOF(t, c)
			if _, _, err := c.ReadMsg(make([]byte, 1)); err != io.EOF {
				t.Errorf("ReadMsg returned %v, want EOF", err)
			}
			write(t, c, "goes on")
			wantBytes(t, s, []byte("goes on"))
			if err := c.CloseRead(); err != nil {
				t.Errorf("a second CloseRead: %v", err)
			}
			c.Close()
			wantError(t, "CloseRead after Close", c.CloseRead(), net.ErrClosed)
			wantError(t, "CloseWrite after Close", c.CloseWrite(), net.ErrClosed)
			wantError(t, "a second Close", c.Close(), net.ErrClosed)
		})
	})
}

// TestWriteToClosed writes on and on to a peer that has closed the stream: Write
// fails in the end as on a closed connection, whether it is waiting or not, and
// other streams go on. The number can be used again.
func TestWriteToClosed(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, tt := range []struct {
			name  string
			size  int           // of a Write
			pause time.Duration // between two
		}{
			{"now and then", 1000, time.Millisecond},
			{"small", 1, 0},
			{"large", 16 << 20, 0},
		} {
			for _, accepted := range []bool{false, true} {
				for _, halfClosed := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s, accepted %t, half-closed before %t", tt.name, accepted, halfClosed), func(t *testing.T) {
						c1, c2 := pipe(t, network, "127.0.0.1:0")
						if accepted {
							c1, c2 = c2, c1
						}
						watchdog(t, func() {
							other1, other2 := streamPair(t, c1, c2)
							s1, s2 := streamPair(t, c1, c2)
							write(t, s1, "begin")
							wantBytes(t, s2, []byte("begin"))
							if halfClosed {
								if err := s2.CloseWrite(); err != nil {
									t.Fatal(err)
								}
								wantEOF(t, s1)
							}
							w := startWriting(t, s1, ballast()[:tt.size], tt.pause)
							if err := s2.Close(); err != nil {
								t.Fatal(err)
							}
							start := time.Now()
							_, err := w.Result()
							wantError(t, "Write", err, syscall.EPIPE)
							if took := time.Since(start); took > 5*time.Second*conformance.Slowness {
								t.Errorf("took %v to fail", took)
							}
							_, err = s1.Write([]byte("x"))
							wantError(t, "Write", err, syscall.EPIPE)
							wantEOF(t, s1)
							exchange(t, other1, other2)

							s1.Close()
							s1, s2 = claim(t, c1, s1.ID()), claim(t, c2, s1.ID())
							exchange(t, s1, s2)
							exchange(t, s2, s1)
						})
					})
				}
			}
		}
	})
}

// startWriting writes b again and again, until that fails.
func startWriting(t *testing.T, c net.Conn, b []byte, pause time.Duration) *conformance.Call {
	return conformance.Start(t, func() (int, error) {
		for {
			if n, err := c.Write(b); err != nil {
				return n, err
			}
			time.Sleep(pause)
		}
	})
}

// TestWriteAfterPeerCloseRead writes to a peer that has ended its reading: what is written
// is dropped and holds nothing up, and the other direction goes on.
func TestWriteAfterPeerCloseRead(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			other1, other2 := streamPair(t, client, server)
			c, s := streamPair(t, client, server)
			if err := s.CloseRead(); err != nil {
				t.Fatal(err)
			}
			if n, err := c.Write(ballast()); n != len(ballast()) || err != nil {
				t.Errorf("Write returned %d, %v", n, err)
			}
			exchange(t, other1, other2)
			write(t, s, "answer")
			wantBytes(t, c, []byte("answer"))
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			_, err := startWriting(t, c, []byte("x"), 0).Result()
			wantError(t, "Write", err, syscall.EPIPE)
		})
	})
}

// TestStreamReuse has streams closed by one side while the other still writes,
// so that the next use of each number soon follows: nothing of one may get into
// the next.
func TestStreamReuse(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		const workers = 5
		client, server := pipeOf(t, network, 16)
		use := func(mark byte) error {
			c, s, err := openStream(client, server)
			if err != nil {
				return err
			}
			if mark%2 == 0 {
				c, s = s, c
			}
			writing := startWriting(t, c, []byte{mark}, time.Millisecond)
			for range 3 {
				var b [1]byte
				if _, err := s.Read(b[:]); err != nil || b[0] != mark {
					return fmt.Errorf("read %d, %v; want %d", b[0], err, mark)
				}
			}
			if err := s.Close(); err != nil {
				return err
			}
			if _, err := writing.Result(); !errors.Is(err, syscall.EPIPE) {
				return fmt.Errorf("Write: %w, want EPIPE", err)
			}
			return c.Close()
		}
		watchdog(t, func() {
			var fs []func() error
			for worker := range workers {
				fs = append(fs, func() error {
					for i := range max(3, 15/conformance.Slowness) {
						if err := use(byte(i*workers + worker)); err != nil {
							return err
						}
					}
					return nil
				})
			}
			together(t, []*sctpnet.Conn{client, server}, fs...)
		})
	})
}

// TestStreamClosesOnlyItself closes a stream whose Read and Write wait, next to
// another on which the same is the case.
func TestStreamClosesOnlyItself(t *testing.T) {
	t.Parallel() // it waits, most of the time
	eachEngine(t, func(t *testing.T, network string) {
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			a, _ := streamPair(t, client, server)
			b, bPeer := streamPair(t, client, server)
			fill(t, unclaimed{client, 50})
			start := func(c net.Conn, data string) (read, write *conformance.Call) {
				read = conformance.Start(t, func() (int, error) { return c.Read(make([]byte, 10)) })
				write = conformance.Start(t, func() (int, error) { return c.Write([]byte(data)) })
				read.Waits()
				write.Waits()
				return read, write
			}
			aRead, aWrite := start(a, "a")
			bRead, bWrite := start(b, "b")
			plainRead, plainWrite := start(client, "plain")
			if err := a.Close(); err != nil {
				t.Fatal(err)
			}
			_, err := aRead.Result()
			wantError(t, "Read", err, net.ErrClosed)
			_, err = aWrite.Result()
			wantError(t, "Write", err, net.ErrClosed)
			for _, call := range []*conformance.Call{bRead, bWrite, plainRead, plainWrite} {
				call.Waits()
			}
			// They go on as if nothing had been.
			go acceptStream(t, server).Close() // 60
			wantBytes(t, bPeer, []byte("b"))
			if n, err := bWrite.Result(); n != 1 || err != nil {
				t.Errorf("Write returned %d, %v", n, err)
			}
			write(t, bPeer, "answer")
			if n, err := bRead.Result(); n != 6 || err != nil {
				t.Errorf("Read returned %d, %v", n, err)
			}
			wantBytes(t, server, []byte("plain"))
			if n, err := plainWrite.Result(); n != 5 || err != nil {
				t.Errorf("Write returned %d, %v", n, err)
			}
			write(t, server, "answer")
			if n, err := plainRead.Result(); n != 6 || err != nil {
				t.Errorf("Read returned %d, %v", n, err)
			}
		})
	})
}

// TestEndWithManyStreams ends an association on which many streams wait, in
// every way: all wake, with the right errors, and no goroutine is left.
func TestEndWithManyStreams(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		reset := []error{syscall.ECONNRESET}
		closed := []error{net.ErrClosed}
		cannotWrite := []error{syscall.ECONNRESET, syscall.EPIPE, syscall.ESHUTDOWN}
		for _, tt := range []struct {
			name        string
			writing     bool // there are Writes that wait
			end         func(c, peer *sctpnet.Conn) error
			read, write []error // nil for io.EOF; write is also what later ones give
		}{
			{"Close", true, func(c, _ *sctpnet.Conn) error { return c.Close() }, closed, closed},
			{"Abort", true, func(c, _ *sctpnet.Conn) error { return c.Abort() }, closed, closed},
			{"peer's Abort", true, func(_, peer *sctpnet.Conn) error { return peer.Abort() }, reset, cannotWrite},
			{"peer's Close with data", true, func(_, peer *sctpnet.Conn) error { return peer.Close() }, reset, cannotWrite},
			{"peer's Close", false, func(_, peer *sctpnet.Conn) error { return peer.Close() }, nil, cannotWrite},
			{"peer's Shutdown", false, func(_, peer *sctpnet.Conn) error { return peer.Shutdown() }, nil, cannotWrite},
			{"Shutdown", false, func(c, _ *sctpnet.Conn) error { return c.Shutdown() }, nil, cannotWrite},
		} {
			for _, accepted := range []bool{false, true} {
				name := tt.name
				if accepted {
					name += ", accepted"
				}
				t.Run(name, func(t *testing.T) {
					before := runtime.NumGoroutine()
					c, peer := pipeOf(t, network, 500)
					if accepted {
						c, peer = peer, c
					}
					watchdog(t, func() {
						const n = 200
						var streams []net.Conn
						for range n {
							s, _ := streamPair(t, c, peer)
							streams = append(streams, s)
						}
						if tt.writing {
							fill(t, streams[0])
						}
						streams = append(streams, c)
						type calls struct{ read, write *conformance.Call }
						var all []calls
						for _, s := range streams {
							var cs calls
							cs.read = conformance.Start(t, func() (int, error) { return s.Read(make([]byte, 1)) })
							if tt.writing {
								cs.write = conformance.Start(t, func() (int, error) { return s.Write(ballast()) })
							}
							all = append(all, cs)
						}
						accepts := startAccept(t, t.Context(), c, 3)
						for _, cs := range all[n-1:] {
							cs.read.Waits()
							if tt.writing {
								cs.write.Waits()
							}
						}
						if err := tt.end(c, peer); err != nil {
							t.Fatal(err)
						}
						wantRead := func(what string, n int, err error) {
							t.Helper()
							if n != 0 {
								t.Errorf("%s returned %d bytes", what, n)
							}
							if tt.read != nil {
								wantError(t, what, err, tt.read...)
							} else if err != io.EOF {
								t.Errorf("%s: %v, want EOF", what, err)
							}
						}
						for i, cs := range all {
							n, err := cs.read.Result()
							wantRead("waiting Read", n, err)
							if tt.writing {
								_, err := cs.write.Result()
								wantError(t, "waiting Write", err, tt.write...)
							}
							for range 2 {
								n, err = streams[i].Read(make([]byte, 1))
								wantRead("Read", n, err)
								_, err = streams[i].Write([]byte("x"))
								wantError(t, "Write", err, tt.write...)
							}
							if t.Failed() {
								t.Fatalf("call %d of %d", i, len(all))
							}
						}
						for _, call := range accepts {
							_, err := call.Result()
							if tt.read == nil {
								wantError(t, "waiting AcceptStream", err, io.EOF)
							} else {
								wantError(t, "waiting AcceptStream", err, tt.read...)
							}
						}
						_, err := c.OpenStream()
						if err == nil {
							t.Error("OpenStream succeeds")
						}
						// Streams can still be closed, in any order with the Conn.
						for _, s := range streams[:n/2] {
							if err := s.Close(); err != nil {
								t.Errorf("Close: %v", err)
							}
						}
						if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
							t.Errorf("Close: %v", err)
						}
						peer.Close()
						eventually(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= before+1 }) // the watchdog
					})
				})
			}
		}
	})
}

// TestReadAfterConnClose closes the Conn with something left to read on a
// stream: it is closed all the same, and the peer is reset.
func TestReadAfterConnClose(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			c, s := streamPair(t, client, server)
			other, otherPeer := streamPair(t, client, server)
			write(t, s, "not read")
			write(t, server, "nor this")
			exchange(t, other, otherPeer) // so that it has arrived
			if err := client.Close(); err != nil {
				t.Fatal(err)
			}
			for _, r := range []net.Conn{c, other, client} {
				_, err := r.Read(make([]byte, 10))
				wantError(t, "Read", err, net.ErrClosed)
				_, err = r.Write([]byte("x"))
				wantError(t, "Write", err, net.ErrClosed)
			}
			for _, r := range []net.Conn{s, otherPeer, server} {
				_, err := r.Read(make([]byte, 10))
				wantError(t, "the peer's Read", err, syscall.ECONNRESET)
			}
		})
	})
}

// TestDataBeforeEnd ends the association with data on the way: it can be read,
// on all streams, before the end.
func TestDataBeforeEnd(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		const n = 25
		for _, tt := range []struct {
			name string
			end  func(c *sctpnet.Conn) error
		}{
			{"Close", (*sctpnet.Conn).Close},
			{"Shutdown", (*sctpnet.Conn).Shutdown},
		} {
			t.Run(tt.name, func(t *testing.T) {
				client, server := pipe(t, network, "127.0.0.1:0")
				watchdog(t, func() {
					var readers []net.Conn
					for i := range n {
						c, s := streamPair(t, client, server)
						write(t, c, string(ballast()[:1+i*1000]))
						readers = append(readers, s)
					}
					if err := tt.end(client); err != nil {
						t.Fatal(err)
					}
					for i, s := range readers {
						wantBytes(t, s, ballast()[:1+i*1000])
						wantEOF(t, s)
					}
				})
			})
		}
	})
}

// TestCloseWriteAfterEndBeforeStreams has the peer write and close before this end asks
// for streams. That says nothing about what the peer could do.
func TestCloseWriteAfterEndBeforeStreams(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		ln := listen(t, network, "127.0.0.1:0")
		client := dial(t, nil, network, ln.Addr().String())
		watchdog(t, func() {
			if _, err := client.WriteMsg([]byte("hello"), sctpnet.MsgInfo{Stream: 2}); err != nil {
				t.Fatal(err)
			}
			if err := client.Close(); err != nil {
				t.Fatal(err)
			}
			server := accept(t, ln)
			eventually(t, "the association to end", func() bool {
				_, err := server.Status()
				return err != nil
			})
			s, err := server.AcceptStream(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(s); string(b) != "hello" || err != nil {
				t.Errorf("read %q, %v", b, err)
			}
			if err := s.CloseWrite(); err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	})
}

// TestAcceptStreamSaysThatItEnded looks at the error after a graceful end.
func TestAcceptStreamSaysThatItEnded(t *testing.T) {
	watchdog(t, func() {
		ln, err := sctpnet.Listen("sctp4+udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		client, err := sctpnet.Dial("sctp4+udp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		client.Close()
		_, err = server.(*sctpnet.Conn).AcceptStream(t.Context())
		if _, ok := errors.AsType[*net.OpError](err); !ok || !errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "the association has ended: EOF") {
			t.Errorf("AcceptStream: %v", err)
		}
	})
}
