package sctpnet_test

import (
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

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
