package mux

import (
	"io"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// A receiver receives for a Mux. One goroutine has it.
type receiver struct {
	m     *Mux
	b     *buffer
	batch [receiveBatch]engine.Msg
	slots int          // in use: many if messages are small and many
	msgs  []engine.Msg // of batch: received, and not sorted
	ended bool         // the event of the association's end was received, or made up
}

func newReceiver(m *Mux) *receiver { return &receiver{m: m, b: newBuffer(), slots: 1} }

// run receives until receiving ends, or until another goroutine has the receiver.
func (r *receiver) run() {
	for r.sort() {
		if len(r.b.bytes)-r.b.used < minReceive {
			r.b.release()
			r.b = newBuffer()
		}
		rest := len(r.b.bytes) - r.b.used
		msgs := r.batch[:min(r.slots, rest/minReceive)]
		size := rest / len(msgs)
		for i := range msgs {
			start := r.b.used + i*size
			msgs[i].Data = r.b.bytes[start : start+size]
		}
		n, err := r.m.e.Recv(msgs)
		if err == io.EOF && !r.ended {
			// Linux ends receiving when the peer's SHUTDOWN comes. The event comes
			// with SHUTDOWN COMPLETE, if that is not lost.
			msgs[0] = engine.Msg{Message: engine.Message{Event: engine.AssociationEvent{Change: engine.AssociationEnded}}}
			n, err = 1, nil
		}
		if err != nil {
			r.m.mu.Lock()
			r.m.end(err)
			r.m.mu.Unlock()
			r.b.release()
			return
		}
		r.slots = nextSlots(msgs[:n], len(msgs))
		r.msgs = msgs[:n]
		r.count()
	}
}

// receiveBatch is how many messages are received at once at most.
const receiveBatch = 16

// nextSlots returns how many messages to receive next. That is twice as many,
// if all slots were filled now. It is one, if a message would have taken more
// room than one of several has.
func nextSlots(msgs []engine.Msg, slots int) int {
	for i := range msgs {
		if m := &msgs[i]; m.More || m.N > minReceive {
			return 1
		}
	}
	if len(msgs) == slots {
		slots = min(2*slots, receiveBatch)
	}
	return slots
}

// sort delivers what has arrived. It moves the messages together in their buffer.
// It reports whether the caller still has the receiver.
func (r *receiver) sort() bool {
	m := r.m
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(r.msgs) > 0 {
		msg := &r.msgs[0]
		r.msgs = r.msgs[1:]
		if e, ok := msg.Event.(engine.StreamResetEvent); ok {
			m.onReset(e)
		}
		if e := msg.Event; e != nil {
			if m.config.OnEvent != nil && !m.tell(e, r) {
				return false
			}
			continue
		}
		n := copy(r.b.bytes[r.b.used:], msg.Data[:msg.N])
		r.b.refs.Add(1)
		p := piece{r.b, r.b.bytes[r.b.used : r.b.used+n], msg.Message}
		r.b.used += n
		m.sorting--
		m.deliver(p)
	}
	return true
}

// count counts what has arrived.
func (r *receiver) count() {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	for i := range r.msgs {
		switch e := r.msgs[i].Event.(type) {
		case nil:
			r.m.sorting++
			r.m.arrivals.Add(1)
		case engine.AssociationEvent:
			r.ended = r.ended || e.Change == engine.AssociationEnded
		case engine.StreamResetEvent:
			if e.Incoming {
				r.m.arrivals.Add(1)
			}
		}
	}
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
	stop := m.watchEnd(func() {
		has = false
		go r.run()
	})
	m.call(e)
	stop()
	for len(m.untold) > 0 && !m.closed.Load() {
		e, m.untold = m.untold[0], m.untold[1:]
		m.call(e)
	}
	m.isTelling = false
	return has
}

// call calls OnEvent with no lock held.
func (m *Mux) call(e engine.Event) {
	m.mu.Unlock()
	defer m.mu.Lock()
	m.config.OnEvent(e)
}

// awaitRoom waits while there is no room in a queue, as isFull tells. It does not
// when the association has ended: little is left to receive then.
func (m *Mux) awaitRoom(isFull func() bool) {
	if !isFull() {
		return
	}
	stop := m.watchEnd(m.room.Broadcast)
	for isFull() && !m.ended && !m.closed.Load() {
		m.room.Wait()
	}
	stop()
}

// watchEnd looks, while nothing is received, whether the association has ended, and
// then calls onEnd. It has to look: an engine tells of the end behind all that has
// arrived before. Mux.mu is held when stop is called, and onEnd.
func (m *Mux) watchEnd(onEnd func()) (stop func()) {
	const lookEvery = 200 * time.Millisecond
	isDone := false
	var look *time.Timer
	look = time.AfterFunc(lookEvery, func() {
		if m.closed.Load() {
			return // all know
		}
		ended := m.e.Ended()
		m.mu.Lock()
		defer m.mu.Unlock()
		switch {
		case isDone:
		case ended:
			m.ended = true
			onEnd()
		default:
			look.Reset(lookEvery)
		}
	})
	return func() {
		isDone = true
		look.Stop()
	}
}
