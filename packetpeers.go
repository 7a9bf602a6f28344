package sctpnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"syscall"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// An assoc is an association of a PacketConn. Its fields but the first four are
// under the PacketConn's mutex.
type assoc struct {
	c       *PacketConn
	id      engine.AssocID
	addr    *Addr         // the one that stands for it
	settled chan struct{} // closed when it is up, or could not be made

	dialed bool // this end has made it
	up     bool
	users  int   // calls of Connect that wait, and of WriteTo that have begun it
	ended  error // nil as long as it has not
	ports  []netip.AddrPort
	begun  assembler
	// aborted says that a message was too long. What else has arrived is dropped.
	aborted bool
}

// addrPorts returns the addresses of an endpoint.
func addrPorts(a *engine.Addr) []netip.AddrPort {
	ports := make([]netip.AddrPort, 0, len(a.IPAddrs))
	for _, ip := range a.IPAddrs {
		ports = append(ports, addrPort(ip, a.Port))
	}
	return ports
}

func addrPort(ip net.IPAddr, port int) netip.AddrPort {
	a, _ := netip.AddrFromSlice(ip.IP)
	if a = a.Unmap(); ip.Zone != "" {
		a = a.WithZone(engine.ZoneName(ip.Zone))
	}
	return netip.AddrPortFrom(a, uint16(port))
}

// checkInterface returns an error if the zone of an address is no interface.
func checkInterface(ip netip.Addr) error {
	if ip.Zone() == "" {
		return nil
	}
	if _, err := net.InterfaceByName(ip.Zone()); err != nil {
		return fmt.Errorf("%s: zone %q is no interface of this host: %w", ip, ip.Zone(), syscall.EINVAL)
	}
	return nil
}

// find returns the association with the endpoint a, or nil. It makes none.
func (c *PacketConn) find(a *Addr) (*assoc, error) {
	if p := a.assoc; p != nil && p.c == c && p.addr == a {
		c.mu.Lock()
		defer c.mu.Unlock()
		if p.ended != nil {
			return nil, noMore(a, p.ended)
		}
		return p, nil
	}
	if err := checkPort(a); err != nil {
		return nil, err
	}
	c.mu.Lock()
	for _, ip := range a.IPAddrs {
		if p := c.byAddr[addrPort(ip, a.Port)]; p != nil {
			c.mu.Unlock()
			return p, nil
		}
	}
	c.mu.Unlock()
	// The event that it is up may not have been received yet.
	for _, ip := range a.IPAddrs {
		at := addrPort(ip, a.Port)
		if id := c.e.Find(at); id != 0 {
			return c.meet(id), nil
		}
	}
	return nil, nil
}

// noMore says that an Addr no longer stands for an association.
func noMore(a *Addr, why error) error {
	return fmt.Errorf("the association with %s is no more: %w", a, why)
}

var errPeeledOff error = peeledOffError{}

// peeledOffError says that an association is a Conn's.
type peeledOffError struct{}

func (peeledOffError) Error() string { return "it was peeled off" }
func (peeledOffError) Unwrap() error { return syscall.ENOTCONN }

// meet returns the peer of an association, or nil if that has ended: no event may
// come that would remove it.
func (c *PacketConn) meet(id engine.AssocID) *assoc {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known(id)
}

func (c *PacketConn) known(id engine.AssocID) *assoc {
	if p := c.peers[id]; p != nil {
		return p
	}
	a, err := c.e.PeerAddr(id)
	if err != nil {
		return nil
	}
	p := c.newAssoc(id, newAddr(a, c.network))
	c.enter(p, addrPorts(a))
	return p
}

// meetTaken returns the peer of an association that something is being received from.
// from is an address of it.
func (c *PacketConn) meetTaken(id engine.AssocID, from netip.AddrPort) *assoc {
	if p := c.inbox.ended; p != nil && p.id == id {
		return p
	}
	if p := c.known(id); p != nil {
		return p
	}
	// It has ended, which the events will tell that have not been received yet.
	ip := net.IPAddr{IP: from.Addr().AsSlice(), Zone: from.Addr().Zone()}
	p := c.newAssoc(id, &Addr{IPAddrs: []net.IPAddr{ip}, Port: int(from.Port()), Net: anyFamily(c.network)})
	c.enter(p, nil)
	return p
}

func (c *PacketConn) newAssoc(id engine.AssocID, addr *Addr) *assoc {
	p := &assoc{c: c, id: id, addr: addr, settled: make(chan struct{})}
	addr.assoc = p
	return p
}

// enter adds a peer to the table.
func (c *PacketConn) enter(p *assoc, addrs []netip.AddrPort) {
	c.peers[p.id] = p
	c.assign(p, addrs)
}

// assign has these addresses find a peer, and no others.
func (c *PacketConn) assign(p *assoc, ports []netip.AddrPort) {
	for _, at := range p.ports {
		if c.byAddr[at] == p {
			delete(c.byAddr, at)
		}
	}
	p.ports = ports
	for _, at := range ports {
		c.byAddr[at] = p
	}
}

// remove removes a peer from the table.
func (c *PacketConn) remove(p *assoc, why error) {
	c.assign(p, nil)
	p.begun, p.ended = assembler{}, why
	p.settle()
	delete(c.peers, p.id)
	c.inbox.ended = p
}

// settle says that it is known whether the association is there.
func (p *assoc) settle() {
	if p.isSettled() {
		return
	}
	close(p.settled)
	if p.c.inbox.waits == p {
		p.c.e.Wake()
	}
}

func (p *assoc) isSettled() bool {
	select {
	case <-p.settled:
		return true
	default:
		return false
	}
}

// Connect makes an association with the endpoint at the address, and waits until it
// is there. It returns the Addr that stands for it. Addresses are those of [Dial];
// of a host name it takes one address, as [ResolveAddr] does. If there is an
// association with the peer already, Connect returns its Addr.
//
// Connect fails with ECONNREFUSED at once if the peer refuses, and with ETIMEDOUT if
// it is silent, as Dial does. When ctx ends before, the error wraps ctx's, and the
// attempt is given up unless another call has begun it.
//
// What tells Connect comes in order with the messages of all peers. If no goroutine
// reads these, Connect keeps up to 1 MiB of them for ReadFrom, and then waits until
// one does.
func (c *PacketConn) Connect(ctx context.Context, address string) (*Addr, error) {
	if !c.ok() {
		return nil, syscall.EINVAL
	}
	if ctx == nil {
		panic("nil context")
	}
	a, err := c.resolve(ctx, address)
	if err != nil {
		return nil, c.opError("dial", nil, contextError(err))
	}
	addr, err := c.connect(ctx, a)
	if err != nil {
		return nil, c.opError("dial", a, contextError(err))
	}
	return addr, nil
}

// resolve returns the endpoint of an address.
func (c *PacketConn) resolve(ctx context.Context, address string) (*Addr, error) {
	if address == "" {
		return nil, errMissingAddress
	}
	a, err := resolveOne(ctx, nil, c.network, address)
	if err == nil && isWildcard(a) {
		network := c.network
		if family(network) == "sctp" && !isWildcard(c.local) && isIPv6(c.local.IPAddrs[0]) {
			network = "sctp6" // this host, from an IPv6 address
		}
		a = loopback(network, a)[0]
	}
	return a, err
}

func (c *PacketConn) connect(ctx context.Context, a *Addr) (*Addr, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.closed.Load() {
		return nil, net.ErrClosed
	}
	p, _, err := c.begin(a)
	if err != nil {
		return nil, err
	}
	defer func() {
		c.mu.Lock()
		p.users--
		isLast := p.users == 0 && p.dialed && !p.up && p.ended == nil
		c.mu.Unlock()
		if isLast {
			c.e.Abort(p.id)
		}
	}()
	for {
		c.mu.Lock()
		up, ended, isClosed, moved := p.up, p.ended, c.closed.Load(), c.whenMoved()
		reading := c.reading
		if !c.mayAwait() {
			reading = nil
		}
		c.mu.Unlock()
		switch {
		case isClosed:
			return nil, net.ErrClosed
		case ended != nil:
			return nil, ended
		case up:
			return p.addr, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
		select {
		case reading <- struct{}{}: // nobody reads
			if err := c.await(ctx, p); err != nil {
				return nil, err
			}
		case <-p.settled:
		case <-moved:
		case <-ctx.Done():
		}
	}
}

// begin begins an association with an endpoint, or returns the one that there is.
func (c *PacketConn) begin(a *Addr) (p *assoc, isNew bool, err error) {
	if err := c.checkPeer(a); err != nil {
		return nil, false, err
	}
	err = c.e.Connect(a.engine(), func(id engine.AssocID, made bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if p = c.peers[id]; p == nil && made {
			p = c.newAssoc(id, clone(a))
			p.addr.Net = anyFamily(c.network)
			c.enter(p, addrPorts(p.addr.engine()))
		} else if p == nil {
			p = c.meetTaken(id, netip.AddrPort{})
		}
		if made { // also if another call has met it meanwhile
			p.dialed, isNew = true, true
		}
		p.users++
	})
	return p, isNew, err
}

// checkPeer returns an error if there can be no association with an endpoint.
func (c *PacketConn) checkPeer(a *Addr) error {
	if err := checkPort(a); err != nil {
		return err
	}
	if len(a.IPAddrs) == 0 {
		return &net.AddrError{Err: "no address of a peer", Addr: a.String()}
	}
	for _, ip := range a.IPAddrs {
		at := addrPort(ip, a.Port).Addr()
		if err := firstError(checkIP(at), checkZone(at), checkInterface(at), fits(c.network, ip)); err != nil {
			return err
		}
	}
	return nil
}

func checkPort(a *Addr) error {
	if a.Port <= 0 || a.Port > most16 {
		return &net.AddrError{Err: "no port of a peer; allowed are 1 to 65535", Addr: a.String()}
	}
	return nil
}

// addrOf checks an address that a caller has given.
func addrOf(addr net.Addr) (*Addr, error) {
	switch a, ok := addr.(*Addr); {
	case addr == nil, ok && a == nil:
		return nil, errMissingAddress
	case !ok:
		return nil, &net.AddrError{Err: fmt.Sprintf("mismatched address type %T: want *sctpnet.Addr", addr), Addr: addr.String()}
	default:
		return a, nil
	}
}

// Associations returns the Addrs of all associations that are up.
func (c *PacketConn) Associations() []*Addr {
	if !c.ok() {
		return nil
	}
	ids, err := c.e.Assocs()
	if err != nil {
		return nil
	}
	var list []*Addr
	for _, id := range ids {
		c.mu.Lock()
		p := c.peers[id]
		up := p != nil && p.up
		c.mu.Unlock()
		if !up {
			if s, err := c.e.Status(id); err != nil || s.State < engine.StateEstablished {
				continue
			}
			if p = c.meet(id); p == nil {
				continue
			}
		}
		list = append(list, p.addr)
	}
	return list
}

// of runs f with the association of a peer.
func (c *PacketConn) of(op string, addr net.Addr, f func(p *assoc) error) error {
	if !c.ok() {
		return syscall.EINVAL
	}
	a, err := addrOf(addr)
	if err != nil {
		return c.opError(op, nil, err)
	}
	if c.closed.Load() {
		return c.opError(op, a, net.ErrClosed)
	}
	p, err := c.find(a)
	if err == nil && p == nil {
		err = fmt.Errorf("no association with this peer: %w", syscall.ENOTCONN)
	}
	if err == nil {
		err = f(p)
	}
	return c.opError(op, a, err)
}

// Shutdown ends the association with a peer, as [Conn.Shutdown] does: an
// [AssocEvent] with AssocEnded tells when that is done. The association must be up.
// If it is being made, the error wraps EINPROGRESS; Abort ends it then too.
func (c *PacketConn) Shutdown(peer net.Addr) error {
	return c.of("shutdown", peer, func(p *assoc) error {
		// In a handshake the kernel would drop what was written, and tell nobody.
		if err := c.checkMade(p); err != nil {
			return err
		}
		return c.e.Shutdown(p.id)
	})
}

// checkMade returns an error if an association is still being made.
func (c *PacketConn) checkMade(p *assoc) error {
	s, err := c.e.Status(p.id)
	if err == nil && s.State < engine.StateEstablished {
		err = fmt.Errorf("the association is being made: %w", syscall.EINPROGRESS)
	}
	return err
}

// Abort ends the association with a peer at once, as [Conn.Abort] does.
func (c *PacketConn) Abort(peer net.Addr) error {
	return c.of("abort", peer, func(p *assoc) error { return c.e.Abort(p.id) })
}

// Status returns how the association with a peer is doing, as [Conn.Status] does.
func (c *PacketConn) Status(peer net.Addr) (s Status, err error) {
	err = c.of("status", peer, func(p *assoc) error {
		e, err := c.e.Status(p.id)
		s = newStatus(e)
		return err
	})
	return s, err
}

// Paths returns the paths to a peer, as [Conn.Paths] does.
func (c *PacketConn) Paths(peer net.Addr) (paths []Path, err error) {
	err = c.of("status", peer, func(p *assoc) error {
		e, err := c.e.Paths(p.id)
		paths = newPaths(e)
		return err
	})
	return paths, err
}

// Stats returns what the association with a peer has sent and received, as
// [Conn.Stats] does. Over the kernel's SCTP WriteTo begins a new period of MaxRTO, too.
func (c *PacketConn) Stats(peer net.Addr) (s Stats, err error) {
	err = c.of("status", peer, func(p *assoc) error {
		e, err := c.e.Stats(p.id)
		s = Stats(e)
		return err
	})
	return s, err
}

// Set changes settings of the association with a peer while it lives, as [Conn.Set]
// does: RTO, AssocParams, PathParams, SACK, MaxSegment, MaxBurst, PartialReliability
// and Scheduler. All other fields are those of the socket, or of the handshake.
// With one of these set, the error wraps [errors.ErrUnsupported], and nothing is
// changed.
func (c *PacketConn) Set(peer net.Addr, config Config) error {
	return c.of("set", peer, func(p *assoc) error {
		err := firstError(config.check(), checkSetting(c.network, "Config.", "", config), checkOneAssoc(&config))
		if err != nil {
			return err
		}
		var s engine.Settings
		copyFields(&s, &config)
		return c.e.Set(p.id, s)
	})
}

// checkOneAssoc returns an error if a Config sets what one association of a
// PacketConn does not have for itself.
func checkOneAssoc(config *Config) error {
	for f, v := range reflect.ValueOf(config).Elem().Fields() {
		switch f.Name {
		case "RTO", "AssocParams", "PathParams", "SACK", "MaxSegment", "MaxBurst", "PartialReliability", "Scheduler":
			continue
		}
		if !v.IsZero() {
			return fmt.Errorf("for one peer Config.%s cannot change: %w: ListenPacket alone sets it", f.Name, errors.ErrUnsupported)
		}
	}
	return nil
}
