package udpencap

import (
	"io"
	"net"
	"testing"

	"github.com/sctpnet/sctpnet"
)

// links are the ways to connect two ends over the loopback interface: this package's,
// with packets as large as it makes them there and as on Ethernet, and TCP.
var links = []struct {
	name string
	make func(b *testing.B) (c1, c2 io.ReadWriteCloser)
}{
	{"udpencap", func(b *testing.B) (c1, c2 io.ReadWriteCloser) { return link(b, sctpnet.Config{}) }},
	{"udpencap1472", func(b *testing.B) (c1, c2 io.ReadWriteCloser) {
		return link(b, sctpnet.Config{PathParams: sctpnet.PathParams{MTU: 1500}})
	}},
	{"tcp", func(b *testing.B) (c1, c2 io.ReadWriteCloser) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer ln.Close()
		client, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		server, err := ln.Accept()
		if err != nil {
			b.Fatal(err)
		}
		return client, server
	}},
}

func link(b *testing.B, config sctpnet.Config) (c1, c2 io.ReadWriteCloser) {
	client, server, _, err := connPipe("sctp4+udp", "127.0.0.1:0", config)()
	if err != nil {
		b.Fatal(err)
	}
	return client, server
}

// BenchmarkBulk writes 64 KiB at a time.
func BenchmarkBulk(b *testing.B) { benchmarkBulk(b, 64<<10) }

// BenchmarkSmall writes 64 bytes at a time.
func BenchmarkSmall(b *testing.B) { benchmarkBulk(b, 64) }

func benchmarkBulk(b *testing.B, size int) {
	for _, l := range links {
		b.Run(l.name, func(b *testing.B) {
			c1, c2 := l.make(b)
			defer c1.Close()
			defer c2.Close()
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			go func() {
				buf := make([]byte, size)
				for range b.N {
					if _, err := c1.Write(buf); err != nil {
						b.Error(err)
						return
					}
				}
			}()
			buf := make([]byte, 64<<10)
			for left := b.N * size; left > 0; {
				n, err := c2.Read(buf)
				if err != nil {
					b.Fatal(err)
				}
				left -= n
			}
		})
	}
}

// BenchmarkPingPong sends 64 bytes there and back.
func BenchmarkPingPong(b *testing.B) {
	for _, l := range links {
		b.Run(l.name, func(b *testing.B) {
			c1, c2 := l.make(b)
			defer c1.Close()
			defer c2.Close()
			go func() {
				buf := make([]byte, 64)
				for {
					if _, err := c2.Read(buf); err != nil {
						return
					}
					if _, err := c2.Write(buf); err != nil {
						return
					}
				}
			}()
			buf := make([]byte, 64)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if _, err := c1.Write(buf); err != nil {
					b.Fatal(err)
				}
				if _, err := c1.Read(buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
