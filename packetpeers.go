package sctpnet

import (
	"errors"
	"fmt"
	"net"
	"reflect"
	"syscall"

	"github.com/sctpnet/sctpnet/internal/engine"
)

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

// do runs f with the association with a peer.
func (c *PacketConn) do(op string, peer net.Addr, f func(a *assoc) error) error {
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
	return c.do("shutdown", peer, func(a *assoc) error {
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
	return c.do("abort", peer, func(a *assoc) error { return c.e.Abort(a.id) })
}

// Status returns how the association with a peer is doing, as [Conn.Status] does.
func (c *PacketConn) Status(peer net.Addr) (s Status, err error) {
	err = c.do("status", peer, func(a *assoc) error {
		e, err := c.e.Status(a.id)
		s = newStatus(e)
		return err
	})
	return s, err
}

// Paths returns the paths to a peer, as [Conn.Paths] does.
func (c *PacketConn) Paths(peer net.Addr) (paths []Path, err error) {
	err = c.do("status", peer, func(a *assoc) error {
		e, err := c.e.Paths(a.id)
		paths = newPaths(e)
		return err
	})
	return paths, err
}

// Stats returns what the association with a peer has sent and received, as
// [Conn.Stats] does. Over the kernel's SCTP WriteTo begins a new period of MaxRTO, too.
func (c *PacketConn) Stats(peer net.Addr) (s Stats, err error) {
	err = c.do("status", peer, func(a *assoc) error {
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
	return c.do("set", peer, func(a *assoc) error {
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
