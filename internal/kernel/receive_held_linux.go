package kernel

import (
	"slices"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// A sender may give up a message whose first pieces were handed over already.
// The kernel has an event for that, SCTP_PARTIAL_DELIVERY_EVENT, to which no
// socket subscribes: Linux queues it also while it closes a socket, and then
// keeps the socket, its port and its memory for ever. What tells instead is the
// next piece, which is of another message. It must wait until the message that
// was given up has been returned.

// A held is a piece or an event that was received and comes with the next Recv.
type held struct {
	data []byte
	msg  engine.Message
}

// hold keeps a copy of a piece for the next Recv.
func (c *conn) hold(data []byte, m engine.Message) {
	c.setHeld(append(c.held, held{slices.Clone(data), m}))
}

// takeHeld is recvmsg for the first of what is held, which is of the message that
// was begun, if one was.
func (o *op) takeHeld() {
	c := o.conn
	h := &c.held[0]
	n := copy(o.p[o.n:], h.data)
	if o.n == 0 {
		o.msg = h.msg
	}
	o.n += n
	o.msg.More = h.msg.More
	h.msg.Begins = false
	if h.data = h.data[n:]; len(h.data) > 0 {
		o.msg.More = true
		return
	}
	c.setHeld(c.held[1:])
}

// setHeld changes what is held. An event is not what Close finds unread.
func (c *conn) setHeld(h []held) {
	if len(h) == 0 {
		h = nil
	}
	c.held = h
	c.holds.Store(slices.ContainsFunc(h, func(h held) bool { return len(h.data) > 0 }))
}

// A cutWatch finds messages that were given up in the middle, for an owner that
// wants events.
type cutWatch struct {
	begun []engine.Message // the last piece of each message that goes on
}

// see learns of a piece or an event, and returns the message that it shows to
// have been given up.
func (w *cutWatch) see(m engine.Message, interleaved bool) (cut engine.Event) {
	if m.Event != nil {
		if e, ok := m.Event.(engine.AssocEvent); !ok || e.Change == engine.AssocUp {
			return nil
		}
	}
	for i, b := range w.begun {
		if m.Event == nil && (m.Continues(&b) || interleaved && (b.Stream != m.Stream || b.Unordered != m.Unordered)) {
			continue
		}
		w.begun = slices.Delete(w.begun, i, i+1)
		return engine.PartialDeliveryEvent{Stream: b.Stream, Seq: uint32(b.SSN)}
	}
	if m.Event != nil {
		return nil
	}
	i := slices.IndexFunc(w.begun, func(b engine.Message) bool { return m.Continues(&b) })
	switch {
	case i >= 0 && m.More:
		w.begun[i] = m
	case i >= 0:
		w.begun = slices.Delete(w.begun, i, i+1)
	case m.More:
		w.begun = append(w.begun, m)
	}
	return nil
}

// watch puts an event before each piece of n that shows a message to have been
// given up. What has no place is held, before what is held already. It returns how
// many of msgs count.
func (c *conn) watch(msgs []engine.Msg, n int) int {
	for i := range msgs[:n] {
		e := c.cuts.see(msgs[i].Message, c.interleaved)
		if e == nil {
			continue
		}
		later := c.held
		c.setHeld(nil)
		if i > 0 {
			// The event comes first the next time.
			c.hold(nil, engine.Message{Event: e})
		}
		for _, m := range msgs[i:n] {
			c.hold(m.Data[:m.N], m.Message)
		}
		c.setHeld(append(c.held, later...))
		if i == 0 {
			msgs[0].N, msgs[0].Message = 0, engine.Message{Event: e}
		}
		return max(i, 1)
	}
	return n
}
