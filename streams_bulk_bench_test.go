package sctpnet_test

import (
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/sctpnet/sctpnet"
)

// BenchmarkBulk writes as fast as it can, on the Conn and on Streams.
func BenchmarkBulk(b *testing.B) {
	const size = 64 << 10
	for _, network := range []string{"sctp4", "sctp4+udp"} {
		for _, streams := range []int{0, 1, 4, 16} {
			name := fmt.Sprintf("%s/streams=%d", network, streams)
			if streams == 0 {
				name = network + "/conn"
			}
			b.Run(name, func(b *testing.B) {
				c, s := pipe(b, network, "127.0.0.1:0")
				from, to := []io.Writer{c}, []io.Reader{s}
				if streams > 0 {
					from, to = nil, nil
				}
				for id := range streams {
					s1, s2 := claimPair(b, c, s, uint16(id))
					from, to = append(from, s1), append(to, s2)
				}
				b.SetBytes(size)
				b.ReportAllocs()
				b.ResetTimer()
				var all sync.WaitGroup
				n := max(1, b.N/len(from))
				for i := range from {
					all.Go(func() {
						p := make([]byte, size)
						for range n {
							if _, err := from[i].Write(p); err != nil {
								b.Error(err)
								return
							}
						}
					})
					all.Go(func() {
						p := make([]byte, size)
						for rest := n * size; rest > 0; {
							k, err := to[i].Read(p)
							if err != nil {
								b.Error(err)
								return
							}
							rest -= k
						}
					})
				}
				all.Wait()
			})
		}
	}
}

// claimPair claims a stream at both ends.
func claimPair(b *testing.B, c, s *sctpnet.Conn, id uint16) (*sctpnet.Stream, *sctpnet.Stream) {
	b.Helper()
	s1, err := c.Stream(id)
	if err != nil {
		b.Fatal(err)
	}
	s2, err := s.Stream(id)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s1.Close(); s2.Close() })
	return s1, s2
}
