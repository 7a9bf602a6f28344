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
	"sync"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"golang.org/x/net/nettest"
)

// pipeOf makes an association with itself that has n streams each way.
func pipeOf(t testing.TB, network string, n int) (client, server *sctpnet.Conn) {
	t.Helper()
	return pipeWith(t, network, sctpnet.Config{OutStreams: n, MaxInStreams: n, AcceptStreams: n})
}

// pipeWith makes an association with itself. Both ends have the Config.
func pipeWith(t testing.TB, network string, config sctpnet.Config) (client, server *sctpnet.Conn) {
	t.Helper()
	needNetwork(t, network)
	ln, err := (&sctpnet.ListenConfig{Config: config}).Listen(t.Context(), network, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client = dial(t, &sctpnet.Dialer{Config: config}, network, ln.Addr().String())
	return client, accept(t, ln)
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
	ReadMessage(max int) ([]byte, sctpnet.MsgInfo, error)
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
	for {
		// Longer than the retransmission timeout, after which a chunk that was
		// dropped at a full window makes room once more.
		c.SetWriteDeadline(time.Now().Add(max(700*time.Millisecond, 50*time.Millisecond*conformance.Slowness)))
		k, err := c.Write(ballast()[n:])
		n += k
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("filling the buffers: %v after %d bytes", err, n)
		}
		if k == 0 {
			c.SetWriteDeadline(time.Time{})
			return n
		}
	}
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

// streamPipe returns a function that makes pairs of streams. All are of one
// association, which lives until the test ends.
func streamPipe(t *testing.T, network string) nettest.MakePipe {
	client, server := pipe(t, network, "127.0.0.1:0")
	return func() (c1, c2 net.Conn, stop func(), err error) {
		s1, s2, err := openStream(client, server)
		if err != nil {
			return nil, nil, nil, err
		}
		return s1, s2, func() { s1.Close(); s2.Close() }, nil
	}
}

func TestStreamNettest(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		mp := streamPipe(t, network)
		for _, name := range []string{"one", "two", "three"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				nettest.TestConn(t, mp)
			})
		}
	})
}

func TestStreamConformance(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		conformance.TestConn(t, streamPipe(t, network))
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
				t.Errorf("the dialling side opened stream %d", s.ID())
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
