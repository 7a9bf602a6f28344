package sctpnet_test

import (
	"errors"
	"fmt"
	"io"
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

// BenchmarkCopy copies by io.Copy, from a reader to a writer that can do no more
// than that, by way of an association: by its ReadFrom and WriteTo, and without.
func BenchmarkCopy(b *testing.B) {
	type plainReader struct{ io.Reader }
	type plainWriter struct{ io.Writer }
	for _, short := range []bool{true, false} {
		b.Run(fmt.Sprintf("short=%v", short), func(b *testing.B) {
			c, s := pipe(b, "sctp", "127.0.0.1:0")
			var w io.Writer = c
			var r io.Reader = s
			if !short {
				w, r = plainWriter{c}, plainReader{s}
			}
			const size = 64 << 10
			b.SetBytes(size)
			go func() {
				io.Copy(w, plainReader{io.LimitReader(zeros{}, int64(b.N)*size)})
				c.Close()
			}()
			if n, err := io.Copy(plainWriter{io.Discard}, r); n != int64(b.N)*size || err != nil {
				b.Fatal(n, err)
			}
		})
	}
}

// zeros is a Reader without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// BenchmarkWriteBuffers writes a header and a body, together and one by one.
func BenchmarkWriteBuffers(b *testing.B) {
	for _, together := range []bool{true, false} {
		b.Run(fmt.Sprintf("together=%v", together), func(b *testing.B) {
			c, s := pipe(b, "sctp", "127.0.0.1:0")
			header, body := make([]byte, 20), make([]byte, 1000)
			b.SetBytes(int64(len(header) + len(body)))
			go func() {
				for range b.N {
					v := net.Buffers{header, body}
					if together {
						c.WriteBuffers(&v)
					} else {
						v.WriteTo(c)
					}
				}
				c.Close()
			}()
			if _, err := io.Copy(io.Discard, s); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkMsg sends and receives one message in turn, with its info.
func BenchmarkMsg(b *testing.B) {
	for _, m := range messengers {
		b.Run(m.name, func(b *testing.B) {
			c1, c2 := pipe(b, "sctp4", "127.0.0.1:0")
			m1, m2 := m.make(b, c1, c2)
			b.ReportAllocs()
			send := sendMsg(b, m1, m2)
			for b.Loop() {
				send()
			}
		})
	}
}

// BenchmarkStream writes and reads on one stream in turn.
func BenchmarkStream(b *testing.B) {
	c, s := pipe(b, "sctp4", "127.0.0.1:0")
	s1, s2 := streamPair(b, c, s)
	b.ReportAllocs()
	send := sendBytes(b, s1, s2)
	for b.Loop() {
		send()
	}
}

// BenchmarkBatch sends messages of 1 KiB one way, one at a time and in batches.
func BenchmarkBatch(b *testing.B) {
	b.Run("1", func(b *testing.B) {
		c, s := pipe(b, "sctp4", "127.0.0.1:0")
		p, q := make([]byte, 1024), make([]byte, 1024)
		benchMsgs(b, func(n int) (int, error) {
			_, err := c.WriteMsg(p, sctpnet.MsgInfo{})
			return 1, err
		}, func() (int, error) {
			_, _, err := s.ReadMsg(q)
			return 1, err
		})
	})
	b.Run("64", func(b *testing.B) {
		c, s := pipe(b, "sctp4", "127.0.0.1:0")
		p, q := batchOf(64, 1024), batchOf(64, 1024)
		benchMsgs(b, func(n int) (int, error) { return c.WriteMsgs(p[:min(n, 64)]) },
			func() (int, error) { return s.ReadMsgs(q) })
	})
}

// benchMsgs sends b.N messages. send sends up to n of them, and receive receives some.
func benchMsgs(b *testing.B, send func(n int) (int, error), receive func() (int, error)) {
	b.SetBytes(1024)
	b.ReportAllocs()
	go func() {
		for n := b.N; n > 0; {
			k, err := send(n)
			if err != nil {
				b.Error(err)
				return
			}
			n -= k
		}
	}()
	calls := 0
	for n := b.N; n > 0; calls++ {
		k, err := receive()
		if err != nil {
			b.Fatal(err)
		}
		n -= k
	}
	b.ReportMetric(float64(b.N)/float64(calls), "msgs/call")
}

// sendMsg returns a function that sends a message and receives it.
func sendMsg(t testing.TB, m1, m2 messenger) func() {
	p := make([]byte, 1024)
	return func() {
		info := sctpnet.MsgInfo{Stream: 3, PPID: 46}
		if _, err := m1.WriteMsg(p, info); err != nil {
			t.Fatal(err)
		}
		if _, info, err := m2.ReadMsg(p); err != nil || info.PPID != 46 {
			t.Fatal(info, err)
		}
	}
}

// sendBytes is the same for bytes.
func sendBytes(t testing.TB, w io.Writer, r io.Reader) func() {
	p := make([]byte, 1024)
	return func() {
		if _, err := w.Write(p); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(r, p); err != nil {
			t.Fatal(err)
		}
	}
}

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
				for range streams {
					s1, s2 := streamPair(b, c, s)
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

// BenchmarkPacketConn sends messages of 1 KB, one after the other. Each is
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
