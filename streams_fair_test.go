package sctpnet_test

import (
	"bytes"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// TestBulkLeavesRoom has streams write much to a peer that does not read: others
// can still write a little.
func TestBulkLeavesRoom(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		client, server := smallPipe(t, network)
		watchdog(t, func() {
			small, smallPeer := streamPair(t, client, server)
			const size = 4 << 20
			var writes []*conformance.Call
			var peers []io.Reader
			for range 3 {
				c, s := streamPair(t, client, server)
				peers = append(peers, s)
				writes = append(writes, conformance.Start(t, func() (int, error) { return c.Write(make([]byte, size)) }))
			}
			// They wait for room, though not for the first that they meet.
			conformance.WaitFor(t, "the send buffer to fill", func() bool {
				before, err := client.Stats()
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(300 * time.Millisecond) // longer than any timer
				after, err := client.Stats()
				if err != nil {
					t.Fatal(err)
				}
				return before.OrderedSent == after.OrderedSent
			})
			for _, w := range writes {
				w.Waits()
			}
			want := bytes.Repeat([]byte("little"), 200)
			const times = 3
			for range times {
				small.SetWriteDeadline(time.Now().Add(atOnce))
				if _, err := small.Write(want); err != nil {
					t.Fatal("beside bulk:", err)
				}
			}
			for _, s := range peers {
				go io.Copy(io.Discard, s)
			}
			got := make([]byte, len(want))
			for range times {
				if _, err := io.ReadFull(smallPeer, got); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("read %q, %v", got, err)
				}
			}
			for _, w := range writes {
				if n, err := w.Result(); n != size || err != nil {
					t.Errorf("wrote %d of %d, %v", n, size, err)
				}
			}
		})
	})
}

// TestFairSmall has several streams send small messages as fast as they can. With
// one processor for both ends the kernel's reader must have its turn: if it has
// not, the window overflows and everything waits for retransmissions. With more
// processors a window fills and overflows now and then, as Linux sends a chunk
// into a window of 0, and loses it.
func TestFairSmall(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, streams := range []int{4, 16} {
			c, s := pipe(t, network, "127.0.0.1:0")
			const count = 20_000 / conformance.Slowness
			watchdog(t, func() {
				var fs []func() error
				for range streams {
					a, b := streamPair(t, c, s)
					fs = append(fs, func() error {
						for range count / streams {
							if _, err := a.Write(make([]byte, 64)); err != nil {
								return err
							}
						}
						return a.CloseWrite()
					}, func() error {
						n, err := io.Copy(io.Discard, b)
						if n != int64(count/streams*64) {
							t.Errorf("stream %d: %d bytes", b.ID(), n)
						}
						return err
					})
				}
				together(t, []*sctpnet.Conn{c, s}, fs...)
			})
			st, err := c.Stats()
			if err != nil {
				t.Fatal(err)
			}
			takesTurns := !overUDP(network) && runtime.GOMAXPROCS(0) == 1
			if takesTurns && st.Retransmitted > count/50 { // it was every eighth
				t.Errorf("%d streams: %d of %d messages were retransmitted", streams, st.Retransmitted, count)
			}
		}
	})
}
