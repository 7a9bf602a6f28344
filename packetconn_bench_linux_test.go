package sctpnet_test

import (
	"errors"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
)

// BenchmarkPacketConn sends messages of 1 KB, one after the other, each of which is
// answered: by a PacketConn, by a Conn, and by UDP.
func BenchmarkPacketConn(b *testing.B) {
	const size = 1 << 10
	exchange := func(b *testing.B, ask, answer func(p []byte) error) {
		p := make([]byte, 2*size)
		b.SetBytes(2 * size)
		for b.Loop() {
			if err := ask(p[:size]); err != nil {
				b.Fatal(err)
			}
			if err := answer(p); err != nil {
				b.Fatal(err)
			}
		}
	}
	packets := func(b *testing.B, a, c net.PacketConn, to net.Addr) {
		exchange(b, func(p []byte) error { _, err := a.WriteTo(p, to); return err }, func(p []byte) error {
			n, from, err := c.ReadFrom(p)
			if err == nil {
				_, err = c.WriteTo(p[:n], from)
			}
			if err == nil {
				_, _, err = a.ReadFrom(p)
			}
			return err
		})
	}
	for _, network := range []string{"sctp", "sctp+udp"} {
		b.Run("PacketConn/"+network, func(b *testing.B) {
			x, y := listenPacket(b, nil, network, "127.0.0.1:0"), listenPacket(b, nil, network, "127.0.0.1:0")
			packets(b, x, y, packetConnect(b, x, y.LocalAddr()))
		})
		b.Run("Conn/"+network, func(b *testing.B) {
			c, s := pipe(b, network, "127.0.0.1:0")
			exchange(b, func(p []byte) error { _, err := c.WriteMsg(p, sctpnet.MsgInfo{}); return err }, func(p []byte) error {
				n, _, err := s.ReadMsg(p)
				if err == nil {
					_, err = s.WriteMsg(p[:n], sctpnet.MsgInfo{})
				}
				if err == nil {
					_, _, err = c.ReadMsg(p)
				}
				return err
			})
		})
	}
	b.Run("UDP", func(b *testing.B) {
		x, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer x.Close()
		y, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer y.Close()
		packets(b, x, y, y.LocalAddr())
	})
}

// BenchmarkPacketConnPeers makes 10,000 associations, between 100 sockets and 100
// others, or between 10,000 pairs of Conns. It reports the memory that each takes, of
// both ends, and how many messages of 100 bytes a second go when each association has
// one each way. UDP, which has no associations, does the same.
func BenchmarkPacketConnPeers(b *testing.B) {
	for _, network := range []string{"sctp", "sctp+udp"} {
		b.Run("PacketConn/"+network, func(b *testing.B) {
			needNetwork(b, network)
			packetPeers(b, func() net.PacketConn { return listenPacket(b, nil, network, "127.0.0.1:0") },
				func(c net.PacketConn, to net.Addr) net.Addr {
					a, err := c.(*sctpnet.PacketConn).Connect(b.Context(), to.String())
					if err != nil {
						b.Error(err)
					}
					return a
				})
		})
		b.Run("Conn/"+network, func(b *testing.B) {
			needNetwork(b, network)
			connPeers(b, network)
		})
	}
	b.Run("UDP", func(b *testing.B) {
		packetPeers(b, func() net.PacketConn {
			c, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { c.Close() })
			return c
		}, func(_ net.PacketConn, to net.Addr) net.Addr { return to })
	})
}

// peersSockets are how many sockets of each side there are.
const peersSockets = 100

const peersMessage = 100

// packetPeers is BenchmarkPacketConnPeers for PacketConns.
func packetPeers(b *testing.B, listen func() net.PacketConn, connect func(c net.PacketConn, to net.Addr) net.Addr) {
	before := memory(b)
	var clients, servers []net.PacketConn
	for range peersSockets {
		clients, servers = append(clients, listen()), append(servers, listen())
	}
	peers := make([][]net.Addr, peersSockets)
	each(clients, func(i int, c net.PacketConn) {
		for _, s := range servers {
			peers[i] = append(peers[i], connect(c, s.LocalAddr()))
		}
	})
	for _, s := range servers {
		go func() {
			p := make([]byte, 2*peersMessage)
			for {
				n, from, err := s.ReadFrom(p)
				if err == nil {
					_, err = s.WriteTo(p[:n], from)
				}
				if err != nil {
					return
				}
			}
		}()
	}
	measurePeers(b, before, func() {
		each(clients, func(i int, c net.PacketConn) {
			p := make([]byte, 2*peersMessage)
			for _, to := range peers[i] {
				if _, err := c.WriteTo(p[:peersMessage], to); err != nil {
					b.Error(err)
				}
			}
			c.SetReadDeadline(time.Now().Add(time.Minute))
			for range peers[i] {
				if _, _, err := c.ReadFrom(p); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

// connPeers is BenchmarkPacketConnPeers for Conns.
func connPeers(b *testing.B, network string) {
	before := memory(b)
	ln := listen(b, network, "127.0.0.1:0")
	accepted := make(chan struct{}, peersSockets*peersSockets)
	go func() {
		defer close(accepted)
		for {
			c, err := ln.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				b.Error(err)
				return
			}
			b.Cleanup(func() { c.Close() })
			accepted <- struct{}{}
			go func() {
				p := make([]byte, 2*peersMessage)
				for {
					n, err := c.Read(p)
					if err == nil {
						_, err = c.Write(p[:n])
					}
					if err != nil {
						return
					}
				}
			}()
		}
	}()
	clients := make([][]net.Conn, peersSockets)
	turns := make(chan struct{}, 8) // with more at once the backlog would be full
	each(clients, func(i int, _ []net.Conn) {
		for range peersSockets {
			turns <- struct{}{}
			c, err := sctpnet.Dial(network, ln.Addr().String())
			if err == nil {
				<-accepted
			}
			<-turns
			if err != nil {
				b.Error(err)
				return
			}
			b.Cleanup(func() { c.Close() })
			clients[i] = append(clients[i], c)
		}
	})
	measurePeers(b, before, func() {
		each(clients, func(_ int, conns []net.Conn) {
			p := make([]byte, 2*peersMessage)
			for _, c := range conns {
				if _, err := c.Write(p[:peersMessage]); err != nil {
					b.Error(err)
				}
			}
			for _, c := range conns {
				if _, err := c.Read(p); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

// each runs f for all elements at the same time.
func each[T any](list []T, f func(i int, v T)) {
	var wg sync.WaitGroup
	for i, v := range list {
		wg.Go(func() { f(i, v) })
	}
	wg.Wait()
}

// measurePeers measures the memory that there is more than before, after one exchange
// of all, and how fast exchanges are.
func measurePeers(b *testing.B, before usage, exchange func()) {
	const n = peersSockets * peersSockets
	exchange()
	now := memory(b)
	for b.Loop() {
		exchange()
	}
	b.ReportMetric((now.program-before.program)/n, "Go-bytes/assoc")
	b.ReportMetric((before.free-now.free)/n, "system-bytes/assoc")
	b.ReportMetric(2*n*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

// A usage is the memory of the program, and what the system has free.
type usage struct{ program, free float64 }

// memory returns the memory in use: the heap and the stacks, and the system's.
func memory(b *testing.B) usage {
	b.Helper()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	info, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(info)) {
		if f := strings.Fields(line); f[0] == "MemAvailable:" {
			kb, err := strconv.ParseFloat(f[1], 64)
			if err != nil {
				b.Fatal(err)
			}
			return usage{float64(m.HeapAlloc + m.StackInuse), kb * 1024}
		}
	}
	b.Fatal("no MemAvailable")
	return usage{}
}
