package sctpnet

import (
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// An assoc is an association of a PacketConn. Its fields but the first four are
// under the PacketConn's mutex.
type assoc struct {
	c       *PacketConn
	id      engine.AssocID
	addr    *Addr         // the one that stands for it
	decided chan struct{} // closed when it is up, or could not be made

	dialed   bool // this end has made it
	up       bool
	life     int   // how often the peer has restarted it
	users    int   // calls of Connect that wait, and of WriteTo that have begun it
	ended    error // nil as long as it has not
	ports    []netip.AddrPort
	messages assembler // of messages that come in pieces
	// aborted says that a message was too long. What else has arrived is dropped.
	aborted bool
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

// noMore is the error of an Addr whose association has ended.
func noMore(addr *Addr, why error) error {
	return fmt.Errorf("the association with %s is no more: %w", addr, why)
}

var errPeeledOff error = peeledOffError{}

// peeledOffError says that an association is a Conn's.
type peeledOffError struct{}

func (peeledOffError) Error() string { return "it was peeled off" }
func (peeledOffError) Unwrap() error { return syscall.ENOTCONN }

// meet returns the association with a number. It returns nil if that has ended, as
// perhaps no event is to come that would remove it.
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
	a := &assoc{c: c, id: id, addr: addr, decided: make(chan struct{})}
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
	a.decide()
	delete(c.assocs, a.id)
	c.inbox.ended = a
}

// decide says that it is known whether the association is there.
func (a *assoc) decide() {
	if a.isDecided() {
		return
	}
	close(a.decided)
	if a.c.inbox.awaited == a {
		a.c.e.Wake()
	}
}

func (a *assoc) isDecided() bool {
	select {
	case <-a.decided:
		return true
	default:
		return false
	}
}
