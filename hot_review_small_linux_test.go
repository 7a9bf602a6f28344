package sctpnet_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestReviewSmallOnStreams has several streams write small messages, both ends
// in one process: with one processor little messages take no turns.
func TestReviewSmallOnStreams(t *testing.T) {
	for _, streams := range []int{1, 4, 16} {
		for _, duplex := range []bool{false, true} {
			for _, size := range []int{64, 500} {
				t.Run(fmt.Sprint(streams, duplex, size), func(t *testing.T) {
					c, s := pipe(t, "sctp4", "127.0.0.1:0")
					watchdog(t, func() {
						var moved atomic.Int64
						var wg sync.WaitGroup
						start := time.Now()
						stop := start.Add(2 * time.Second)
						for range streams {
							x, y := streamPair(t, c, s)
							for range 2 {
								a, b := x, y
								wg.Go(func() {
									p := make([]byte, size)
									for time.Now().Before(stop) {
										if _, err := a.Write(p); err != nil {
											t.Error(err)
											return
										}
									}
									a.CloseWrite()
								})
								wg.Go(func() {
									p := make([]byte, 64<<10)
									for {
										n, err := b.Read(p)
										moved.Add(int64(n))
										if err != nil {
											return
										}
									}
								})
								if !duplex {
									break
								}
								x, y = y, x
							}
						}
						worst, last, lastAt := time.Duration(0), int64(0), start
						done := make(chan struct{})
						go func() { wg.Wait(); close(done) }()
						for busy := true; busy; {
							select {
							case <-done:
								busy = false
							case <-time.After(5 * time.Millisecond):
							}
							if m := moved.Load(); m != last {
								last, lastAt = m, time.Now()
							} else if time.Now().Before(stop) {
								worst = max(worst, time.Since(lastAt))
							}
						}
						a, _ := c.Stats()
						b, _ := s.Stats()
						t.Logf("%.2f MB/s in all, longest stall %v, in %v; retransmitted %d", float64(moved.Load())/1e6/time.Since(start).Seconds(), worst.Round(time.Millisecond), time.Since(start).Round(time.Millisecond), a.Retransmitted+b.Retransmitted)
					})
				})
			}
		}
	}
}
