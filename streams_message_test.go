package sctpnet_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
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
