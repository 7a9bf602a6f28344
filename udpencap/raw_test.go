package udpencap

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
)

// A rawPeer is an SCTP peer of which the test makes every packet.
type rawPeer struct {
	t        testing.TB
	conn     *net.UDPConn
	src, dst uint16 // SCTP ports
	tag      uint32 // that its packets have to have
	own      initiation
	theirs   initiation
}

// newRawPeer makes a peer of a listener.
func newRawPeer(t testing.TB, to net.Addr) *rawPeer {
	t.Helper()
	addr := to.(*sctpnet.Addr)
	c, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: addr.IPAddrs[0].IP, Port: addr.Port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &rawPeer{t: t, conn: c, src: 7777, dst: uint16(addr.Port), own: initiation{
		tag: 0x01020304, window: 1 << 20, out: 10, in: 10, tsn: 1000, reconfig: true, partial: true,
	}}
}

func (r *rawPeer) header() header { return header{r.src, r.dst, r.tag} }

// send sends a packet.
func (r *rawPeer) send(p packet) {
	r.t.Helper()
	if _, err := r.conn.Write(p.seal()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rawPeer) sendChunk(typ, flags byte, value []byte) {
	r.t.Helper()
	r.send(newPacket(r.header()).add(typ, flags, value))
}

// receive returns the next packet.
func (r *rawPeer) receive() (h header, chunks []chunk) {
	r.t.Helper()
	h, chunks, ok := r.poll(10 * time.Second)
	if !ok {
		r.t.Fatal("no packet came")
	}
	return h, chunks
}

// poll returns the next packet if one comes in time.
func (r *rawPeer) poll(d time.Duration) (h header, chunks []chunk, ok bool) {
	r.t.Helper()
	r.conn.SetReadDeadline(time.Now().Add(d))
	buf := make([]byte, 1<<16)
	n, err := r.conn.Read(buf)
	if os.IsTimeout(err) {
		return h, nil, false
	}
	if err != nil {
		r.t.Fatal(err)
	}
	h, rest, ok := parseHeader(buf[:n])
	if !ok {
		r.t.Fatalf("received a malformed packet: %x", buf[:n])
	}
	for {
		c, more, ok := nextChunk(rest)
		if !ok {
			return h, chunks, true
		}
		if !isWellMade(c) {
			r.t.Errorf("received a chunk of type %d that is padded wrong: %x", c.typ, c.raw)
		}
		chunks = append(chunks, c)
		rest = more
	}
}

// isWellMade reports whether a chunk ends with its last parameter or error cause:
// what pads that is outside its length (RFC 9260 section 3.2).
func isWellMade(c chunk) bool {
	b := c.value
	switch c.typ {
	case ctInit, ctInitAck:
		b = b[initSize:]
	case ctHeartbeat, ctAbort, ctError, ctReconfig:
	default:
		return true
	}
	for len(b) > 0 {
		p, rest, ok := nextParam(b)
		if !ok || len(rest) == 0 && len(b) != len(p.raw) {
			return false
		}
		b = rest
	}
	return true
}

// await returns the next chunk of a type.
func (r *rawPeer) await(typ byte) (header, chunk) {
	r.t.Helper()
	for {
		h, chunks := r.receive()
		if i := slices.IndexFunc(chunks, func(c chunk) bool { return c.typ == typ }); i >= 0 {
			return h, chunks[i]
		}
	}
}

// next returns the next chunk of a type. An ABORT before it fails the test.
func (r *rawPeer) next(typ byte) chunk {
	r.t.Helper()
	for {
		_, chunks := r.receive()
		for _, c := range chunks {
			switch c.typ {
			case typ:
				return c
			case ctAbort:
				r.t.Fatalf("aborted: %x", c.value)
			}
		}
	}
}

// init sends INIT and returns the cookie of the answer.
func (r *rawPeer) init(extra ...byte) []byte {
	r.t.Helper()
	r.send(newPacket(header{r.src, r.dst, 0}).add(ctInit, 0, append(pad(r.own.value()), extra...)))
	h, c := r.await(ctInitAck)
	if h.tag != r.own.tag {
		r.t.Fatalf("INIT ACK has the tag %x", h.tag)
	}
	r.theirs = initiation{}
	if _, ok := r.theirs.parse(c.value); !ok {
		r.t.Fatalf("INIT ACK is malformed: %x", c.value)
	}
	r.tag = r.theirs.tag
	return r.theirs.cookie
}

// handshake makes an association.
func (r *rawPeer) handshake() {
	r.t.Helper()
	cookie := r.init()
	r.sendChunk(ctCookieEcho, 0, cookie)
	r.await(ctCookieAck)
}

// data is the value of a DATA chunk.
func data(tsn uint32, stream, ssn uint16, s string) []byte {
	b := binary.BigEndian.AppendUint32(nil, tsn)
	b = binary.BigEndian.AppendUint16(b, stream)
	b = binary.BigEndian.AppendUint16(b, ssn)
	b = binary.BigEndian.AppendUint32(b, 0)
	return append(b, s...)
}

// write sends a message on stream 0.
func (r *rawPeer) write(n uint16, s string) {
	r.t.Helper()
	r.sendChunk(ctData, flagBegin|flagEnd, data(r.own.tsn+uint32(n), 0, n, s))
}

// rawPair makes an association between a raw peer and a listener.
func rawPair(t *testing.T, config sctpnet.Config) (*rawPeer, *sctpnet.Conn, *sctpnet.Listener) {
	t.Helper()
	lc := sctpnet.ListenConfig{Config: config}
	ln, err := lc.Listen(t.Context(), "sctp+udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	r := newRawPeer(t, ln.Addr())
	r.handshake()
	return r, accept(t, ln), ln.(*sctpnet.Listener)
}

// dialRaw makes an association that a raw peer was dialed for.
func dialRaw(t *testing.T, config sctpnet.Config) (*rawPeer, *sctpnet.Conn) {
	t.Helper()
	own, theirs := freeUDPPort(t), freeUDPPort(t)
	conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: loopbackAddr[0].IP, Port: own}, &net.UDPAddr{IP: loopbackAddr[0].IP, Port: theirs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	r := &rawPeer{t: t, conn: conn, src: uint16(own), dst: uint16(theirs), own: initiation{
		tag: 0x01020304, window: 1 << 20, out: 10, in: 10, tsn: 1000, reconfig: true, partial: true, cookie: []byte("biscuit"),
	}}
	d := &sctpnet.Dialer{LocalAddr: &sctpnet.Addr{IPAddrs: loopbackAddr, Port: theirs}, Config: config}
	dialed := make(chan *sctpnet.Conn, 1)
	go func() {
		defer close(dialed)
		c, err := d.Dial("sctp+udp", conn.LocalAddr().String())
		if err != nil {
			t.Error(err)
			return
		}
		dialed <- c.(*sctpnet.Conn)
	}()
	_, c := r.await(ctInit)
	r.theirs.parse(c.value)
	r.tag = r.theirs.tag
	r.sendChunk(ctInitAck, 0, r.own.value())
	r.await(ctCookieEcho)
	r.sendChunk(ctCookieAck, 0, nil)
	r.own.cookie = nil
	select {
	case c := <-dialed:
		if c == nil {
			t.FailNow()
		}
		t.Cleanup(func() { c.Abort() })
		return r, c
	case <-time.After(30 * time.Second):
		t.Fatal("Dial does not return")
		return nil, nil
	}
}

// socketOf is the socket that a listener has for itself.
func socketOf(ln net.Listener) *socket {
	addr := ln.Addr().(*sctpnet.Addr)
	registry.mu.Lock()
	defer registry.mu.Unlock()
	ip, _ := netip.AddrFromSlice(addr.IPAddrs[0].IP)
	return registry.sockets[place{currentNetwork(), netip.AddrPortFrom(ip.Unmap(), uint16(addr.Port))}]
}

func countersOf(ln net.Listener) *counters { return &socketOf(ln).counters }

// assocOf is the association of a listener's port that has a tag.
func assocOf(t *testing.T, ln net.Listener, tag uint32) *assoc {
	t.Helper()
	a := socketOf(ln).port(uint16(ln.Addr().(*sctpnet.Addr).Port)).find(tag)
	if a == nil {
		t.Fatalf("there is no association of the tag %x", tag)
	}
	return a
}

var loopbackAddr = []net.IPAddr{{IP: net.IPv4(127, 0, 0, 1)}}

// freeUDPPort returns a UDP port that was free a moment ago.
func freeUDPPort(t testing.TB) int {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: loopbackAddr[0].IP})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port
}

// muteUDP returns the address of a UDP port that never answers.
func muteUDP(t testing.TB) string {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: loopbackAddr[0].IP})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.LocalAddr().String()
}
