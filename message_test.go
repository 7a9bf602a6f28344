package sctpnet_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// TestMessageBoundaries sends messages of many sizes, one after the other, and
// reads them with buffers that hold them or not: a whole message where it fits,
// and otherwise as much as fits.
func TestMessageBoundaries(t *testing.T) {
	sizes := []int{1, 2, 100, 1452, 4096, 16 << 10, 65535, 65536, 65537, 100_000, 200_000, 200 << 10, 3, 1}
	for _, size := range []int{1, 7, 1000, 64 << 10, 200 << 10, 1 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			onMessengers(t, func(t *testing.T, _ string, _ *sctpnet.Conn, m1, m2 messenger) {
				var msgs [][]byte
				for i, n := range sizes {
					if n/size < 5000/conformance.Slowness { // or it takes too long
						msgs = append(msgs, ballast()[i:i+n])
					}
				}
				w := conformance.Start(t, func() (int, error) {
					for i, msg := range msgs {
						if n, err := m1.WriteMsg(msg, sctpnet.MsgInfo{PPID: uint32(i)}); n != len(msg) || err != nil {
							return i, fmt.Errorf("WriteMsg of %d bytes returned %d, %w", len(msg), n, err)
						}
					}
					return len(msgs), nil
				})
				buf := make([]byte, size)
				for i, rest := range msgs {
					for len(rest) > 0 {
						n, info, err := m2.ReadMsg(buf)
						if err != nil {
							t.Fatal(err)
						}
						want := min(size, len(rest))
						if n != want || info.More != (want < len(rest)) || info.PPID != uint32(i) || !bytes.Equal(buf[:n], rest[:want]) {
							t.Fatalf("of a message of %d bytes, %d to come, read %d with %+v", len(msgs[i]), len(rest), n, info)
						}
						rest = rest[n:]
					}
				}
				if _, err := w.Result(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestReadMessage reads messages whole, but for those that are too long.
func TestReadMessage(t *testing.T) {
	const max = 150_000
	sizes := []int{1, 100, 1452, 65535, 65536, 65537, 131072, max, max + 1, 200_000, 3}
	onMessengers(t, func(t *testing.T, _ string, _ *sctpnet.Conn, m1, m2 messenger) {
		w := conformance.Start(t, func() (int, error) {
			for i, size := range sizes {
				if _, err := m1.WriteMsg(ballast()[i:i+size], sctpnet.MsgInfo{PPID: uint32(i)}); err != nil {
					return i, err
				}
			}
			return len(sizes), nil
		})
		for i, size := range sizes {
			b, info, err := m2.ReadMessage(max)
			switch {
			case size > max && !errors.Is(err, syscall.EMSGSIZE), size <= max && err != nil:
				t.Fatalf("of a message of %d bytes: %v", size, err)
			case size <= max && !bytes.Equal(b, ballast()[i:i+size]):
				t.Fatalf("read %d bytes of a message of %d", len(b), size)
			case info.PPID != uint32(i) || info.More:
				t.Fatalf("of message %d: %+v", i, info)
			}
		}
		if _, err := w.Result(); err != nil {
			t.Error(err)
		}
	})
}

// TestReadMessageTogether has several goroutines read long messages.
func TestReadMessageTogether(t *testing.T) {
	const size, each, readers = 100_000, 20, 3
	onMessengers(t, func(t *testing.T, _ string, _ *sctpnet.Conn, m1, m2 messenger) {
		var calls []*conformance.Call
		for range readers {
			calls = append(calls, conformance.Start(t, func() (int, error) {
				for range each {
					b, info, err := m2.ReadMessage(size)
					if err != nil {
						return 0, err
					}
					if want := bytes.Repeat([]byte{byte(info.PPID)}, size); !bytes.Equal(b, want) {
						return 0, fmt.Errorf("message %d has bytes of others", info.PPID)
					}
				}
				return each, nil
			}))
		}
		for i := range each * readers {
			if _, err := m1.WriteMsg(bytes.Repeat([]byte{byte(i)}, size), sctpnet.MsgInfo{PPID: uint32(i)}); err != nil {
				t.Fatal(err)
			}
		}
		for _, call := range calls {
			if _, err := call.Result(); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestReadMsgAndRead mixes the ways to read.
func TestReadMsgAndRead(t *testing.T) {
	onMessengers(t, func(t *testing.T, _ string, _ *sctpnet.Conn, m1, m2 messenger) {
		write(t, m1, "abcdef")
		write(t, m1, "gh")
		buf := make([]byte, 2)
		readMsg := func(want string, more bool) {
			t.Helper()
			if n, info, err := m2.ReadMsg(buf); string(buf[:n]) != want || info.More != more || err != nil {
				t.Errorf("read %q, %+v, %v; want %q and More %t", buf[:n], info, err, want, more)
			}
		}
		read := func(want string) {
			t.Helper()
			if n, err := m2.Read(buf); string(buf[:n]) != want || err != nil {
				t.Errorf("read %q, %v; want %q", buf[:n], err, want)
			}
		}
		readMsg("ab", true)
		read("cd")
		if n, _, err := m2.ReadMsg(nil); n != 0 || err != nil {
			t.Errorf("ReadMsg of nothing returned %d, %v", n, err)
		}
		readMsg("ef", false)
		read("gh")
	})
}

// TestMsgInfo checks what comes with a message.
func TestMsgInfo(t *testing.T) {
	onMessengers(t, func(t *testing.T, network string, _ *sctpnet.Conn, m1, m2 messenger) {
		type msg struct {
			stream    uint16
			ppid      uint32
			unordered bool
			ssn       uint16
		}
		msgs := []msg{
			{0, 0, false, 0},
			{0, 1, false, 1},
			{0, 0xdeadbeef, false, 2},
			{0, 46 << 24, true, 0},
			{0, 7, false, 3},
			{1, 1<<32 - 1, false, 0},
			{55, 60, false, 0},
			{1, 61, false, 1},
			{55, 5, true, 0},
		}
		s, isStream := m1.(*sctpnet.Stream)
		for i, m := range msgs {
			if isStream && m.stream != 0 {
				msgs = msgs[:i]
				break
			}
			// What is only for sending has no effect on what arrives. A Stream
			// ignores the number.
			info := sctpnet.MsgInfo{
				Stream: m.stream, PPID: m.ppid, Unordered: m.unordered,
				Context: 9, SSN: 9, TSN: 9, More: true,
			}
			if !overUDP(network) { // which has no TTL
				info.TTL = time.Hour
			}
			if _, err := m1.WriteMsg([]byte{byte(i)}, info); err != nil {
				t.Fatal(err)
			}
		}
		var last sctpnet.MsgInfo
		for range msgs {
			var b [10]byte
			n, info, err := m2.ReadMsg(b[:])
			if n != 1 || err != nil {
				t.Fatalf("read %d, %v", n, err)
			}
			m := msgs[b[0]]
			want := sctpnet.MsgInfo{Stream: m.stream, PPID: m.ppid, Unordered: m.unordered, SSN: m.ssn, TSN: info.TSN}
			if isStream {
				want.Stream = s.ID()
			}
			if m.unordered {
				want.SSN = info.SSN // means nothing
			}
			if info != want {
				t.Errorf("message %d: %+v, want %+v", b[0], info, want)
			}
			if last != (sctpnet.MsgInfo{}) && info.TSN == last.TSN {
				t.Errorf("message %d: TSN is %d, as that of the last", b[0], info.TSN)
			}
			last = info
		}
	})
}

// TestWriteStream checks that the stream's number arrives.
func TestWriteStream(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		c, s := pipe(t, network, "127.0.0.1:0")
		out, in := c.NumStreams()
		if sout, sin := s.NumStreams(); sout != in || sin != out {
			t.Errorf("one side has %d and %d streams, the other %d and %d", out, in, sout, sin)
		}
		watchdog(t, func() {
			for id := range out {
				if n, err := c.WriteStream([]byte("ab"), id); n != 2 || err != nil {
					t.Fatalf("stream %d: %d, %v", id, n, err)
				}
				for _, want := range "ab" { // also of the rest of a message
					var b [1]byte
					if n, got, err := s.ReadStream(b[:]); n != 1 || b[0] != byte(want) || got != id || err != nil {
						t.Fatalf("stream %d: read %q on %d, %v", id, b[:n], got, err)
					}
				}
			}
			c.Close()
			if n, _, err := s.ReadStream(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("read %d, %v; want EOF", n, err)
			}
		})
	})
}

// A ppidSender sends "abc" in one of the ways that there are.
type ppidSender struct {
	name string
	send func() error
	want uint32
}

// TestDefaultPPID checks that Config.PPID goes with all that does not say a PPID
// itself, at the end that dialed and at the one that accepted, of a Conn before
// and after its streams are in use and of a Stream, and that WriteMsg and
// WriteMsgs are literal.
func TestDefaultPPID(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		const ppid, other = 46, 0x01020304
		config := sctpnet.Config{PPID: ppid}
		c, s := configured(t, network, "127.0.0.1:0", config, config)
		reader := func(c interface {
			ReadMsg([]byte) (int, sctpnet.MsgInfo, error)
		}) func() sctpnet.MsgInfo {
			return func() sctpnet.MsgInfo {
				p := make([]byte, 1000)
				n, info, err := c.ReadMsg(p)
				if err != nil || string(p[:n]) != "abc" {
					t.Fatalf("read %q, %v", p[:n], err)
				}
				return info
			}
		}
		check := func(senders []ppidSender, read func() sctpnet.MsgInfo) {
			t.Helper()
			for _, w := range senders {
				if err := w.send(); err != nil {
					t.Fatalf("%s: %v", w.name, err)
				}
				if info := read(); info.PPID != w.want {
					t.Errorf("%s: the PPID is %d, want %d", w.name, info.PPID, w.want)
				}
			}
		}
		watchdog(t, func() {
			check(connSenders(c, ppid), reader(s))
			check(connSenders(s, ppid), reader(c))
			checkSplit(t, c, s, ppid)
			if err := c.Set(sctpnet.Config{PPID: other}); err != nil {
				t.Fatal(err)
			}
			check(connSenders(c, other), reader(s))
			checkSplit(t, c, s, other)
			c1, err := c.Stream(3)
			if err != nil {
				t.Fatal(err)
			}
			s1, err := s.Stream(3)
			if err != nil {
				t.Fatal(err)
			}
			check(streamSenders(c1, other), reader(s1))
			check(streamSenders(s1, ppid), reader(c1))
			check(connSenders(c, other), reader(s))
			check(connSenders(s, ppid), reader(c))
		})
	})
}

// checkSplit checks the PPID of each message that a Write is split into.
func checkSplit(t testing.TB, c, s *sctpnet.Conn, want uint32) {
	t.Helper()
	const size = 200_000
	go c.Write(make([]byte, size))
	p := make([]byte, 1<<20)
	for total := 0; total < size; {
		n, info, err := s.ReadMsg(p)
		if err != nil || info.PPID != want {
			t.Fatalf("after %d bytes of a large Write the PPID is %d, %v; want %d", total, info.PPID, err, want)
		}
		total += n
	}
}

// writers are the ways to write that a Conn and a Stream have.
func writers(c interface {
	net.Conn
	io.ReaderFrom
	WriteBuffers(*net.Buffers) (int64, error)
}, want uint32) []ppidSender {
	return []ppidSender{
		{"Write", func() error { return first(c.Write([]byte("abc"))) }, want},
		{"io.Copy", func() error { return first(io.Copy(c, strings.NewReader("abc"))) }, want},
		{"bufio", func() error {
			w := bufio.NewWriter(c)
			w.WriteString("abc")
			return w.Flush()
		}, want},
		{"bufio.ReadFrom", func() error {
			w := bufio.NewWriter(c)
			w.ReadFrom(strings.NewReader("abc"))
			return w.Flush()
		}, want},
		{"WriteBuffers", func() error { return first(c.WriteBuffers(&net.Buffers{[]byte("a"), []byte("bc")})) }, want},
	}
}

func connSenders(c *sctpnet.Conn, want uint32) []ppidSender {
	msg := func(ppid uint32) func() error {
		return func() error { return first(c.WriteMsg([]byte("abc"), sctpnet.MsgInfo{PPID: ppid})) }
	}
	msgs := func(ppid uint32) func() error {
		return func() error {
			return first(c.WriteMsgs([]sctpnet.Message{{Data: []byte("abc"), Info: sctpnet.MsgInfo{PPID: ppid}}}))
		}
	}
	return append(writers(c, want),
		ppidSender{"WriteStream", func() error { return first(c.WriteStream([]byte("abc"), 1)) }, want},
		ppidSender{"WriteMsg of 0", msg(0), 0},
		ppidSender{"WriteMsg of 7", msg(7), 7},
		ppidSender{"WriteMsgs of 0", msgs(0), 0},
		ppidSender{"WriteMsgs of 7", msgs(7), 7},
	)
}

func streamSenders(s *sctpnet.Stream, want uint32) []ppidSender {
	msg := func(ppid uint32) func() error {
		return func() error { return first(s.WriteMsg([]byte("abc"), sctpnet.MsgInfo{PPID: ppid})) }
	}
	return append(writers(s, want), ppidSender{"WriteMsg of 0", msg(0), 0}, ppidSender{"WriteMsg of 7", msg(7), 7})
}

// TestTTL has messages wait for a peer that does not read. Those that expire
// meanwhile are dropped, and no others.
func TestTTL(t *testing.T) {
	onMessengers(t, func(t *testing.T, network string, c *sctpnet.Conn, m1, m2 messenger) {
		if lacking(t, network, lifetime, func() error {
			_, err := m1.WriteMsg([]byte("x"), sctpnet.MsgInfo{TTL: time.Second})
			return err
		}) {
			return
		}
		const (
			size = 16 << 10
			ttl  = 20 * time.Millisecond * conformance.Slowness
		)
		sent := 0
		send := func(b []byte, ttl time.Duration) {
			t.Helper()
			// Whether WriteMsg waits for the peer now does not matter here.
			m1.SetWriteDeadline(time.Now().Add(time.Minute)) // which exchange keeps, too
			if _, err := m1.WriteMsg(b, sctpnet.MsgInfo{TTL: ttl}); err != nil {
				t.Fatal(err)
			}
			sent++
		}
		full := func() bool {
			st, err := c.Status()
			if err != nil {
				t.Fatal(err)
			}
			return st.PeerWindow < size
		}
		// What receives in the background may yet make room, on a busy machine late.
		for times := 0; times < 5; times++ {
			for ; !full(); times = 0 {
				send(ballast()[:size], 0)
			}
			time.Sleep(ttl)
		}
		send(ballast()[:size], 0) // so that what follows is not the probe of the window
		send(ballast()[:size], 0)
		before := sent
		send([]byte("expires"), ttl)
		send([]byte("lasts"), time.Hour)
		send([]byte("expires too"), ttl)
		send([]byte("for ever"), 0)
		time.Sleep(2 * ttl)

		buf := make([]byte, size)
		for range before {
			if n, info, err := m2.ReadMsg(buf); n != size || info.More || err != nil {
				t.Fatalf("read %d, %+v, %v", n, info, err)
			}
		}
		for _, want := range []string{"lasts", "for ever"} {
			if n, _, err := m2.ReadMsg(buf); err != nil || string(buf[:n]) != want {
				t.Errorf("read %.20q, %v; want %q", buf[:n], err, want)
			}
		}
		exchange(t, m2, m1)
	})
}

// TestMessageLimits sends what cannot be sent. Nothing of it arrives, and the
// association goes on.
func TestMessageLimits(t *testing.T) {
	onMessengers(t, func(t *testing.T, network string, c *sctpnet.Conn, m1, m2 messenger) {
		_, isStream := m1.(*sctpnet.Stream)
		most := c.MaxMessageSize()
		for _, tt := range []struct {
			name  string
			size  int
			info  sctpnet.MsgInfo
			cause error    // nil for any
			words []string // of the error
		}{
			{name: "too large", size: most + 1, cause: syscall.EMSGSIZE, words: []string{fmt.Sprint(most + 1), fmt.Sprint(most)}},
			{name: "much too large", size: 8 << 20, cause: syscall.EMSGSIZE, words: []string{fmt.Sprint(most)}},
			{name: "empty", words: []string{"empty"}},
			{name: "negative TTL", size: 1, info: sctpnet.MsgInfo{TTL: -1}, words: []string{"TTL", "-1ns"}},
			{name: "long TTL", size: 1, info: sctpnet.MsgInfo{TTL: math.MaxUint32*time.Millisecond + 1}, words: []string{"TTL", "1193h2m47.295000001s"}},
			{name: "longest TTL", size: 1, info: sctpnet.MsgInfo{TTL: math.MaxInt64}, words: []string{"TTL"}},
			{name: "stream", size: 1, info: sctpnet.MsgInfo{Stream: 64}, cause: syscall.EINVAL, words: []string{"64 of 64"}},
			{name: "last stream", size: 1, info: sctpnet.MsgInfo{Stream: 65535}, cause: syscall.EINVAL, words: []string{"65535", "64"}},
		} {
			if isStream && tt.info.Stream != 0 {
				continue // a Stream ignores it
			}
			n, err := m1.WriteMsg(ballast()[:tt.size], tt.info)
			var e *net.OpError
			if n != 0 || !errors.As(err, &e) || e.Op != "write" {
				t.Errorf("%s: %d, %v", tt.name, n, err)
				continue
			}
			if tt.cause != nil && !errors.Is(err, tt.cause) {
				t.Errorf("%s: %v, want %v", tt.name, err, tt.cause)
			}
			for _, word := range tt.words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%s: %v: does not say %q", tt.name, err, word)
				}
			}
			exchange(t, m1, m2)
		}
		if n, err := m1.Write(nil); n != 0 || err != nil {
			t.Errorf("empty Write returned %d, %v; want 0, nil", n, err)
		}
		for _, info := range []sctpnet.MsgInfo{{TTL: 1}, {TTL: math.MaxUint32 * time.Millisecond}} {
			if lacking(t, network, lifetime, func() error { _, err := m1.WriteMsg([]byte("x"), info); return err }) {
				continue
			}
			if _, err := m1.WriteMsg([]byte("x"), info); err != nil {
				t.Errorf("%+v: %v", info, err)
			}
			wantBytes(t, m2, []byte("x"))
		}
	})
}

// TestLargestMessage sends a message of MaxMessageSize, also after that was
// changed.
func TestLargestMessage(t *testing.T) {
	onMessengers(t, func(t *testing.T, _ string, c *sctpnet.Conn, m1, m2 messenger) {
		send := func() {
			t.Helper()
			want := ballast()[:c.MaxMessageSize()]
			written := make(chan error, 1)
			go func() {
				n, err := m1.WriteMsg(want, sctpnet.MsgInfo{})
				if n != len(want) && err == nil {
					err = fmt.Errorf("WriteMsg returned %d, want %d", n, len(want))
				}
				written <- err
			}()
			got := make([]byte, len(want)+1)
			n, info, err := m2.ReadMsg(got)
			if err != nil || n != len(want) || info.More {
				t.Errorf("read %d bytes of %d, More %t, %v", n, len(want), info.More, err)
			}
			if err := <-written; err != nil {
				t.Error(err)
			}
		}
		send()
		before := c.MaxMessageSize()
		if err := c.SetWriteBuffer(20_000); err != nil {
			t.Fatal(err)
		}
		if after := c.MaxMessageSize(); after >= before {
			t.Errorf("MaxMessageSize is %d with a smaller buffer, and was %d", after, before)
		}
		send()
	})
}
