package sctpnet_test

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/sctpnet/sctpnet"
)

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
