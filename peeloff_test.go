package sctpnet_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/net/nettest"
)

// peeled makes an association of a Conn with a PacketConn, off which it is peeled.
func peeled(t testing.TB, lc *sctpnet.ListenConfig, network string) (client, server *sctpnet.Conn, c *sctpnet.PacketConn) {
	t.Helper()
	c = listenPacket(t, lc, network, "127.0.0.1:0")
	client = dial(t, nil, network, c.LocalAddr().String())
	server, err := c.PeelOff(packetPeer(t, c, client.LocalAddr()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return client, server, c
}

// TestPeelOff has a Conn that was peeled off carry bytes, messages and streams, and
// the rest go on.
func TestPeelOff(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		client, server, c := peeled(t, nil, network)
		other := dial(t, nil, network, c.LocalAddr().String())
		watchdog(t, func() {
			works(t, client, server)
			if server.LocalAddr().String() != c.LocalAddr().String() || server.RemoteAddr().String() != client.LocalAddr().String() {
				t.Errorf("between %v and %v, want %v and %v", server.LocalAddr(), server.RemoteAddr(), c.LocalAddr(), client.LocalAddr())
			}
			s, err := client.OpenStream()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Write([]byte("by stream")); err != nil {
				t.Fatal(err)
			}
			got, err := server.AcceptStream(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			p := make([]byte, 100)
			if n, err := got.Read(p); string(p[:n]) != "by stream" || err != nil {
				t.Errorf("%q, %v", p[:n], err)
			}
			if err := s.CloseWrite(); err != nil {
				t.Error(err)
			}
			if n, err := got.Read(p); err != io.EOF {
				t.Errorf("%d, %v; want the end", n, err)
			}
			back, err := server.OpenStream()
			if err != nil || back.ID()%2 != 1 {
				t.Errorf("%v, %v; want an odd number", back.ID(), err)
			}
			other.Write([]byte("other"))
			if got := packetNext(t, c); got != "other" {
				t.Errorf("%q, want other", got)
			}
		})
	})
}

// TestPeelOffGetsWhatWasNotRead peels off an association with messages in the socket,
// in the PacketConn, and partly read.
func TestPeelOffGetsWhatWasNotRead(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		var config sctpnet.Config
		if _, lacks := lacksOf(t, network).Find(engine.LacksSetting, "PartialDeliveryPoint"); !lacks {
			config.PartialDeliveryPoint = 1000
		}
		c := listenPacket(t, &sctpnet.ListenConfig{Config: config}, network, "127.0.0.1:0")
		client := dial(t, nil, network, c.LocalAddr().String())
		watchdog(t, func() {
			long := bytes.Repeat([]byte("0123456789"), 15_000) // fits the window
			for _, p := range [][]byte{[]byte("0123456789"), long, []byte("last")} {
				if _, err := client.WriteMsg(p, sctpnet.MsgInfo{}); err != nil {
					t.Fatal(err)
				}
			}
			arrived(t, client)
			p := make([]byte, 4)
			n, info, peer, err := c.ReadMsg(p)
			if string(p[:n]) != "0123" || !info.More || err != nil {
				t.Fatalf("%q, %+v, %v", p[:n], info, err)
			}
			// Connect keeps what comes for ReadFrom.
			ln := listen(t, network, "127.0.0.1:0")
			packetConnect(t, c, ln.Addr())
			server, err := c.PeelOff(peer)
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			for _, want := range [][]byte{[]byte("456789"), long, []byte("last")} {
				got, _, err := server.ReadMessage(1 << 20)
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("%d bytes, %v; want %d", len(got), err, len(want))
				}
			}
		})
	})
}

// TestPeelOffUnderLoad peels associations off while messages come: each is read once
// and in order, here or there.
func TestPeelOffUnderLoad(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		const clients, messages = 8, 2000
		c := listenPacket(t, nil, network, "127.0.0.1:0")
		watchdog(t, func() {
			// What was read of each client, by the PacketConn and by the Conn. Which of
			// the two goroutines comes first to tell of it is open.
			var mu sync.Mutex
			var here, there [clients][]uint32
			count := 0
			all := make(chan struct{})
			see := func(place *[clients][]uint32, p []byte) {
				mu.Lock()
				defer mu.Unlock()
				who, number := binary.BigEndian.Uint32(p), binary.BigEndian.Uint32(p[4:])
				place[who] = append(place[who], number)
				if count++; count == clients*messages {
					close(all)
				}
			}
			var wg sync.WaitGroup
			var writers sync.WaitGroup
			var conns []*sctpnet.Conn
			for who := range uint32(clients) {
				client := dial(t, nil, network, c.LocalAddr().String())
				conns = append(conns, client)
				writers.Go(func() {
					for number := range uint32(messages) {
						p := make([]byte, 8+int(number)%3000)
						binary.BigEndian.PutUint32(p, who)
						binary.BigEndian.PutUint32(p[4:], number)
						if _, err := client.WriteMsg(p, sctpnet.MsgInfo{}); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			wg.Go(func() {
				p := make([]byte, 4<<10)
				for {
					n, _, err := c.ReadFrom(p)
					if err != nil {
						if !errors.Is(err, net.ErrClosed) {
							t.Error(err)
						}
						return
					}
					see(&here, p[:n])
				}
			})
			for _, client := range conns {
				server, err := c.PeelOff(packetPeer(t, c, client.LocalAddr()))
				if err != nil {
					t.Fatal(err)
				}
				wg.Go(func() {
					defer server.Close()
					for {
						p, _, err := server.ReadMessage(4 << 10)
						if err != nil {
							if err != io.EOF {
								t.Error(err)
							}
							return
						}
						see(&there, p)
					}
				})
			}
			writers.Wait()
			<-all
			for _, client := range conns {
				client.Close()
			}
			c.Close()
			wg.Wait()
			for who := range clients {
				for i, number := range append(here[who], there[who]...) {
					if number != uint32(i) {
						t.Errorf("client %d: message %d comes in place of %d, after %d of %d in the PacketConn", who, number, i, len(here[who]), messages)
						break
					}
				}
			}
		})
	})
}

// TestPeelOffEnds ends associations in all ways, from both ends, with a Read that
// waits and one that comes later.
func TestPeelOffEnds(t *testing.T) {
	ends := map[string]struct {
		end  func(client, server *sctpnet.Conn) error
		want error
	}{
		"peer closes":    {func(c, s *sctpnet.Conn) error { return c.Close() }, io.EOF},
		"peer shuts":     {func(c, s *sctpnet.Conn) error { return c.Shutdown() }, io.EOF},
		"peer aborts":    {func(c, s *sctpnet.Conn) error { return c.Abort() }, syscall.ECONNRESET},
		"this end shuts": {func(c, s *sctpnet.Conn) error { return s.Shutdown() }, io.EOF},
		"Close":          {func(c, s *sctpnet.Conn) error { return s.Close() }, net.ErrClosed},
		"Abort":          {func(c, s *sctpnet.Conn) error { return s.Abort() }, net.ErrClosed},
		"deadline":       {func(c, s *sctpnet.Conn) error { return s.SetReadDeadline(time.Now().Add(10 * ms)) }, os.ErrDeadlineExceeded},
	}
	eachPacketEngine(t, func(t *testing.T, network string) {
		for name, e := range ends {
			for _, waits := range []bool{true, false} {
				for _, streams := range []bool{false, true} {
					t.Run(name, func(t *testing.T) {
						client, server, _ := peeled(t, nil, network)
						watchdog(t, func() {
							if streams {
								if _, err := server.Stream(3); err != nil {
									t.Fatal(err)
								}
							}
							if _, err := client.Write([]byte("data")); err != nil {
								t.Fatal(err)
							}
							read := func() error {
								got, err := io.ReadAll(io.LimitReader(server, 1000))
								if err == nil {
									err = io.EOF
								}
								if len(got) != 4 && len(got) != 0 {
									t.Errorf("read %q", got)
								}
								return err
							}
							p := make([]byte, 4)
							if _, err := io.ReadFull(server, p); err != nil {
								t.Fatal(err)
							}
							errs := make(chan error, 1)
							if waits {
								go func() { errs <- read() }()
								if err := e.end(client, server); err != nil {
									t.Fatal(err)
								}
							} else {
								if err := e.end(client, server); err != nil {
									t.Fatal(err)
								}
								go func() { errs <- read() }()
							}
							if err := <-errs; !errors.Is(err, e.want) {
								t.Errorf("waits %t, streams %t: %v, want %v", waits, streams, err, e.want)
							}
							if err := read(); !errors.Is(err, e.want) {
								t.Errorf("waits %t, streams %t, for the second time: %v, want %v", waits, streams, err, e.want)
							}
							if e.want != os.ErrDeadlineExceeded {
								_, err := server.Write([]byte("x"))
								for err == nil { // until the peer's end is known
									_, err = server.Write([]byte("x"))
								}
							}
						})
					})
				}
			}
		}
	})
}

// TestPeelOffWakesWriter has a Write that waits for room meet the end.
func TestPeelOffWakesWriter(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		for name, e := range map[string]struct {
			end  func(client, server *sctpnet.Conn) error
			want []error
		}{
			"peer aborts": {func(c, s *sctpnet.Conn) error { return c.Abort() }, []error{syscall.ECONNRESET, syscall.EPIPE}},
			"Close":       {func(c, s *sctpnet.Conn) error { return s.Close() }, []error{net.ErrClosed}},
			"deadline":    {func(c, s *sctpnet.Conn) error { return s.SetWriteDeadline(time.Now().Add(10 * ms)) }, []error{os.ErrDeadlineExceeded}},
		} {
			t.Run(name, func(t *testing.T) {
				client, server, _ := peeled(t, nil, network)
				watchdog(t, func() {
					errs := make(chan error, 2)
					go func() {
						for {
							if _, err := server.Write(make([]byte, 64<<10)); err != nil {
								errs <- err
								return
							}
						}
					}()
					eventually(t, "the peer's window is full", func() bool {
						st, err := server.Status()
						return err == nil && st.PeerWindow < 64<<10
					})
					go func() {
						_, err := server.Read(make([]byte, 10))
						errs <- err
					}()
					if err := e.end(client, server); err != nil {
						t.Fatal(err)
					}
					n := 2
					if name == "deadline" {
						n = 1
					}
					for range n {
						err := <-errs
						ok := false
						for _, want := range e.want {
							ok = ok || errors.Is(err, want)
						}
						if !ok {
							t.Errorf("%v, want one of %v", err, e.want)
						}
					}
				})
			})
		}
	})
}

// TestPeelOffEvents has the events of a Conn that was peeled off go to
// Config.OnEvent.
func TestPeelOffEvents(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		var before peerEvents
		var mu sync.Mutex
		ended := make(map[*sctpnet.Conn]bool)
		lc := &sctpnet.ListenConfig{OnEvent: before.add, Config: sctpnet.Config{OnEvent: func(c *sctpnet.Conn, e sctpnet.Event) {
			mu.Lock()
			defer mu.Unlock()
			if a, ok := e.(sctpnet.AssocEvent); ok && a.Change == sctpnet.AssocEnded {
				ended[c] = true
			}
		}}}
		client, server, _ := peeled(t, lc, network)
		watchdog(t, func() {
			client.Close()
			if _, err := server.Read(make([]byte, 1)); err != io.EOF {
				t.Error(err)
			}
			eventually(t, "the event that it has ended", func() bool {
				mu.Lock()
				defer mu.Unlock()
				return ended[server]
			})
			if peer, _ := before.has(sctpnet.AssocEnded); peer != nil {
				t.Errorf("the PacketConn was told that %v has ended", peer)
			}
		})
	})
}

// peeledPipe makes pairs with one end peeled off.
func peeledPipe(t *testing.T, network string) nettest.MakePipe {
	return func() (c1, c2 net.Conn, stop func(), err error) {
		pc, err := sctpnet.ListenPacket(network, "127.0.0.1:0")
		if err != nil {
			return nil, nil, nil, err
		}
		defer pc.Close()
		c := pc.(*sctpnet.PacketConn)
		return pipeBy(sctpnet.Dialer{}, network, c.LocalAddr(), func(a net.Addr) (net.Conn, error) {
			return c.PeelOff(packetPeer(t, c, a))
		})
	}
}

// TestPeelOffConn has a Conn that was peeled off be a net.Conn.
func TestPeelOffConn(t *testing.T) {
	t.Parallel() // it waits, most of the time
	eachPacketEngine(t, func(t *testing.T, network string) {
		mp := peeledPipe(t, network)
		t.Run("nettest", func(t *testing.T) { nettest.TestConn(t, mp) })
		t.Run("conformance", func(t *testing.T) { conformance.TestConn(t, mp, sendBuffer(t, mp)...) })
	})
}

// TestPeelOffSettings asks and sets what a Conn has, after it was peeled off.
func TestPeelOffSettings(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		asked := sctpnet.Config{RTO: sctpnet.RTO{Min: 300 * ms}, Adaptation: 77, PPID: 46, OutStreams: 9}
		client, server, _ := peeled(t, &sctpnet.ListenConfig{Config: asked}, network)
		config, err := server.Config()
		if err != nil || config.RTO.Min != 300*ms || config.Adaptation != 77 || config.PPID != 46 || config.OutStreams != 9 {
			t.Errorf("%+v, %v", config, err)
		}
		if err := server.Set(config); err != nil {
			t.Error(err)
		}
		if err := server.Set(sctpnet.Config{RTO: sctpnet.RTO{Min: 400 * ms}}); err != nil {
			t.Error(err)
		}
		if config, err := server.Config(); err != nil || config.RTO.Min != 400*ms {
			t.Errorf("%+v, %v", config.RTO, err)
		}
		if out, in := server.NumStreams(); out != 9 || in != 9 {
			t.Errorf("%d and %d streams, want 9", out, in)
		}
		if f, err := server.Features(); err != nil || !f.StreamReconfig {
			t.Errorf("%+v, %v", f, err)
		}
		if s, err := server.Status(); err != nil || s.State != sctpnet.StateEstablished {
			t.Errorf("%+v, %v", s, err)
		}
		watchdog(t, func() {
			if _, err := server.Write([]byte("x")); err != nil {
				t.Error(err)
			}
			if _, info, err := client.ReadMsg(make([]byte, 9)); err != nil || info.PPID != 46 {
				t.Errorf("%+v, %v", info, err)
			}
		})
	})
}

// TestPeelOffAfterRestart peels off an association whose peer has begun anew. What the
// Conn reads is of one life, and nothing else is lost.
func TestPeelOffAfterRestart(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		t.Run("NotReceived", func(t *testing.T) { testPeelOffBeforeRestart(t, network, false) })
		t.Run("InMessage", func(t *testing.T) { testPeelOffBeforeRestart(t, network, true) })
		t.Run("Kept", func(t *testing.T) { testPeelOffBehindRestart(t, network) })
	})
}

// newPacketCrasher is newCrasher with a PacketConn.
func newPacketCrasher(t testing.TB, network string) (*crasher, *sctpnet.PacketConn) {
	t.Helper()
	a, b := linksFor(t, network)
	server := linkAddr(2, 5000).String()
	var c net.PacketConn
	b.do(t, func() (err error) {
		c, err = sctpnet.ListenPacket(network, server)
		return err
	})
	t.Cleanup(func() { c.Close() })
	return &crasher{network, a, b, sctpnet.Dialer{LocalAddr: linkAddr(1, 6000)}, server}, c.(*sctpnet.PacketConn)
}

// testPeelOffBeforeRestart peels off what was not received up to the restart: the Conn
// is the life before, and the next one is aborted.
func testPeelOffBeforeRestart(t *testing.T, network string, inMessage bool) {
	watchdog(t, func() {
		p, c := newPacketCrasher(t, network)
		first := p.dial(t)
		say(t, first, "first life")
		peer, want := packetPeer(t, c, first.LocalAddr()), "first life"
		if inMessage {
			b := make([]byte, 6)
			if n, info, _, err := c.ReadMsg(b); string(b[:n]) != "first " || !info.More || err != nil {
				t.Fatalf("read %q, %+v, %v", b[:n], info, err)
			}
			want = "life"
		}
		p.crash(t, first)
		second := p.dial(t)
		say(t, second, "second life")
		var conn *sctpnet.Conn
		p.peer.do(t, func() (err error) {
			conn, err = c.PeelOff(peer)
			return err
		})
		defer conn.Close()
		wantLife(t, conn, want)
		wantReset(t, second)
		second.Close()
		say(t, p.dial(t), "third life")
		if got := packetNext(t, c); got != "third life" {
			t.Errorf("read %q, want the third life", got)
		}
	})
}

// testPeelOffBehindRestart peels off a life when Connect has kept messages of it and of
// the one before.
func testPeelOffBehindRestart(t *testing.T, network string) {
	watchdog(t, func() {
		p, c := newPacketCrasher(t, network)
		first := p.dial(t)
		say(t, first, "first life")
		peer := packetPeer(t, c, first.LocalAddr())
		p.crash(t, first)
		second := p.dial(t)
		say(t, second, "second life")
		p.peer.do(t, func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := c.Connect(ctx, linkAddr(3, 9).String())
			if err == nil {
				t.Error("connected to nobody")
			}
			return nil
		})
		var conn *sctpnet.Conn
		p.peer.do(t, func() (err error) {
			conn, err = c.PeelOff(peer)
			return err
		})
		defer conn.Close()
		b := make([]byte, 100)
		if n, err := conn.Read(b); string(b[:n]) != "second life" || err != nil {
			t.Errorf("read %q, %v; want the second life", b[:n], err)
		}
		exchange(t, second, conn)
		if got := packetNext(t, c); got != "first life" {
			t.Errorf("read %q, want the first life", got)
		}
	})
}

// TestPeelOffOfDialedAfterRestart peels off an association that this end has made, and
// the peer again: now that is the one that dialed.
func TestPeelOffOfDialedAfterRestart(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		watchdog(t, func() {
			p, c := newPacketCrasher(t, network)
			ln := p.ns.listenOn(t, network, sctpnet.ListenConfig{}, linkAddr(1, 6000).String())
			p.peer.do(t, func() error {
				packetConnect(t, c, ln.Addr())
				return nil
			})
			first := accept(t, ln)
			ln.Close()
			p.crash(t, first)
			second := p.dial(t)
			say(t, second, "second life")
			b := make([]byte, 100)
			n, peer, err := c.ReadFrom(b)
			if string(b[:n]) != "second life" || err != nil {
				t.Fatalf("read %q, %v", b[:n], err)
			}
			var conn *sctpnet.Conn
			p.peer.do(t, func() (err error) {
				conn, err = c.PeelOff(peer)
				return err
			})
			defer conn.Close()
			exchange(t, second, conn)
			s, err := conn.OpenStream()
			if errors.Is(err, errors.ErrUnsupported) {
				return // as the numbers of the life before are kept
			}
			if err != nil || s.ID()%2 != 1 {
				t.Errorf("opened %d, %v; want an odd number", s.ID(), err)
			}
		})
	})
}
