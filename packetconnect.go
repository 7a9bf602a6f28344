package sctpnet

import (
	"context"
	"net"
	"net/netip"
	"syscall"

	"github.com/sctpnet/sctpnet/internal/engine"
)

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
// one does. Where a message came in pieces, it is up to twice the read buffer more.
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
	addr, err := resolveOne(ctx, c.network, address)
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
		case <-a.decided:
		case <-moved:
		case <-ctx.Done():
		}
	}
}

// await receives for Connect, which waits for an association, as nobody reads. It
// returns when something has come, the context is done, or the association is decided.
func (c *PacketConn) await(ctx context.Context, a *assoc) error {
	defer c.endRead()
	c.tellAll()
	if !c.beginAwait(a) {
		return nil
	}
	b := buffers.Get().(*buffer)
	stop := context.AfterFunc(ctx, c.e.Wake)
	c.inbox.inPlace = false
	err := c.e.Recv(b[:], true, (*taker)(c))
	stop()
	buffers.Put(b)
	c.mu.Lock()
	c.inbox.awaited = nil
	c.mu.Unlock()
	c.tellAll()
	return err
}

// beginAwait reports whether Connect may receive for an association that is not decided.
// Its decide then wakes the call.
func (c *PacketConn) beginAwait(a *assoc) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.isDecided() || !c.mayAwait() {
		return false
	}
	c.inbox.awaited = a
	return true
}

// tellAll tells the handler all events but those behind unread messages.
func (c *PacketConn) tellAll() {
	for {
		c.mu.Lock()
		e := c.nextEvent()
		c.mu.Unlock()
		if e.what == nil {
			return
		}
		c.tell(e)
	}
}

// mayAwait reports whether Connect may receive. If not, it is woken when it may. The
// caller holds the mutex.
func (c *PacketConn) mayAwait() bool {
	in := &c.inbox
	in.full = in.bytes >= mostWaiting
	return !in.full && in.readers == 0
}

// begin begins an association with an endpoint, or returns the one that there is.
func (c *PacketConn) begin(addr *Addr) (a *assoc, isNew bool, err error) {
	if err := checkPeer(c.network, addr); err != nil {
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
