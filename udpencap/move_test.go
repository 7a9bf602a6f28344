package udpencap

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// elsewhere returns what sends as r does, from another UDP port or IP address.
func (r *rawPeer) elsewhere(ip net.IP) *rawPeer {
	r.t.Helper()
	c, err := net.DialUDP("udp4", &net.UDPAddr{IP: ip}, r.conn.RemoteAddr().(*net.UDPAddr))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	other := *r
	other.conn = c
	return &other
}

// wantNone checks that no chunk of a type has come.
func (r *rawPeer) wantNone(typ byte) {
	r.t.Helper()
	for {
		_, chunks, ok := r.poll(time.Millisecond)
		if !ok {
			return
		}
		if slices.ContainsFunc(chunks, func(c chunk) bool { return c.typ == typ }) {
			r.t.Errorf("a chunk of type %d has come", typ)
		}
	}
}

// TestNewUDPPort has a peer whose address translator has forgotten it. It is sent to
// at its new port once it has shown that it is there.
func TestNewUDPPort(t *testing.T) {
	r, c, _ := rawPair(t, sctpnet.Config{})
	r.write(0, "from one port")
	wantRead(t, c, "from one port")
	other := r.elsewhere(loopbackAddr[0].IP)
	other.write(1, "from another")
	wantRead(t, c, "from another")
	_, h := other.await(ctHeartbeat)
	if _, err := c.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	r.awaitData(r.theirs.tsn) // at the old port, still
	other.wantNone(ctData)
	other.sendChunk(ctHeartbeatAck, 0, h.value)
	// What was sent to the old port may be lost: it is sent again, before T3-rtx expires.
	start := time.Now()
	other.awaitData(r.theirs.tsn)
	if took := time.Since(start); took > rtoMin/2 {
		t.Errorf("the data is sent again after %v", took)
	}
	if _, err := c.Write([]byte("more")); err != nil {
		t.Fatal(err)
	}
	other.awaitData(r.theirs.tsn + 1)
	// And back again, at once.
	r.write(2, "and back")
	wantRead(t, c, "and back")
	_, h = r.await(ctHeartbeat)
	r.sendChunk(ctHeartbeatAck, 0, h.value)
	r.awaitData(r.theirs.tsn)
}

// TestUnverifiedUDPPort has somebody who knows the tag try to have what is for the
// peer sent to another UDP port.
func TestUnverifiedUDPPort(t *testing.T) {
	r, c, ln := rawPair(t, sctpnet.Config{})
	a := assocOf(t, ln, r.tag)
	port := a.path.to.Port()
	other := r.elsewhere(loopbackAddr[0].IP)
	third := r.elsewhere(loopbackAddr[0].IP)
	start := time.Now()
	for range 100 {
		other.sendChunk(0xbe, 0, nil) // which nobody knows, and nobody reports
	}
	_, h := other.await(ctHeartbeat)
	// Neither another nonce nor another port will do.
	wrong := bytes.Clone(h.value)
	wrong[len(wrong)-1]++
	other.sendChunk(ctHeartbeatAck, 0, wrong)
	other.sendChunk(ctHeartbeatAck, 0, nil)
	third.sendChunk(ctHeartbeatAck, 0, h.value)
	r.sendChunk(ctHeartbeatAck, 0, h.value)
	r.ping()
	if _, err := c.Write([]byte("secret")); err != nil {
		t.Fatal(err)
	}
	r.awaitData(r.theirs.tsn)
	a.mu.Lock()
	if got := a.path.to.Port(); got != port {
		t.Errorf("the association has moved to port %d", got)
	}
	sent := a.stats.ControlSent
	a.mu.Unlock()
	other.wantNone(ctData)
	third.wantNone(ctData)
	if most := 8 + uint64(time.Since(start)/movePause); sent > most {
		t.Errorf("%d packets were sent because of it", sent)
	}
	// A peer that moves while somebody tries is believed after a while.
	conformance.WaitFor(t, "a HEARTBEAT to the peer's new port", func() bool {
		third.sendChunk(0xbe, 0, nil)
		_, chunks, ok := third.poll(10 * time.Millisecond)
		if ok && chunks[0].typ == ctHeartbeat {
			third.sendChunk(ctHeartbeatAck, 0, chunks[0].value)
			return true
		}
		return false
	})
	if _, err := c.Write([]byte("more")); err != nil {
		t.Fatal(err)
	}
	third.awaitData(r.theirs.tsn + 1)
}

// TestOtherIPAddress has packets with the right ports and tag come from an IP address
// that is not the peer's.
func TestOtherIPAddress(t *testing.T) {
	ln := listen(t, "sctp4+udp", ":0")
	at := &sctpnet.Addr{IPAddrs: loopbackAddr, Port: ln.Addr().(*sctpnet.Addr).Port}
	r := newRawPeer(t, at)
	r.handshake()
	c := accept(t, ln)
	other := r.elsewhere(net.IPv4(127, 0, 0, 66))
	for _, k := range []chunk{
		{typ: ctData, flags: flagBegin | flagEnd, value: data(r.own.tsn, 0, 0, "forged")},
		{typ: ctSACK, value: sack(r.theirs.tsn - 1)},
		{typ: ctShutdown, value: make([]byte, 4)},
		{typ: ctHeartbeat, value: heartbeatInfo(1)},
	} {
		other.sendChunk(k.typ, k.flags, k.value)
		if h, a := other.await(ctAbort); a.flags != flagReflected || h.tag != r.tag {
			t.Errorf("a chunk of type %d was answered by ABORT with flags %d and tag %x", k.typ, a.flags, h.tag)
		}
	}
	other.sendChunk(ctAbort, 0, nil)
	other.send(newPacket(header{r.src, r.dst, r.own.tag}).add(ctAbort, flagReflected, nil))
	other.sendChunk(ctShutdownAck, 0, nil)
	other.await(ctShutdownComplete)
	r.write(0, "true")
	wantRead(t, c, "true")
	r.ping()
}

// TestHandshakeFromTwoPorts has INIT and COOKIE ECHO come from different UDP ports, as
// they do when an address translator has forgotten the peer in between. A cookie
// must not have data sent to a port that nobody has shown to be the peer's.
func TestHandshakeFromTwoPorts(t *testing.T) {
	ln := listen(t, "sctp4+udp", "127.0.0.1:0")
	r := newRawPeer(t, ln.Addr())
	cookie := r.init()
	other := r.elsewhere(loopbackAddr[0].IP)
	other.sendChunk(ctCookieEcho, 0, cookie)
	if _, e := other.await(ctError); len(e.value) != 8 || e.value[1] != causeStaleCookie {
		t.Errorf("answered by ERROR %x", e.value)
	}
	other.handshake()
	c := accept(t, ln)
	other.write(0, "x")
	wantRead(t, c, "x")
}

// TestTranslatorForgets has an address translator between two of our own that takes
// another UDP port now and then, in the handshake too.
func TestTranslatorForgets(t *testing.T) {
	ln := listen(t, "sctp4+udp", "127.0.0.1:0")
	port := ln.Addr().(*sctpnet.Addr).Port
	nat := newTranslator(t, port)
	d := &sctpnet.Dialer{Config: sctpnet.Config{RTO: sctpnet.RTO{Initial: 100 * time.Millisecond, Min: 50 * time.Millisecond}}}
	d.Config.PathParams.UDPPort = nat.port
	// A side that only receives is heard of again by this.
	d.Config.PathParams.HeartbeatInterval = 50 * time.Millisecond
	watchdog(t, func() {
		for _, typ := range []byte{ctCookieEcho, ctInit, 0xff} {
			nat.rebindBefore.Store(uint32(typ))
			c := dial(t, d, fmt.Sprintf("127.0.0.1:%d", port))
			s := accept(t, ln)
			for range 3 {
				exchange(t, c, s)
				nat.rebind()
				exchange(t, c, s)
				nat.rebind()
				exchange(t, c, s)
			}
			// In the middle of what goes on both ways.
			const size = 512 << 10
			done := make(chan error, 2)
			for _, conn := range []net.Conn{c, s} {
				go func() {
					_, err := conn.Write(make([]byte, size))
					done <- err
				}()
				go func() {
					_, err := io.ReadFull(conn, make([]byte, size))
					done <- err
				}()
			}
			for range 4 {
				nat.rebind()
				if err := <-done; err != nil {
					t.Fatal(err)
				}
			}
			c.Close()
			s.Close()
		}
	})
}

// A translator forwards UDP packets to a server, and the answers back, which is
// what an address translator does to its client.
type translator struct {
	t            *testing.T
	inside       *net.UDPConn
	port         int
	to           netip.AddrPort
	outside      atomic.Pointer[net.UDPConn]
	client       atomic.Pointer[netip.AddrPort]
	rebindBefore atomic.Uint32 // a packet that begins with such a chunk
}

func newTranslator(t *testing.T, server int) *translator {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: loopbackAddr[0].IP})
	if err != nil {
		t.Fatal(err)
	}
	n := &translator{t: t, inside: c, port: c.LocalAddr().(*net.UDPAddr).Port,
		to: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(server))}
	n.rebind()
	go func() {
		buf := make([]byte, 1<<16)
		for {
			k, from, err := n.inside.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			n.client.Store(&from)
			if k > headerSize && n.rebindBefore.CompareAndSwap(uint32(buf[headerSize]), 0xfffe) {
				n.rebind()
			}
			n.outside.Load().WriteToUDPAddrPort(buf[:k], n.to)
		}
	}()
	t.Cleanup(func() { n.inside.Close() })
	return n
}

func (n *translator) rebind() {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: loopbackAddr[0].IP})
	if err != nil {
		n.t.Error(err)
		return
	}
	n.outside.Store(c) // and the old one is mute
	n.t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 1<<16)
		for {
			k, _, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if n.outside.Load() == c {
				n.inside.WriteToUDPAddrPort(buf[:k], *n.client.Load())
			}
		}
	}()
}
