package mux

import (
	"io"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// A receiver receives for a Mux. One goroutine has it. While it waits it has no
// buffer: most associations are idle most of the time.
type receiver struct {
	m     *Mux
	b     *buffer      // nil if there is none
	slots int          // in use: many if messages are small and many
	size  int          // expected of a message, by those that came last; up to bufferSize
	begun int          // bytes of a message whose end has not arrived
	msgs  []engine.Msg // of b's batch: received, and not sorted
	fresh int          // how many of these are messages, until sort has counted them
	in    *buffer      // that these lie in: b, or a small one
	ended bool         // the event of the association's end was received, or made up
}

func newReceiver(m *Mux) *receiver { return &receiver{m: m, slots: 1} }

// run receives until receiving ends, or until another goroutine has the receiver.
func (r *receiver) run() {
	for r.sort() {
		n, err := r.m.e.Recv(r)
		if err == io.EOF && !r.ended {
			// Linux ends receiving when the peer's SHUTDOWN comes. The event comes
			// with SHUTDOWN COMPLETE, if that is not lost.
			end := engine.Message{Event: engine.AssocEvent{Change: engine.AssocEnded}}
			r.msgs = append(r.msgs[:0], engine.Msg{Message: end})
			n, err = 1, nil
		}
		if err != nil {
			r.m.mu.Lock()
			r.m.end(err)
			r.m.mu.Unlock()
			r.Return()
			return
		}
		lent := r.msgs
		r.msgs = lent[:n]
		r.learn(len(lent))
		r.compact()
	}
}

// Lend returns memory to receive into, as an engine.Lender.
func (r *receiver) Lend() []engine.Msg {
	// The room that each of several messages has: small ones differ more.
	slot := max(r.size, min(2*r.size, minReceive), minReceive/4)
	if r.b != nil {
		// A message that does not fit what is left arrives in two pieces, and so
		// would each of its size after it: one piece at the end of each buffer.
		if bufferSize-r.b.used < max(r.size, minReceive, min(r.slots*slot, bufferSize/2)) {
			r.Return()
		}
	}
	if r.b == nil {
		r.b = newBuffer()
	}
	rest := len(r.b.bytes) - r.b.used
	r.msgs = r.b.batch[:min(r.slots, rest/slot)]
	size := rest / len(r.msgs)
	for i := range r.msgs {
		start := r.b.used + i*size
		r.msgs[i].Data = r.b.bytes[start : start+size]
	}
	return r.msgs
}

// Return takes back what was lent.
func (r *receiver) Return() {
	r.b.release()
	r.b, r.msgs = nil, nil
}

// receiveBatch is how many messages are received at once at most.
const receiveBatch = 16

// learn learns from what was received into a number of slots how large messages are,
// and how many to receive next. That is twice as many, if all slots were filled now.
// It is one, if a message would have taken more room than one of several has.
func (r *receiver) learn(slots int) {
	large := false
	for i := range r.msgs {
		m := &r.msgs[i]
		if m.Event != nil {
			continue
		}
		if m.More {
			large = true
			r.begun += m.N
			continue
		}
		r.size = min(max(r.begun+m.N, r.size-r.size/4), bufferSize)
		r.begun = 0
	}
	switch {
	case large:
		r.slots = 1
	case len(r.msgs) == slots:
		r.slots = min(2*r.slots, receiveBatch)
	}
}

// compact counts what has arrived, and moves it together in its buffer, or to a small
// one if it is little.
func (r *receiver) compact() {
	total := 0
	for i := range r.msgs {
		total += r.msgs[i].N
	}
	r.in = r.b
	if total <= smallSize {
		r.in = newSmallBuffer()
		defer r.in.release() // the pieces keep it
	}
	for i := range r.msgs {
		msg := &r.msgs[i]
		switch e := msg.Event.(type) {
		case nil:
			n := copy(r.in.bytes[r.in.used:], msg.Data[:msg.N])
			msg.Data = r.in.bytes[r.in.used : r.in.used+n]
			r.in.used += n
			r.in.refs.Add(1)
			r.fresh++
		case engine.StreamResetEvent:
			if e.Incoming {
				r.m.arrivals.Add(1)
			}
		case engine.StreamsAddedEvent:
			r.m.conn.Streams(true) // has hasStream know
		}
	}
	r.m.arrivals.Add(uint64(r.fresh))
}

// sort delivers what has arrived. It reports whether the caller still has the
// receiver.
func (r *receiver) sort() bool {
	m := r.m
	m.mu.Lock()
	defer m.unlock()
	m.sorting += r.fresh
	r.fresh = 0
	for len(r.msgs) > 0 {
		msg := &r.msgs[0]
		r.msgs = r.msgs[1:]
		switch e := msg.Event.(type) {
		case engine.StreamResetEvent:
			m.onReset(e)
		case engine.AssocEvent:
			if e.Change == engine.AssocEnded {
				if r.ended {
					continue // it was made up
				}
				r.ended = true
			}
		}
		if e := msg.Event; e != nil {
			if m.config.OnEvent != nil && !m.tell(e, r) {
				return false
			}
			continue
		}
		m.sorting--
		m.deliver(piece{r.in, msg.Data, msg.Message})
	}
	return true
}

// tell calls OnEvent. It reports whether the caller still has the receiver: if the
// association ends while OnEvent does not return, another goroutine goes on, as
// others may be waiting for the end. The caller then tells what came meanwhile.
func (m *Mux) tell(e engine.Event, r *receiver) bool {
	switch {
	case m.closed.Load():
		return true
	case m.isTelling:
		m.untold = append(m.untold, e)
		return true
	}
	m.isTelling = true
	has := true
	m.watchEnd(func() {
		has = false
		go r.run()
	})
	m.call(e)
	m.stopWatch()
	for len(m.untold) > 0 && !m.closed.Load() {
		e, m.untold = m.untold[0], m.untold[1:]
		m.call(e)
	}
	m.isTelling = false
	return has
}

// call calls OnEvent with no lock held.
func (m *Mux) call(e engine.Event) {
	m.unlock()
	defer m.mu.Lock()
	m.config.OnEvent(e)
}

// awaitRoom waits while there is no room in a queue, as isFull tells. It does not
// when the association has ended: little is left to receive then.
func (m *Mux) awaitRoom(isFull func() bool) {
	if !isFull() || m.ended {
		return
	}
	m.watchEnd(m.wakeReceiver)
	for isFull() && !m.ended && !m.closed.Load() {
		if m.resets.isDue {
			m.flushResets()
			continue // what there was to wait for may have come meanwhile
		}
		m.room.Wait()
	}
	m.stopWatch()
}
