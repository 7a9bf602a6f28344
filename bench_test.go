package sctpnet_test

import (
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/sctpnet/sctpnet"
)

// benchNetworks has the benchmarks run the same code over SCTP and over TCP.
var benchNetworks = []struct {
	name   string
	listen func(network, address string) (net.Listener, error)
	dial   func(network, address string) (net.Conn, error)
}{
	{"sctp", sctpnet.Listen, sctpnet.Dial},
	{"tcp", net.Listen, net.Dial},
}

func benchOver(b *testing.B, bench func(b *testing.B, c, s net.Conn)) {
	for _, n := range benchNetworks {
		b.Run(n.name, func(b *testing.B) {
			ln, err := n.listen(n.name, "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer ln.Close()
			c, err := n.dial(n.name, ln.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			s, err := ln.Accept()
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			bench(b, c, s)
		})
	}
}

// BenchmarkThroughput writes one way for as long as it takes; it reports the
// rate at which the reader gets the bytes, and how many a Read returns.
func BenchmarkThroughput(b *testing.B) {
	for _, size := range []int{1 << 10, 8 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			benchOver(b, func(b *testing.B, c, s net.Conn) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				done := make(chan error, 1)
				p := make([]byte, size)
				b.ResetTimer()
				go func() {
					for range b.N {
						if _, err := c.Write(p); err != nil {
							done <- err
							return
						}
					}
					done <- nil
				}()
				buf := make([]byte, 256<<10)
				total, reads := 0, 0
				for total < b.N*size {
					n, err := s.Read(buf)
					if err != nil {
						b.Fatal(err)
					}
					total += n
					reads++
				}
				b.StopTimer()
				if err := <-done; err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(total)/float64(reads), "B/read")
			})
		})
	}
}

// BenchmarkPingPong sends 64 bytes there and back.
func BenchmarkPingPong(b *testing.B) {
	benchOver(b, func(b *testing.B, c, s net.Conn) {
		b.ReportAllocs()
		done := make(chan struct{})
		go func() {
			defer close(done)
			buf := make([]byte, 64)
			for range b.N {
				if _, err := io.ReadFull(s, buf); err != nil {
					b.Error(err)
					return
				}
				if _, err := s.Write(buf); err != nil {
					b.Error(err)
					return
				}
			}
		}()
		buf := make([]byte, 64)
		b.ResetTimer()
		for range b.N {
			if _, err := c.Write(buf); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(c, buf); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		<-done
	})
}

// BenchmarkReadWrite writes and reads one message in turn, without waiting.
func BenchmarkReadWrite(b *testing.B) {
	benchOver(b, func(b *testing.B, c, s net.Conn) {
		b.ReportAllocs()
		p := make([]byte, 1024)
		for b.Loop() {
			if _, err := c.Write(p); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(s, p); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkDial makes and ends one association after the other.
func BenchmarkDial(b *testing.B) {
	for _, n := range benchNetworks {
		b.Run(n.name, func(b *testing.B) {
			ln, err := n.listen(n.name, "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer ln.Close()
			for b.Loop() {
				c, err := n.dial(n.name, ln.Addr().String())
				if err != nil {
					b.Fatal(err)
				}
				s, err := ln.Accept()
				if err != nil {
					b.Fatal(err)
				}
				c.Close()
				s.Close()
			}
		})
	}
}
