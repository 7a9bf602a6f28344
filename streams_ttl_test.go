package sctpnet_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// TestTTL has messages wait for a peer that does not read. Those that expire
// meanwhile are dropped, and no others.
func TestTTL(t *testing.T) {
	onMessengers(t, func(t *testing.T, c *sctpnet.Conn, m1, m2 messenger) {
		const (
			size = 16 << 10
			ttl  = 20 * time.Millisecond * conformance.Slowness
		)
		sent := 0
		send := func(b []byte, ttl time.Duration) {
			t.Helper()
			// Whether WriteMsg waits for the peer now does not matter here.
			m1.SetWriteDeadline(time.Now().Add(time.Second))
			if _, err := m1.WriteMsg(b, sctpnet.MsgInfo{TTL: ttl}); err != nil {
				t.Fatal(err)
			}
			sent++
		}
		full := func() bool { return status(t, c).RWND < size }
		for !full() {
			for !full() {
				send(ballast()[:size], 0)
			}
			time.Sleep(ttl) // what receives in the background may yet make room
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

// TestTTLPartial has a message expire of which a part was handed over already: it
// must not go on with the next message.
func TestTTLPartial(t *testing.T) {
	needSCTP(t)
	if os.Geteuid() != 0 {
		t.Skip("only root can make a network that loses packets")
	}
	if !inNetwork(t) {
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
	ln, err := (&sctpnet.ListenConfig{Config: sctpnet.Config{ReadBuffer: 30_000}}).Listen(t.Context(), "sctp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c := dial(t, nil, "sctp4", ln.Addr().String())
	s := accept(t, ln)
	watchdog(t, func() {
		if _, err := c.WriteMsg(bytes.Repeat([]byte("a"), 100_000), sctpnet.MsgInfo{Stream: 1, TTL: ttl}); err != nil {
			t.Fatal(err)
		}
		for status(t, c).RWND > 2000 {
			time.Sleep(ms)
		}
		if err := run("tc", "qdisc", "add", "dev", "lo", "root", "netem", "loss", "100%"); err != nil {
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
		if err := run("tc", "qdisc", "del", "dev", "lo", "root"); err != nil {
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
