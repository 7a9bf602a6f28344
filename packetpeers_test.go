package sctpnet_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// TestPacketConnConnectWaits has Connect wait for a peer that does not answer, while
// others read, set deadlines and connect.
func TestPacketConnConnectWaits(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		host, silentPort := silentPeer(t, network)
		silent := oneAddr(host, silentPort)
		c, other := listenPacket(t, nil, network, ":0"), listenPacket(t, nil, network, "127.0.0.1:0")
		waits := func(ctx context.Context) <-chan error {
			t.Helper()
			done := make(chan error, 1)
			go func() { done <- first(c.Connect(ctx, silent.String())) }()
			eventually(t, "the handshake has begun", func() bool { _, err := c.Status(silent); return err == nil })
			return done
		}
		watchdog(t, func() {
			ctx, cancel := context.WithCancel(t.Context())
			canceled := waits(ctx)
			for _, by := range []time.Time{time.Now().Add(-time.Second), time.Now().Add(20 * ms)} {
				c.SetReadDeadline(by)
				if _, _, err := c.ReadFrom(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("%v, want the deadline's", err)
				}
			}
			peer, err := c.Connect(t.Context(), other.LocalAddr().String())
			if err != nil {
				t.Fatalf("after the deadline: %v", err)
			}
			if _, _, err := c.ReadFrom(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the deadline is forgotten: %v", err)
			}
			c.SetReadDeadline(time.Time{})
			for range 3 {
				got := make(chan string)
				go func() { got <- packetNext(t, c) }()
				if _, err := c.WriteTo([]byte("to"), peer); err != nil {
					t.Error(err)
				}
				p := make([]byte, 10)
				n, from, err := other.ReadFrom(p)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := other.WriteTo(p[:n], from); err != nil {
					t.Error(err)
				}
				if s := <-got; s != "to" {
					t.Errorf("read %q", s)
				}
			}
			select {
			case err := <-canceled:
				t.Fatalf("Connect has not waited: %v", err)
			default:
			}
			cancel()
			if err := <-canceled; !errors.Is(err, context.Canceled) {
				t.Errorf("%v, want that the context is over", err)
			}
			aborted := waits(t.Context())
			if err := c.Abort(silent); err != nil {
				t.Error(err)
			}
			if err := <-aborted; err == nil {
				t.Error("Connect made an association that was aborted")
			}
			closed := waits(t.Context())
			c.Close()
			if err := <-closed; !errors.Is(err, net.ErrClosed) {
				t.Errorf("%v, want that it is closed", err)
			}
		})
	})
}

// TestPacketConnConnectFails connects to peers that refuse and that are silent.
func TestPacketConnConnectFails(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		var events peerEvents
		lc := sctpnet.ListenConfig{OnEvent: events.add, Config: sctpnet.Config{InitAttempts: 2, RTO: sctpnet.RTO{Initial: 100 * ms, Min: 100 * ms, Max: 100 * ms}}}
		c := listenPacket(t, &lc, network, "127.0.0.1:0")
		closed := listen(t, network, "127.0.0.1:0")
		closed.Close()
		watchdog(t, func() {
			_, err := c.Connect(t.Context(), closed.Addr().String())
			var op *net.OpError
			if !errors.Is(err, syscall.ECONNREFUSED) || !errors.As(err, &op) || op.Op != "dial" || op.Addr.String() != closed.Addr().String() {
				t.Errorf("%v, want ECONNREFUSED", err)
			}
			peer, e := events.has(sctpnet.AssocNotMade)
			if peer == nil || peer.String() != closed.Addr().String() || !errors.Is(e.Err, syscall.ECONNREFUSED) {
				t.Errorf("event %v of %v", e, peer)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := c.Connect(ctx, closed.Addr().String()); !errors.Is(err, context.Canceled) {
				t.Errorf("%v, want that the context is over", err)
			}
		})
	})
}

// TestPacketConnBothConnect has two sockets make an association with each other at
// the same time: it is one. So it is if several goroutines want it.
func TestPacketConnBothConnect(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		watchdog(t, func() {
			for range 30 {
				a, b := listenPacket(t, nil, network, "127.0.0.1:0"), listenPacket(t, nil, network, "127.0.0.1:0")
				var wg sync.WaitGroup
				for range 3 {
					for _, p := range [][2]*sctpnet.PacketConn{{a, b}, {b, a}} {
						wg.Go(func() {
							peer, err := p[0].Connect(t.Context(), p[1].LocalAddr().String())
							if err != nil {
								t.Error(err)
								return
							}
							if _, err := p[0].WriteTo([]byte("hello"), peer); err != nil {
								t.Error(err)
							}
						})
					}
				}
				wg.Wait()
				for _, c := range []*sctpnet.PacketConn{a, b} {
					for range 3 {
						if got := packetNext(t, c); got != "hello" {
							t.Errorf("%q", got)
						}
					}
					if l := c.Associations(); len(l) != 1 {
						t.Errorf("associations %v", l)
					}
				}
				a.Close()
				b.Close()
			}
		})
	})
}

// TestPacketConnUnreadPeer has peers that do not read: writing to them waits, until
// the deadline, and others go on.
func TestPacketConnUnreadPeer(t *testing.T) {
	t.Parallel() // it waits, most of the time
	eachPacketEngine(t, testUnreadPeer)
}

func testUnreadPeer(t *testing.T, network string) {
	const silentPeers = 5
	config := sctpnet.Config{WriteBuffer: 200 << 10, ReadBuffer: 64 << 10}
	c := listenPacket(t, &sctpnet.ListenConfig{Config: config}, network, "127.0.0.1:0")
	reads := listenPacket(t, nil, network, "127.0.0.1:0")
	packetEcho(t, reads)
	for _, size := range []int{100, 3000, 60_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			watchdog(t, func() {
				var wg sync.WaitGroup
				for range silentPeers {
					silent := listenPacket(t, &sctpnet.ListenConfig{Config: config}, network, "127.0.0.1:0")
					peer := packetConnect(t, c, silent.LocalAddr())
					full := make(chan struct{})
					wg.Go(func() {
						last := time.AfterFunc(200*ms, func() { close(full) })
						for {
							_, err := c.WriteTo(make([]byte, size), peer)
							if err != nil {
								if !errors.Is(err, os.ErrDeadlineExceeded) {
									t.Error(err)
								}
								return
							}
							if last.Stop() {
								last.Reset(200 * ms)
							}
						}
					})
					<-full
				}
				for i := range 100 {
					packetAsk(t, c, reads.LocalAddr(), fmt.Sprint("message ", i))
				}
				packetAsk(t, c, reads.LocalAddr(), strings.Repeat("long", 10_000))
				c.SetWriteDeadline(time.Now().Add(10 * ms))
				wg.Wait()
				c.SetWriteDeadline(time.Time{})
				for _, peer := range c.Associations() {
					if port(peer) != port(reads.LocalAddr()) {
						c.Abort(peer)
					}
				}
			})
		})
	}
}

// TestPacketConnCloseWakesWriter has Close wake WriteTo to a peer that does not read.
func TestPacketConnCloseWakesWriter(t *testing.T) { eachPacketEngine(t, testCloseWakesWriter) }

func testCloseWakesWriter(t *testing.T, network string) {
	c := listenPacket(t, nil, network, "127.0.0.1:0")
	silent := listenPacket(t, nil, network, "127.0.0.1:0")
	watchdog(t, func() {
		peer := packetConnect(t, c, silent.LocalAddr())
		full, errs := make(chan struct{}), make(chan error)
		go func() {
			last := time.AfterFunc(100*ms, func() { close(full) })
			for {
				if _, err := c.WriteTo(make([]byte, 10_000), peer); err != nil {
					errs <- err
					return
				}
				if last.Stop() {
					last.Reset(100 * ms)
				}
			}
		}()
		<-full
		c.Close()
		if err := <-errs; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}

// TestPacketConnSilentPeer connects to an address where nobody answers.
func TestPacketConnSilentPeer(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	silentNet(t)
	var events peerEvents
	config := sctpnet.Config{InitAttempts: 2, RTO: sctpnet.RTO{Initial: 100 * ms, Min: 100 * ms, Max: 200 * ms}}
	c := listenPacket(t, &sctpnet.ListenConfig{Config: config, OnEvent: events.add}, "sctp4", ":0")
	watchdog(t, func() {
		if _, err := c.Connect(t.Context(), silent4+":9"); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("%v, want ETIMEDOUT", err)
		}
		peer, e := events.has(sctpnet.AssocNotMade)
		if peer == nil || peer.String() != silent4+":9" || !errors.Is(e.Err, syscall.ETIMEDOUT) || !strings.Contains(e.String(), "not made") {
			t.Errorf("event %v of %v", e, peer)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*ms)
		defer cancel()
		_, err := c.Connect(ctx, silent4+":10")
		var nerr net.Error
		if !errors.As(err, &nerr) || !nerr.Timeout() || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want the deadline's", err)
		}
		// What was given up is not in the way of the next attempt, nor of others.
		good := listenPacket(t, nil, "sctp4", own4+":0")
		if _, err := c.WriteTo([]byte("x"), oneAddr(silent4, 9)); err != nil {
			t.Errorf("WriteTo somebody silent: %v", err)
		}
		packetConnect(t, c, good.LocalAddr())
		if _, err := c.Connect(t.Context(), "203.0.113.1:9"); !errors.Is(err, syscall.ENETUNREACH) {
			t.Errorf("%v, want ENETUNREACH", err)
		}
	})
}

// TestPacketConnRestart has a peer vanish and begin anew: its Addr stays, the event
// is in order with the messages.
func TestPacketConnRestart(t *testing.T) {
	for _, network := range []string{"sctp", "sctp+udp"} {
		t.Run(network, func(t *testing.T) { testPacketRestart(t, network) })
	}
}

func testPacketRestart(t *testing.T, network string) {
	if os.Geteuid() != 0 {
		t.Skip("only root can cut links")
	}
	a, b := linksFor(t, network)
	type step struct {
		what string
		peer *sctpnet.Addr
	}
	steps := make(chan step, 10)
	lc := sctpnet.ListenConfig{OnEvent: func(_ *sctpnet.PacketConn, peer *sctpnet.Addr, e sctpnet.Event) {
		if e, ok := e.(sctpnet.AssocEvent); ok {
			steps <- step{e.Change.String(), peer}
		}
	}}
	var c *sctpnet.PacketConn
	b.do(t, func() error {
		pc, err := lc.ListenPacket(t.Context(), network, linkAddr(2, 5000).String())
		if err == nil {
			c = pc.(*sctpnet.PacketConn)
		}
		return err
	})
	defer c.Close()
	p := &crasher{network, a, b, sctpnet.Dialer{LocalAddr: linkAddr(1, 6000)}, linkAddr(2, 5000).String()}
	watchdog(t, func() {
		first := p.dial(t)
		first.Write([]byte("first life"))
		arrived(t, first)
		p.crash(t, first)
		second := p.dial(t)
		second.Write([]byte("second life"))
		var addrs []net.Addr
		for _, want := range []string{"first life", "second life"} {
			buf := make([]byte, 100)
			n, from, err := c.ReadFrom(buf)
			if string(buf[:n]) != want || err != nil {
				t.Fatalf("%q, %v; want %q", buf[:n], err, want)
			}
			addrs = append(addrs, from)
			s := <-steps
			if change := map[string]string{"first life": "up", "second life": "restarted"}[want]; s.what != change || s.peer != from {
				t.Errorf("before %s: %s of %v, want %s of %v", want, s.what, s.peer, change, from)
			}
		}
		if addrs[0] != addrs[1] {
			t.Errorf("the Addr is another one: %v and %v", addrs[0], addrs[1])
		}
		if _, err := c.WriteTo([]byte("answer"), addrs[0]); err != nil {
			t.Error(err)
		}
		buf := make([]byte, 100)
		if n, err := second.Read(buf); string(buf[:n]) != "answer" || err != nil {
			t.Errorf("%q, %v", buf[:n], err)
		}
	})
}

// TestPacketConnPeersThatEnd has peers abort and close, each with an event, while
// another goes on.
func TestPacketConnPeersThatEnd(t *testing.T) { eachPacketEngine(t, testPeersThatEnd) }

func testPeersThatEnd(t *testing.T, network string) {
	var events peerEvents
	c := listenPacket(t, &sctpnet.ListenConfig{OnEvent: events.add}, network, "127.0.0.1:0")
	aborts := dial(t, nil, network, c.LocalAddr().String())
	closes := dial(t, nil, network, c.LocalAddr().String())
	stays := dial(t, nil, network, c.LocalAddr().String())
	watchdog(t, func() {
		aborts.Write([]byte("last words"))
		arrived(t, aborts)
		gone := packetPeer(t, c, aborts.LocalAddr())
		aborts.Abort()
		eventually(t, "the abort has arrived", func() bool { _, err := c.Status(gone); return err != nil })
		closes.Close()
		if _, err := stays.Write([]byte("still here")); err != nil {
			t.Fatal(err)
		}
		if got := packetNext(t, c); got != "last words" {
			t.Errorf("%q", got)
		}
		if got := packetNext(t, c); got != "still here" {
			t.Errorf("%q", got)
		}
		c.SetReadDeadline(time.Now().Add(20 * ms))
		c.ReadFrom(make([]byte, 10)) // which receives the events
		peer, e := events.has(sctpnet.AssocLost)
		if peer != gone || e.Cause != sctpnet.CauseUserAbort {
			t.Errorf("lost: %v of %v, want %v", e, peer, gone)
		}
		eventually(t, "the event of the end", func() bool {
			c.SetReadDeadline(time.Now().Add(20 * ms))
			c.ReadFrom(make([]byte, 10))
			peer, _ := events.has(sctpnet.AssocEnded)
			return peer != nil && peer.Port == port(closes.LocalAddr())
		})
		if l := c.Associations(); len(l) != 1 || l[0].Port != port(stays.LocalAddr()) {
			t.Errorf("associations %v", l)
		}
		if _, err := c.WriteTo([]byte("x"), gone); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("%v, want EPIPE", err)
		}
	})
}

// TestPacketConnPiecesOfPeers has large messages of several peers come in pieces,
// side by side. Together they are more than the receive buffer holds.
func TestPacketConnPiecesOfPeers(t *testing.T) {
	const peers, messages, size = 4, 10, 100_000
	c := listenPacket(t, &sctpnet.ListenConfig{Config: sctpnet.Config{PartialDeliveryPoint: 500}}, "sctp", "127.0.0.1:0")
	watchdog(t, func() {
		var wg sync.WaitGroup
		for who := range peers {
			client := dial(t, nil, "sctp", c.LocalAddr().String())
			wg.Go(func() {
				for i := range messages {
					p := []byte(strings.Repeat(fmt.Sprint(who), size+i))
					if _, err := client.WriteMsg(p, sctpnet.MsgInfo{}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		count := make(map[int]int)
		p := make([]byte, 1<<20)
		for range peers * messages {
			n, from, err := c.ReadFrom(p)
			if err != nil {
				t.Fatal(err)
			}
			at := port(from)
			if n != size+count[at] || strings.Trim(string(p[:n]), string(p[:1])) != "" {
				t.Errorf("message %d of %v has %d bytes, or those of several", count[at], from, n)
			}
			count[at]++
		}
		wg.Wait()
	})
}

// TestPacketConnAutoClose has an idle association end.
func TestPacketConnAutoClose(t *testing.T) {
	c := listenPacket(t, &sctpnet.ListenConfig{AutoClose: time.Second}, "sctp", "127.0.0.1:0")
	idle := dial(t, nil, "sctp", c.LocalAddr().String())
	watchdog(t, func() {
		start := time.Now()
		if n, err := idle.Read(make([]byte, 1)); n != 0 || err == nil || err.Error() != "EOF" {
			t.Errorf("%d, %v; want the end", n, err)
		}
		if took := time.Since(start); took < 500*ms {
			t.Errorf("it took %v, want a second", took)
		}
	})
}

// TestPacketConnOnePeer asks and sets what is one association's.
func TestPacketConnOnePeer(t *testing.T) {
	c := listenPacket(t, nil, "sctp", "127.0.0.1/127.0.0.2:0")
	x, y := listenPacket(t, nil, "sctp", "127.0.0.1/127.0.0.3:0"), listenPacket(t, nil, "sctp", "127.0.0.1:0")
	watchdog(t, func() {
		px, py := packetConnect(t, c, x.LocalAddr()), packetConnect(t, c, y.LocalAddr())
		if err := c.Set(px, sctpnet.Config{OutStreams: 0, PathParams: sctpnet.PathParams{MTU: 1400}, RTO: sctpnet.RTO{Min: 700 * ms}}); err != nil {
			t.Fatal(err)
		}
		for peer, want := range map[*sctpnet.Addr]bool{px: true, py: false} {
			paths, err := c.Paths(peer)
			if err != nil || len(paths) != map[bool]int{true: 2, false: 1}[want] {
				t.Errorf("paths %v, %v", paths, err)
			}
			for _, p := range paths {
				if (p.MTU == 1400) != want {
					t.Errorf("the MTU to %v is %d", peer, p.MTU)
				}
			}
			if s, err := c.Status(peer); err != nil || s.State != sctpnet.StateEstablished || s.OutStreams != 256 || s.PeerWindow == 0 {
				t.Errorf("%+v, %v", s, err)
			}
		}
		// Any address of a peer finds it.
		for _, ip := range []string{"127.0.0.1", "127.0.0.3"} {
			if _, err := c.WriteTo([]byte(ip), oneAddr(ip, port(px))); err != nil {
				t.Error(err)
			}
			if got := packetNext(t, x); got != ip {
				t.Errorf("%q, want %q", got, ip)
			}
		}
		if n := len(c.Associations()); n != 2 {
			t.Errorf("%d associations", n)
		}
		sx, err := c.Stats(px)
		sy, yerr := c.Stats(py)
		if err != nil || yerr != nil || sx.OrderedSent != 2 || sy.OrderedSent != 0 {
			t.Errorf("%+v, %v; %+v, %v", sx, err, sy, yerr)
		}
		// The same at the other end.
		px2 := packetPeer(t, x, c.LocalAddr())
		for _, ip := range []string{"127.0.0.1", "127.0.0.2"} {
			if _, err := x.WriteTo([]byte(ip), oneAddr(ip, port(px2))); err != nil {
				t.Error(err)
			}
			p := make([]byte, 100)
			n, from, err := c.ReadFrom(p)
			if string(p[:n]) != ip || err != nil || from != net.Addr(px) {
				t.Errorf("%q from %v (%p), %v; want %p", p[:n], from, from, err, px)
			}
		}
		if _, err := c.WriteMsg([]byte("to"), sctpnet.MsgInfo{To: netip.MustParseAddr("127.0.0.3")}, px); err != nil {
			t.Error(err)
		}
		if got := packetNext(t, x); got != "to" {
			t.Errorf("%q", got)
		}
	})
}

// TestPacketConnForeignPeer has lksctp's one-to-many socket for a peer, which makes
// the association and which waits for it.
func TestPacketConnForeignPeer(t *testing.T) {
	needSCTP(t)
	c := listenPacket(t, nil, "sctp4", "127.0.0.1:0")
	watchdog(t, func() {
		in, _ := darn(t, "-P", "0", "-h", "127.0.0.1", "-p", fmt.Sprint(port(c.LocalAddr())), "-s")
		fmt.Fprintln(in, "hello")
		p := make([]byte, 100)
		n, from, err := c.ReadFrom(p)
		if err != nil || !strings.HasPrefix(string(p[:n]), "hello") {
			t.Errorf("%q from %v, %v", p[:n], from, err)
		}
		if _, err := c.WriteTo([]byte("answer"), from); err != nil {
			t.Error(err)
		}
		if err := c.Shutdown(from); err != nil {
			t.Error(err)
		}

		free := listenPacket(t, nil, "sctp4", "127.0.0.1:0")
		at := free.LocalAddr()
		free.Close()
		_, out := darn(t, "-P", fmt.Sprint(port(at)), "-l")
		var peer *sctpnet.Addr
		eventually(t, "sctp_darn listens", func() bool {
			peer, err = c.Connect(t.Context(), at.String())
			return err == nil
		})
		if _, err := c.WriteTo([]byte("to listen to\n"), peer); err != nil {
			t.Fatal(err)
		}
		for {
			line, err := out.ReadString('\n')
			if strings.Contains(line, "to listen to") {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

// lksctpSizes are those of the messages that sctp_test sends as its case 4.
var lksctpSizes = []int{1, 1000, 2000, 3000, 5000, 10000, 15000, 20000, 25000, 32768}

// lksctpMessage returns what sctp_test writes: the digits, and a NUL.
func lksctpMessage(size int) []byte {
	p := make([]byte, size)
	for i := range size - 1 {
		p[i] = byte('0' + i%50%10)
	}
	return p
}

// TestPacketConnAnswersLksctp has three of lksctp's one-to-many sockets make
// associations at the same time. They write messages of all sizes, and wait for an
// answer to each.
func TestPacketConnAnswersLksctp(t *testing.T) {
	needSCTP(t)
	c := listenPacket(t, nil, "sctp4", "127.0.0.1:0")
	const peers, rounds = 3, 3
	var outs []*bufio.Reader
	for range peers {
		_, out := lksctp(t, "sctp_test", "-P", "0", "-h", "127.0.0.1", "-p", fmt.Sprint(port(c.LocalAddr())),
			"-s", "-D", "-c", "4", "-x", fmt.Sprint(rounds), "-o", "1", "-M", "4", "-d", "1")
		outs = append(outs, out)
	}
	watchdog(t, func() {
		next := make(map[*sctpnet.Addr]int)
		p := make([]byte, 64<<10)
		for range peers * rounds * len(lksctpSizes) {
			n, info, from, err := c.ReadMsg(p)
			if err != nil {
				t.Fatal(err)
			}
			size := lksctpSizes[next[from]%len(lksctpSizes)]
			if n != size || info.More || !bytes.Equal(p[:n], lksctpMessage(size)) {
				t.Fatalf("message %d of %v: %d bytes, more is %v, want %d", next[from], from, n, info.More, size)
			}
			next[from]++
			if stream := uint16(next[from] % 4); info.Stream != stream {
				t.Errorf("stream %d, want %d", info.Stream, stream)
			}
			if _, err := c.WriteMsg(p[:n], info, from); err != nil {
				t.Fatal(err)
			}
		}
		for _, out := range outs {
			said, err := io.ReadAll(out)
			if err != nil || !strings.Contains(string(said), "close(sk") {
				t.Errorf("sctp_test did not end: %v\n%s", err, said)
			}
		}
		if len(next) != peers {
			t.Errorf("messages of %d peers, want %d", len(next), peers)
		}
	})
}

// TestPacketConnWritesToLksctp makes associations with lksctp's one-to-many sockets,
// and writes messages of all sizes to each.
func TestPacketConnWritesToLksctp(t *testing.T) {
	needSCTP(t)
	c := listenPacket(t, nil, "sctp4", "127.0.0.1:0")
	watchdog(t, func() {
		total := 0
		for _, size := range lksctpSizes {
			total += size
		}
		for range 2 {
			free := listenPacket(t, nil, "sctp4", "127.0.0.1:0")
			at := free.LocalAddr()
			free.Close()
			_, out := lksctp(t, "sctp_test", "-P", fmt.Sprint(port(at)), "-l", "-d", "1")
			var peer *sctpnet.Addr
			eventually(t, "sctp_test listens", func() (ok bool) {
				var err error
				peer, err = c.Connect(t.Context(), at.String())
				return err == nil
			})
			for _, size := range lksctpSizes {
				if _, err := c.WriteTo(lksctpMessage(size), peer); err != nil {
					t.Fatal(err)
				}
			}
			for got := 0; got < total; {
				line, err := out.ReadString('\n')
				if err != nil {
					t.Fatalf("%v after %d of %d bytes", err, got, total)
				}
				if _, rest, ok := strings.Cut(line, "Data "); ok { // or a piece of it
					var n int
					if _, err := fmt.Sscanf(rest, "%d bytes", &n); err != nil {
						t.Fatalf("%q: %v", line, err)
					}
					got += n
				}
			}
		}
	})
}

// darn starts sctp_darn at 127.0.0.1, until the test ends.
func darn(t testing.TB, args ...string) (in io.Writer, out *bufio.Reader) {
	t.Helper()
	return lksctp(t, "sctp_darn", args...)
}

// lksctp starts one of lksctp's tools at 127.0.0.1, until the test ends.
func lksctp(t testing.TB, tool string, args ...string) (in io.Writer, out *bufio.Reader) {
	t.Helper()
	for _, name := range []string{"stdbuf", tool} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip("no lksctp (apt-get install lksctp-tools): ", err)
		}
	}
	cmd := exec.Command("stdbuf", append([]string{"-oL", tool, "-H", "127.0.0.1"}, args...)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return in, bufio.NewReader(r)
}

// TestPacketConnForgetsRemovedAddress has a peer remove one of its addresses. That is an
// address of somebody else from then on, whether there is a handler of events or not.
func TestPacketConnForgetsRemovedAddress(t *testing.T) {
	needSCTP(t)
	sysctl(t, "addip_noauth_enable", "1")
	sysctl(t, "addip_enable", "1")
	for what, onEvent := range map[string]func(*sctpnet.PacketConn, *sctpnet.Addr, sctpnet.Event){
		"handler": func(*sctpnet.PacketConn, *sctpnet.Addr, sctpnet.Event) {}, "no handler": nil,
	} {
		t.Run(what, func(t *testing.T) {
			c := listenPacket(t, &sctpnet.ListenConfig{OnEvent: onEvent}, "sctp", "127.0.0.1:0")
			d := &sctpnet.Dialer{LocalAddr: &sctpnet.Addr{IPAddrs: []net.IPAddr{{IP: net.IPv4(127, 0, 0, 2)}, {IP: net.IPv4(127, 0, 0, 3)}}}}
			client := dial(t, d, "sctp", c.LocalAddr().String())
			other := oneAddr("127.0.0.3", port(client.LocalAddr()))
			watchdog(t, func() {
				client.Write([]byte("x"))
				p := make([]byte, 10)
				if _, _, err := c.ReadFrom(p); err != nil {
					t.Fatal(err)
				}
				if _, err := c.Status(other); err != nil {
					t.Errorf("before: %v", err)
				}
				go c.ReadFrom(p) // until the test ends
				if err := client.RemoveLocalAddr(netip.MustParseAddr("127.0.0.3")); err != nil {
					t.Fatal(err)
				}
				eventually(t, "the address is nobody's", func() bool {
					_, err := c.Status(other)
					return errors.Is(err, syscall.ENOTCONN)
				})
				if _, err := c.Status(oneAddr("127.0.0.2", port(client.LocalAddr()))); err != nil {
					t.Errorf("the address that is left: %v", err)
				}
			})
		})
	}
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

// A lateContext tells when Connect waits: it asks then when the context is done.
type lateContext struct {
	context.Context
	asked chan struct{}
	once  sync.Once
}

func (c *lateContext) Done() <-chan struct{} {
	c.once.Do(func() { close(c.asked) })
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
	// What is sent again would reach the peer's host between its lives, and be answered by
	// an ABORT.
	late := sctpnet.RTO{Initial: 20 * time.Second, Min: 20 * time.Second, Max: time.Minute}
	lc := sctpnet.ListenConfig{OnEvent: events.add, Config: sctpnet.Config{WriteBuffer: 400 << 10, RTO: late}}
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
			round := func(n int) {
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
			}
			round(200)
			before := conformance.HeapBytes()
			round(1000)
			most := 100 << 10
			if overUDP(network) {
				most = 1 << 20 // a listener remembers so many cookies that were used
			}
			conformance.WaitForHeap(t, before+most)
			ln.Close()
			c.Close()
			<-done
		})
	})
}

// TestPacketConnCloseDuringCalls makes all calls at once, and closes meanwhile.
func TestPacketConnCloseDuringCalls(t *testing.T) {
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
