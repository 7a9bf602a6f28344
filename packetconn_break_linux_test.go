package sctpnet_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
)

// TestPacketConnPortOutOfRange uses a port that is that of a peer but for bits that
// a port does not have.
func TestPacketConnPortOutOfRange(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		c, other := listenPacket(t, nil, network, "127.0.0.1:0"), listenPacket(t, nil, network, "127.0.0.1:0")
		packetConnect(t, c, other.LocalAddr())
		wrong := oneAddr("127.0.0.1", port(other.LocalAddr())+1<<16)
		if n, err := c.WriteTo([]byte("x"), wrong); err == nil || !strings.Contains(err.Error(), "65535") {
			t.Errorf("WriteTo: %d, %v; want an error that says which ports there are", n, err)
		}
		if err := c.Abort(wrong); err == nil {
			t.Error("Abort found a peer")
		}
		if len(c.Associations()) != 1 {
			t.Error("the association has ended")
		}
	})
}

// TestPacketConnShutdownOfHandshake shuts down an association that is being made.
// It is an error, and Connect learns what comes of it.
func TestPacketConnShutdownOfHandshake(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	silentNet(t)
	c := listenPacket(t, nil, "sctp4", ":0")
	silent := oneAddr(silent4, 9)
	watchdog(t, func() {
		connected := make(chan error)
		go func() { connected <- first(c.Connect(context.Background(), silent.String())) }()
		eventually(t, "the handshake has begun", func() bool { _, err := c.Status(silent); return err == nil })
		if err := c.Shutdown(silent); !errors.Is(err, syscall.EINPROGRESS) {
			t.Errorf("Shutdown: %v, want EINPROGRESS", err)
		}
		if err := c.Abort(silent); err != nil {
			t.Error(err)
		}
		if err := <-connected; err == nil {
			t.Error("Connect made an association with nobody")
		}
	})
}

// TestPacketConnConnectTogether has one of two calls of Connect to the same peer give
// up. The other one goes on.
func TestPacketConnConnectTogether(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	silentNet(t)
	config := sctpnet.Config{InitAttempts: 3, RTO: sctpnet.RTO{Initial: 300 * ms, Min: 300 * ms, Max: 300 * ms}}
	c := listenPacket(t, &sctpnet.ListenConfig{Config: config}, "sctp4", ":0")
	silent := oneAddr(silent4, 9)
	watchdog(t, func() {
		ctx, cancel := context.WithCancel(t.Context())
		one, two := make(chan error), make(chan error)
		go func() { one <- first(c.Connect(ctx, silent.String())) }()
		eventually(t, "the handshake has begun", func() bool { _, err := c.Status(silent); return err == nil })
		late := &lateContext{Context: t.Context(), asked: make(chan struct{})}
		go func() { two <- first(c.Connect(late, silent.String())) }()
		<-late.asked
		cancel()
		if err := <-one; !errors.Is(err, context.Canceled) {
			t.Errorf("the one that gave up: %v", err)
		}
		if err := <-two; !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("the other one: %v, want ETIMEDOUT", err)
		}
	})
}

// A lateContext tells when Connect waits: it has asked twice then whether it is over.
type lateContext struct {
	context.Context
	asked chan struct{}
	calls int
}

func (c *lateContext) Done() <-chan struct{} {
	if c.calls++; c.calls == 3 {
		close(c.asked)
	}
	return c.Context.Done()
}

// TestPacketConnRefusedOfBoth has WriteTo and Connect find at once that a peer
// refuses. Connect says so.
func TestPacketConnRefusedOfBoth(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		c := listenPacket(t, nil, network, "127.0.0.1:0")
		closed := listen(t, network, "127.0.0.1:0")
		closed.Close()
		watchdog(t, func() {
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					for ctx.Err() == nil {
						if _, err := c.WriteTo([]byte("x"), closed.Addr()); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			for range 200 {
				if _, err := c.Connect(t.Context(), closed.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("Connect: %v, want ECONNREFUSED", err)
					break
				}
			}
			cancel()
			wg.Wait()
		})
	})
}

// TestPacketConnConnectKeepsOrder has Connect receive messages of a peer and its end.
// The handler is told of the end once the messages were read.
func TestPacketConnConnectKeepsOrder(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		var mu sync.Mutex
		var seen []string
		add := func(s string) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, s)
		}
		var of int
		lc := sctpnet.ListenConfig{OnEvent: func(_ *sctpnet.PacketConn, peer *sctpnet.Addr, e sctpnet.Event) {
			if e, ok := e.(sctpnet.AssocEvent); ok && peer.Port == of {
				add(e.Change.String())
			}
		}}
		c := listenPacket(t, &lc, network, "127.0.0.1:0")
		other := listenPacket(t, nil, network, "127.0.0.1:0")
		client := dial(t, nil, network, c.LocalAddr().String())
		of = port(client.LocalAddr())
		watchdog(t, func() {
			client.Write([]byte("message"))
			arrived(t, client)
			peer := packetPeer(t, c, client.LocalAddr())
			client.Abort()
			eventually(t, "the abort has arrived", func() bool { _, err := c.Status(peer); return err != nil })
			packetConnect(t, c, other.LocalAddr())
			add(packetNext(t, c))
			eventually(t, "the end is told", func() bool {
				c.SetReadDeadline(time.Now().Add(20 * ms))
				c.ReadFrom(make([]byte, 10))
				mu.Lock()
				defer mu.Unlock()
				return len(seen) >= 3
			})
			if got := strings.Join(seen, " "); got != "up message lost" {
				t.Error(got)
			}
		})
	})
}

// TestPacketConnCloseWithKeptMessage closes with a message that Connect has received
// and nobody has read: its peer learns that.
func TestPacketConnCloseWithKeptMessage(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		c := listenPacket(t, nil, network, "127.0.0.1:0")
		other := listenPacket(t, nil, network, "127.0.0.1:0")
		client := dial(t, nil, network, c.LocalAddr().String())
		watchdog(t, func() {
			client.Write([]byte("message"))
			arrived(t, client)
			packetConnect(t, c, other.LocalAddr())
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if _, err := client.Read(make([]byte, 10)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("%v, want ECONNRESET", err)
			}
		})
	})
}

// TestPacketConnCloseInMessage closes in the middle of a message that was received in
// part: its peer learns that.
func TestPacketConnCloseInMessage(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		c := listenPacket(t, nil, network, "127.0.0.1:0")
		client := dial(t, nil, network, c.LocalAddr().String())
		watchdog(t, func() {
			client.Write([]byte("message"))
			if n, _, _, err := c.ReadMsg(make([]byte, 3)); n != 3 || err != nil {
				t.Fatal(n, err)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if _, err := client.Read(make([]byte, 10)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("%v, want ECONNRESET", err)
			}
		})
	})
}

// TestPacketConnSlowHandler has a handler that waits. Another ReadFrom obeys its
// deadline and Close.
func TestPacketConnSlowHandler(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		told, goOn := make(chan struct{}), make(chan struct{})
		var once sync.Once
		lc := sctpnet.ListenConfig{OnEvent: func(*sctpnet.PacketConn, *sctpnet.Addr, sctpnet.Event) {
			once.Do(func() {
				close(told)
				<-goOn
			})
		}}
		c := listenPacket(t, &lc, network, "127.0.0.1:0")
		dial(t, nil, network, c.LocalAddr().String())
		watchdog(t, func() {
			errs := make(chan error)
			read := func() { errs <- first(first2(c.ReadFrom(make([]byte, 10)))) }
			go read()
			<-told
			go read()
			c.SetReadDeadline(time.Now().Add(10 * ms))
			select {
			case err := <-errs:
				if !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error(err)
				}
			case <-time.After(10 * time.Second):
				t.Error("ReadFrom waits for the handler of another one, past the deadline")
				close(goOn)
				<-errs
				<-errs
				return
			}
			c.SetReadDeadline(time.Time{})
			go read()
			c.Close()
			if err := <-errs; !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
			close(goOn)
			<-errs
		})
	})
}

func first2(n int, _ net.Addr, err error) (int, error) { return n, err }

// TestPacketConnHandlerPanics has a handler that panics: reading goes on.
func TestPacketConnHandlerPanics(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		lc := sctpnet.ListenConfig{OnEvent: func(*sctpnet.PacketConn, *sctpnet.Addr, sctpnet.Event) { panic("handler") }}
		c := listenPacket(t, &lc, network, "127.0.0.1:0")
		client := dial(t, nil, network, c.LocalAddr().String())
		client.Write([]byte("message"))
		watchdog(t, func() {
			func() {
				defer func() {
					if r := recover(); r != "handler" {
						t.Errorf("%v", r)
					}
				}()
				c.ReadFrom(make([]byte, 10))
			}()
			if got := packetNext(t, c); got != "message" {
				t.Error(got)
			}
		})
	})
}

// TestPacketConnConnectToItself connects a PacketConn to its own address.
func TestPacketConnConnectToItself(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		c := listenPacket(t, nil, network, "127.0.0.1:0")
		other := listenPacket(t, nil, network, "127.0.0.1:0")
		watchdog(t, func() {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			a, err := c.Connect(ctx, c.LocalAddr().String())
			t.Log("itself:", a, err)
			if err == nil {
				packetAsk(t, c, a, "to itself")
			}
			packetConnect(t, c, other.LocalAddr())
		})
	})
}

// TestPacketConnAddrForms writes to a peer by all forms of its address.
func TestPacketConnAddrForms(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		network = ofEngine(network, "sctp")
		c := listenPacket(t, nil, network, ":0")
		four, six := listenPacket(t, nil, network, "127.0.0.1:0"), listenPacket(t, nil, network, "[::1]:0")
		watchdog(t, func() {
			for _, a := range []*sctpnet.Addr{
				oneAddr("127.0.0.1", port(four.LocalAddr())),
				{IPAddrs: []net.IPAddr{{IP: net.IPv4(127, 0, 0, 1).To4()}}, Port: port(four.LocalAddr())},
				oneAddr("::ffff:127.0.0.1", port(four.LocalAddr())),
			} {
				packetSend(t, c, a, four)
			}
			packetSend(t, c, oneAddr("::1", port(six.LocalAddr())), six)
			if n := len(c.Associations()); n != 2 {
				t.Errorf("%d associations, want 2", n)
			}
		})
	})
}

func packetSend(t *testing.T, c *sctpnet.PacketConn, a *sctpnet.Addr, to *sctpnet.PacketConn) {
	t.Helper()
	text := fmt.Sprint(a)
	if _, err := c.WriteTo([]byte(text), a); err != nil {
		t.Errorf("%v: %v", a, err)
	} else if got := packetNext(t, to); got != text {
		t.Errorf("%q, want %q", got, text)
	}
}

// TestPacketConnAddrOfAnother connects to a peer by a list with an address that is
// not the peer's. What is written to that address goes to the peer that has it. Over
// UDP there are no lists.
func TestPacketConnAddrOfAnother(t *testing.T) {
	const network = "sctp4"
	c := listenPacket(t, nil, network, "127.0.0.9:0")
	one := listenPacket(t, nil, network, "127.0.0.1:0")
	two := listenPacket(t, nil, network, fmt.Sprintf("127.0.0.2:%d", port(one.LocalAddr())))
	watchdog(t, func() {
		both := oneAddr("127.0.0.1", port(one.LocalAddr()))
		both.IPAddrs = append(both.IPAddrs, oneAddr("127.0.0.2", 0).IPAddrs...)
		packetConnect(t, c, both)
		packetSend(t, c, oneAddr("127.0.0.2", port(one.LocalAddr())), two)
		packetSend(t, c, oneAddr("127.0.0.1", port(one.LocalAddr())), one)
	})
}

// TestPacketConnConnectBound has Connect wait while a peer floods with the shortest
// messages, and nobody reads. What is kept has a bound, and all of it can be read.
func TestPacketConnConnectBound(t *testing.T) {
	const most = 20_000
	if !inOwnNetwork(t) {
		return
	}
	silentNet(t)
	c := listenPacket(t, &sctpnet.ListenConfig{Config: sctpnet.Config{ReadBuffer: 64 << 10}}, "sctp4", ":0")
	client := dial(t, nil, "sctp4", fmt.Sprintf("127.0.0.1:%d", port(c.LocalAddr())))
	watchdog(t, func() {
		ctx, cancel := context.WithCancel(t.Context())
		connected, sent := make(chan error), make(chan int)
		go func() { connected <- first(c.Connect(ctx, oneAddr(silent4, 9).String())) }()
		go func() {
			n := 0
			for ; n < most; n++ {
				client.SetWriteDeadline(time.Now().Add(300 * ms))
				if _, err := client.Write([]byte("x")); err != nil {
					break
				}
			}
			sent <- n
		}()
		n := <-sent
		if n == most {
			t.Error("Connect keeps as many messages as there come")
		}
		cancel()
		<-connected
		for range n {
			if got := packetNext(t, c); got != "x" {
				t.Fatalf("%q", got)
			}
		}
	})
}

// TestPacketConnRestartEmptiesBudget has a peer restart that has not read, so that the
// kernel drops what is queued for it. Its budget is free then, although another peer
// that does not read uses all that this one left.
func TestPacketConnRestartEmptiesBudget(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can cut links")
	}
	a, b := newLinks(t)
	var events peerEvents
	lc := sctpnet.ListenConfig{OnEvent: events.add, Config: sctpnet.Config{WriteBuffer: 400 << 10}}
	var c *sctpnet.PacketConn
	b.do(t, func() error {
		pc, err := lc.ListenPacket(t.Context(), "sctp", linkAddr(2, 5000).String())
		if err == nil {
			c = pc.(*sctpnet.PacketConn)
		}
		return err
	})
	defer c.Close()
	p := &crasher{"sctp", a, b, sctpnet.Dialer{LocalAddr: linkAddr(1, 6000), Config: sctpnet.Config{ReadBuffer: 8 << 10}}, linkAddr(2, 5000).String()}
	watchdog(t, func() {
		fill := func(peer *sctpnet.Addr) {
			for {
				c.SetWriteDeadline(time.Now().Add(500 * ms))
				if _, err := c.WriteTo(make([]byte, 1000), peer); err != nil {
					if !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Error(err)
					}
					break
				}
			}
			c.SetWriteDeadline(time.Time{})
		}
		first := p.dial(t)
		peer := packetPeer(t, c, first.LocalAddr())
		fill(peer)
		p.crash(t, first)
		second := p.dial(t)
		second.Write([]byte("second life"))
		if got := packetNext(t, c); got != "second life" {
			t.Errorf("%q", got)
		}
		if at, _ := events.has(sctpnet.AssocRestarted); at != peer {
			t.Fatalf("restarted: %v, want %v", at, peer)
		}
		silent := a.dialOn(t, "sctp", sctpnet.Dialer{LocalAddr: linkAddr(1, 7000), Config: sctpnet.Config{ReadBuffer: 8 << 10}}, p.server)
		fill(packetPeer(t, c, silent.LocalAddr()))
		c.SetWriteDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.WriteTo([]byte("answer"), peer); err != nil {
			t.Error(err)
		}
		second.SetReadDeadline(time.Now().Add(10 * time.Second))
		buf := make([]byte, 100)
		if n, err := second.Read(buf); string(buf[:n]) != "answer" || err != nil {
			t.Errorf("%q, %v", buf[:n], err)
		}
	})
}

// TestPacketConnForgetsPeers has many peers come and go while other calls ask for them:
// nothing of them stays.
func TestPacketConnForgetsPeers(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		c := listenPacket(t, nil, network, "127.0.0.1:0")
		ln := listen(t, network, "127.0.0.1:0")
		go func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				conn.(*sctpnet.Conn).Abort()
			}
		}()
		watchdog(t, func() {
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					if _, _, err := c.ReadFrom(make([]byte, 100)); errors.Is(err, net.ErrClosed) {
						return
					}
				}
			}()
			round := func(n int) uint64 {
				var wg sync.WaitGroup
				for range 4 {
					wg.Go(func() {
						for range n {
							c.WriteTo([]byte("x"), ln.Addr())
							c.Status(ln.Addr())
							c.Associations()
						}
					})
				}
				wg.Wait()
				eventually(t, "no association is there", func() bool { return len(c.Associations()) == 0 })
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				return m.HeapAlloc
			}
			before := round(200)
			after := round(1000)
			t.Logf("%d bytes, then %d; %d goroutines", before, after, runtime.NumGoroutine())
			most := uint64(100 << 10)
			if overUDP(network) {
				most = 1 << 20 // a listener remembers so many cookies that were used
			}
			if after > before+most {
				t.Errorf("%d bytes are used, %d before", after, before)
			}
			ln.Close()
			c.Close()
			<-done
		})
	})
}

// TestPacketConnChaos does everything at once, and closes in the midst of it.
func TestPacketConnChaos(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		for range 2 {
			var events peerEvents
			c := listenPacket(t, &sctpnet.ListenConfig{OnEvent: events.add, Config: sctpnet.Config{WriteBuffer: 64 << 10}}, network, "127.0.0.1:0")
			var peers []*sctpnet.PacketConn
			for range 4 {
				p := listenPacket(t, nil, network, "127.0.0.1:0")
				packetEcho(t, p)
				peers = append(peers, p)
			}
			silent := listenPacket(t, nil, network, "127.0.0.1:0")
			targets := []net.Addr{silent.LocalAddr()}
			for _, p := range peers {
				targets = append(targets, p.LocalAddr())
			}
			watchdog(t, func() {
				var wg sync.WaitGroup
				again := func(f func(i int) error) {
					wg.Go(func() {
						for i := 0; ; i++ {
							if err := f(i); errors.Is(err, net.ErrClosed) {
								return
							}
						}
					})
				}
				for k := range 3 {
					again(func(i int) error {
						_, err := c.WriteTo(make([]byte, 1+i*997%20_000), targets[(i+k)%len(targets)])
						return err
					})
					again(func(int) error { _, _, err := c.ReadFrom(make([]byte, 3000)); return err })
				}
				again(func(i int) error {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%10)*ms)
					defer cancel()
					_, err := c.Connect(ctx, targets[i%len(targets)].String())
					return err
				})
				again(func(i int) error {
					conn, err := c.PeelOff(targets[i%len(targets)])
					if err == nil {
						conn.Write([]byte("peeled"))
						conn.SetReadDeadline(time.Now().Add(5 * ms))
						conn.Read(make([]byte, 10))
						conn.Close()
					}
					return err
				})
				again(func(i int) error { return c.Abort(targets[i%len(targets)]) })
				again(func(i int) error { return c.Shutdown(targets[i%len(targets)]) })
				again(func(i int) error {
					if i%100 == 0 {
						return c.SetDeadline(time.Now())
					}
					return c.SetDeadline(time.Now().Add(time.Second))
				})
				again(func(i int) error { c.Associations(); _, err := c.Paths(targets[i%len(targets)]); return err })
				eventually(t, "a hundred events", func() bool {
					events.mu.Lock()
					defer events.mu.Unlock()
					return len(events.list) > 100
				})
				c.Close()
				wg.Wait()
			})
		}
	})
}
