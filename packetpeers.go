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

	dialed   bool // this end has made it
	up       bool
	users    int   // calls of Connect that wait, and of WriteTo that have begun it
	ended    error // nil as long as it has not
	ports    []netip.AddrPort
	messages assembler // of messages that come in pieces
	// aborted says that a message was too long. What else has arrived is dropped.
	aborted bool
}

// addrPorts returns the addresses of an endpoint.
func addrPorts(addr *engine.Addr) []netip.AddrPort {
	ports := make([]netip.AddrPort, 0, len(addr.IPAddrs))
	for _, ip := range addr.IPAddrs {
		ports = append(ports, addrPort(ip, addr.Port))
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

// find returns the association that an Addr stands for, or nil. It makes none.
func (c *PacketConn) find(addr *Addr) (*assoc, error) {
	if a := addr.assoc; a != nil && a.c == c && a.addr == addr {
		c.mu.Lock()
		defer c.mu.Unlock()
		if a.ended != nil {
			return nil, noMore(addr, a.ended)
		}
		return a, nil
	}
	if err := checkPort(addr); err != nil {
		return nil, err
	}
	c.mu.Lock()
	for _, ip := range addr.IPAddrs {
		if a := c.byAddr[addrPort(ip, addr.Port)]; a != nil {
			c.mu.Unlock()
			return a, nil
		}
	}
	c.mu.Unlock()
	// The event that one is up may not have been received yet.
	for _, ip := range addr.IPAddrs {
		at := addrPort(ip, addr.Port)
		if id := c.e.Find(at); id != 0 {
			return c.meet(id), nil
		}
	}
	return nil, nil
}

// noMore says that the association is over that an Addr stood for.
func noMore(addr *Addr, why error) error {
	return fmt.Errorf("the association with %s is no more: %w", addr, why)
}

var errPeeledOff error = peeledOffError{}

// peeledOffError says that an association is a Conn's.
type peeledOffError struct{}

func (peeledOffError) Error() string { return "it was peeled off" }
func (peeledOffError) Unwrap() error { return syscall.ENOTCONN }

// meet returns the association with a number, or nil if that has ended: no event may
// come that would remove it.
func (c *PacketConn) meet(id engine.AssocID) *assoc {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known(id)
}

// known is meet for a caller that holds the mutex.
func (c *PacketConn) known(id engine.AssocID) *assoc {
	if a := c.assocs[id]; a != nil {
		return a
	}
	addr, err := c.e.PeerAddr(id)
	if err != nil {
		return nil
	}
	a := c.newAssoc(id, newAddr(addr, c.network))
	c.enter(a, addrPorts(addr))
	return a
}

// meetTaken returns the association that something is being received from. from is an
// address of the peer.
func (c *PacketConn) meetTaken(id engine.AssocID, from netip.AddrPort) *assoc {
	if a := c.inbox.ended; a != nil && a.id == id {
		return a
	}
	if a := c.known(id); a != nil {
		return a
	}
	// It has ended, which the events will tell that have not been received yet.
	ip := net.IPAddr{IP: from.Addr().AsSlice(), Zone: from.Addr().Zone()}
	a := c.newAssoc(id, &Addr{IPAddrs: []net.IPAddr{ip}, Port: int(from.Port()), Net: anyFamily(c.network)})
	c.enter(a, nil)
	return a
}

func (c *PacketConn) newAssoc(id engine.AssocID, addr *Addr) *assoc {
	a := &assoc{c: c, id: id, addr: addr, settled: make(chan struct{})}
	addr.assoc = a
	return a
}

// enter adds an association to the table.
func (c *PacketConn) enter(a *assoc, addrs []netip.AddrPort) {
	c.assocs[a.id] = a
	c.assign(a, addrs)
}

// assign has these addresses find an association, and no others.
func (c *PacketConn) assign(a *assoc, ports []netip.AddrPort) {
	for _, at := range a.ports {
		if c.byAddr[at] == a {
			delete(c.byAddr, at)
		}
	}
	a.ports = ports
	for _, at := range ports {
		c.byAddr[at] = a
	}
}

// remove removes an association from the table.
func (c *PacketConn) remove(a *assoc, why error) {
	c.assign(a, nil)
	a.messages, a.ended = assembler{}, why
	a.settle()
	delete(c.assocs, a.id)
	c.inbox.ended = a
}

// settle says that it is known whether the association is there.
func (a *assoc) settle() {
	if a.isSettled() {
		return
	}
	close(a.settled)
	if a.c.inbox.waits == a {
		a.c.e.Wake()
	}
}

func (a *assoc) isSettled() bool {
	select {
	case <-a.settled:
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
	addr, err := c.resolve(ctx, address)
	if err != nil {
		return nil, c.opError("dial", nil, contextError(err))
	}
	a, err := c.connect(ctx, addr)
	if err != nil {
		return nil, c.opError("dial", addr, contextError(err))
	}
	return a.addr, nil
}

// resolve returns the endpoint of an address.
func (c *PacketConn) resolve(ctx context.Context, address string) (*Addr, error) {
	if address == "" {
		return nil, errMissingAddress
	}
	addr, err := resolveOne(ctx, nil, c.network, address)
	if err == nil && isWildcard(addr) {
		network := c.network
		if family(network) == "sctp" && !isWildcard(c.local) && isIPv6(c.local.IPAddrs[0]) {
			network = "sctp6" // this host, from an IPv6 address
		}
		addr = loopback(network, addr)[0]
	}
	return addr, err
}

func (c *PacketConn) connect(ctx context.Context, addr *Addr) (*assoc, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.closed.Load() {
		return nil, net.ErrClosed
	}
	a, _, err := c.begin(addr)
	if err != nil {
		return nil, err
	}
	defer func() {
		c.mu.Lock()
		a.users--
		isLast := a.users == 0 && a.dialed && !a.up && a.ended == nil
		c.mu.Unlock()
		if isLast {
			c.e.Abort(a.id)
		}
	}()
	for {
		c.mu.Lock()
		up, ended, isClosed, moved := a.up, a.ended, c.closed.Load(), c.whenMoved()
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
			return a, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
		select {
		case reading <- struct{}{}: // nobody reads
			if err := c.await(ctx, a); err != nil {
				return nil, err
			}
		case <-a.settled:
		case <-moved:
		case <-ctx.Done():
		}
	}
}

// begin begins an association with an endpoint, or returns the one that there is.
func (c *PacketConn) begin(addr *Addr) (a *assoc, isNew bool, err error) {
	if err := c.checkPeer(addr); err != nil {
		return nil, false, err
	}
	err = c.e.Connect(addr.engine(), func(id engine.AssocID, made bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if a = c.assocs[id]; a == nil && made {
			a = c.newAssoc(id, clone(addr))
			a.addr.Net = anyFamily(c.network)
			c.enter(a, addrPorts(a.addr.engine()))
		} else if a == nil {
			a = c.meetTaken(id, netip.AddrPort{})
		}
		if made { // also if another call has met it meanwhile
			a.dialed, isNew = true, true
		}
		a.users++
	})
	return a, isNew, err
}

// checkPeer returns an error if there can be no association with an endpoint.
func (c *PacketConn) checkPeer(addr *Addr) error {
	if err := checkPort(addr); err != nil {
		return err
	}
	if len(addr.IPAddrs) == 0 {
		return &net.AddrError{Err: "no address of a peer", Addr: addr.String()}
	}
	for _, ip := range addr.IPAddrs {
		at := addrPort(ip, addr.Port).Addr()
		if err := firstError(checkIP(at), checkZone(at), checkInterface(at), fits(c.network, ip)); err != nil {
			return err
		}
	}
	return nil
}

func checkPort(addr *Addr) error {
	if addr.Port <= 0 || addr.Port > most16 {
		return &net.AddrError{Err: "no port of a peer; allowed are 1 to 65535", Addr: addr.String()}
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
		a := c.assocs[id]
		up := a != nil && a.up
		c.mu.Unlock()
		if !up {
			if s, err := c.e.Status(id); err != nil || s.State < engine.StateEstablished {
				continue
			}
			if a = c.meet(id); a == nil {
				continue
			}
		}
		list = append(list, a.addr)
	}
	return list
}

// of runs f with the association with a peer.
func (c *PacketConn) of(op string, peer net.Addr, f func(a *assoc) error) error {
	if !c.ok() {
		return syscall.EINVAL
	}
	addr, err := addrOf(peer)
	if err != nil {
		return c.opError(op, nil, err)
	}
	if c.closed.Load() {
		return c.opError(op, addr, net.ErrClosed)
	}
	a, err := c.find(addr)
	if err == nil && a == nil {
		err = fmt.Errorf("no association with this peer: %w", syscall.ENOTCONN)
	}
	if err == nil {
		err = f(a)
	}
	return c.opError(op, addr, err)
}

// Shutdown ends the association with a peer, as [Conn.Shutdown] does: an
// [AssocEvent] with AssocEnded tells when that is done. The association must be up.
// If it is being made, the error wraps EINPROGRESS; Abort ends it then too.
func (c *PacketConn) Shutdown(peer net.Addr) error {
	return c.of("shutdown", peer, func(a *assoc) error {
		// In a handshake the kernel would drop what was written, and tell nobody.
		if err := c.checkMade(a); err != nil {
			return err
		}
		return c.e.Shutdown(a.id)
	})
}

// checkMade returns an error if an association is still being made.
func (c *PacketConn) checkMade(a *assoc) error {
	s, err := c.e.Status(a.id)
	if err == nil && s.State < engine.StateEstablished {
		err = fmt.Errorf("the association is being made: %w", syscall.EINPROGRESS)
	}
	return err
}

// Abort ends the association with a peer at once, as [Conn.Abort] does.
func (c *PacketConn) Abort(peer net.Addr) error {
	return c.of("abort", peer, func(a *assoc) error { return c.e.Abort(a.id) })
}

// Status returns how the association with a peer is doing, as [Conn.Status] does.
func (c *PacketConn) Status(peer net.Addr) (s Status, err error) {
	err = c.of("status", peer, func(a *assoc) error {
		e, err := c.e.Status(a.id)
		s = newStatus(e)
		return err
	})
	return s, err
}

// Paths returns the paths to a peer, as [Conn.Paths] does.
func (c *PacketConn) Paths(peer net.Addr) (paths []Path, err error) {
	err = c.of("status", peer, func(a *assoc) error {
		e, err := c.e.Paths(a.id)
		paths = newPaths(e)
		return err
	})
	return paths, err
}

// Stats returns what the association with a peer has sent and received, as
// [Conn.Stats] does. Over the kernel's SCTP WriteTo begins a new period of MaxRTO, too.
func (c *PacketConn) Stats(peer net.Addr) (s Stats, err error) {
	err = c.of("status", peer, func(a *assoc) error {
		e, err := c.e.Stats(a.id)
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
	return c.of("set", peer, func(a *assoc) error {
		err := firstError(config.check(), checkSetting(c.network, "Config.", "", config), checkOneAssoc(&config))
		if err != nil {
			return err
		}
		var s engine.Settings
		copyFields(&s, &config)
		return c.e.Set(a.id, s)
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
			return fmt.Errorf("for one association Config.%s cannot change: %w: ListenPacket alone sets it", f.Name, errors.ErrUnsupported)
		}
	}
	return nil
}
