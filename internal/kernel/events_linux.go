package kernel

import (
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

const exposePF = 2 // SCTP_PF_EXPOSE_ENABLE, which the header lacks

// subscribe asks for all events but two, which an accepted socket inherits.
// SCTP_SENDER_DRY_EVENT comes with every acknowledgement of all there is, and
// costs a system call each time. With SCTP_PARTIAL_DELIVERY_EVENT the kernel
// leaks sockets.
func subscribe(fd int) error {
	for _, typ := range []uint16{
		eventAssocChange, eventPeerAddrChange, eventRemoteError, eventShutdown,
		eventAdaptation, eventAuthentication, eventStreamReset, eventAssocReset, eventStreamChange,
	} {
		if err := setEvent(fd, typ); err != nil {
			return err
		}
	}
	err := setEvent(fd, eventSendFailed)
	if errors.Is(err, unix.EINVAL) { // before 5.5
		err = setEvent(fd, eventSendFailedOld)
	}
	if err != nil {
		return err
	}
	err = optExposePF.setValue(fd, exposePF)
	if errors.Is(err, unix.ENOPROTOOPT) { // before 5.5
		return nil
	}
	return err
}

// parse reads a notification that has no parts, and learns from it.
func (c *conn) parse(note []byte) engine.Event {
	var p parser
	c.learn(note)
	return p.parse(note)
}

// learn keeps what a notification says that is not asked for again: the peer's
// adaptation layer indication, and that the association is lost.
func (c *conn) learn(note []byte) {
	switch noteType(note) {
	case eventAdaptation:
		var p parser
		if e, ok := p.parse(note).(engine.AdaptationEvent); ok {
			c.peerAdaptation.Store(e.Indication)
		}
	case eventAssocChange:
		if says(note, engine.AssocLost) {
			c.lost.Store(true)
		}
		if c.peeled && (c.lost.Load() || says(note, engine.AssocEnded)) {
			c.ended.Store(true) // nothing else tells
		}
	}
}

// says reports whether a notification is about such a change of the association.
func says(note []byte, change engine.AssocChange) bool {
	const state = 8 // in struct sctp_assoc_change
	return len(note) >= state+2 && noteType(note) == eventAssocChange &&
		binary.NativeEndian.Uint16(note[state:]) == uint16(change)
}

// An upNote is the notification that the association is up, which a handshake leaves in
// front of all messages.
type upNote struct {
	isQueued atomic.Bool // it may not have been read
	skipping sync.Mutex
}

// skipUp reads the notification that the association is up, if that is what comes first.
// It is for a socket that has subscribed to nothing else of a handshake. The first Recv
// calls it, so that Dial and Accept have no system call for it. If something else comes
// first, that is held.
func (c *conn) skipUp(fd int) {
	if !c.up.isQueued.Load() {
		return
	}
	c.up.skipping.Lock()
	defer c.up.skipping.Unlock()
	if !c.up.isQueued.Load() {
		return
	}
	defer c.up.isQueued.Store(false)
	note := make([]byte, 64) // more than it has
	h := new(header)
	h.init() // it points to itself, and so is in the heap
	h.point(note)
	h.control(unsafe.Pointer(&h.rctl), unsafe.Sizeof(h.rctl))
	n, errno := c.move(unix.SYS_RECVMSG, uintptr(fd), unsafe.Pointer(&h.hdr), unix.MSG_DONTWAIT, 0)
	switch note = note[:max(n, 0)]; {
	case errno == unix.EINTR || errno == unix.EAGAIN:
	case errno != 0:
		c.fail(fd, errno) // which the kernel tells once
	case n == 0: // the end, which the kernel tells again
	case h.hdr.Flags&sctp.MSG_NOTIFICATION == 0:
		c.hold(note, h.rctl.message(&h.hdr))
	case isRestart(note):
		c.hold(nil, engine.Message{Event: c.parse(note)})
	}
}

// passUp is skipUp for others than the conn's readers. What the peer has sent stays where
// it is.
func (c *conn) passUp(fd int) {
	if c.up.isQueued.Load() && c.peekNote(fd) != nil {
		c.skipUp(fd)
	}
}

// peekNote returns the notification that comes next, without receiving it. If that is
// something else, it returns nil.
func (c *conn) peekNote(fd int) []byte {
	note := make([]byte, 64) // as much of it as matters
	n, _, flags, _, err := syscall.Recvmsg(fd, note, nil, unix.MSG_PEEK|unix.MSG_DONTWAIT)
	switch errno, _ := err.(unix.Errno); {
	case errno == unix.EINTR || errno == unix.EAGAIN:
	case errno != 0:
		c.fail(fd, errno) // which the kernel tells once
	case flags&sctp.MSG_NOTIFICATION != 0:
		return note[:n]
	}
	return nil
}

// shareReading is passUp for another user of the descriptor, which need not meet the
// notification.
func (c *conn) shareReading() { c.raw.Control(func(fd uintptr) { c.passUp(int(fd)) }) }

// readEarly reads the notifications that a handshake leaves in front of all
// messages: that the association is up, and if adapts is set all up to the peer's
// adaptation layer indication. That is there when connect or accept returns, if the
// peer has sent one. If somebody wants events, they are kept.
func (c *conn) readEarly(fd int, events, adapts bool) {
	buf := make([]byte, 512) // more than any of these
	// Package syscall does not ask for the socket's protocol at each message.
	for isFirst := true; isFirst || adapts && c.peerAdaptation.Load() == 0; isFirst = false {
		n, _, flags, _, err := syscall.Recvmsg(fd, buf, nil, unix.MSG_PEEK|unix.MSG_DONTWAIT)
		switch errno, _ := err.(unix.Errno); {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			return
		case err != nil:
			c.fail(fd, errno) // which the kernel tells once
			return
		case flags&sctp.MSG_NOTIFICATION == 0 || flags&unix.MSG_EOR == 0:
			return
		}
		if isRestart(buf[:n]) {
			return // that is for the reader
		}
		switch noteType(buf[:n]) {
		case eventAssocChange, eventPeerAddrChange, eventAdaptation, eventAuthentication:
		default:
			return
		}
		n, _, _, _, err = syscall.Recvmsg(fd, buf, nil, unix.MSG_DONTWAIT)
		if err != nil {
			return
		}
		if e := c.parse(buf[:n]); e != nil && events {
			c.early = append(c.early, e)
		}
	}
}
