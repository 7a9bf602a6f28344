package kernel

import (
	"net"
	"os"
	"sync"
	"time"
	"unsafe"

	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// A sending is one Send.
type sending struct {
	header
	packet *packet
	assoc  *assoc
	id     engine.AssocID
	p      []byte
	msg    engine.Message
	full   bool // its part of the send buffer is used
	err    error
	send   func(fd uintptr) bool
}

var sendings = sync.Pool{New: func() any {
	s := new(sending)
	s.init()
	s.send = s.doSend
	return s
}}

// How long a writer waits before it looks again for room in an association's budget: the
// kernel wakes it for the room of the whole socket only.
const (
	leastRoomWait = 500 * time.Microsecond
	mostRoomWait  = 10 * time.Millisecond
)

// Send sends p.
func (p *packet) Send(b []byte, m engine.Message, id engine.AssocID) error {
	s := sendings.Get().(*sending)
	defer s.done()
	s.packet, s.assoc, s.id, s.p, s.msg = p, p.assoc(id), id, b, m
	err := s.run()
	if err != nil {
		p.forgetIfGone(id)
	}
	return err
}

// run sends, and waits for room.
func (s *sending) run() error {
	p := s.packet
	for wait := leastRoomWait; ; wait = min(2*wait, mostRoomWait) {
		s.full = false
		if err := p.raw.Write(s.send); err != nil {
			return waitError(err)
		}
		if !s.full {
			return s.err
		}
		// Without the poller's lock, so that others can send to other peers.
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-p.over:
			timer.Stop()
			return net.ErrClosed
		}
	}
}

// forgetIfGone forgets an association that is over: Send may have learned of it when it was.
func (p *packet) forgetIfGone(id engine.AssocID) {
	if _, err := ask(p, id, target.assocStatus); err != nil {
		p.forget(id)
	}
}

// done returns the sending to the pool, which must not keep the caller's memory.
func (s *sending) done() {
	s.packet, s.assoc, s.p, s.msg, s.err, s.iov.Base = nil, nil, nil, engine.Message{}, nil, nil
	sendings.Put(s)
}

func (s *sending) doSend(fd uintptr) bool {
	t := target{int(fd), s.id}
	if s.assoc.restarted.Swap(false) {
		s.assoc.budget = budget{}
	}
	if !s.assoc.budget.allows(t, len(s.p)) {
		s.full = true
		return true
	}
	port := 0
	if s.msg.To.IsValid() {
		if s.err = s.checkTo(t, &port); s.err != nil {
			return true
		}
	}
	if s.err = s.assoc.most.Load().check(&s.msg); s.err != nil {
		return true
	}
	if s.err = s.sendTo(t.fd, s.msg.To, port); s.err != nil {
		return true
	}
	s.point(s.p)
	s.describe(&s.msg, 0, s.id, s.assoc.reliability.Load())
	for {
		_, errno := move(s.packet.alone, unix.SYS_SENDMSG, fd, unsafe.Pointer(&s.hdr), unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, 0)
		switch errno {
		case 0:
			s.assoc.budget.sent(len(s.p))
			return true
		case unix.EINTR:
		case unix.EAGAIN:
			if queued, _, err := sendQueue(t.fd); err == nil && queued == 0 {
				s.full = true // as in awaitMemory
				return true
			}
			return false
		default:
			s.err = os.NewSyscallError("sendmsg", errno)
			if _, err := t.assocStatus(); err != nil {
				s.err = engine.ErrEnded
			}
			return true
		}
	}
}

// checkTo makes sure that a message's destination is the peer's: else the kernel
// would begin another association. It also finds the port.
func (s *sending) checkTo(t target, port *int) error {
	addr, err := t.peersAddr(s.msg.To)
	if err != nil {
		return err
	}
	*port = addr.Port
	return nil
}
