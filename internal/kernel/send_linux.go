package kernel

import (
	"net/netip"
	"os"
	"unsafe"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// Send sends p.
func (c *conn) Send(p []byte, size int, m engine.Message) (int, error) {
	o := newOp(c, false, p)
	defer o.done()
	o.size, o.msg = size, m
	return c.sendOp(o)
}

func (c *conn) sendOp(o *op) (int, error) {
	p := o.p
	// The poller's lock for writers is held until doSend returns true.
	err := c.raw.Write(o.send)
	if o.isPartial() && (err != nil || o.err == engine.ErrTaken) {
		c.taking.Lock() // Take, if it has begun, decides whether this Send goes on
		c.partial.CompareAndSwap(o, nil)
		resumes := o.resumes
		c.taking.Unlock()
		switch {
		case resumes:
			return o.n, engine.ErrTaken
		case c.isOver():
			return o.n, errSentRestarted
		}
		return o.n, waitError(err)
	}
	switch {
	case err != nil && c.isOver() && !o.taken():
		return o.n, errSentRestarted
	case err != nil && (o.n < len(p) || len(p) == 0):
		return o.n, o.waitError(err)
	}
	return o.n, o.err
}

func (o *op) doSend(fd uintptr) bool {
	c := o.conn
	if len(o.p) == 0 {
		return true
	}
	if p := c.partial.Load(); p == o || p != nil && !o.taken() {
		c.partial.Store(nil) // this one goes on, or that one has met its deadline
	}
	if o.turn {
		o.turn = false
		c.turns.end(int(fd))
	}
	for o.n < len(o.p) {
		if o.taken() {
			o.notePartial()
			o.err = engine.ErrTaken
			return true
		}
		if c.restarted.Load() {
			o.err = errSentRestarted
			return true
		}
		p := o.p[o.n:]
		if o.size > 0 {
			p = p[:min(o.size, len(p))]
			if o.spare {
				p = p[:c.room.cut(len(p))]
			}
		}
		o.point(p)
		if o.spare && !c.room.isFor(int(fd), len(p)) {
			c.turns.sent.Store(0) // short messages do not wait for a turn as well
			return false          // an acknowledgement makes room, and wakes
		}
		turn := c.turns.takeTurn(turnCost(len(p), o.spare))
		if turn && !hasWindow(int(fd)) {
			turn = false
			c.turns.sent.Store(0)
		}
		if err := o.putTo(int(fd)); err != nil {
			o.err = err
			return true
		}
		o.putInfo(turn)
		errno := o.sendmsg(fd)
		switch errno {
		case 0:
			o.n += len(p) // all or nothing
			c.turns.sends(turnCost(len(p), o.spare))
			if turn {
				// Wait for the acknowledgement that was asked for.
				c.turns.begin()
				o.notePartial()
				o.turn = true
				return false
			}
		case unix.EINTR:
		case unix.EAGAIN:
			c.turns.sent.Store(0)
			c.awaitMemory(int(fd))
			o.notePartial()
			return false
		case unix.EMSGSIZE:
			// The send buffer was made smaller than a message.
			room, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF)
			if o.size > 0 && err == nil && room > 0 && room < len(p) {
				o.size = room
				continue
			}
			fallthrough
		default:
			if o.sendFailed(int(fd), errno) {
				continue
			}
			return true
		}
	}
	return true
}

// isPartial reports whether a Send of the Conn has sent some of its messages, and not
// all.
func (o *op) isPartial() bool { return !o.owner && o.n > 0 && o.n < len(o.p) }

// notePartial tells Take of a partial Send, before that waits or leaves. Between its
// messages there must be none of another Send, also where it goes on with an owner. Take
// learns from the note that one will, and no lock above the poller's tells: a plain Conn
// takes none.
func (o *op) notePartial() {
	if o.isPartial() {
		o.conn.partial.Store(o)
	}
}

// sendFailed sets why a message could not be sent. It reports whether to try once
// more, which tells.
func (o *op) sendFailed(fd int, errno unix.Errno) (again bool) {
	if o.msg.To.IsValid() && (errno == unix.EADDRNOTAVAIL || errno == unix.EINVAL) {
		peer, err := peerAddrs(fd)
		if err != nil {
			// The association has ended, and sending to no address in
			// particular will tell how.
			o.msg.To = netip.Addr{}
			return true
		}
		if _, ok := find(peer, o.msg.To); !ok {
			o.err = notThePeers(o.msg.To)
			return false
		}
	}
	o.conn.fail(fd, errno)
	o.err = os.NewSyscallError("sendmsg", errno)
	return false
}

// doTry is doSend for one message, without waiting.
func (o *op) doTry(fd uintptr) {
	if o.conn.turns.isNear(turnCost(len(o.p), false)) {
		o.err = engine.ErrFull // a Send takes the turn
		return
	}
	if o.conn.restarted.Load() {
		o.err = errSentRestarted
		return
	}
	for {
		o.point(o.p)
		if o.err = o.putTo(int(fd)); o.err != nil {
			return
		}
		o.putInfo(false)
		switch errno := o.sendmsg(fd); errno {
		case 0:
			o.n = len(o.p)
			o.conn.turns.sends(turnCost(o.n, false))
			return
		case unix.EINTR:
		case unix.EAGAIN, unix.EMSGSIZE: // a Send knows what to do with too much
			o.err = engine.ErrFull
			return
		default:
			if !o.sendFailed(int(fd), errno) {
				return
			}
		}
	}
}

func (o *op) sendmsg(fd uintptr) unix.Errno {
	_, errno := o.conn.move(unix.SYS_SENDMSG, fd, unsafe.Pointer(&o.hdr), unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, 0)
	return errno
}

// putTo has the next system call send to the message's destination, if it has
// one. It checks what the system does not.
func (o *op) putTo(fd int) error {
	if err := o.conn.most.Load().check(&o.msg); err != nil {
		return err
	}
	if o.conn.peeled && o.msg.To.IsValid() {
		lack, _ := lacks.Find(engine.LacksCall, peeledTo)
		return lack.Error("")
	}
	return o.sendTo(fd, o.msg.To, o.conn.remote.Port)
}

// putInfo attaches what the message and its acknowledgement need, if anything.
func (o *op) putInfo(ackNow bool) {
	m := &o.msg
	if !ackNow && *m == (engine.Message{}) {
		o.control(nil, 0)
		return
	}
	flags := uint16(0)
	if ackNow {
		flags |= sctp.SCTP_SACK_IMMEDIATELY
	}
	o.describe(m, flags, 0, o.conn.reliability.Load())
}
