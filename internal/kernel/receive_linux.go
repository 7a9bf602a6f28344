package kernel

import (
	"errors"
	"os"
	"unsafe"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// Recv receives into p.
func (c *conn) Recv(p []byte, whole bool) (int, engine.Message, error) {
	if err := c.inform(); err != nil {
		return 0, engine.Message{}, err
	}
	o := newOp(c, false, p)
	defer o.done()
	o.whole = whole && !c.interleaved
	return c.receive(o, o.recv)
}

// inform has the kernel tell what messages are, which a reader of bytes does not
// ask.
func (c *conn) inform() error {
	if c.informs.Load() || c.restarted.Load() {
		return nil
	}
	err := c.control(func(fd int) error { return optRecvRcvInfo.setInt(fd, 1) })
	if err == nil {
		c.informs.Store(true)
	}
	return err
}

// receive has the poller call recv, which is the op's doRecv and perhaps more,
// until it returns true, with the lock for readers held.
func (c *conn) receive(o *op, recv func(fd uintptr) bool) (int, engine.Message, error) {
	err := c.raw.Read(recv)
	if len(o.p) == 0 && errors.Is(err, os.ErrDeadlineExceeded) && !o.owner && !o.taken() {
		return 0, o.msg, nil // as package net
	}
	if err != nil && o.n == 0 && !o.taken() && !c.restarted.Load() && c.pollerGaveUp(err) {
		err = c.recvFailed(o, recv)
	}
	if o.last {
		c.passOn()
	}
	if err != nil && o.n == 0 && c.isOver() && !errors.Is(err, os.ErrDeadlineExceeded) {
		// Before the descriptor is closed, the call that has begun the next life is
		// still at it.
		c.receiveLast(recv)
		err = nil
	}
	if err != nil && o.n == 0 {
		return 0, engine.Message{}, o.waitError(err)
	}
	return o.n, o.msg, o.err
}

// pollerGaveUp reports whether an error of the poller is neither a deadline nor
// Close. It then takes the descriptor for one that cannot be polled, as the
// kernel reports a failed association that has a full send buffer as an error
// and nothing else, and will not call doRecv again.
func (c *conn) pollerGaveUp(err error) bool {
	return !errors.Is(err, os.ErrDeadlineExceeded) && !c.closed.Load()
}

// recvFailed drains a failed association and then returns its error.
func (c *conn) recvFailed(o *op, recv func(fd uintptr) bool) error {
	c.failed.Lock() // in place of the poller's lock for readers
	defer c.failed.Unlock()
	o.waited = true // if there is nothing, ask whether the association exists
	done := false
	if err := c.raw.Control(func(fd uintptr) { done = recv(fd) }); err != nil {
		return err
	}
	if !done {
		return errNotFailed
	}
	return nil
}

// errNotFailed should not happen: the descriptor has an error, and the
// association none.
var errNotFailed = errors.New("the poller has given up a live association")

func (o *op) doRecv(fd uintptr) bool {
	if len(o.p) == 0 {
		return true
	}
	o.conn.looks.Add(1)
	o.conn.skipUp(int(fd))
	gone := false
	for {
		if o.taken() {
			o.end(engine.ErrTaken)
			return true
		}
		if len(o.conn.held) > 0 {
			if o.recvHeld(fd) {
				return true
			}
			continue
		}
		if o.conn.restarted.Load() {
			o.end(o.conn.end())
			return true
		}
		var n int
		var errno unix.Errno
		if o.many != nil {
			n, errno = o.many.recv(fd, o)
		} else {
			n, errno = o.recvmsg(fd)
		}
		switch {
		case errno == unix.EINTR:
		case errno == unix.EAGAIN && gone:
			o.conn.settle(int(fd))
			o.end(o.conn.end())
			return true
		case errno == unix.EAGAIN:
			if !o.waited && !o.conn.ended.Load() && !o.conn.shared.Load() || !isGone(fd) {
				o.waited = true
				o.conn.await(int(fd))
				return false
			}
			gone = true // but something may have come before it went, if only its end
		case errno != 0:
			o.conn.fail(int(fd), errno)
			err := os.NewSyscallError("recvmsg", errno)
			if o.conn.ended.Load() {
				err = o.conn.end()
			}
			o.end(err)
			return true
		case n == 0:
			o.end(o.conn.end())
			return true
		case o.hdr.Flags&sctp.MSG_NOTIFICATION != 0:
			if o.notification(fd, o.p[o.n:o.n+n]) || o.n > 0 && o.conn.isCut(&o.msg) {
				return true
			}
		default:
			m := o.info()
			if o.many == nil {
				o.conn.saw(int(fd), &m)
			}
			if o.n > 0 && !m.Continues(&o.msg) {
				o.conn.hold(o.p[o.n:o.n+n], m)
				return true // the sender has given up the message that was begun
			}
			if o.n == 0 {
				o.msg = m
			}
			o.n += n
			o.msg.More = m.More
			if !o.whole || !o.msg.More || o.n == len(o.p) {
				return true
			}
		}
	}
}

// recvHeld receives the first of what is held. It reports whether that ends the Recv.
func (o *op) recvHeld(fd uintptr) bool {
	first := &o.conn.held[0].msg
	if o.n > 0 && (first.Event != nil || !first.Continues(&o.msg)) {
		return true // the message was given up
	}
	o.takeHeld()
	if e, ok := asRestart(o.msg.Event); ok && o.conn.restart(int(fd), e) {
		o.last = true
		o.conn.inheritHeld()
	}
	if o.msg.Event != nil && !o.owner {
		o.msg = engine.Message{}
		return false
	}
	return o.msg.Event != nil || !o.whole || !o.msg.More || o.n == len(o.p)
}

// await is called when a reader begins to wait.
func (c *conn) await(fd int) {
	c.awaitRest(fd)
	c.watchFull()
}

// recvmsg receives a message, or a part of one.
func (o *op) recvmsg(fd uintptr) (int, unix.Errno) {
	o.point(o.p[o.n:])
	o.control(unsafe.Pointer(&o.rctl), unsafe.Sizeof(o.rctl))
	return o.conn.move(unix.SYS_RECVMSG, fd, unsafe.Pointer(&o.hdr), unix.MSG_DONTWAIT, 0)
}

// end ends a Recv with an error, unless it has a part of a message already:
// the next Recv will meet the error again.
func (o *op) end(err error) {
	if o.n == 0 {
		o.err = err
	}
}

// info returns the message info that the kernel has written.
func (o *op) info() engine.Message { return o.rctl.message(&o.hdr) }

// notification takes the next piece of a notification. It reports whether that
// makes an event which ends the Recv.
func (o *op) notification(fd uintptr, piece []byte) bool {
	c := o.conn
	c.note = append(c.note, piece...)
	if o.hdr.Flags&unix.MSG_EOR == 0 {
		return false
	}
	note := c.note
	c.note = c.note[:0]
	c.learn(note)
	isExtra := c.passFence(int(fd), note)
	restarts := isRestart(note)
	if restarts {
		e, _ := asRestart(c.events.parse(note))
		o.last = c.restart(int(fd), e)
	}
	if !o.owner {
		// Nobody has asked for events. But one life's message does not go on in
		// the next one.
		return restarts && o.n > 0
	}
	if isExtra {
		return false
	}
	o.msg = engine.Message{Event: c.events.parse(note)}
	return o.msg.Event != nil
}
