package udpencap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// Parameters of RE-CONFIG (RFC 6525 section 4).
const (
	paramResetOutgoing = 13
	paramResetIncoming = 14
	paramResetTSN      = 15
	paramResetResponse = 16
	paramAddOutgoing   = 17
	paramAddIncoming   = 18
)

// Results of a request (section 4.4).
const (
	resultNothing    = 0
	resultPerformed  = 1
	resultDenied     = 2
	resultWrongSSN   = 3
	resultUnderWay   = 4
	resultBadNumber  = 5
	resultInProgress = 6
)

// Resets are the requests to reset streams, one of each side at a time.
type resets struct {
	next    uint32 // number of our next request
	expects uint32 // and of the peer's
	timer   timer
	count   int    // how often the request was sent again
	request []byte // under way, as parameter; nil for none
	kind    uint16 // its type
	streams []uint16
	added   uint16 // that it asks for

	pending  []byte // the peer's request that has to wait for data
	answer   []byte // to the peer's last request
	answered uint32 // its number
	wanted   bool   // the peer has asked for what our request is
}

func (r *resets) init(local, remote uint32) {
	// As the TSNs do, the numbers begin where the INITs say.
	r.next, r.expects = local, remote
	r.answered = remote - 1
}

// resetStreams asks the peer for the reset of outgoing streams, all if there
// are none.
func (a *assoc) resetStreams(streams []uint16, answer uint32) error {
	r := &a.rst
	if err := a.canRequest(); err != nil {
		return err
	}
	if len(streams) == 0 && a.snd.AnyUnsent() {
		return engine.ErrUnsent
	}
	for _, id := range streams {
		if a.snd.IsUnsent(id) {
			return engine.ErrUnsent
		}
	}
	v := binary.BigEndian.AppendUint32(nil, r.next)
	v = binary.BigEndian.AppendUint32(v, answer)
	v = binary.BigEndian.AppendUint32(v, a.snd.Last())
	for _, id := range streams {
		v = binary.BigEndian.AppendUint16(v, id)
	}
	r.streams = slices.Clone(streams)
	a.request(paramResetOutgoing, v)
	return nil
}

// canRequest returns why the peer cannot be asked for something now, if it cannot.
func (a *assoc) canRequest() error {
	switch {
	case !a.reconfig:
		return fmt.Errorf("the peer has no stream reconfiguration: %w", errors.ErrUnsupported)
	case a.state != engine.StateEstablished:
		return engine.ErrEnded
	case a.rst.request != nil:
		return engine.ErrBusy
	}
	return nil
}

// request sends a request until it is answered.
func (a *assoc) request(kind uint16, v []byte) {
	r := &a.rst
	r.kind = kind
	r.request = appendParam(nil, kind, v)
	r.count = 0
	r.next++
	a.sendChunk(ctReconfig, r.request)
	r.timer.start(a.retry.RTO)
}

func (a *assoc) onResetTimeout() {
	r := &a.rst
	if r.request == nil || a.state != engine.StateEstablished {
		return
	}
	if r.count++; r.count > a.retry.most {
		a.unreachable()
		return
	}
	a.sendChunk(ctReconfig, r.request)
	r.timer.start(a.retry.backoff(r.count))
}

// addStreams asks the peer for more outgoing or incoming streams.
func (a *assoc) addStreams(kind, n uint16) error {
	r := &a.rst
	if err := a.canRequest(); err != nil {
		return err
	}
	r.added = n
	v := binary.BigEndian.AppendUint32(nil, r.next)
	v = binary.BigEndian.AppendUint16(v, n)
	a.request(kind, append(v, 0, 0))
	return nil
}

// onReconfig handles the peer's requests and answers.
func (a *assoc) onReconfig(b []byte) {
	for p := range params(b) {
		switch {
		case p.typ == paramResetResponse && len(p.value) >= 8:
			a.onResponse(binary.BigEndian.Uint32(p.value), binary.BigEndian.Uint32(p.value[4:]))
		case len(p.value) >= 4:
			a.onRequest(p)
		}
	}
}

// onRequest handles a request. Each request has the number after that of the one
// before.
func (a *assoc) onRequest(p param) {
	r := &a.rst
	n := binary.BigEndian.Uint32(p.value)
	switch {
	case n == r.answered && r.answer != nil:
		a.answer(ctReconfig, r.answer) // it was lost
		return
	case n == r.answered && r.wanted:
		return // our request, which is the answer, will come again
	case n != r.expects:
		a.answer(ctReconfig, response(n, resultBadNumber))
		return
	}
	if a.answers++; a.answers > mostAnswers {
		return // it will come again
	}
	switch {
	case p.typ == paramResetOutgoing && len(p.value) >= 12:
		if !isBelow(streamList(p.value[12:]), a.in.Load()) {
			a.conclude(n, resultWrongSSN)
			return
		}
		r.pending = slices.Clone(p.value)
		a.performResets()
		if r.pending != nil {
			a.respond(n, resultInProgress)
		}
	case p.typ == paramResetIncoming:
		ids := streamList(p.value[4:])
		if !isBelow(ids, a.out.Load()) {
			a.conclude(n, resultWrongSSN) // as our own request would be answered
			return
		}
		a.grant(n, a.resetStreams(ids, n))
	case p.typ == paramAddOutgoing && len(p.value) >= 6:
		more := uint32(binary.BigEndian.Uint16(p.value[4:]))
		isAnswer := r.request != nil && r.kind == paramAddIncoming && more <= uint32(r.added)
		if more == 0 || a.in.Load()+more > 1<<16-1 || !isAnswer && !a.options.PeerAdds {
			a.conclude(n, resultDenied)
			return
		}
		a.in.Add(more)
		a.conclude(n, resultPerformed)
		if isAnswer {
			r.request = nil
			r.timer.stop()
		}
		a.tell(engine.StreamsAddedEvent{In: uint16(more)})
	case p.typ == paramAddIncoming && len(p.value) >= 6:
		more := binary.BigEndian.Uint16(p.value[4:])
		// Two that ask each other for the same would wait for ever.
		busy := r.request != nil && r.kind == paramAddIncoming
		if busy || more == 0 || !a.options.PeerAdds || a.out.Load()+uint32(more) > 1<<16-1 {
			a.conclude(n, resultDenied)
			return
		}
		a.grant(n, a.addStreams(paramAddOutgoing, more))
	case p.typ == paramResetTSN:
		// Linux takes no answer without the next numbers of both sides, and asks
		// again, even where they do not change.
		a.conclude(n, resultDenied, a.snd.Last()+1, a.rx.cum+1)
	default:
		a.conclude(n, resultDenied)
	}
}

// grant answers the peer's request for one of our own, by that, unless it has
// failed.
func (a *assoc) grant(n uint32, err error) {
	r := &a.rst
	switch err {
	case nil:
		r.wanted = true
		r.expects++
		r.answered, r.answer = n, nil
	case engine.ErrBusy, engine.ErrUnsent:
		a.respond(n, resultInProgress)
	default:
		a.conclude(n, resultDenied)
	}
}

func streamList(b []byte) []uint16 {
	var ids []uint16
	for ; len(b) >= 2; b = b[2:] {
		ids = append(ids, binary.BigEndian.Uint16(b))
	}
	return ids
}

// isBelow reports whether there are all these streams.
func isBelow(ids []uint16, streams uint32) bool {
	return !slices.ContainsFunc(ids, func(id uint16) bool { return uint32(id) >= streams })
}

// performResets performs the peer's request once all the data before it has
// come, and there is room for the event.
func (a *assoc) performResets() {
	r := &a.rst
	if r.pending == nil || before(a.rx.cum, binary.BigEndian.Uint32(r.pending[8:])) || a.rx.hasEvents() {
		return
	}
	n := binary.BigEndian.Uint32(r.pending)
	ids := streamList(r.pending[12:])
	r.pending = nil
	for _, id := range ids {
		a.rx.restart(id)
	}
	if len(ids) == 0 {
		for id := range a.rx.streams {
			a.rx.restart(id)
		}
	}
	a.rx.pushEvent(engine.StreamResetEvent{Incoming: true, Streams: ids})
	a.conclude(n, resultPerformed)
}

// restart begins an incoming stream's numbering anew.
func (r *receiver) restart(id uint16) {
	s := r.streams[id]
	if s == nil {
		return
	}
	for _, m := range s.waiting {
		r.drop(m)
	}
	delete(r.streams, id)
}

// conclude answers a request for good.
func (a *assoc) conclude(n, result uint32, more ...uint32) {
	r := &a.rst
	r.expects = n + 1
	r.answered, r.answer = n, response(n, result, more...)
	a.sendChunk(ctReconfig, r.answer)
}

// respond answers a request that may come again, or was none.
func (a *assoc) respond(n, result uint32) { a.sendChunk(ctReconfig, response(n, result)) }

func response(n, result uint32, more ...uint32) []byte {
	v := binary.BigEndian.AppendUint32(nil, n)
	v = binary.BigEndian.AppendUint32(v, result)
	for _, m := range more {
		v = binary.BigEndian.AppendUint32(v, m)
	}
	return appendParam(nil, paramResetResponse, v)
}

// onResponse handles the answer to our request.
func (a *assoc) onResponse(n, result uint32) {
	r := &a.rst
	if r.request == nil || n != r.next-1 {
		return
	}
	if result == resultInProgress {
		r.count = 0
		r.timer.start(a.retry.RTO)
		return
	}
	r.request, r.wanted = nil, false
	r.timer.stop()
	denied := result == resultDenied || result == resultWrongSSN
	failed := result == resultUnderWay || result == resultBadNumber
	done := !denied && !failed
	switch r.kind {
	case paramResetOutgoing:
		if done {
			a.snd.Restart(r.streams)
		}
		a.rx.pushEvent(engine.StreamResetEvent{Streams: r.streams, Denied: denied, Failed: failed})
		a.writable.Broadcast()
	case paramAddOutgoing:
		if done {
			a.out.Add(uint32(r.added))
		}
		a.tell(engine.StreamsAddedEvent{Out: r.added, Denied: denied, Failed: failed})
	case paramAddIncoming:
		if !done {
			a.tell(engine.StreamsAddedEvent{In: r.added, Denied: denied, Failed: failed})
		}
	}
}

// isResetting reports whether a stream is being reset, and must not be sent on.
func (a *assoc) isResetting(id uint16) bool {
	r := &a.rst
	return r.request != nil && r.kind == paramResetOutgoing && (len(r.streams) == 0 || slices.Contains(r.streams, id))
}
