package kernel

import (
	"io"
	"os"
	"unsafe"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// A receiver is a Recv.
type receiver struct {
	header
	p        []byte
	taker    engine.Taker
	delivery engine.Delivery
	err      error
	note     []byte // a notification so far
	events   parser
	unsorted bool // the taker was told so
	recv     func(fd uintptr) bool
}

// Recv receives.
func (p *packet) Recv(b []byte, patient bool, t engine.Taker) error {
	if patient {
		return p.recvPatiently(b, t)
	}
	return p.recv(b, t)
}

func (p *packet) recv(b []byte, t engine.Taker) error {
	r := &p.in
	r.p, r.taker = b, t
	err := p.raw.Read(r.recv)
	if p.waits.Load() {
		p.waits.Store(false)
	}
	if err != nil {
		err = waitError(err)
	} else {
		err = r.err
	}
	r.p, r.taker, r.err, r.iov.Base, r.delivery = nil, nil, nil, nil, engine.Delivery{}
	return err
}

// doRecv receives what there is, until that is enough. No association is peeled off
// meanwhile: what has come of it may not be in order yet.
func (p *packet) doRecv(fd uintptr) bool {
	p.receiving.Lock()
	defer p.receiving.Unlock()
	for {
		done, isEmpty := p.receiveOne(fd)
		if done || isEmpty {
			return done
		}
	}
}

// receiveOne receives one piece and hands it to the taker.
func (p *packet) receiveOne(fd uintptr) (done, isEmpty bool) {
	r := &p.in
again:
	r.point(r.p)
	r.control(unsafe.Pointer(&r.rctl), unsafe.Sizeof(r.rctl))
	r.hdr.Name, r.hdr.Namelen = &r.name[0], uint32(len(r.name))
	n, errno := move(p.alone, unix.SYS_RECVMSG, fd, unsafe.Pointer(&r.hdr), unix.MSG_DONTWAIT, 0)
	switch {
	case errno == unix.EINTR:
		goto again
	case errno == unix.EAGAIN && p.endHeldBack(int(fd)):
		goto again
	case errno == unix.EAGAIN && r.unsorted:
		r.unsorted = false
		r.delivery = engine.Delivery{Sorted: true}
		return r.taker.Take(&r.delivery), false
	case errno == unix.EAGAIN:
		p.await(int(fd))
		return false, true
	case errno != 0:
		r.err = os.NewSyscallError("recvmsg", errno)
		return true, false
	case n == 0:
		r.err = io.EOF // somebody has shut the socket down
		return true, false
	}
	d := &r.delivery
	*d = engine.Delivery{From: r.from()}
	if r.hdr.Flags&sctp.MSG_NOTIFICATION == 0 {
		p.watch.hasData = true
		d.Assoc, d.Data, d.Message = engine.AssocID(r.rctl.AssocID), r.p[:n], r.rctl.message(&r.hdr)
		if d.More || len(p.watch.begun) > 0 {
			d.Unsorted = d.More || p.watch.begun[d.Assoc] != nil
			r.unsorted = r.unsorted || d.Unsorted
			p.saw(target{int(fd), d.Assoc}, &d.Message)
		}
		return r.taker.Take(d), false
	}
	r.note = append(r.note, r.p[:n]...)
	if r.hdr.Flags&unix.MSG_EOR == 0 {
		goto again // PeelOff would take the rest away
	}
	d.Event = r.events.parse(r.note)
	d.Assoc = r.events.assoc
	r.note = r.note[:0]
	d.Cut = p.passFence(target{int(fd), d.Assoc}, d.Event)
	if d.Event = p.learn(int(fd), d.Assoc, d.Event); d.Event == nil && !d.Cut {
		return false, false
	}
	return r.taker.Take(d), false
}

// learn keeps what an event says, and returns what the taker is to have.
func (p *packet) learn(fd int, id engine.AssocID, e engine.Event) engine.Event {
	switch e := e.(type) {
	case engine.AdaptationEvent:
		p.assoc(id).adapted = e.Indication
	case engine.AssocEvent:
		switch e.Change {
		case engine.AssocUp:
			p.assoc(id).attempt.end()
			t := target{fd, id}
			p.beginWatch(t)
			if st, err := t.assocStatus(); err == nil && p.from.options.SmallLoopbackMTU {
				t.shrinkLoopbackMTU(&st)
			}
		case engine.AssocNotMade:
			e.Err = os.NewSyscallError("connect", p.assoc(id).attempt.cause(&e))
			p.forget(id)
		case engine.AssocRestarted:
			a := p.assoc(id)
			a.restarted.Store(true)
			a.reborn = true
			a.most.Store(streamsOf(e))
			p.beginWatch(target{fd, id})
			delete(p.watch.begun, id)
		case engine.AssocLost, engine.AssocEnded:
			delete(p.watch.begun, id)
			p.forget(id)
		}
		return e
	case engine.PathEvent:
		if e.Change == engine.PathAdded || e.Change == engine.PathRemoved {
			return e
		}
	case engine.SenderDryEvent:
		if !p.from.options.SenderDry {
			return nil // fence has asked for it
		}
	}
	if !p.from.options.Events {
		return nil
	}
	return e
}
