package kernel

import (
	"unsafe"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

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
	if o.err == nil && (b.eager || !o.waited) && len(b.conn.held) == 0 && !b.conn.restarted.Load() {
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
	// The headers point into the batch, which is in the heap, and to the caller's memory.
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
		b.conn.saw(int(fd), &m)
		b.place(data, m)
	}
}

// place puts a piece of a message where it belongs: behind the piece before it,
// if that is of the same message and has room, and else into the next of msgs,
// which is the one where it is already or one before that.
func (b *batch) place(data []byte, m engine.Message) {
	if last := &b.msgs[b.n-1]; b.first.whole && !b.apart && last.Event == nil && m.Continues(&last.Message) {
		n := copy(last.Data[last.N:], data)
		data = data[n:]
		last.N += n
		last.More = m.More || len(data) > 0
	}
	for len(data) > 0 {
		next := &b.msgs[b.n]
		next.Message = m
		m.Begins = false
		next.N = copy(next.Data, data)
		data = data[next.N:]
		next.More = m.More || len(data) > 0
		b.n++
	}
	b.apart = false
}
