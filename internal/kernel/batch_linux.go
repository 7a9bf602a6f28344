package kernel

import (
	"sync"
	"unsafe"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// maxBatch is how many messages one system call carries at most: with more the
// call itself is a small part of the cost already.
const maxBatch = 64

// A batch is the messages of one sendmmsg or recvmmsg. Batches are kept, as ops
// are.
type batch struct {
	conn    *conn
	msgs    []engine.Msg
	n       int  // messages sent, or received
	eager   bool // Recv: look for more messages even after having waited
	apart   bool // Recv: the next piece is of another life
	first   *op  // Recv: receives the first message
	ops     [maxBatch]op
	headers [maxBatch]mmsghdr

	send, recv func(fd uintptr) bool
}

type mmsghdr struct { // struct mmsghdr
	unix.Msghdr
	n uint32
}

var batches = sync.Pool{New: func() any {
	b := new(batch)
	for i := range b.ops {
		b.ops[i].init()
	}
	b.send, b.recv = b.doSend, b.doRecv
	return b
}}

func newBatch(c *conn, owner bool, msgs []engine.Msg) *batch {
	b := batches.Get().(*batch)
	b.conn, b.msgs, b.n, b.apart, b.first = c, msgs[:min(len(msgs), maxBatch)], 0, false, &b.ops[0]
	for i := range b.msgs {
		b.ops[i].conn, b.ops[i].owner = c, owner
	}
	return b
}

func (b *batch) done() {
	for i := range b.msgs {
		b.ops[i].clear()
		b.headers[i].Msghdr = unix.Msghdr{}
	}
	b.conn, b.msgs, b.first = nil, nil, nil
	batches.Put(b)
}

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
		if _, err := c.send(m.Data, 0, m.Message, false); err != nil {
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
	if c.taken.Load() {
		return true
	}
	k, sent := 0, 0
	for ; k < len(b.msgs); k++ {
		m, o := &b.msgs[k], &b.ops[k]
		o.msg = m.Message
		if sent += turnCost(len(m.Data)); len(m.Data) == 0 || c.turns.isNear(sent) {
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
			c.turns.sends(turnCost(len(m.Data)))
		}
	case unix.EINTR, unix.EAGAIN:
	default:
		c.fail(int(fd), errno) // which the kernel tells once
	}
	return true
}

// RecvBatch receives the messages that there are, and waits for one.
func (c *conn) RecvBatch(msgs []engine.Msg, whole bool) (int, error) {
	if err := c.inform(); err != nil {
		return 0, err
	}
	b := newBatch(c, false, msgs)
	defer b.done()
	b.eager = true
	b.first.p, b.first.whole = msgs[0].Data, whole && !c.interleaved
	n, m, err := c.receive(b.first, b.recv)
	if err != nil {
		return 0, err
	}
	if b.n == 0 { // the deadline has passed in the middle of the first
		msgs[0].N, msgs[0].Message = n, m
		return 1, nil
	}
	return b.n, nil
}

func (b *batch) doRecv(fd uintptr) bool {
	o := b.first
	if !o.doRecv(fd) {
		return false
	}
	first := &b.msgs[0]
	first.N, first.Message = o.n, o.msg
	b.n = 1
	if o.err == nil && (b.eager || !o.wait) && len(b.conn.held) == 0 && !b.conn.restarted.Load() {
		b.fill(fd)
		b.finish(fd)
	}
	return true
}

// finish receives the rest of a last message that was begun. If that has not
// arrived, it leaves the message to the next call.
func (b *batch) finish(fd uintptr) {
	o, last := b.first, &b.msgs[b.n-1]
	if b.n == 1 || !o.whole || !last.More || last.N == len(last.Data) {
		return
	}
	o.p, o.n, o.msg = last.Data, last.N, last.Message
	done := o.doRecv(fd)
	last.N, last.Message = o.n, o.msg
	if !done {
		b.conn.hold(last.Data[:last.N], last.Message)
		b.n--
	}
}

// fill receives more messages, if there are any.
func (b *batch) fill(fd uintptr) {
	k := 1
	for ; k < len(b.msgs) && len(b.msgs[k].Data) > 0; k++ {
		o := &b.ops[k]
		o.point(b.msgs[k].Data)
		o.control(unsafe.Pointer(&o.rctl), unsafe.Sizeof(o.rctl))
		b.headers[k].Msghdr = o.hdr
	}
	if k == 1 {
		return
	}
	// As in doSend.
	r, errno := b.conn.move(unix.SYS_RECVMMSG, fd, unsafe.Pointer(&b.headers[1]), k-1, unix.MSG_DONTWAIT)
	switch errno {
	case 0:
	case unix.EINTR, unix.EAGAIN:
		return
	default:
		b.conn.fail(int(fd), errno) // which the kernel tells once
		return
	}
	for i := 1; i <= r && b.headers[i].n > 0; i++ {
		o := &b.ops[i]
		o.hdr = b.headers[i].Msghdr
		data := b.msgs[i].Data[:b.headers[i].n]
		if b.conn.restarted.Load() {
			b.conn.inherit(data, &o.hdr, &o.rctl)
			continue
		}
		if o.hdr.Flags&sctp.MSG_NOTIFICATION != 0 {
			life := b.conn.kept.Load()
			if o.notification(fd, data) {
				b.msgs[b.n].N, b.msgs[b.n].Message = 0, o.msg
				b.n++
			}
			b.first.last = b.first.last || o.last
			b.apart = b.apart || b.conn.kept.Load() != life
			continue
		}
		m := o.info()
		b.conn.inMessage.Store(m.More)
		b.place(data, m)
	}
}

// place puts a piece of a message where it belongs: behind the piece before it,
// if that is of the same message and has room, and else into the next of msgs,
// which is the one where it is already or one before that.
func (b *batch) place(data []byte, m engine.Message) {
	if last := &b.msgs[b.n-1]; b.first.whole && !b.apart && last.Event == nil && continues(last.Message, m) {
		n := copy(last.Data[last.N:], data)
		data = data[n:]
		last.N += n
		last.More = m.More || len(data) > 0
	}
	for len(data) > 0 {
		next := &b.msgs[b.n]
		next.Message = m
		next.N = copy(next.Data, data)
		data = data[next.N:]
		next.More = m.More || len(data) > 0
		b.n++
	}
	b.apart = false
}
