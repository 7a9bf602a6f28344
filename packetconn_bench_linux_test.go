package sctpnet_test

import (
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

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

// BenchmarkPacketConnIdle makes 10,000 associations, between 100 PacketConns and 100
// others, and reports what each costs, both ends of it.
func BenchmarkPacketConnIdle(b *testing.B) {
	const sockets = 100
	needNetwork(b, "sctp")
	for b.Loop() {
		heap, system := memory(b)
		var x, y []*sctpnet.PacketConn
		for range sockets {
			x = append(x, listenPacket(b, nil, "sctp", "127.0.0.1:0"))
			y = append(y, listenPacket(b, nil, "sctp", "127.0.0.1:0"))
		}
		var wg sync.WaitGroup
		for _, c := range x {
			wg.Go(func() {
				for _, to := range y {
					if _, err := c.Connect(b.Context(), to.LocalAddr().String()); err != nil {
						b.Error(err)
					}
				}
			})
		}
		wg.Wait()
		heap2, system2 := memory(b)
		n := float64(sockets * sockets)
		b.ReportMetric((heap2-heap)/n, "Go-bytes/assoc")
		b.ReportMetric((system-system2)/n, "system-bytes/assoc")
		for _, c := range append(x, y...) {
			c.Close()
		}
	}
}

// memory returns the size of the heap, and of the memory that the system has free.
func memory(b *testing.B) (heap, free float64) {
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
			return float64(m.HeapAlloc), kb * 1024
		}
	}
	b.Fatal("no MemAvailable")
	return 0, 0
}
