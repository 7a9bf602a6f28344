package kernel

import (
	"sync"
	"unsafe"

	"github.com/ishidawataru/sctp"
	"golang.org/x/sys/unix"
)

// Reading bytes, without regard to which message they are of, can take many
// messages, or pieces of them, with one system call. Memory for each must be set
// aside before it is known how long they are, so the guess is as many as lately,
// of the length that they had lately: what is longer goes on in the next one's
// place, which is right behind, and what is shorter leaves a gap, which is
// closed.

// Read reads bytes of as many messages as there are and p holds.
func (c *conn) Read(p []byte) (int, error) {
	o := newOp(c, false, p)
	defer o.done()
	n, _, err := c.receive(o, o.read)
	return n, err
}

// doRead is doRecv for Read.
func (o *op) doRead(fd uintptr) bool {
	f := &o.conn.forecast
	if o.many == nil && f.count > 1 && f.size > 0 && len(o.p) >= 2*f.size {
		o.many = gathers.Get().(*gather)
	}
	if !o.doRecv(fd) {
		f.waits()
		return false
	}
	if o.many == nil && o.n > 0 {
		f.saw(o.n, o.msg.More && o.n == len(o.p))
		f.found(1, 1, o.waited)
	}
	return true
}

// A gather is the memory of one such Read. Gathers are kept, as ops are.
type gather struct {
	headers  [maxBatch]mmsghdr
	iovs     [maxBatch]unix.Iovec
	controls [maxBatch]rcvControl
}

var gathers = sync.Pool{New: func() any {
	g := new(gather)
	for i := range g.headers {
		g.headers[i].Iov = &g.iovs[i]
		g.headers[i].SetIovlen(1)
	}
	return g
}}

// recv receives messages into the op's memory, and returns how many bytes.
func (g *gather) recv(fd uintptr, o *op) (int, unix.Errno) {
	f := &o.conn.forecast
	p := o.p
	k := max(1, min(f.count, len(p)/f.size))
	for i := range k {
		g.iovs[i].Base = &p[i*f.size]
		g.iovs[i].SetLen(f.size)
		g.headers[i].Flags = 0
		if o.conn.parent != nil { // there may be a next life, which needs the info
			g.headers[i].Control = (*byte)(unsafe.Pointer(&g.controls[i]))
			g.headers[i].SetControllen(int(unsafe.Sizeof(g.controls[i])))
		}
	}
	last := len(p) - (k-1)*f.size
	g.iovs[k-1].SetLen(last)
	// The headers point into the gather, which is in the heap, and to the op's
	// memory, which that holds.
	r, errno := o.conn.move(unix.SYS_RECVMMSG, fd, unsafe.Pointer(&g.headers), k, unix.MSG_DONTWAIT)
	switch errno {
	case 0:
	case unix.EINTR, unix.EAGAIN:
		return 0, errno
	default:
		// This call, unlike recvmsg, reports an error before there is no more
		// to receive; and only once.
		o.conn.fail(int(fd), errno)
		o.many = nil
		g.done()
		return 0, unix.EINTR
	}
	total, size := 0, f.size // which saw changes
	for i := range r {
		n := int(g.headers[i].n)
		piece := p[i*size:][:n]
		if o.conn.restarted.Load() {
			o.conn.inherit(piece, &g.headers[i].Msghdr, &g.controls[i])
			errno = unix.EINTR
			continue
		}
		if g.headers[i].Flags&sctp.MSG_NOTIFICATION != 0 {
			o.hdr.Flags = g.headers[i].Flags
			o.notification(fd, piece)
			errno = unix.EINTR // if there is nothing else
			continue
		}
		o.conn.inMessage.Store(g.headers[i].Flags&unix.MSG_EOR == 0)
		f.saw(n, n == size && g.headers[i].Flags&unix.MSG_EOR == 0)
		if i*size != total {
			copy(p[total:], piece)
		}
		total += n
	}
	f.found(r, k, o.waited)
	if total > 0 {
		errno = 0
	}
	o.hdr.Flags, o.hdr.Controllen = unix.MSG_EOR, 0 // one that there is no more to say of
	return total, errno
}

// done returns the gather to the pool, which must not keep the caller's memory.
func (g *gather) done() {
	for i := range g.iovs {
		g.iovs[i].Base = nil
		g.headers[i].Control = nil
		g.headers[i].SetControllen(0)
	}
	gathers.Put(g)
}
