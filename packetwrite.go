package sctpnet

import (
	"errors"
	"net"
	"syscall"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// WriteTo sends p as one message to a peer, with Config.PPID. If there is no
// association with it, WriteTo makes one, from the port of this end, and the message
// goes with it. If the peer then refuses, or is silent, [ListenConfig.OnEvent] tells,
// by AssocNotMade. Use Connect to wait for the association.
//
// With an Addr whose association has ended WriteTo fails with EPIPE, and so it does
// while the peer shuts the association down.
//
// WriteTo waits for room in the send buffer, which over the kernel's SCTP all peers
// share. A peer that does not read does not hold up the others: each peer gets
// only a share of the buffer. Over UDP WriteTo also waits for the handshake.
// Messages cannot be empty, nor larger than [PacketConn.MaxMessageSize].
func (c *PacketConn) WriteTo(p []byte, peer net.Addr) (int, error) {
	if !c.ok() {
		return 0, syscall.EINVAL
	}
	a, err := addrOf(peer)
	if err != nil {
		return 0, c.opError("write", nil, err)
	}
	return c.WriteMsg(p, MsgInfo{PPID: c.asked.PPID}, a)
}

// WriteMsg sends p as one message as WriteTo does, described by info.
func (c *PacketConn) WriteMsg(p []byte, info MsgInfo, peer *Addr) (int, error) {
	if !c.ok() {
		return 0, syscall.EINVAL
	}
	if peer == nil {
		return 0, c.opError("write", nil, errMissingAddress)
	}
	if err := c.write(p, &info, peer); err != nil {
		return 0, c.opError("write", peer, err)
	}
	return len(p), nil
}

func (c *PacketConn) write(b []byte, info *MsgInfo, to *Addr) error {
	msg, err := info.message()
	if err == nil && len(b) == 0 {
		err = errEmptyMessage
	}
	if err == nil && c.closed.Load() {
		err = net.ErrClosed
	}
	if err != nil {
		return err
	}
	for {
		isNew := false
		a, err := c.find(to)
		if err == nil && a == nil {
			a, isNew, err = c.begin(to)
		}
		if err != nil {
			return err
		}
		err = c.e.Send(b, msg, a.id)
		if isNew && errors.Is(err, engine.ErrEnded) {
			return nil // it was refused already, which an event tells
		}
		if errors.Is(err, engine.ErrEnded) {
			// What tells has not been received yet.
			if to == a.addr {
				return noMore(to, syscall.EPIPE)
			}
			c.mu.Lock()
			c.assign(a, nil) // there can be another association
			c.mu.Unlock()
			continue
		}
		return c.sendError(err, a, len(b), msg.Stream)
	}
}

// sendError says what is allowed where a message was not.
func (c *PacketConn) sendError(err error, a *assoc, size int, stream uint16) error {
	switch {
	case errors.Is(err, syscall.EMSGSIZE):
		return tooLargeError(size, c.MaxMessageSize(), err)
	case errors.Is(err, syscall.EINVAL):
		if s, serr := c.e.Status(a.id); serr == nil && stream >= s.OutStreams {
			return errNoStream(stream, s.OutStreams)
		}
	}
	return err
}
