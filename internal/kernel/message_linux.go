package kernel

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"unsafe"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// An op is one Send or Recv. The poller's callback is made once per op and the
// ops are kept, so that a call allocates nothing.
type op struct {
	conn    *conn
	owner   bool
	p       []byte
	size    int  // Send: of one message, or 0
	whole   bool // Recv
	n       int
	err     error
	msg     engine.Message
	wait    bool // Recv: has waited
	last    bool // and has begun the next life
	turn    bool // Send: has left the reader its turn
	spare   bool // and leaves others room
	resumes bool // Send: goes on with an owner
	many    *gather

	header

	send, recv, read func(fd uintptr) bool
	try              func(fd uintptr)
}

// A header is what sendmsg and recvmsg are told and tell of one message.
type header struct {
	hdr  unix.Msghdr
	name [unix.SizeofSockaddrInet6]byte
	iov  unix.Iovec
	sctl struct { // of a send; the second part only with a TTL
		info struct {
			hdr unix.Cmsghdr
			sctp.SndInfo
		}
		pr struct {
			hdr unix.Cmsghdr
			prInfo
		}
	}
	rctl rcvControl // of a receive
}

// A rcvControl is where the kernel writes the info of a message.
type rcvControl struct {
	hdr unix.Cmsghdr
	rcvInfo
}

var ops = sync.Pool{New: func() any {
	o := new(op)
	o.init()
	o.send, o.recv, o.read, o.try = o.doSend, o.doRecv, o.doRead, o.doTry
	return o
}}

// init points the header to its parts, once for all.
func (h *header) init() {
	h.hdr.Iov = &h.iov
	h.hdr.SetIovlen(1)
	info, pr := &h.sctl.info, &h.sctl.pr
	info.hdr.Level, info.hdr.Type = sctp.SOL_SCTP, sctp.SCTP_CMSG_SNDINFO
	info.hdr.SetLen(int(unsafe.Sizeof(*info)))
	pr.hdr.Level, pr.hdr.Type = sctp.SOL_SCTP, cmsgPRInfo
	pr.hdr.SetLen(int(unsafe.Sizeof(*pr)))
}

func newOp(c *conn, owner bool, p []byte) *op {
	o := ops.Get().(*op)
	o.conn, o.owner, o.p = c, owner, p
	return o
}

// done returns the op to the pool.
func (o *op) done() {
	o.clear()
	ops.Put(o)
}

// clear forgets the caller's memory, which a pool must not keep.
func (o *op) clear() {
	o.conn, o.p, o.err, o.iov.Base = nil, nil, nil, nil
	o.hdr.Name, o.hdr.Namelen = nil, 0
	o.n, o.size, o.whole, o.wait, o.last, o.turn, o.spare, o.resumes = 0, 0, false, false, false, false, false, false
	o.msg = engine.Message{}
	if o.many != nil {
		o.many.done()
		o.many = nil
	}
}

// point sets the buffer of the next system call. The header is in the heap and
// holds p as long as the call lasts, so the pointers that the kernel sees stay
// valid.
func (h *header) point(p []byte) {
	h.iov.Base = unsafe.SliceData(p)
	h.iov.SetLen(len(p))
}

// control sets the control buffer of the next system call, n bytes at p, which
// is a part of the header.
func (h *header) control(p unsafe.Pointer, n uintptr) {
	h.hdr.Control = (*byte)(p)
	h.hdr.SetControllen(int(n))
}

// taken reports whether the association belongs to an owner and this op is
// somebody else's.
func (o *op) taken() bool { return !o.owner && o.conn.taken.Load() }

// waitError translates an error of the poller.
func (o *op) waitError(err error) error {
	if o.taken() {
		return engine.ErrTaken // Take has used the deadline to get here
	}
	return waitError(err)
}

func waitError(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return os.ErrDeadlineExceeded
	}
	return net.ErrClosed
}

// Send sends p.
func (c *conn) Send(p []byte, size int, m engine.Message) (int, error) {
	return c.send(p, size, m, false)
}

func (c *conn) send(p []byte, size int, m engine.Message, owner bool) (int, error) {
	o := newOp(c, owner, p)
	defer o.done()
	o.size, o.msg = size, m
	return c.sendOp(o)
}

func (c *conn) sendOp(o *op) (int, error) {
	p := o.p
	// The poller's lock for writers is held until doSend returns true.
	err := c.raw.Write(o.send)
	if err != nil && c.isOver() && !o.taken() {
		c.partial.CompareAndSwap(o, nil)
		return o.n, errSentRestarted
	}
	if o.n > 0 && o.n < len(p) && (err != nil || o.err == engine.ErrTaken) {
		// If an owner comes at the same time, it says whether this Send goes
		// on.
		c.cut.Lock()
		defer c.cut.Unlock()
		c.partial.CompareAndSwap(o, nil)
		if !o.resumes && err != nil {
			return o.n, waitError(err)
		}
		return o.n, engine.ErrTaken
	}
	if err != nil && (o.n < len(p) || len(p) == 0) {
		return o.n, o.waitError(err)
	}
	return o.n, o.err
}

func (o *op) doSend(fd uintptr) bool {
	c := o.conn
	if len(o.p) == 0 {
		return true
	}
	if o.turn {
		o.turn = false
		c.turns.end(int(fd))
	}
	for o.n < len(o.p) {
		// A Send that has sent nothing must not clear the note of the one that
		// Take has cut short.
		if o.n > 0 || !o.taken() {
			o.cuts(o.n > 0)
		}
		if o.taken() {
			o.err = engine.ErrTaken
			return true
		}
		if c.restarted.Load() {
			o.err = errSentRestarted
			o.cuts(false)
			return true
		}
		p := o.p[o.n:]
		if o.size > 0 {
			p = p[:min(o.size, len(p))]
		}
		o.point(p)
		if o.spare && !c.room.isFor(int(fd), len(p)) {
			return false // an acknowledgement makes room, and wakes
		}
		turn := c.turns.takeTurn(turnCost(len(p)))
		if turn && !hasWindow(int(fd)) {
			turn = false
			c.turns.sent.Store(0)
		}
		if err := o.putTo(int(fd)); err != nil {
			o.err = err
			o.cuts(false)
			return true
		}
		o.putInfo(turn)
		errno := o.sendmsg(fd)
		switch errno {
		case 0:
			o.n += len(p) // all or nothing
			c.turns.sends(turnCost(len(p)))
			if turn {
				// Wait for the acknowledgement that was asked for.
				c.turns.begin()
				o.cuts(o.n < len(o.p))
				o.turn = true
				return false
			}
		case unix.EINTR:
		case unix.EAGAIN:
			c.turns.sent.Store(0)
			c.awaitMemory(int(fd))
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
			o.cuts(false)
			return true
		}
	}
	o.cuts(false)
	return true
}

// cuts notes whether a Send that ends here is cut short.
func (o *op) cuts(short bool) {
	switch partial := &o.conn.partial; {
	case short && !o.owner:
		partial.Store(o)
	case partial.Load() != nil: // a load costs less than a store
		partial.Store(nil)
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
	if o.conn.turns.isNear(turnCost(len(o.p))) {
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
			o.conn.turns.sends(turnCost(o.n))
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

// describe attaches the info of a message and its association, which is 0 where there
// is only one. reliability is the default, as prInfo.pack has it.
func (h *header) describe(m *engine.Message, flags uint16, assoc engine.AssocID, reliability uint64) {
	info := &h.sctl.info
	info.SndInfo = sctp.SndInfo{SID: m.Stream, Flags: flags, PPID: swapPPID(m.PPID), Context: m.Context, AssocID: int32(assoc)}
	if m.Unordered {
		info.Flags |= sctp.SCTP_UNORDERED
	}
	if m.To.IsValid() {
		info.Flags |= sctp.SCTP_ADDR_OVER
	}
	n := unsafe.Sizeof(*info)
	if m.TTL > 0 {
		// Rounded up: a lifetime of 0 would be for ever.
		h.sctl.pr.prInfo = prInfo{Policy: prTimed, Value: milliseconds(m.TTL)}
		n = unsafe.Sizeof(h.sctl)
	} else if reliability != 0 {
		// With any information the kernel takes the policy from there too.
		h.sctl.pr.prInfo = prInfo{Policy: uint16(reliability >> 32), Value: uint32(reliability)}
		n = unsafe.Sizeof(h.sctl)
	}
	h.control(unsafe.Pointer(&h.sctl), n)
}

// swapPPID converts between host order and the order in which it travels.
func swapPPID(ppid uint32) uint32 {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], ppid)
	return binary.NativeEndian.Uint32(b[:])
}

// Recv receives into p.
func (c *conn) Recv(p []byte, whole bool) (int, engine.Message, error) {
	return c.recv(p, whole, false)
}

func (c *conn) recv(p []byte, whole, owner bool) (int, engine.Message, error) {
	if err := c.inform(); err != nil {
		return 0, engine.Message{}, err
	}
	o := newOp(c, owner, p)
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
	err := c.control(func(fd int) error { return setInt(fd, sctp.SOL_SCTP, optRecvRcvInfo, 1) })
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
	o.wait = true // if there is nothing, ask whether the association exists
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
var errNotFailed = errors.New("sctp: the poller has given up a live association")

func (o *op) doRecv(fd uintptr) bool {
	if len(o.p) == 0 {
		return true
	}
	o.conn.looks.Add(1)
	gone := false
	for {
		if o.taken() {
			o.end(engine.ErrTaken)
			return true
		}
		if held := o.conn.held; len(held) > 0 {
			if o.n > 0 && (held[0].msg.Event != nil || !continues(o.msg, held[0].msg)) {
				return true // the message was given up
			}
			o.takeHeld()
			if isRestartEvent(o.msg.Event) && o.conn.restart(int(fd)) {
				o.last = true
				o.conn.inheritHeld()
			}
			if o.msg.Event != nil && !o.owner {
				o.msg = engine.Message{}
				continue
			}
			if o.msg.Event != nil || !o.whole || !o.msg.More || o.n == len(o.p) {
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
			if !o.wait && !o.conn.ended.Load() && !o.conn.shared.Load() {
				o.wait = true
				o.conn.awaitRest(int(fd))
				return false
			}
			if _, err := assocStatus(int(fd)); err == nil {
				o.wait = true
				o.conn.awaitRest(int(fd))
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
			if o.notification(fd, o.p[o.n:o.n+n]) {
				return true
			}
		default:
			m := o.info()
			if o.many == nil {
				o.conn.inMessage.Store(m.More)
			}
			if o.n > 0 && !continues(o.msg, m) {
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

// settle decides why an association is gone where no error and no event has told.
func (c *conn) settle(fd int) {
	if c.ended.Load() {
		return
	}
	// Only a failure leaves a socket like this. Another call was told of it and has
	// not called fail yet. Or else another process that has the socket has shut it
	// down.
	if !c.shared.Load() || !wasShutDown(fd) {
		c.cause.CompareAndSwap(0, uint32(unix.ECONNRESET))
	}
	c.ended.Store(true)
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

func (r *rcvControl) message(hdr *unix.Msghdr) engine.Message {
	m := engine.Message{More: hdr.Flags&unix.MSG_EOR == 0}
	if uintptr(hdr.Controllen) < unsafe.Offsetof(r.rcvInfo)+unsafe.Sizeof(r.rcvInfo) || r.hdr.Level != sctp.SOL_SCTP || r.hdr.Type != sctp.SCTP_CMSG_RCVINFO {
		return m
	}
	m.Stream = r.Stream
	m.PPID = swapPPID(r.PPID)
	m.Unordered = r.Flags&sctp.SCTP_UNORDERED != 0
	m.SSN = r.SSN
	m.TSN = r.TSN
	return m
}

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
	restarts := isRestart(note)
	if restarts {
		o.last = o.conn.restart(int(fd))
	}
	if !o.owner {
		// Nobody has asked for events. But one life's message does not go on in
		// the next one.
		return restarts && o.n > 0
	}
	o.msg = engine.Message{Event: c.events.parse(note)}
	return o.msg.Event != nil
}
