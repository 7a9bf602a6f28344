package sctpnet_test

import (
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
)

// TestShortMessageBesideStalledBulk has two streams send so much that their messages are
// large, and then their readers stop. Short messages of another stream find the room that
// is left for them, also in a small send buffer.
func TestShortMessageBesideStalledBulk(t *testing.T) {
	const read = 8 << 20 // of each, if the other one does not stop before
	eachEngine(t, func(t *testing.T, network string) {
		for _, size := range []int{100 << 10, 300 << 10} {
			ln := listen(t, network, "127.0.0.1:0")
			c := dial(t, &sctpnet.Dialer{Config: sctpnet.Config{WriteBuffer: size}}, network, ln.Addr().String())
			s := accept(t, ln)
			short, _ := streamPair(t, c, s)
			var sent atomic.Int64
			for range 2 {
				w, r := streamPair(t, c, s)
				go func() {
					for err := error(nil); err == nil; {
						var n int
						n, err = w.Write(ballast()[:100_000])
						sent.Add(int64(n))
					}
				}()
				go io.CopyN(io.Discard, r, read)
			}
			last := int64(-1)
			eventually(t, "a moment in which no bulk is sent", func() bool {
				time.Sleep(100 * time.Millisecond)
				before := last
				last = sent.Load()
				return last == before && last > read
			})
			short.SetWriteDeadline(time.Now().Add(30 * time.Second))
			for i := range 4 {
				if n, err := short.Write(ballast()[:1000]); err != nil {
					t.Errorf("of a send buffer of %d bytes, short message %d: %d, %v", size, i, n, err)
					break
				}
			}
			c.Abort()
			s.Abort()
		}
	})
}
