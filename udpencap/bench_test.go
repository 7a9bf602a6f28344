package udpencap

import (
	"io"
	"net"
	"testing"

	"github.com/pion/sctp"
	"github.com/sctpnet/sctpnet"
)

// links are the ways to connect two ends over the loopback interface: this
// package's, TCP, and pion's own association on a UDP socket at each end, with
// packets as large as it takes and as large as this package's are on Ethernet.
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
	{"pion8192", func(b *testing.B) (c1, c2 io.ReadWriteCloser) { return pionLink(b, 8192) }},
	{"pion1472", func(b *testing.B) (c1, c2 io.ReadWriteCloser) { return pionLink(b, 1472) }},
}

func link(b *testing.B, config sctpnet.Config) (c1, c2 io.ReadWriteCloser) {
	client, server, _, err := connPipe("sctp4+udp", "127.0.0.1:0", config)()
	if err != nil {
		b.Fatal(err)
	}
	return client, server
}

// A pionStreamConn is one stream of an association of its own.
type pionStreamConn struct {
	*sctp.Stream
	assoc *sctp.Association
	low   chan struct{}
}

// Write does not leave more than a buffer in pion's queue, which has no end.
func (c pionStreamConn) Write(b []byte) (int, error) {
	for c.BufferedAmount() > 128<<10 {
		<-c.low
	}
	return c.Stream.Write(b)
}

func (c pionStreamConn) Close() error { return c.assoc.Close() }

func pionLink(b *testing.B, mtu uint32) (c1, c2 io.ReadWriteCloser) {
	var conns [2]*net.UDPConn
	for i := range conns {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: loopbackAddr[0].IP})
		if err != nil {
			b.Fatal(err)
		}
		conns[i] = c
	}
	to := [2]net.Addr{conns[1].LocalAddr(), conns[0].LocalAddr()}
	for i, c := range conns {
		// A connected socket, as pion wants one.
		local := c.LocalAddr().(*net.UDPAddr)
		c.Close()
		d, err := net.DialUDP("udp4", local, to[i].(*net.UDPAddr))
		if err != nil {
			b.Fatal(err)
		}
		d.SetReadBuffer(sockBuffer)
		d.SetWriteBuffer(sockBuffer)
		conns[i] = d
	}
	options := func(i int) []sctp.AssociationOption {
		return []sctp.AssociationOption{sctp.WithNetConn(conns[i]), sctp.WithMTU(mtu), sctp.WithLoggerFactory(silence{})}
	}
	accepted := make(chan *sctp.Association, 1)
	go func() {
		var o []sctp.ServerOption
		for _, v := range options(1) {
			o = append(o, v)
		}
		a, err := sctp.ServerWithOptions(o...)
		if err != nil {
			b.Error(err)
		}
		accepted <- a
	}()
	var o []sctp.ClientOption
	for _, v := range options(0) {
		o = append(o, v)
	}
	client, err := sctp.ClientWithOptions(o...)
	if err != nil {
		b.Fatal(err)
	}
	server := <-accepted
	wrap := func(a *sctp.Association) io.ReadWriteCloser {
		s, err := a.OpenStream(0, 51)
		if err != nil {
			b.Fatal(err)
		}
		c := pionStreamConn{s, a, make(chan struct{}, 1)}
		s.SetBufferedAmountLowThreshold(64 << 10)
		s.OnBufferedAmountLow(func() {
			select {
			case c.low <- struct{}{}:
			default:
			}
		})
		return c
	}
	return wrap(client), wrap(server)
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
