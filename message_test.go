package sctpnet_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"github.com/sctpnet/sctpnet/internal/testnet"
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
	const limit = 150_000
	sizes := []int{1, 100, 1452, 65535, 65536, 65537, 131072, limit, limit + 1, 200_000, 3}
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
			b, info, err := m2.ReadMessage(limit)
			switch {
			case size > limit && !errors.Is(err, syscall.EMSGSIZE), size <= limit && err != nil:
				t.Fatalf("of a message of %d bytes: %v", size, err)
			case size <= limit && !bytes.Equal(b, ballast()[i:i+size]):
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

// batchOf makes messages for ReadMsgs.
func batchOf(n, size int) []sctpnet.Message {
	msgs := make([]sctpnet.Message, n)
	for i := range msgs {
		msgs[i].Data = make([]byte, size)
	}
	return msgs
}

// TestBatch sends messages of all sizes in batches of all sizes.
func TestBatch(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, streams := range []bool{false, true} {
			t.Run(fmt.Sprintf("streams=%v", streams), func(t *testing.T) {
				watchdog(t, func() { testBatch(t, network, streams) })
			})
		}
	})
}

func testBatch(t *testing.T, network string, streams bool) {
	c, s := pipe(t, network, "127.0.0.1:0")
	if streams {
		for _, c := range []*sctpnet.Conn{c, s} {
			if _, err := c.Stream(5); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	const rounds = 300 / conformance.Slowness
	var want [][]byte
	var sent []sctpnet.Message
	for range rounds {
		for range r.IntN(150) {
			b := make([]byte, 1+r.IntN(1<<r.IntN(16)))
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			want = append(want, b)
			sent = append(sent, sctpnet.Message{Data: b, Info: sctpnet.MsgInfo{Stream: uint16(r.IntN(3)), PPID: r.Uint32()}})
		}
	}
	writing := make(chan error, 1)
	go func() {
		for rest := sent; len(rest) > 0; {
			k := min(len(rest), 1+r.IntN(200))
			n, err := c.WriteMsgs(rest[:k])
			if err != nil || n != k {
				writing <- fmt.Errorf("WriteMsgs of %d messages: %d, %v", k, n, err)
				return
			}
			rest = rest[k:]
		}
		writing <- nil
	}()
	byStream := make(map[uint16][]int)
	for i, m := range sent {
		byStream[m.Info.Stream] = append(byStream[m.Info.Stream], i)
	}
	most := 0
	for got := 0; got < len(want); {
		msgs := batchOf(1+rand.IntN(100), 64<<10)
		n, err := s.ReadMsgs(msgs)
		if err != nil || n == 0 {
			t.Fatalf("ReadMsgs: %d, %v", n, err)
		}
		most = max(most, n)
		for _, m := range msgs[:n] {
			id := m.Info.Stream
			if len(byStream[id]) == 0 {
				t.Fatalf("a message too many on stream %d", id)
			}
			i := byStream[id][0]
			byStream[id] = byStream[id][1:]
			if !bytes.Equal(m.Data[:m.N], want[i]) || m.Info.PPID != sent[i].Info.PPID || m.Info.More {
				t.Fatalf("message %d: %d bytes, %+v; want %d bytes, %+v", i, m.N, m.Info, len(want[i]), sent[i].Info)
			}
			got++
		}
	}
	if err := <-writing; err != nil {
		t.Error(err)
	}
	if most < 2 {
		t.Error("no batch was of more than one message")
	}
}

// TestBatchShortData checks that nothing is lost where a message is larger than
// the memory to read it into, and where that differs.
func TestBatchShortData(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		watchdog(t, func() {
			c, s := pipe(t, network, "127.0.0.1:0")
			r := rand.New(rand.NewPCG(3, 4))
			var want []byte
			total := 0
			for range 200 {
				b := make([]byte, 1+r.IntN(5000))
				for i := range b {
					b[i] = byte(r.Uint32())
				}
				want = append(want, b...)
				total++
				if n, err := c.WriteMsgs([]sctpnet.Message{{Data: b}}); n != 1 || err != nil {
					t.Fatalf("WriteMsgs: %d, %v", n, err)
				}
				// Some wait in the queue, so that they come in batches.
				if total%20 != 0 {
					continue
				}
				for len(want) > 0 {
					msgs := batchOf(1+r.IntN(20), 1)
					for i := range msgs {
						msgs[i].Data = make([]byte, 1+r.IntN(3000))
					}
					n, err := s.ReadMsgs(msgs)
					if err != nil {
						t.Fatal(err)
					}
					for _, m := range msgs[:n] {
						if m.N == 0 || m.N > len(want) || !bytes.Equal(m.Data[:m.N], want[:m.N]) {
							t.Fatalf("%d bytes are not those that were sent", m.N)
						}
						want = want[m.N:]
						if !m.Info.More {
							total--
						}
					}
				}
				if total != 0 {
					t.Fatalf("%d messages too few were ended", total)
				}
			}
		})
	})
}

// TestBatchErrors checks what batches say of a message that cannot be sent, and
// that those before it have gone.
func TestBatchErrors(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		watchdog(t, func() {
			c, s := pipe(t, network, "127.0.0.1:0")
			out, _ := c.NumStreams()
			hello := sctpnet.Message{Data: []byte("hello")}
			for _, tt := range []struct {
				name  string
				bad   sctpnet.Message
				cause error
			}{
				{"empty", sctpnet.Message{}, nil},
				{"stream", sctpnet.Message{Data: []byte("x"), Info: sctpnet.MsgInfo{Stream: out}}, syscall.EINVAL},
				{"large", sctpnet.Message{Data: make([]byte, c.MaxMessageSize()+1)}, syscall.EMSGSIZE},
				{"TTL", sctpnet.Message{Data: []byte("x"), Info: sctpnet.MsgInfo{TTL: -1}}, nil},
			} {
				n, err := c.WriteMsgs([]sctpnet.Message{hello, hello, tt.bad, hello})
				if n != 2 || err == nil || tt.cause != nil && !errors.Is(err, tt.cause) {
					t.Errorf("%s: WriteMsgs returned %d, %v; want 2 and an error around %v", tt.name, n, err, tt.cause)
				}
				wantBytes(t, s, []byte("hellohello"))
			}
			if n, err := c.WriteMsgs(nil); n != 0 || err != nil {
				t.Errorf("WriteMsgs of nothing: %d, %v", n, err)
			}
			if n, err := s.ReadMsgs(nil); n != 0 || err != nil {
				t.Errorf("ReadMsgs into nothing: %d, %v", n, err)
			}
			if n, err := s.ReadMsgs(make([]sctpnet.Message, 1)); n != 0 || !errors.Is(err, syscall.EINVAL) {
				t.Errorf("ReadMsgs without memory: %d, %v", n, err)
			}
		})
	})
}

// TestBatchDeadlines checks that batches wait no longer than they may, and give
// what there is.
func TestBatchDeadlines(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		watchdog(t, func() {
			c, s := smallPipe(t, network)
			s.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
			if n, err := s.ReadMsgs(batchOf(3, 10)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("ReadMsgs: %d, %v", n, err)
			}
			s.SetReadDeadline(time.Time{})

			msgs := batchOf(10_000, 1000) // more than the buffers hold
			c.SetWriteDeadline(time.Now().Add(time.Second))
			n, err := c.WriteMsgs(msgs)
			if n == 0 || n == len(msgs) || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("WriteMsgs: %d, %v", n, err)
			}
			for got := 0; got < n; {
				k, err := s.ReadMsgs(batchOf(64, 1000))
				if err != nil {
					t.Fatalf("after %d of %d messages: %v", got, n, err)
				}
				got += k
			}
			s.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			if k, err := s.ReadMsgs(batchOf(1, 1000)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("more messages than were sent: %d, %v", k, err)
			}
		})
	})
}

// TestBatchEnds checks that batches end as Read and Write do.
func TestBatchEnds(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, abort := range []bool{false, true} {
			t.Run(fmt.Sprintf("abort=%v", abort), func(t *testing.T) {
				watchdog(t, func() {
					for range 50 {
						c, s := pipe(t, network, "127.0.0.1:0")
						call := conformance.Start(t, func() (int, error) { return s.ReadMsgs(batchOf(64, 100)) })
						call.Waits()
						if _, err := c.WriteMsgs([]sctpnet.Message{{Data: []byte("x")}, {Data: []byte("y")}}); err != nil {
							t.Fatal(err)
						}
						got, err := call.Result()
						if err != nil {
							t.Fatal(err)
						}
						for ; got < 2; got++ {
							if _, err := s.Read(make([]byte, 1)); err != nil {
								t.Fatal(err)
							}
						}
						if abort {
							c.Abort()
						} else {
							c.Close()
						}
						for range 3 {
							n, err := s.ReadMsgs(batchOf(64, 100))
							if n != 0 || abort && !errors.Is(err, syscall.ECONNRESET) || !abort && err.Error() != "EOF" {
								t.Fatalf("ReadMsgs: %d, %v", n, err)
							}
						}
						if abort {
							if n, err := s.WriteMsgs([]sctpnet.Message{{Data: []byte("x")}}); n != 0 || err == nil {
								t.Fatalf("WriteMsgs after the end: %d, %v", n, err)
							}
						}
						s.Close()
					}
				})
			})
		}
	})
}

// TestBatchReaders has several read batches of messages that come in pieces, as
// they do where the window is small.
func TestBatchReaders(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8))
		ln := listenWith(t, network, "127.0.0.1:0", sctpnet.ListenConfig{Config: sctpnet.Config{ReadBuffer: 100_000}})
		c := dial(t, nil, network, ln.Addr().String())
		s := accept(t, ln)
		const size = 60_000
		count := 3000 / conformance.Slowness
		if overUDP(network) {
			count = 300 / min(conformance.Slowness, 2) // a small window is slow there
		}
		watchdog(t, func() {
			go func() {
				for i := range count {
					b := bytes.Repeat([]byte{byte(1 + i%250)}, size)
					if _, err := c.WriteMsgs([]sctpnet.Message{{Data: []byte{byte(1 + i%250)}}, {Data: b}}); err != nil {
						return
					}
				}
				c.Shutdown()
			}()
			var wg sync.WaitGroup
			var mu sync.Mutex
			bad, total := 0, 0
			for range 8 {
				wg.Go(func() {
					msgs := batchOf(4, size+100_000)
					for {
						n, err := s.ReadMsgs(msgs)
						mu.Lock()
						total += n
						for _, m := range msgs[:n] {
							d := m.Data[:m.N]
							if m.Info.More || len(d) != 1 && len(d) != size || len(bytes.Trim(d, string(d[:1]))) != 0 {
								if bad++; bad < 5 {
									t.Errorf("a message of %d bytes, first %d, last %d, more %v", len(d), d[0], d[len(d)-1], m.Info.More)
								}
							}
						}
						mu.Unlock()
						if err != nil {
							return
						}
					}
				})
			}
			wg.Wait()
			if total != 2*count {
				t.Errorf("%d messages, want %d", total, 2*count)
			}
		})
	})
}

// TestBatchAbort has the peer abort while a batch is being sent: sendmmsg then
// returns how many were, and keeps to itself why there were no more.
func TestBatchAbort(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		const rounds = 50 / conformance.Slowness
		for i := range rounds {
			c, s := pipe(t, network, "127.0.0.1:0")
			watchdog(t, func() {
				go io.Copy(io.Discard, s)
				go func() {
					time.Sleep(time.Duration(5+i%10) * time.Millisecond)
					s.Abort()
				}()
				msgs := batchOf(64, 1000)
				for {
					if _, err := c.WriteMsgs(msgs); err != nil {
						break
					}
				}
				_, err := c.Read(make([]byte, 10))
				wantError(t, "Read", err, syscall.ECONNRESET)
			})
		}
	})
}

// TestBatchBesideBegunMessage reads a batch when one message is there and the next
// one has begun. The first one has its own length.
func TestBatchBesideBegunMessage(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		c, s := configured(t, network, "127.0.0.1:0", sctpnet.Config{WriteBuffer: 1 << 20}, sctpnet.Config{ReadBuffer: 100_000})
		watchdog(t, func() {
			st, err := c.Status()
			if err != nil {
				t.Fatal(err)
			}
			large := bytes.Repeat([]byte("large"), 30_000) // more than the window
			if _, err := c.WriteMsg([]byte("four"), sctpnet.MsgInfo{}); err != nil {
				t.Fatal(err)
			}
			write := conformance.Start(t, func() (int, error) { return c.WriteMsg(large, sctpnet.MsgInfo{}) })
			eventually(t, "the window to fill", func() bool {
				now, err := c.Status()
				return err != nil || now.PeerWindow < st.PeerWindow/2
			})
			got := make([]byte, 0, len(large))
			msgs := []sctpnet.Message{{Data: make([]byte, 10)}, {Data: make([]byte, 20)}}
			n, err := s.ReadMsgs(msgs)
			if err != nil || string(msgs[0].Data[:msgs[0].N]) != "four" || msgs[0].Info.More {
				t.Fatalf("read %d messages, the first %q, more=%v, %v", n, msgs[0].Data[:msgs[0].N], msgs[0].Info.More, err)
			}
			for _, m := range msgs[1:n] {
				got = append(got, m.Data[:m.N]...)
			}
			p := make([]byte, 64<<10)
			for len(got) < len(large) {
				k, _, err := s.ReadMsg(p)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, p[:k]...)
			}
			if !bytes.Equal(got, large) {
				t.Error("the second message is not what was sent")
			}
			if n, err := write.Result(); n != len(large) || err != nil {
				t.Errorf("wrote %d bytes, %v", n, err)
			}
		})
	})
}

// TestBatchDeadlineInMessage has the read deadline pass in the middle of a message:
// ReadMsgs returns the part that has arrived, and later the rest.
func TestBatchDeadlineInMessage(t *testing.T) {
	watchdog(t, func() {
		p, ln := newCrasher(t, sctpnet.ListenConfig{Config: sctpnet.Config{PartialDeliveryPoint: 1}})
		client := p.dial(t)
		s := accept(t, ln)
		// The first flight gets there, and no acknowledgement of it back.
		p.peer.netem(t, "link1", "loss 100%")
		sent := bytes.Repeat([]byte("m"), 40<<10)
		if _, err := client.WriteMsg(sent, sctpnet.MsgInfo{Stream: 2, PPID: 7}); err != nil {
			t.Fatal(err)
		}
		var got []byte
		read := func() (more bool, err error) {
			ms := []sctpnet.Message{{Data: make([]byte, 64<<10)}, {Data: make([]byte, 64<<10)}}
			n, err := s.ReadMsgs(ms)
			if err != nil {
				return true, err
			}
			if m := ms[0]; n != 1 || m.Info.Stream != 2 || m.Info.PPID != 7 {
				t.Errorf("read %d messages, the first is %+v", n, m.Info)
			}
			got = append(got, ms[0].Data[:ms[0].N]...)
			return ms[0].Info.More, nil
		}
		for len(got) == 0 {
			s.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			if more, err := read(); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			} else if !more || len(got) == len(sent) {
				t.Fatalf("read %d bytes of %d, which are all", len(got), len(sent))
			}
		}
		s.SetReadDeadline(time.Time{})
		p.peer.heal(t, "link1")
		for more := true; more; {
			var err error
			if more, err = read(); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, sent) {
			t.Errorf("read %d bytes, want the %d that were sent", len(got), len(sent))
		}
	})
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

// A reception is messages of a peer that are read as they come.
type reception struct {
	p      *crasher
	client *sctpnet.Conn
	events *recorder                     // the client's
	stats  func() (sctpnet.Stats, error) // of the end that receives
	all    func() []string               // the messages so far
}

// patient is the Config of a client that sends nothing again for a while.
func patient(events *recorder) sctpnet.Config {
	config := events.config()
	config.RTO = sctpnet.RTO{Initial: 1500 * time.Millisecond, Min: 1500 * time.Millisecond, Max: 2 * time.Second}
	return config
}

// onConn makes a reception whose messages read returns, of a Conn.
func onConn(read func(t *testing.T, c *sctpnet.Conn) func() ([]byte, error)) func(t *testing.T, config sctpnet.Config) *reception {
	return func(t *testing.T, config sctpnet.Config) *reception {
		r := &reception{events: newRecorder("sctp4")}
		var ln *sctpnet.Listener
		r.p, ln = newCrasher(t, sctpnet.ListenConfig{Config: config})
		r.p.dialer.Config = patient(r.events)
		r.client = r.p.dial(t)
		c := accept(t, ln)
		r.stats = c.Stats
		next := read(t, c)
		var mu sync.Mutex
		var messages []string
		r.all = func() []string {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(messages)
		}
		var reading sync.WaitGroup
		reading.Go(func() {
			for {
				b, err := next()
				if err != nil {
					return
				}
				mu.Lock()
				messages = append(messages, string(b))
				mu.Unlock()
			}
		})
		t.Cleanup(func() {
			c.Close()
			reading.Wait()
		})
		return r
	}
}

// onPacketConn makes a reception of a PacketConn.
func onPacketConn(t *testing.T, config sctpnet.Config) *reception {
	p, c, d := keepDiary(t, "sctp", config)
	events := newRecorder("sctp4")
	p.dialer.Config = patient(events)
	client := p.dial(t)
	return &reception{p, client, events, statsOf(t, c, client), func() []string {
		return slices.DeleteFunc(d.of("6000"), func(e string) bool { return strings.HasPrefix(e, "is ") })
	}}
}

// TestMessageGivenUp has a peer give up a message, ordered or not, after a part of it
// was received: more of it was sent and lost, or not. Whole messages are read, and
// nothing of that one.
func TestMessageGivenUp(t *testing.T) {
	needNetwork(t, "sctp4")
	for name, receive := range map[string]func(t *testing.T, config sctpnet.Config) *reception{
		"PacketConn": onPacketConn,
		"ReadMessage": onConn(func(t *testing.T, c *sctpnet.Conn) func() ([]byte, error) {
			return func() ([]byte, error) {
				b, _, err := c.ReadMessage(1 << 20)
				return b, err
			}
		}),
		"ReadMsg": onConn(func(t *testing.T, c *sctpnet.Conn) func() ([]byte, error) {
			p := make([]byte, 1<<20)
			return func() ([]byte, error) {
				for {
					// The rest of what does not fill p was given up.
					if n, info, err := c.ReadMsg(p); err != nil || !info.More {
						return p[:n], err
					}
				}
			}
		}),
		"ReadMsgs": onConn(func(t *testing.T, c *sctpnet.Conn) func() ([]byte, error) {
			ms := batchOf(4, 1<<20)
			var left []sctpnet.Message
			return func() ([]byte, error) {
				for {
					if len(left) == 0 {
						n, err := c.ReadMsgs(ms)
						if err != nil {
							return nil, err
						}
						left = ms[:n]
					}
					m := left[0]
					if left = left[1:]; !m.Info.More {
						return m.Data[:m.N], nil
					}
				}
			}
		}),
		"Stream": onConn(func(t *testing.T, c *sctpnet.Conn) func() ([]byte, error) {
			s := claim(t, c, 1)
			return func() ([]byte, error) {
				b, _, err := s.ReadMessage(1 << 20)
				return b, err
			}
		}),
	} {
		for _, tt := range []struct {
			unordered, lost bool
			next            int // bytes
		}{{false, true, 10}, {true, true, 20_000}, {true, false, 10}} {
			t.Run(fmt.Sprintf("%s/Unordered=%v,lost=%v", name, tt.unordered, tt.lost), func(t *testing.T) {
				// If the machine is busy the message may arrive. And now and then Linux keeps
				// to itself all that follows one that was given up, though it has
				// acknowledged it.
				for attempt := 1; !giveUpPartly(t, receive, tt.unordered, tt.lost, tt.next); attempt++ {
					if attempt == 5 {
						t.Fatal("what follows does not arrive")
					}
				}
			})
		}
	}
}

// giveUpPartly is one try of TestMessageGivenUp. It reports whether what was sent last
// arrives.
func giveUpPartly(t *testing.T, receive func(t *testing.T, config sctpnet.Config) *reception, unordered, lost bool, next int) (arrives bool) {
	watchdog(t, func() {
		r := receive(t, sctpnet.Config{PartialDeliveryPoint: 1000})
		defer r.client.Abort()
		info := sctpnet.MsgInfo{Stream: 1, Unordered: unordered}
		send := func(b byte, size int) string {
			t.Helper()
			m := bytes.Repeat([]byte{b}, size)
			if _, err := r.client.WriteMsg(m, info); err != nil {
				t.Error(err)
			}
			return string(m)
		}
		want := []string{send('o', 10)}
		eventually(t, "the first message", func() bool { return slices.Equal(r.all(), want) })
		arrived(t, r.client)
		control := func() uint64 { return controlReceived(t, r.stats) }
		before := control()

		info.TTL = 200 * time.Millisecond
		givenUp := func() { send('a', 100_000) }
		if lost {
			// The first flight arrives. What is on its way then is dropped. If the lifetime
			// ended before, Linux would drop the rest and tell nobody.
			info.TTL = time.Second
			r.p.ns.netem(t, "link1", "delay 300ms")
			var sending sync.WaitGroup // with one processor a WriteMsg lets the reader read
			awaitPart(t, r.stats, func() { sending.Go(givenUp) })
			r.p.ns.heal(t, "link1")
			sending.Wait()
		} else {
			r.p.sendPart(t, r.stats, givenUp)
		}
		within := func(ok func() bool) bool {
			deadline := time.Now().Add(5 * time.Second * conformance.Slowness)
			for !ok() && time.Now().Before(deadline) {
				time.Sleep(ms)
			}
			return ok()
		}
		if !within(func() bool { return control() > before }) {
			return
		}
		if !lost {
			r.p.peer.heal(t, "link1")
		}
		await[sctpnet.SendFailedEvent](t, r.events, nil)

		info.TTL = 0
		want = append(want, send('b', next), send('c', next))
		arrives = within(func() bool {
			all := r.all()
			return all[len(all)-1] == want[len(want)-1]
		})
		if all := r.all(); arrives && !slices.Equal(all, want) {
			for _, m := range all {
				t.Errorf("read %d bytes, of them %d of what was given up: %.20q", len(m), bytes.Count([]byte(m), []byte("a")), m)
			}
		}
	})
	return arrives
}

// controlReceived counts chunks that are neither data nor an acknowledgement, such as
// FORWARD TSN.
func controlReceived(t *testing.T, stats func() (sctpnet.Stats, error)) uint64 {
	t.Helper()
	st, err := stats()
	if err != nil {
		t.Fatal(err)
	}
	return st.ControlReceived - st.SACKsReceived
}

// TestMessageGivenUpBeforeRead has a peer give up an unordered message after a part of it
// has arrived, and send others, while nobody reads. With Config.Interleaving each has a
// number, by which they are told apart. Otherwise Linux does not tell.
func TestMessageGivenUpBeforeRead(t *testing.T) {
	needNetwork(t, "sctp4")
	for _, packets := range []bool{false, true} {
		t.Run(fmt.Sprintf("PacketConn=%v", packets), func(t *testing.T) {
			for attempt := 1; !giveUpUnread(t, packets); attempt++ {
				if attempt == 5 { // as in TestMessageGivenUp
					t.Fatal("what follows does not arrive")
				}
			}
		})
	}
}

// giveUpUnread is one try of TestMessageGivenUpBeforeRead. It reports whether what was
// sent last arrives.
func giveUpUnread(t *testing.T, packets bool) (arrives bool) {
	watchdog(t, func() {
		a, b := linksFor(t, "sctp")
		for _, ns := range []*netns{a, b} {
			ns.do(t, func() error { return os.WriteFile("/proc/sys/net/sctp/intl_enable", []byte("1"), 0) })
		}
		events := newRecorder("sctp4")
		server := linkAddr(2, 5000).String()
		p := &crasher{"sctp", a, b, sctpnet.Dialer{LocalAddr: linkAddr(1, 6000), Config: patient(events)}, server}
		p.dialer.Config.Interleaving = true
		lc := sctpnet.ListenConfig{Config: sctpnet.Config{PartialDeliveryPoint: 1000, Interleaving: true}}
		var client *sctpnet.Conn
		var stats func() (sctpnet.Stats, error)
		var read func(by time.Time) (string, error)
		if packets {
			var c *sctpnet.PacketConn
			b.do(t, func() error {
				pc, err := lc.ListenPacket(t.Context(), "sctp", server)
				if err == nil {
					c = pc.(*sctpnet.PacketConn)
				}
				return err
			})
			defer c.Close()
			client = p.dial(t)
			buf := make([]byte, 1<<20)
			read = func(by time.Time) (string, error) {
				c.SetReadDeadline(by)
				n, _, err := c.ReadFrom(buf)
				return string(buf[:n]), err
			}
			write(t, client, "first")
			if m, err := read(time.Time{}); m != "first" || err != nil {
				t.Fatalf("read %q, %v", m, err)
			}
			stats = statsOf(t, c, client)
		} else {
			ln := b.listenOn(t, "sctp", lc, server)
			client = p.dial(t)
			c := accept(t, ln)
			read = func(by time.Time) (string, error) {
				c.SetReadDeadline(by)
				m, _, err := c.ReadMessage(1 << 20)
				return string(m), err
			}
			stats = c.Stats
		}
		defer client.Abort()
		send := func(b byte, size int, ttl time.Duration) string {
			t.Helper()
			m := bytes.Repeat([]byte{b}, size)
			if _, err := client.WriteMsg(m, sctpnet.MsgInfo{Stream: 1, Unordered: true, TTL: ttl}); err != nil {
				t.Fatal(err)
			}
			return string(m)
		}
		arrived(t, client)
		before := controlReceived(t, stats)
		p.sendPart(t, stats, func() { send('a', 100_000, 200*time.Millisecond) })
		by := time.Now().Add(5 * time.Second * conformance.Slowness)
		for controlReceived(t, stats) == before {
			if time.Now().After(by) {
				return
			}
			time.Sleep(ms)
		}
		p.peer.heal(t, "link1")
		await[sctpnet.SendFailedEvent](t, events, nil)
		want := []string{send('b', 10, 0), send('c', 10, 0)}
		for by = time.Now().Add(5 * time.Second * conformance.Slowness); len(want) > 0; want = want[1:] {
			m, err := read(by)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return
			}
			if m != want[0] || err != nil {
				t.Errorf("read %d bytes, of them %d of what was given up, %v", len(m), strings.Count(m, "a"), err)
			}
		}
		arrives = true
	})
	return arrives
}
