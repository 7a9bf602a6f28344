package kernel

import (
	"unsafe"

	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// SendBatch sends the messages in order.
func (c *conn) SendBatch(msgs []engine.Msg) (n int, err error) {
	for n < len(msgs) {
		n += c.sendSome(msgs[n:])
		if n == len(msgs) {
			break
		}
		// The next one is not like the others: it has to wait, or fails, or
		// is the first of more than a system call carries.
		m := &msgs[n]
		if _, err := c.Send(m.Data, 0, m.Message); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// sendSome sends as many messages as one system call does, and returns their
// number.
func (c *conn) sendSome(msgs []engine.Msg) int {
	b := newBatch(c, false, msgs)
	defer b.done()
	c.raw.Write(b.send) // what is wrong the next send finds out
	return b.n
}

func (b *batch) doSend(fd uintptr) bool {
	c := b.conn
	if c.taken.Load() || c.restarted.Load() {
		return true
	}
	k, sent := 0, 0
	for ; k < len(b.msgs); k++ {
		m, o := &b.msgs[k], &b.ops[k]
		o.msg = m.Message
		if sent += turnCost(len(m.Data), false); len(m.Data) == 0 || c.turns.isNear(sent) {
			break
		}
		if o.putTo(int(fd)) != nil {
			break
		}
		o.putInfo(false)
		o.point(m.Data)
		b.headers[k].Msghdr = o.hdr
	}
	if k == 0 {
		return true
	}
	// The headers point into the batch, which is in the heap, and to the
	// messages, which it holds.
	r, errno := c.move(unix.SYS_SENDMMSG, fd, unsafe.Pointer(&b.headers), k, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
	switch errno {
	case 0:
		b.n = r
		for _, m := range b.msgs[:b.n] {
			c.turns.sends(turnCost(len(m.Data), false))
		}
	case unix.EINTR, unix.EAGAIN:
	default:
		c.fail(int(fd), errno) // which the kernel tells once
	}
	return true
}
