package sctpnet

import (
	"net"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// PeelOff gives the association with a peer a socket of its own (RFC 6458 section
// 9.2), and returns it as a [Conn], with all that a Conn has. What has arrived and was
// not read is for the Conn to read, and nothing is lost nor comes twice. The peer does
// not notice.
//
// The association's Addr no longer stands for it: WriteTo fails with this Addr. Events
// go to Config.OnEvent, with the Conn. Over the kernel's SCTP [MsgInfo.To] is not
// possible: Linux ignores it. The association must be up. If it is being made, the
// error wraps EINPROGRESS.
//
// If the peer has restarted the association, the Conn is the life that ReadFrom has come
// to. Messages of the lives before that are left to ReadFrom. If there is a later one, the
// Conn reads the rest and then ECONNRESET, and the later life is aborted.
func (c *PacketConn) PeelOff(peer net.Addr) (*Conn, error) {
	var conn *Conn
	err := c.do("peeloff", peer, func(a *assoc) error {
		if err := c.checkMade(a); err != nil {
			return err
		}
		e, err := c.e.PeelOff(a.id, func() []engine.Msg { return c.release(a) })
		if err != nil {
			return err
		}
		conn = newConn(e, c.network, !a.dialed, c.asked)
		return nil
	})
	if err != nil {
		return nil, err
	}
	conn.startEvents()
	return conn, nil
}

// release removes an association, and returns what was received of the messages of its
// life, in order. Those of the lives before are left to ReadFrom.
func (c *PacketConn) release(a *assoc) (held []engine.Msg) {
	c.mu.Lock()
	defer c.mu.Unlock()
	add := func(data []byte, m engine.Message) {
		held = append(held, engine.Msg{Data: data, N: len(data), Message: m})
	}
	in := &c.inbox
	in.sort()
	others := in.letters[:0]
	for _, l := range in.letters {
		if l.from != a || l.life != a.life {
			others = append(others, l)
			continue
		}
		in.bytes -= l.size()
		add(l.data, l.msg)
	}
	clear(in.letters[len(others):])
	in.letters = others
	c.checkFull()
	for _, m := range a.messages.begun {
		m.first.More = true
		add(m.data, m.first)
	}
	c.remove(a, errPeeledOff)
	return held
}
