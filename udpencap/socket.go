package udpencap

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// A socket is a UDP socket of one address family. Any number of local SCTP
// ports share it.
type socket struct {
	conn  *net.UDPConn
	local netip.AddrPort
	any   bool // it is bound to no address in particular
	sys   sysSocket
	later later
	turns turns

	asked, granted atomic.Int64 // of the system, to receive into

	refs          int  // ports, under registry.mu
	isNumberTaken bool // by freePort, under registry.mu
	shared        bool // it is in the registry,
	place         place

	mu    sync.RWMutex
	ports map[uint16]*port

	counters counters
}

// turns counts the turns of a socket's goroutine: one more when it begins to take what has
// come, and when it is done with that and has found the socket empty.
type turns struct{ n atomic.Uint64 }

func (t *turns) begin() {
	if !t.isUnderWay(t.n.Load()) {
		t.n.Add(1)
	}
}

func (t *turns) end() {
	if t.isUnderWay(t.n.Load()) {
		t.n.Add(1)
	}
}

func (*turns) isUnderWay(n uint64) bool { return n%2 == 1 }

// counters count packets.
type counters struct {
	received  atomic.Uint64
	malformed atomic.Uint64 // too short, or of the wrong checksum
	strange   atomic.Uint64 // out of the blue
	wrongTag  atomic.Uint64
	ignored   atomic.Uint64 // not to be answered
}

// sockBuffer is asked of the system for each direction of a socket. What a
// burst has too much is lost and has to be sent again.
const sockBuffer = 4 << 20

// setBuffer sets a buffer's size, and returns it. Linux grants less than it is asked for
// where it has its reasons, but BSD systems refuse and leave the socket what little it
// has.
func setBuffer(size int, set func(bytes int) error) (granted int) {
	for ; size >= leastBufferSize; size /= 2 {
		if set(size) == nil {
			return size
		}
	}
	return leastBufferSize
}

// setReadBuffer asks the system for room to receive.
func (s *socket) setReadBuffer(size int) {
	granted := setBuffer(size, s.conn.SetReadBuffer)
	s.granted.Store(int64(s.sys.setReadBuffer(size, granted)))
	s.asked.Store(int64(size))
}

// readRoom returns how much the system keeps that is not read yet. If that is not
// enough, it is asked for more, once.
func (s *socket) readRoom(enough int) int {
	if int64(enough) > s.asked.Load() {
		s.setReadBuffer(enough)
	}
	return int(s.granted.Load())
}

// openSocket binds a UDP socket. With control set it is called on it first.
func openSocket(ctx context.Context, local netip.AddrPort, control func(network, address string, c syscall.RawConn) error) (*socket, error) {
	network := "udp6"
	if local.Addr().Is4() {
		network = "udp4"
	}
	lc := net.ListenConfig{Control: control}
	pc, err := lc.ListenPacket(ctx, network, local.String())
	if err != nil {
		return nil, err
	}
	c := pc.(*net.UDPConn)
	s := &socket{
		conn:  c,
		local: c.LocalAddr().(*net.UDPAddr).AddrPort(),
		any:   local.Addr().IsUnspecified(),
		ports: make(map[uint16]*port),
	}
	s.local = netip.AddrPortFrom(s.local.Addr().Unmap().WithZone(local.Addr().Zone()), s.local.Port())
	setBuffer(sockBuffer, c.SetWriteBuffer)
	if s.any {
		// Answers must come from the address that was asked. Where the system
		// cannot tell which it was, they come from where the route says.
		if s.is4() {
			ipv4.NewPacketConn(c).SetControlMessage(ipv4.FlagDst, true)
		} else {
			ipv6.NewPacketConn(c).SetControlMessage(ipv6.FlagDst, true)
		}
	}
	s.sys.init(c)
	s.setReadBuffer(sockBuffer)
	go s.read()
	return s, nil
}

func (s *socket) close() { s.conn.Close() }

func (s *socket) is4() bool { return s.local.Addr().Is4() }

// read is the socket's goroutine. It ends when the socket is closed.
func (s *socket) read() {
	info := destination{zones: make(zones)}
	var in intake
	failures := 0 // since something was taken
	take := func(b, oob []byte, from netip.AddrPort) {
		failures = 0
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		to := s.local.Addr()
		if s.any {
			to = info.parse(oob, s.is4())
		}
		size := segmentSize(oob, len(b))
		for len(b) > 0 {
			k := min(size, len(b))
			s.input(b[:k], from, to, &in)
			b = b[k:]
		}
	}
	receive := s.receiveAll(take)
	for {
		empty, err := receive()
		in.done()
		if empty {
			s.turns.end()
		}
		switch {
		case err == nil:
			continue
		case errors.Is(err, net.ErrClosed):
			return
		}
		// Some systems tell of earlier packets that did not arrive. What
		// else it may be does not go away by asking again at once.
		s.hadErrors()
		if failures++; failures > 10 {
			time.Sleep(time.Millisecond)
		}
	}
}

// receiveEach returns a function that waits for something to have come, and takes it as
// the system hands it over: a packet, or several of a size. As there is no way to know, the
// socket counts as empty then.
func (s *socket) receiveEach(take func(b, oob []byte, from netip.AddrPort)) (receive func() (empty bool, err error)) {
	buf := make([]byte, 1<<16)
	oob := make([]byte, 128)
	return func() (empty bool, err error) {
		n, oobn, _, from, err := s.conn.ReadMsgUDPAddrPort(buf, oob)
		if err == nil {
			s.turns.begin()
			take(buf[:n], oob[:oobn], from)
		}
		return true, err
	}
}

// An intake is the associations that had packets in what was read at once, and which wait
// until all of that was read.
type intake struct{ assocs []*assoc }

func (in *intake) has(a *assoc) bool { return slices.Contains(in.assocs, a) }

func (in *intake) add(a *assoc) {
	if !in.has(a) {
		in.assocs = append(in.assocs, a)
	}
}

// done has them acknowledge what came, and send what they may send now.
func (in *intake) done() {
	for i, a := range in.assocs {
		a.endIntake()
		in.assocs[i] = nil
	}
	in.assocs = in.assocs[:0]
}

// A destination finds a packet's destination address in its control messages,
// which mostly are those of the packet before.
type destination struct {
	oob   []byte
	ip    netip.Addr
	zones zones
}

func (d *destination) parse(oob []byte, is4 bool) netip.Addr {
	if d.ip.IsValid() && bytes.Equal(oob, d.oob) {
		return d.ip
	}
	var ip net.IP
	var zone int
	if is4 {
		var cm ipv4.ControlMessage
		if cm.Parse(oob) == nil {
			ip = cm.Dst
		}
	} else {
		var cm ipv6.ControlMessage
		if cm.Parse(oob) == nil {
			ip, zone = cm.Dst, cm.IfIndex
		}
	}
	d.oob = append(d.oob[:0], oob...)
	d.ip, _ = netip.AddrFromSlice(ip)
	if d.ip = d.ip.Unmap(); hasZone(d.ip) {
		zoned := d.ip.WithZone(d.zones.name(zone))
		d.ip = netip.Addr{}
		if d.zones[zone] != "" {
			d.ip = zoned // until there is another one
		}
		return zoned
	}
	return d.ip
}

// zones have the names of network interfaces, by their indexes. To ask the system costs much.
type zones map[int]string

// name returns the name of an interface. It asks again for one that the system has not told,
// which it does not if there are too many files open.
func (z zones) name(index int) string {
	name := z[index]
	if name == "" {
		number := strconv.Itoa(index)
		if name = engine.ZoneName(number); name != number {
			z[index] = name
		}
	}
	return name
}

// source returns the control message that has a packet sent from an address.
func (s *socket) source(ip netip.Addr) []byte {
	if !s.any || !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() {
		return nil
	}
	if s.is4() {
		return (&ipv4.ControlMessage{Src: ip.AsSlice()}).Marshal()
	}
	return (&ipv6.ControlMessage{Src: ip.AsSlice()}).Marshal()
}

// A path is where packets to a peer go.
type path struct {
	socket *socket
	to     netip.AddrPort // IP address and UDP port of the peer
	oob    []byte         // that has them come from the right address
	single bool           // the peer must not get a batch of them
	whole  bool           // a packet must not be divided by the system, however large it is,
	divide bool           // or must
}

// pathTo is the path of packets that come from an address of this host.
func (s *socket) pathTo(to netip.AddrPort, from netip.Addr) path {
	return path{socket: s, to: to, oob: s.source(from)}
}

// transport, if a test has set it, sends instead of the sockets.
var transport atomic.Pointer[func(p path, b []byte, send func(b []byte))]

// send sends one packet or several of size bytes. The last one may be shorter. It does
// not wait. It returns how many bytes are done with: the system had no room for the
// rest. What cannot be sent otherwise counts as lost: the peer's silence will tell, if it
// lasts.
func (p path) send(b []byte, size int) (n int, full bool) {
	if f := transport.Load(); f != nil {
		for len(b) > 0 {
			k := min(size, len(b))
			(*f)(p, b[:k], func(b []byte) { p.sendWaiting(b, len(b)) })
			n, b = n+k, b[k:]
		}
		return n, false
	}
	return p.trySend(b, size)
}

// sendWaiting sends as package net does.
func (p path) sendWaiting(b []byte, size int) (n int) {
	for len(b) > 0 {
		k := min(size, len(b))
		for try := 0; ; try++ {
			_, _, err := p.socket.conn.WriteMsgUDPAddrPort(b[:k], p.oob, p.to)
			if err == nil || try == mostTries || !p.socket.isOfEarlier(err) {
				break
			}
		}
		n, b = n+k, b[k:]
	}
	return n
}

const mostTries = 3 // beside the first

// sendPacket sends a packet, now or as soon as the system has room for it.
func (p path) sendPacket(b packet) {
	if _, full := p.send(b.seal(), len(b)); full {
		p.socket.later.addPacket(p, b)
	}
}
