package kernel

import (
	"slices"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// An unordered finds the unordered messages of a conn that were given up after a part
// was received.
type unordered struct {
	fence    fence
	wantsDry bool     // SenderDryEvents are wanted
	isBegun  bool     // a message has
	stream   uint16   // of a message that has begun
	cut      []uint16 // streams on which one was given up, and none has come since
}

// saw takes note of a piece.
func (c *conn) saw(fd int, m *engine.Message) {
	c.inMessage.Store(m.More)
	u := &c.unordered
	u.fence.saw(m)
	if u.isBegun = m.Unordered && m.More; !m.Unordered {
		return
	}
	if i := slices.Index(u.cut, m.Stream); i >= 0 {
		u.cut = slices.Delete(u.cut, i, i+1)
		m.Begins = true
	}
	if u.stream = m.Stream; m.More && !c.interleaved && !c.shared.Load() {
		u.fence.raise(socketOf(fd))
	}
}

// passFence takes note of a notification. It reports whether nobody wants it.
func (c *conn) passFence(fd int, note []byte) (isExtra bool) {
	u := &c.unordered
	if u.fence.cuts() && c.inMessage.Load() && !c.interleaved {
		c.inMessage.Store(false)
		u.isBegun = false
		if !slices.Contains(u.cut, u.stream) {
			u.cut = append(u.cut, u.stream)
		}
	}
	if noteType(note) != eventSenderDry {
		return false
	}
	u.fence.lower(socketOf(fd), u.wantsDry)
	if u.isBegun && !c.interleaved && !c.shared.Load() {
		u.fence.raise(socketOf(fd)) // this one was of the message before
	}
	return !u.wantsDry
}

// isCut reports whether the rest of a message was given up.
func (c *conn) isCut(m *engine.Message) bool {
	return m.More && m.Unordered && slices.Contains(c.unordered.cut, m.Stream)
}
