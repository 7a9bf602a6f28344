package udpencap

import (
	"github.com/sctpnet/sctpnet/internal/engine"
	"github.com/sctpnet/sctpnet/internal/fifo"
)

// What makes a message, or a part of one, waits in a queue until it is read.

// A piece is a message or a part of one, or an event. There may be thousands, so
// it has no more of an engine.Message than is needed.
type piece struct {
	data            []byte    // that is not read
	of              *fragment // that has it
	stream, ssn     uint16
	ppid, tsn       uint32
	unordered, more bool
	event           engine.Event
}

func (p *piece) message() engine.Message {
	return engine.Message{Stream: p.stream, PPID: p.ppid, Unordered: p.unordered, SSN: p.ssn, TSN: p.tsn, More: p.more, Event: p.event}
}

func (r *receiver) pushFragment(m *run, f *fragment, more bool) {
	r.push(piece{
		data:      f.data,
		of:        f,
		stream:    m.stream,
		ppid:      m.ppid,
		unordered: m.unordered,
		ssn:       m.ssn,
		tsn:       m.first,
		more:      more,
	})
}

func (r *receiver) push(p piece) {
	r.queue.Push(p)
	r.a.readable.Broadcast()
	r.a.tellMany()
}

func (r *receiver) pushEvent(e engine.Event) {
	r.events++
	r.eventBytes += sizeOf(e)
	r.push(piece{event: e})
}

// hasEvents reports whether so many events wait to be read that the peer must not
// cause more of them.
func (r *receiver) hasEvents() bool { return r.events >= 64 || r.eventBytes >= 64<<10 }

// sizeOf is how much the peer has put into an event.
func sizeOf(e engine.Event) int {
	switch e := e.(type) {
	case engine.RemoteErrorEvent:
		return len(e.Data)
	case engine.StreamResetEvent:
		return 2 * len(e.Streams)
	}
	return 0
}

func (r *receiver) isEmpty() bool { return r.queue.Len() == 0 }

// pop takes the first piece off the queue.
func (r *receiver) pop() {
	if p := r.queue.Pop(); p.event != nil {
		r.events--
		r.eventBytes -= sizeOf(p.event)
	} else {
		p.of.free()
	}
}

// freed takes note that a piece of this cost was read, and tells the peer when there is
// noticeably more room than it knows of.
func (r *receiver) freed(cost int) {
	r.held.add(-cost)
	a := r.a
	a.guardShutdown()
	if !a.takesData() {
		return
	}
	room := r.room()
	if r.small > 0 {
		room = min(room, max(0, r.small-r.held.n))
	}
	if room-r.told >= max(r.window/4, a.mtu) || r.told < a.mtu && room-r.told >= min(r.window/4, 2*a.mtu) {
		a.sendAck()
	}
}

// dropAll drops what nobody can read any more.
func (r *receiver) dropAll() {
	r.queue, r.events, r.eventBytes = fifo.Queue[piece]{}, 0, 0
	r.byFirst, r.byLast, r.streams = nil, nil, nil
	if r.held != nil {
		r.held.giveBack()
	}
}

// unread reports whether the peer has sent what was not read.
func (r *receiver) unread() bool { return r.held != nil && r.held.n > 0 }

// giveBack puts messages before all that is to be read.
func (r *receiver) giveBack(msgs []engine.Msg) {
	if len(msgs) == 0 {
		return
	}
	later := r.queue
	r.queue = fifo.Queue[piece]{}
	for _, m := range msgs {
		for rest := m.Data; len(rest) > 0; {
			f := newFragment(rest[:min(len(rest), rooms[len(rooms)-1])])
			rest = rest[len(f.data):]
			r.held.add(f.cost())
			r.queue.Push(piece{data: f.data, of: f, stream: m.Stream, ssn: m.SSN,
				ppid: m.PPID, tsn: m.TSN, unordered: m.Unordered, more: m.More || len(rest) > 0})
		}
	}
	for _, p := range later.All() {
		r.queue.Push(p)
	}
}
