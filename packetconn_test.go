package sctpnet_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"github.com/sctpnet/sctpnet/internal/engine"
)

// packetCall is the name of ListenPacket in an engine's table.
const packetCall = "ListenPacket"

func init() {
	calls[packetCall] = func(e callTest) error {
		c, err := sctpnet.ListenPacket(e.network, "127.0.0.1:0")
		if err == nil {
			c.Close()
		}
		return err
	}
	calls["ListenConfig.AutoClose"] = func(e callTest) error {
		lc := sctpnet.ListenConfig{AutoClose: time.Hour}
		c, err := lc.ListenPacket(e.t.Context(), e.network, "127.0.0.1:0")
		if err == nil {
			c.Close()
		}
		return err
	}
	calls["PacketConn.SyscallConn"] = func(e callTest) error {
		raw, err := listenPacket(e.t, nil, e.network, "127.0.0.1:0").SyscallConn()
		if err != nil {
			return err
		}
		return raw.Control(func(uintptr) {})
	}
	calls["PacketConn.File"] = func(e callTest) error {
		f, err := listenPacket(e.t, nil, e.network, "127.0.0.1:0").File()
		if err == nil {
			f.Close()
		}
		return err
	}
	calls["MsgInfo.To after PacketConn.PeelOff"] = func(e callTest) error {
		c, err := sctpnet.ListenPacket(e.network, "127.0.0.1:0")
		if errors.Is(err, errors.ErrUnsupported) {
			return nil // there is no PeelOff
		}
		if err != nil {
			return err
		}
		defer c.Close()
		pc := c.(*sctpnet.PacketConn)
		peer, err := pc.Connect(e.t.Context(), e.ln.Addr().String())
		if err != nil {
			return err
		}
		conn, err := pc.PeelOff(peer)
		if err != nil {
			return err
		}
		defer conn.Close()
		return first(conn.WriteMsg([]byte("abc"), sctpnet.MsgInfo{To: conn.PeerAddrs()[0]}))
	}
}

// eachPacketEngine runs a test on each engine that has one-to-many sockets.
func eachPacketEngine(t *testing.T, f func(t *testing.T, network string)) {
	eachEngine(t, func(t *testing.T, network string) {
		if _, lacks := lacksOf(t, network).Find(engine.LacksCall, packetCall); lacks {
			return
		}
		f(t, network)
	})
}

// listenPacket listens until the test ends.
func listenPacket(t testing.TB, lc *sctpnet.ListenConfig, network, address string) *sctpnet.PacketConn {
	t.Helper()
	needNetwork(t, network)
	if lc == nil {
		lc = &sctpnet.ListenConfig{}
	}
	c, err := lc.ListenPacket(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*sctpnet.PacketConn)
}

// packetConnect makes an association.
func packetConnect(t testing.TB, c *sctpnet.PacketConn, to net.Addr) *sctpnet.Addr {
	t.Helper()
	a, err := c.Connect(t.Context(), to.String())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestPacketConnOneOfMany has many calls connect to a peer, and many peel it off.
func TestPacketConnOneOfMany(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		for range 10 {
			a, b := listenPacket(t, nil, network, "127.0.0.1:0"), listenPacket(t, nil, network, "127.0.0.1:0")
			watchdog(t, func() {
				addrs, conns := make(chan *sctpnet.Addr, 8), make(chan *sctpnet.Conn, 8)
				var wg sync.WaitGroup
				for range cap(addrs) {
					wg.Go(func() { addrs <- packetConnect(t, a, b.LocalAddr()) })
				}
				wg.Wait()
				peer := <-addrs
				for len(addrs) > 0 {
					if p := <-addrs; p != peer {
						t.Errorf("the peer has the Addrs %p and %p", peer, p)
					}
				}
				for range cap(conns) {
					wg.Go(func() {
						if c, err := a.PeelOff(peer); err == nil {
							conns <- c
						} else if !errors.Is(err, syscall.ENOTCONN) && !errors.Is(err, syscall.EPIPE) {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				if len(conns) != 1 {
					t.Errorf("peeled off %d times", len(conns))
				}
				(<-conns).Close()
			})
		}
	})
}

// TestPacketConnZones writes to an address of a link: its zone is an interface, by its
// name or its number.
func TestPacketConnZones(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		network = ofEngine(network, "sctp")
		ip := linkLocal(t, network)
		a, b := listenPacket(t, nil, network, ":0"), listenPacket(t, nil, network, net.JoinHostPort(ip.String(), "0"))
		at := func(zone string) *sctpnet.Addr {
			return &sctpnet.Addr{IPAddrs: []net.IPAddr{{IP: ip.IP, Zone: zone}}, Port: port(b.LocalAddr())}
		}
		watchdog(t, func() {
			for zone, says := range map[string]string{"": "needs a zone", "nothing0": "nothing0", "99999": "99999"} {
				if _, err := a.WriteTo([]byte("x"), at(zone)); !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), says) {
					t.Errorf("zone %q: %v, want EINVAL and %q", zone, err, says)
				}
			}
			peer := packetConnect(t, a, at(ip.Zone))
			i, err := net.InterfaceByName(ip.Zone)
			if err != nil {
				t.Fatal(err)
			}
			byNumber := at(fmt.Sprint(i.Index))
			if _, err := a.Status(byNumber); err != nil {
				t.Error(err)
			}
			for _, to := range []*sctpnet.Addr{peer, at(ip.Zone), byNumber} {
				if _, err := a.WriteTo([]byte("x"), to); err != nil {
					t.Error(err)
				}
				p := make([]byte, 10)
				n, from, err := b.ReadFrom(p)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := b.WriteTo(p[:n], from); err != nil {
					t.Error(err)
				}
				if got := packetNext(t, a); got != "x" {
					t.Errorf("%q", got)
				}
			}
			if list := a.Associations(); len(list) != 1 {
				t.Errorf("associations %v, want one", list)
			}
		})
	})
}

// linkLocal returns an address of a link, which it makes if there is none.
func linkLocal(t testing.TB, network string) net.IPAddr {
	t.Helper()
	find := func() (found net.IPAddr) {
		all, err := net.Interfaces()
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range all {
			addrs, _ := i.Addrs()
			for _, a := range addrs {
				if n, ok := a.(*net.IPNet); ok && n.IP.To4() == nil && n.IP.IsLinkLocalUnicast() {
					found = net.IPAddr{IP: n.IP, Zone: i.Name}
				}
			}
		}
		return found
	}
	if ip := find(); ip.IP != nil {
		return ip
	}
	if !overUDP(network) {
		silentNet(t)
		var ip net.IPAddr
		eventually(t, "the link has an address that is nobody else's", func() bool {
			ip = find()
			c, err := sctpnet.ListenPacket(network, net.JoinHostPort(ip.String(), "0"))
			if err == nil {
				c.Close()
			}
			return ip.IP != nil && err == nil
		})
		return ip
	}
	t.Skip("no interface has a link-local address")
	return net.IPAddr{}
}

// TestPacketConnTellsLate has nobody read while a peer refuses and another one is silent.
// The events say which is which, however late they are read.
func TestPacketConnTellsLate(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		host, silentPort := silentPeer(t, network)
		silent, refuses := oneAddr(host, silentPort), oneAddr("127.0.0.1", unusedPort(t, network))
		var events peerEvents
		lc := sctpnet.ListenConfig{OnEvent: events.add, Config: sctpnet.Config{InitAttempts: 2, RTO: sctpnet.RTO{Initial: 200 * ms, Min: 200 * ms, Max: 200 * ms}}}
		c := listenPacket(t, &lc, network, ":0")
		c.SetWriteDeadline(time.Now().Add(20 * ms)) // over UDP WriteTo waits for the handshake
		watchdog(t, func() {
			for _, to := range []*sctpnet.Addr{refuses, silent} {
				if _, err := c.WriteTo([]byte("x"), to); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error(err)
				}
			}
			eventually(t, "the silent one is given up", func() bool {
				_, err := c.Status(silent)
				return err != nil
			})
			go c.ReadFrom(make([]byte, 10)) // until the test ends
			why := make(map[string]error)
			eventually(t, "both events", func() bool {
				events.mu.Lock()
				defer events.mu.Unlock()
				for _, e := range events.list {
					if a, ok := e.what.(sctpnet.AssocEvent); ok && a.Change == sctpnet.AssocNotMade {
						why[e.peer.String()] = a.Err
					}
				}
				return len(why) == 2
			})
			if err := why[refuses.String()]; !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("the one that refuses: %v", err)
			}
			if err := why[silent.String()]; !errors.Is(err, syscall.ETIMEDOUT) {
				t.Errorf("the one that is silent: %v", err)
			}
		})
	})
}

// TestPacketConnAllocatesNothing sends messages both ways, and counts allocations.
func TestPacketConnAllocatesNothing(t *testing.T) {
	if conformance.Slowness > 1 {
		t.Skip("the race detector allocates")
	}
	eachPacketEngine(t, func(t *testing.T, network string) {
		a, b := listenPacket(t, nil, network, "127.0.0.1:0"), listenPacket(t, nil, network, "127.0.0.1:0")
		p := make([]byte, 4<<10)
		to := packetConnect(t, a, b.LocalAddr())
		transfer := func() {
			if _, err := a.WriteTo(p[:1000], to); err != nil {
				t.Fatal(err)
			}
			n, from, err := b.ReadFrom(p)
			if n != 1000 || err != nil {
				t.Fatal(n, err)
			}
			if _, err := b.WriteTo(p[:n], from); err != nil {
				t.Fatal(err)
			}
			if n, _, err := a.ReadFrom(p); n != 1000 || err != nil {
				t.Fatal(n, err)
			}
		}
		if n := testing.AllocsPerRun(1000, transfer); n != 0 {
			t.Errorf("two messages allocate %v times", n)
		}
	})
}

// peerEvents collects the events of a PacketConn.
type peerEvents struct {
	mu   sync.Mutex
	list []peerEvent
}

type peerEvent struct {
	peer *sctpnet.Addr
	what sctpnet.Event
}

func (e *peerEvents) add(_ *sctpnet.PacketConn, peer *sctpnet.Addr, what sctpnet.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, peerEvent{peer, what})
}

// has reports whether there was such a change of an association, and with whom.
func (e *peerEvents) has(change sctpnet.AssocChange) (*sctpnet.Addr, *sctpnet.AssocEvent) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ev := range e.list {
		if a, ok := ev.what.(sctpnet.AssocEvent); ok && a.Change == change {
			return ev.peer, &a
		}
	}
	return nil, nil
}

// TestPacketConnMessages sends messages of all sizes both ways.
func TestPacketConnMessages(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		a, b := listenPacket(t, nil, network, "127.0.0.1:0"), listenPacket(t, nil, network, "127.0.0.1:0")
		watchdog(t, func() {
			p := make([]byte, 1<<20)
			for _, size := range []int{1, 100, 1500, 2 << 10, 64 << 10, 64<<10 + 1, 200 << 10} {
				want := bytes.Repeat([]byte{byte(size), 'x', 'y'}, size)[:size]
				if n, err := a.WriteTo(want, b.LocalAddr()); n != size || err != nil {
					t.Fatal(n, err)
				}
				n, from, err := b.ReadFrom(p)
				if err != nil || !bytes.Equal(p[:n], want) || from.String() != a.LocalAddr().String() {
					t.Fatalf("%d bytes from %v, %v; want %d", n, from, err, size)
				}
				if _, err := b.WriteMsg(want, sctpnet.MsgInfo{Stream: 3, PPID: 46, Unordered: true}, from.(*sctpnet.Addr)); err != nil {
					t.Fatal(err)
				}
				n, info, peer, err := a.ReadMsg(p)
				if err != nil || !bytes.Equal(p[:n], want) || peer.String() != b.LocalAddr().String() {
					t.Fatalf("%d bytes from %v, %v; want %d", n, peer, err, size)
				}
				if info.Stream != 3 || info.PPID != 46 || !info.Unordered || info.More {
					t.Errorf("%+v", info)
				}
			}
			if l := a.Associations(); len(l) != 1 || l[0].String() != b.LocalAddr().String() {
				t.Errorf("associations %v", l)
			}
		})
	})
}

// TestPacketConnShortBuffer reads messages that the buffer does not hold.
func TestPacketConnShortBuffer(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		a, b := listenPacket(t, nil, network, "127.0.0.1:0"), listenPacket(t, nil, network, "127.0.0.1:0")
		watchdog(t, func() {
			for _, size := range []int{5, 5000, 200_000} {
				long := bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
				written := make(chan error, 1)
				go func() {
					for _, p := range [][]byte{long, long, []byte("end")} {
						if _, err := a.WriteTo(p, b.LocalAddr()); err != nil {
							written <- err
							return
						}
					}
					written <- nil
				}()
				p := make([]byte, 3*size/4)
				if n, _, err := b.ReadFrom(p); n != len(p) || err != nil || !bytes.Equal(p, long[:n]) {
					t.Fatalf("ReadFrom: %d, %v; want %d", n, err, len(p))
				}
				n, info, _, err := b.ReadMsg(p)
				if n != len(p) || err != nil || !info.More {
					t.Fatalf("ReadMsg: %d, %+v, %v; want %d and More", n, info, err, len(p))
				}
				n, info, _, err = b.ReadMsg(p)
				if n != size-len(p) || err != nil || info.More || !bytes.Equal(p[:n], long[size-n:]) {
					t.Fatalf("ReadMsg of the rest: %d, %+v, %v; want %d", n, info, err, size-len(p))
				}
				if n, _, err := b.ReadFrom(p); string(p[:n]) != "end" || err != nil {
					t.Fatalf("%q, %v", p[:n], err)
				}
				if err := <-written; err != nil {
					t.Fatal(err)
				}
			}
			a.WriteTo([]byte("lost"), b.LocalAddr())
			a.WriteTo([]byte("end"), b.LocalAddr())
			if n, from, err := b.ReadFrom(nil); n != 0 || from == nil || err != nil {
				t.Error(n, from, err)
			}
			p := make([]byte, 9)
			if n, _, err := b.ReadFrom(p); string(p[:n]) != "end" || err != nil {
				t.Errorf("%q, %v", p[:n], err)
			}
		})
	})
}

// TestPacketConnBothRoles has one port accept and make associations with the other
// types.
func TestPacketConnBothRoles(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		c := listenPacket(t, nil, network, "127.0.0.1:0")
		ln := listen(t, network, "127.0.0.1:0")
		in := dial(t, nil, network, c.LocalAddr().String())
		peer := packetConnect(t, c, ln.Addr())
		out := accept(t, ln)
		if out.RemoteAddr().String() != c.LocalAddr().String() {
			t.Errorf("it comes from %v, want %v", out.RemoteAddr(), c.LocalAddr())
		}
		watchdog(t, func() {
			in.Write([]byte("in"))
			out.Write([]byte("out"))
			seen := map[string]string{}
			p := make([]byte, 100)
			for range 2 {
				n, a, err := c.ReadFrom(p)
				if err != nil {
					t.Fatal(err)
				}
				seen[string(p[:n])] = a.String()
				if _, err := c.WriteTo(append([]byte("re: "), p[:n]...), a); err != nil {
					t.Fatal(err)
				}
			}
			if seen["in"] != in.LocalAddr().String() || seen["out"] != ln.Addr().String() || seen["out"] != peer.String() {
				t.Errorf("%v", seen)
			}
			for conn, want := range map[*sctpnet.Conn]string{in: "re: in", out: "re: out"} {
				n, err := conn.Read(p)
				if string(p[:n]) != want || err != nil {
					t.Errorf("%q, %v; want %q", p[:n], err, want)
				}
			}
			if err := c.Shutdown(peer); err != nil {
				t.Error(err)
			}
			if n, err := out.Read(p); n != 0 || err == nil || err.Error() != "EOF" {
				t.Errorf("after Shutdown the peer reads %d, %v", n, err)
			}
			if err := c.Abort(packetPeer(t, c, in.LocalAddr())); err != nil {
				t.Error(err)
			}
			if _, err := in.Read(p); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("after Abort the peer reads %v", err)
			}
		})
	})
}

// packetPeer returns the Addr of an association.
func packetPeer(t testing.TB, c *sctpnet.PacketConn, a net.Addr) *sctpnet.Addr {
	t.Helper()
	list := c.Associations()
	i := slices.IndexFunc(list, func(p *sctpnet.Addr) bool { return p.Port == port(a) })
	if i < 0 {
		t.Fatalf("no %v among %v", a, list)
	}
	return list[i]
}

// TestPacketConnManyPeers has a thousand associations at a time, of both roles.
func TestPacketConnManyPeers(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		const peers = 400
		server := listenPacket(t, nil, network, "127.0.0.1:0")
		all := make([]*sctpnet.PacketConn, peers)
		for i := range all {
			all[i] = listenPacket(t, nil, network, "127.0.0.1:0")
		}
		packetEcho(t, server)
		watchdog(t, func() {
			var wg sync.WaitGroup
			for i, c := range all {
				wg.Go(func() {
					if i%2 == 0 {
						packetAsk(t, c, server.LocalAddr(), fmt.Sprint("message ", i))
					} else if _, err := server.WriteTo([]byte("first"), c.LocalAddr()); err != nil {
						t.Error(err)
					} else if got := packetNext(t, c); got != "first" {
						t.Errorf("%q, want first", got)
					}
				})
			}
			wg.Wait()
			if n := len(server.Associations()); n != peers {
				t.Errorf("%d associations, want %d", n, peers)
			}
			for i, c := range all {
				wg.Go(func() { packetAsk(t, c, server.LocalAddr(), fmt.Sprint("again ", i)) })
			}
			wg.Wait()
			if n := len(server.Associations()); n != peers {
				t.Errorf("%d associations, want %d", n, peers)
			}
		})
	})
}

// packetEcho answers each message with itself, until the PacketConn is closed by the end
// of the test.
func packetEcho(t testing.TB, c *sctpnet.PacketConn) {
	done := make(chan struct{})
	t.Cleanup(func() {
		c.Close()
		<-done
	})
	go func() {
		defer close(done)
		p := make([]byte, 64<<10)
		for {
			n, a, err := c.ReadFrom(p)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := c.WriteTo(p[:n], a); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, syscall.EPIPE) {
				t.Error(err)
			}
		}
	}()
}

// packetAsk sends a message to an echo and checks the answer.
func packetAsk(t testing.TB, c *sctpnet.PacketConn, to net.Addr, message string) {
	if _, err := c.WriteTo([]byte(message), to); err != nil {
		t.Error(err)
	} else if got := packetNext(t, c); got != message {
		t.Errorf("%q, want %q", got, message)
	}
}

// packetNext reads a message.
func packetNext(t testing.TB, c *sctpnet.PacketConn) string {
	p := make([]byte, 64<<10)
	n, _, err := c.ReadFrom(p)
	if err != nil {
		t.Error(err)
	}
	return string(p[:n])
}

// TestPacketConnDeadlines has deadlines and Close wake all that waits.
func TestPacketConnDeadlines(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		c := listenPacket(t, nil, network, "127.0.0.1:0")
		const readers = 3
		wakes := func(what string, wake func() error, want error) {
			t.Helper()
			errs := make(chan error, readers)
			for range readers {
				go func() {
					_, _, err := c.ReadFrom(make([]byte, 10))
					errs <- err
				}()
			}
			if err := wake(); err != nil {
				t.Error(err)
			}
			for range readers {
				if err := <-errs; !errors.Is(err, want) {
					t.Errorf("%s: %v, want %v", what, err, want)
				}
			}
		}
		watchdog(t, func() {
			wakes("a deadline in the past", func() error { return c.SetReadDeadline(time.Now().Add(-time.Second)) }, os.ErrDeadlineExceeded)
			c.SetReadDeadline(time.Time{})
			wakes("a deadline", func() error { return c.SetDeadline(time.Now().Add(20 * ms)) }, os.ErrDeadlineExceeded)
			c.SetReadDeadline(time.Time{})
			wakes("Close", c.Close, net.ErrClosed)
			for what, err := range map[string]error{
				"Close":            c.Close(),
				"WriteTo":          first(c.WriteTo([]byte("x"), c.LocalAddr())),
				"Connect":          first(c.Connect(t.Context(), c.LocalAddr().String())),
				"PeelOff":          first(c.PeelOff(c.LocalAddr())),
				"SetDeadline":      c.SetDeadline(time.Time{}),
				"SetReadDeadline":  c.SetReadDeadline(time.Time{}),
				"SetWriteDeadline": c.SetWriteDeadline(time.Time{}),
				"File":             first(c.File()),
			} {
				if _, lacks := lacksOf(t, network).Find(engine.LacksCall, "PacketConn."+what); lacks {
					continue
				}
				var op *net.OpError
				if !errors.Is(err, net.ErrClosed) || !errors.As(err, &op) {
					t.Errorf("%s: %v", what, err)
				}
			}
			if c.LocalAddr() == nil || strings.HasSuffix(c.LocalAddr().String(), ":0") {
				t.Error(c.LocalAddr())
			}
		})
	})
}

// TestPacketConnEventsInOrder has events come in order with the messages.
func TestPacketConnEventsInOrder(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		var seen []string // by the one goroutine that reads
		lc := sctpnet.ListenConfig{OnEvent: func(c *sctpnet.PacketConn, peer *sctpnet.Addr, e sctpnet.Event) {
			if e, ok := e.(sctpnet.AssocEvent); ok {
				seen = append(seen, e.Change.String())
			}
		}}
		c := listenPacket(t, &lc, network, "127.0.0.1:0")
		client := dial(t, nil, network, c.LocalAddr().String())
		for _, p := range []string{"one", "two"} {
			if _, err := client.Write([]byte(p)); err != nil {
				t.Fatal(err)
			}
		}
		arrived(t, client)
		if err := client.Close(); err != nil {
			t.Fatal(err)
		}
		watchdog(t, func() {
			for range 2 {
				seen = append(seen, packetNext(t, c))
			}
			other := dial(t, nil, network, c.LocalAddr().String())
			other.Write([]byte("three"))
			for len(seen) == 0 || seen[len(seen)-1] != "three" {
				seen = append(seen, packetNext(t, c))
			}
			got := strings.Join(seen, " ")
			if got != "up one two ended up three" && got != "up one two up ended three" && got != "up one two up three" {
				t.Error(got)
			}
		})
	})
}

// TestPacketConnBadInput gives a PacketConn what cannot be. Each error says so, in
// net's shape, and the association there is goes on.
func TestPacketConnBadInput(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		c := listenPacket(t, &sctpnet.ListenConfig{Config: sctpnet.Config{WriteBuffer: 64 << 10}}, network, "127.0.0.1:0")
		other := listenPacket(t, nil, network, "127.0.0.1:0")
		peer := packetConnect(t, c, other.LocalAddr())
		nobody := oneAddr("127.0.0.9", 9)
		gone := listenPacket(t, nil, network, "127.0.0.1:0")
		ended := packetConnect(t, c, gone.LocalAddr())
		if err := c.Shutdown(ended); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the association has ended", func() bool { _, err := c.Status(ended); return err != nil })
		off := listenPacket(t, nil, network, "127.0.0.1:0")
		away := packetConnect(t, c, off.LocalAddr())
		conn, err := c.PeelOff(away)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()

		write := func(p string, to net.Addr) error { return first(c.WriteTo([]byte(p), to)) }
		msg := func(p []byte, info sctpnet.MsgInfo) error { return first(c.WriteMsg(p, info, peer)) }
		dials := func(address string) error { return first(c.Connect(t.Context(), address)) }
		watchdog(t, func() {
			for _, tt := range []struct {
				name string
				err  error
				is   error
				says string
			}{
				{"nil address", write("x", nil), nil, "missing address"},
				{"nil *Addr", write("x", (*sctpnet.Addr)(nil)), nil, "missing address"},
				{"nil *Addr of WriteMsg", first(c.WriteMsg([]byte("x"), sctpnet.MsgInfo{}, nil)), nil, "missing address"},
				{"another type", write("x", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9}), nil, "*net.UDPAddr"},
				{"no port", write("x", oneAddr("127.0.0.1", 0)), nil, "port"},
				{"a port too large", write("x", oneAddr("127.0.0.1", 70_000)), nil, "65535"},
				{"no IP address", write("x", &sctpnet.Addr{Port: 9}), nil, "no address"},
				{"any address", write("x", oneAddr("0.0.0.0", 9)), syscall.EINVAL, "means any"},
				{"multicast", write("x", oneAddr("224.0.0.1", 9)), syscall.EINVAL, "one host"},
				{"IPv6", write("x", oneAddr("::1", 9)), nil, "IPv6"},
				{"a link's address without zone", write("x", oneAddr("fe80::1", 9)), nil, "zone"},
				{"empty", write("", peer), nil, "empty"},
				{"too long", write(strings.Repeat("x", 1<<20), peer), syscall.EMSGSIZE, "1048576"},
				{"no such stream", msg([]byte("x"), sctpnet.MsgInfo{Stream: 60_000}), syscall.EINVAL, "60000"},
				{"TTL", msg([]byte("x"), sctpnet.MsgInfo{TTL: -1}), nil, "TTL"},
				{"To that is not the peer's", msg([]byte("x"), sctpnet.MsgInfo{To: netip.MustParseAddr("127.0.0.9")}), syscall.EADDRNOTAVAIL, "127.0.0.9"},
				{"to a peer that has shut down", write("x", ended), syscall.EPIPE, ended.String()},
				{"to one that was peeled off", write("x", away), syscall.ENOTCONN, "peeled off"},

				{"to the address of one that was peeled off", write("x", oneAddr("127.0.0.1", port(away))), syscall.EADDRNOTAVAIL, "peeled off"},
				{"Connect to one that was peeled off", first(c.Connect(t.Context(), away.String())), syscall.EADDRNOTAVAIL, "peeled off"},
				{"PeelOff twice", first(c.PeelOff(away)), syscall.ENOTCONN, "peeled off"},
				{"PeelOff of nobody", first(c.PeelOff(nobody)), syscall.ENOTCONN, "no association"},
				{"PeelOff of nil", first(c.PeelOff(nil)), nil, "missing address"},
				{"PeelOff of one that has ended", first(c.PeelOff(ended)), syscall.EPIPE, ended.String()},
				{"Shutdown of nobody", c.Shutdown(nobody), syscall.ENOTCONN, "no association"},
				{"Abort of nobody", c.Abort(nobody), syscall.ENOTCONN, "no association"},
				{"Status of nobody", first(c.Status(nobody)), syscall.ENOTCONN, "no association"},
				{"Paths of nobody", first(c.Paths(nobody)), syscall.ENOTCONN, "no association"},
				{"Stats of nobody", first(c.Stats(nobody)), syscall.ENOTCONN, "no association"},
				{"Set of a buffer", c.Set(peer, sctpnet.Config{ReadBuffer: 1 << 20}), errors.ErrUnsupported, "ReadBuffer"},
				{"Set of streams", c.Set(peer, sctpnet.Config{OutStreams: 3}), errors.ErrUnsupported, "OutStreams"},
				{"Set out of range", c.Set(peer, sctpnet.Config{RTO: sctpnet.RTO{Min: -1}}), nil, "RTO.Min"},

				{"Connect to nothing", dials(""), nil, "missing address"},
				{"Connect without port", dials("127.0.0.1"), nil, "port"},
				{"Connect to port 0", dials("127.0.0.1:0"), nil, "port"},
				{"Connect to IPv6", dials("[::1]:9"), nil, "IPv6"},
				{"Connect to multicast", dials("224.0.0.1:9"), syscall.EINVAL, "one host"},
			} {
				var op *net.OpError
				if !errors.As(tt.err, &op) || op.Net != network || !strings.Contains(tt.err.Error(), tt.says) {
					t.Errorf("%s: %v, want a *net.OpError with %q", tt.name, tt.err, tt.says)
				} else if tt.is != nil && !errors.Is(tt.err, tt.is) {
					t.Errorf("%s: %v, want %v", tt.name, tt.err, tt.is)
				}
			}
			if _, err := c.WriteTo([]byte("still here"), peer); err != nil {
				t.Error(err)
			}
			if got := packetNext(t, other); got != "still here" {
				t.Errorf("%q", got)
			}
		})
	})
}

// TestListenPacketBadInput listens where that is not possible.
func TestListenPacketBadInput(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		taken := listenPacket(t, nil, network, "127.0.0.1:0")
		for _, tt := range []struct {
			network, address string
			lc               sctpnet.ListenConfig
			is               error
			says             string
		}{
			{network, taken.LocalAddr().String(), sctpnet.ListenConfig{}, syscall.EADDRINUSE, "bind"},
			{network, "127.0.0.1", sctpnet.ListenConfig{}, nil, "missing port"},
			{network, "203.0.113.9:0", sctpnet.ListenConfig{}, syscall.EADDRNOTAVAIL, "203.0.113.9"},
			{"sctp9", "127.0.0.1:0", sctpnet.ListenConfig{}, nil, "unknown network"},
			{network, "127.0.0.1:0", sctpnet.ListenConfig{AutoClose: time.Millisecond}, nil, "AutoClose"},
			{network, "127.0.0.1:0", sctpnet.ListenConfig{Config: sctpnet.Config{OutStreams: -1}}, nil, "OutStreams"},
		} {
			c, err := tt.lc.ListenPacket(t.Context(), tt.network, tt.address)
			var op *net.OpError
			if c != nil || !errors.As(err, &op) || op.Op != "listen" || !strings.Contains(err.Error(), tt.says) || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("%s %s: %v, %v; want %q", tt.network, tt.address, c, err, tt.says)
			}
		}
		var none *sctpnet.PacketConn
		if _, _, err := none.ReadFrom(nil); err != syscall.EINVAL {
			t.Error(err)
		}
		if _, err := none.WriteTo(nil, nil); err != syscall.EINVAL || none.LocalAddr() != nil || none.Close() != syscall.EINVAL {
			t.Error(err)
		}
	})
}

// oneAddr is an endpoint with one address.
func oneAddr(ip string, port int) *sctpnet.Addr {
	return &sctpnet.Addr{IPAddrs: []net.IPAddr{{IP: net.ParseIP(ip)}}, Port: port}
}

// TestPacketConnMessageBound has a peer that sends a message larger than what is
// kept: it is aborted, and others go on.
func TestPacketConnMessageBound(t *testing.T) {
	c := listenPacket(t, &sctpnet.ListenConfig{Config: sctpnet.Config{StreamMemory: 100 << 10, PartialDeliveryPoint: 1000}}, "sctp", "127.0.0.1:0")
	large, small := dial(t, nil, "sctp", c.LocalAddr().String()), dial(t, nil, "sctp", c.LocalAddr().String())
	watchdog(t, func() {
		if _, err := large.WriteMsg(make([]byte, 200<<10), sctpnet.MsgInfo{}); err != nil {
			t.Fatal(err)
		}
		small.Write([]byte("small"))
		if got := packetNext(t, c); got != "small" {
			t.Errorf("%d bytes, want 5", len(got))
		}
		if _, err := large.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%v, want ECONNRESET", err)
		}
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

// TestPacketConnHasNoGoroutine checks that an association costs none.
func TestPacketConnHasNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	a, b := listenPacket(t, nil, "sctp", "127.0.0.1:0"), listenPacket(t, nil, "sctp", "127.0.0.1:0")
	packetConnect(t, a, b.LocalAddr())
	conformance.WaitFor(t, "the goroutines of earlier tests", func() bool { return runtime.NumGoroutine() <= before })
}
