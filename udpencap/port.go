package udpencap

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// UDPPort is the UDP port that RFC 6951 reserves for SCTP. Linux has it for its
// own encapsulation if sysctl net.sctp.udp_port says so.
const UDPPort = 9899

// A port is a local SCTP port: a listener, if there is one, and associations.
type port struct {
	num     uint16
	sockets []*socket

	users int // the listener and the associations, under registry.mu

	mu       sync.Mutex
	listener *listener
	byTag    map[uint32]*assoc // by the local tag
	byPeer   map[peer]*assoc
}

// readWindow is how much the peers of the port's associations may send ahead: half of
// their receive buffer, and no more than the sockets have room for, as a burst of all
// that would be lost.
func (p *port) readWindow(o *engine.Options) int {
	window := bufferSize(o.ReadBuffer) / 2
	for _, s := range p.sockets {
		window = min(window, s.readRoom(window))
	}
	return max(window, leastBufferSize/2)
}

// A peer is the other end of an association.
type peer struct {
	ip   netip.Addr
	port uint16 // SCTP
}

// attach makes sockets serve a port. It fails where one of them has that
// already, unless all have the same: that is then returned. The caller holds
// registry.mu.
func attach(num uint16, sockets []*socket) (*port, error) {
	p := sockets[0].port(num)
	for _, s := range sockets[1:] {
		if s.port(num) != p {
			return nil, os.NewSyscallError("bind", syscall.EADDRINUSE)
		}
	}
	if p != nil {
		return p, nil
	}
	p = &port{num: num, sockets: sockets, byTag: make(map[uint32]*assoc), byPeer: make(map[peer]*assoc)}
	for _, s := range sockets {
		s.mu.Lock()
		s.ports[num] = p
		s.mu.Unlock()
		s.refs++
	}
	return p, nil
}

func (s *socket) port(num uint16) *port {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.ports[num]
}

// use makes an association a user. It reports false if the port is gone.
func (p *port) use() bool {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	if p.users == 0 {
		return false
	}
	p.users++
	return true
}

// release ends what use began. With the last user the port is gone.
func (p *port) release() {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	if p.users--; p.users > 0 {
		return
	}
	for _, s := range p.sockets {
		s.mu.Lock()
		delete(s.ports, p.num)
		s.mu.Unlock()
		s.refs--
		s.unused()
	}
}

// listenPort opens a port to listen on, for which it becomes a user. ips are
// the addresses to listen at, or the families' unspecified ones. Where the UDP
// port is not given, it is the one that is numbered as the SCTP port is, and
// UDPPort as well, as far as they are free.
func listenPort(ctx context.Context, ips []netip.Addr, num, udp uint16, ctrl control) (*port, error) {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	var sockets []*socket
	fail := func(err error) (*port, error) {
		for _, s := range sockets {
			s.unused()
		}
		return nil, err
	}
	if udp != 0 {
		more, _, err := bind(ctx, ips, udp, ctrl)
		if err != nil {
			return fail(taken(err, udp))
		}
		sockets = more
	} else {
		own, got, err := bind(ctx, ips, num, ctrl)
		sockets = own
		if num == 0 {
			if err != nil {
				return fail(err)
			}
			num = got
		}
		if num != UDPPort {
			more, _, err2 := bind(ctx, ips, UDPPort, ctrl)
			sockets = append(sockets, more...)
			if err != nil && err2 != nil {
				return fail(fmt.Errorf("neither UDP port %d nor UDP port %d is free: %w", num, UDPPort, taken(err, num)))
			}
		} else if err != nil {
			return fail(taken(err, num))
		}
	}
	if num == 0 {
		if num = freePort(sockets, udp); num == 0 {
			return fail(errNoPort)
		}
	}
	p, err := attach(num, sockets)
	if err != nil {
		return fail(err)
	}
	p.users++
	return p, nil
}

// dialPort opens a port to dial from, for which it becomes a user. ip is the
// address to dial from, or the family's unspecified one. to is dialed. Without a number a
// free one is taken, on a socket that other dials share, too, but not the one that
// is dialed: where that is this socket's, the association would be with itself.
func dialPort(ctx context.Context, ip, to netip.Addr, num, dialed, udp uint16, ctrl control) (*port, error) {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	if udp == 0 {
		udp = num
	}
	var s *socket
	var err error
	if udp == 0 && ctrl == nil {
		s, err = dialSocket(ctx, ip, to)
	} else {
		s, err = getSocket(ctx, netip.AddrPortFrom(ip, udp), ctrl)
	}
	if err != nil {
		return nil, taken(err, udp)
	}
	if num == 0 {
		if num = freePort([]*socket{s}, dialed); num == 0 {
			s.unused()
			return nil, errNoPort
		}
	}
	sockets := []*socket{s}
	if p := s.port(num); p != nil {
		if p.listening() != nil {
			return nil, os.NewSyscallError("bind", syscall.EADDRINUSE)
		}
		sockets = p.sockets // of a listener before
	}
	p, err := attach(num, sockets)
	if err != nil {
		s.unused()
		return nil, err
	}
	p.users++
	return p, nil
}

// anyOf is the unspecified address of an address's family.
func anyOf(ip netip.Addr) netip.Addr {
	if ip.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// errNoPort is what there is where freePort finds none.
var errNoPort = os.NewSyscallError("bind", syscall.EADDRNOTAVAIL)

const firstEphemeral, lastEphemeral = 49152, 65535

// freePort returns an SCTP port that the sockets do not have: their UDP port's
// number for the first that asks, if it can be, otherwise an ephemeral one. So the
// port of an association that has just ended is not the next one's. It returns 0 if they
// have all. The caller holds registry.mu.
func freePort(sockets []*socket, not uint16) uint16 {
	const n = lastEphemeral - firstEphemeral + 1
	isFree := func(num uint16) bool {
		return num != not && !slices.ContainsFunc(sockets, func(s *socket) bool { return s.port(num) != nil })
	}
	own := sockets[0]
	if num := own.local.Port(); !own.isNumberTaken && isFree(num) {
		own.isNumberTaken = true
		return num
	}
	own.isNumberTaken = true
	start := rand.N(n)
	for i := range n {
		if num := uint16(firstEphemeral + (start+i)%n); isFree(num) {
			return num
		}
	}
	return 0
}

// add makes an association known. It reports false if there is one with the
// peer already.
func (p *port) add(a *assoc) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byPeer[a.peer] != nil || p.byTag[a.localTag] != nil {
		return false
	}
	p.byPeer[a.peer] = a
	p.byTag[a.localTag] = a
	return true
}

// remove forgets an association.
func (p *port) remove(a *assoc) {
	p.mu.Lock()
	if p.byTag[a.localTag] == a {
		delete(p.byTag, a.localTag)
	}
	if p.byPeer[a.peer] == a {
		delete(p.byPeer, a.peer)
	}
	p.mu.Unlock()
	p.release()
}

// newTag returns a tag that no association of the port has.
func (p *port) newTag() uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if tag := rand.Uint32(); tag != 0 && p.byTag[tag] == nil {
			return tag
		}
	}
}

// addTag makes an association known by another tag.
func (p *port) addTag(a *assoc) uint32 {
	for {
		tag := p.newTag()
		p.mu.Lock()
		free := p.byTag[tag] == nil
		if free {
			p.byTag[tag] = a
		}
		p.mu.Unlock()
		if free {
			return tag
		}
	}
}

// dropTag forgets one of an association's tags.
func (p *port) dropTag(a *assoc, tag uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byTag[tag] == a {
		delete(p.byTag, tag)
	}
}

// socketFor returns the socket to dial an address from.
func (p *port) socketFor(to netip.Addr) *socket {
	for _, s := range p.sockets {
		if s.is4() == to.Is4() {
			return s
		}
	}
	return p.sockets[0]
}

func (p *port) find(tag uint32) *assoc {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byTag[tag]
}

func (p *port) findPeer(key peer) *assoc {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byPeer[key]
}
