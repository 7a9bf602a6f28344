package mux

import (
	"context"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// A fake is one end of an association in memory, which does what a test tells
// it. It blocks only on channels, on conditions, and for moments on one mutex,
// as testing/synctest wants it.
//
// Like a kernel it sends messages in order, holds the sender back while the
// peer does not receive, grants one request for resets after the other, and
// delivers a reset in order with the data.
type fake struct {
	l    *link
	peer *fake
	mux  *Mux // that start has made

	interrupted bool   // what Take reports
	taking      func() // called by Take, if it is not nil
	reconfig    bool
	out, in     uint16 // how many streams there are
	isOld       bool   // so that 2 are known until Streams asks
	asking      func() // called by a Streams that asks, if it is not nil

	// Under l.mu.
	room      int            // of the send buffer, in bytes
	pieces    int            // how long pieces of messages are at most, if not 0
	arrived   []arrival      // to be received
	held      []arrival      // sent, and not arrived: see hold
	holds     bool           // what is sent is held
	stuck     bool           // Recv does not return
	lent      bool           // Recv has memory to receive into
	received  int            // how often Recv has received
	sending   map[uint16]int // sends under way, of each stream
	ssn       map[uint16]uint16
	by        time.Time // the write deadline
	alarm     *time.Timer
	closed    bool
	err       error // why the association has ended
	answer    func(ids []uint16) answer
	asked     []uint16  // a request that is not answered
	requests  []request // all that were made
	waits     int       // calls of AwaitEnd
	isWaiting bool      // one is under way
	faults    []string
}

// A link is an association: what two fakes share.
type link struct {
	mu   sync.Mutex
	cond sync.Cond
}

// An arrival is a message, what is left of it, or an event.
type arrival struct {
	data []byte
	msg  engine.Message
}

// A request is a call of ResetStreams.
type request struct {
	ids []uint16
	at  time.Time
}

// An answer is what becomes of a request for resets.
type answer int

const (
	grant  answer = iota
	fail          // it can be repeated
	deny          // it cannot
	later         // a call of answerReset says it
	busy          // ErrBusy
	unsent        // ErrUnsent
	refuse        // another error
)

var errRefused = os.NewSyscallError("setsockopt", syscall.EINVAL)

// newLink makes an association with 10 streams each way and send buffers of
// 1 MiB. The first end has dialed.
func newLink() (dialed, accepted *fake) {
	l := new(link)
	l.cond.L = &l.mu
	var ends [2]*fake
	for i := range ends {
		ends[i] = &fake{l: l, reconfig: true, out: 10, in: 10, room: 1 << 20, sending: make(map[uint16]int), ssn: make(map[uint16]uint16)}
	}
	ends[0].peer, ends[1].peer = ends[1], ends[0]
	return ends[0], ends[1]
}

// start gives the fake a Mux, which the end of the test closes.
func (f *fake) start(t testing.TB, config Config) *Mux {
	if config.MessageSize == 0 {
		config.MessageSize = 64 << 10
	}
	m := Start(f, config, func(m *Mux) { f.mux = m })
	t.Cleanup(func() {
		f.do(func() { f.stuck = false })
		m.Close(f.Close)
		f.l.mu.Lock()
		defer f.l.mu.Unlock()
		for _, fault := range f.faults {
			t.Error(fault)
		}
	})
	return m
}

// pair makes an association that has a Mux at both ends.
func pair(t testing.TB) (dialed, accepted *Mux, df, af *fake) {
	df, af = newLink()
	return df.start(t, Config{}), af.start(t, Config{Accepted: true}), df, af
}

// do calls f under the lock and lets all waiting calls look again.
func (f *fake) do(change func()) {
	f.l.mu.Lock()
	defer f.l.mu.Unlock()
	change()
	f.l.cond.Broadcast()
}

// hold keeps what is sent from arriving, until release.
func (f *fake) hold() { f.do(func() { f.holds = true }) }

// release lets all that was held arrive at once.
func (f *fake) release() {
	f.do(func() {
		f.holds = false
		f.peer.arrived = append(f.peer.arrived, f.held...)
		f.held = nil
	})
}

// inject has messages and events arrive at once.
func (f *fake) inject(a ...arrival) { f.do(func() { f.arrived = append(f.arrived, a...) }) }

// message and event make what inject takes.
func message(stream uint16, data string) arrival {
	return arrival{[]byte(data), engine.Message{Stream: stream}}
}

func event(e engine.Event) arrival { return arrival{msg: engine.Message{Event: e}} }

// incoming is the event of a reset by the peer.
func incoming(ids ...uint16) arrival {
	return event(engine.StreamResetEvent{Incoming: true, Streams: ids})
}

// end ends the association for both ends, after what has arrived.
func (f *fake) end(err error) { f.do(func() { f.err, f.peer.err = err, err }) }

// answerReset answers the request that waits for it.
func (f *fake) answerReset(a answer) {
	f.do(func() {
		ids := f.asked
		f.asked = nil
		f.settle(ids, a)
	})
}

// settle has the events of an answer arrive.
func (f *fake) settle(ids []uint16, a answer) {
	own := engine.StreamResetEvent{Streams: ids, Denied: a == deny, Failed: a == fail}
	f.arrived = append(f.arrived, event(own))
	if a == grant {
		for _, id := range ids {
			f.ssn[id] = 0
		}
		f.send(incoming(ids...))
	}
}

// send puts something on its way.
func (f *fake) send(a arrival) {
	if f.holds {
		f.held = append(f.held, a)
	} else {
		f.peer.arrived = append(f.peer.arrived, a)
	}
}

// take takes what has arrived in place of the Mux.
func (f *fake) take() []arrival {
	f.l.mu.Lock()
	defer f.l.mu.Unlock()
	a := f.arrived
	f.arrived = nil
	return a
}

// requested returns the requests that were made.
func (f *fake) requested() []request {
	f.l.mu.Lock()
	defer f.l.mu.Unlock()
	return slices.Clone(f.requests)
}

// endWaits returns how often the Mux has begun to wait for the association's end.
func (f *fake) endWaits() int {
	f.l.mu.Lock()
	defer f.l.mu.Unlock()
	return f.waits
}

// isSending reports whether a Send of a stream is under way.
func (f *fake) isSending(id uint16) bool {
	f.l.mu.Lock()
	defer f.l.mu.Unlock()
	return f.sending[id] > 0
}

// tryRecv is Recv of a Stream without the wait for a first piece.
func tryRecv(s *Stream, p []byte, how Mode) (int, engine.Message, error) {
	s.reader.mu.Lock()
	defer s.reader.mu.Unlock()
	return s.m.receive(&s.reader, p, 0, engine.Message{}, how, false)
}

func (f *fake) Take() (engine.Owner, bool) {
	if f.taking != nil {
		f.taking()
	}
	return f, f.interrupted
}

func (f *fake) Streams(ask bool) (out, in uint16) {
	if ask && f.asking != nil {
		f.asking()
	}
	f.do(func() {
		if f.isOld && !ask {
			out, in = 2, 2
			return
		}
		out, in, f.isOld = f.out, f.in, false
	})
	return out, in
}
func (f *fake) Features() (engine.Features, error) {
	return engine.Features{StreamReconfig: f.reconfig}, nil
}

// queued is how many bytes the send buffer holds.
func (f *fake) queued() int {
	n := 0
	for _, q := range [][]arrival{f.held, f.peer.arrived} {
		for _, a := range q {
			n += len(a.data)
		}
	}
	return n
}

// push sends a message if there is room.
func (f *fake) push(p []byte, m engine.Message, room int) error {
	switch n := f.queued(); {
	case f.closed:
		return net.ErrClosed
	case f.err != nil:
		return os.NewSyscallError("sendmsg", syscall.EPIPE)
	case n > 0 && n+len(p) > room:
		return engine.ErrFull
	}
	m.SSN = f.ssn[m.Stream]
	f.ssn[m.Stream]++
	f.send(arrival{slices.Clone(p), m})
	f.l.cond.Broadcast()
	return nil
}

func (f *fake) Send(p []byte, size int, m engine.Message, spare bool) (n int, err error) {
	f.l.mu.Lock()
	defer f.l.mu.Unlock()
	f.sending[m.Stream]++
	defer func() { f.sending[m.Stream]-- }()
	if size == 0 {
		size = len(p)
	}
	for n < len(p) {
		room := f.room
		if spare {
			room /= 2
		}
		k := min(size, len(p)-n)
		switch err := f.push(p[n:n+k], m, room); {
		case err == nil:
			n += k
		case err != engine.ErrFull:
			return n, err
		case !f.by.IsZero() && !time.Now().Before(f.by):
			return n, os.ErrDeadlineExceeded
		default:
			f.l.cond.Wait()
		}
	}
	return n, nil
}

func (f *fake) TrySend(p []byte, m engine.Message) (int, error) {
	f.l.mu.Lock()
	defer f.l.mu.Unlock()
	if err := f.push(p, m, f.room); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (f *fake) SetWriteDeadline(t time.Time) error {
	f.do(func() {
		if f.alarm != nil {
			f.alarm.Stop()
		}
		f.by = t
		if !t.IsZero() {
			f.alarm = time.AfterFunc(time.Until(t), func() { f.do(func() {}) })
		}
	})
	return nil
}

func (f *fake) Recv(from engine.Lender) (n int, err error) {
	f.l.mu.Lock()
	defer f.l.mu.Unlock()
	if f.isWaiting {
		f.faults = append(f.faults, "Recv was called while AwaitEnd waited")
	}
	msgs := from.Lend()
	f.lent = true
	defer func() { f.lent = false }()
	for f.stuck || len(f.arrived) == 0 || f.closed {
		if msgs != nil {
			from.Return()
			msgs, f.lent = nil, false
		}
		switch {
		case f.stuck:
		case f.closed:
			return 0, net.ErrClosed
		case f.err != nil:
			return 0, f.err
		}
		f.l.cond.Wait()
	}
	if msgs == nil {
		msgs, f.lent = from.Lend(), true
	}
	for n < len(msgs) && len(f.arrived) > 0 {
		a, m := &f.arrived[0], &msgs[n]
		n++
		m.N, m.Message = 0, a.msg
		if a.msg.Event == nil {
			most := len(m.Data)
			if f.pieces > 0 {
				most = min(most, f.pieces)
			}
			m.N = copy(m.Data[:most], a.data)
			if a.data = a.data[m.N:]; len(a.data) > 0 {
				m.More = true
				continue
			}
		}
		f.arrived = f.arrived[1:]
	}
	f.received++
	f.l.cond.Broadcast()
	return n, nil
}

func (f *fake) AwaitEnd(ctx context.Context) bool {
	stop := context.AfterFunc(ctx, func() { f.do(func() {}) })
	defer stop()
	f.l.mu.Lock()
	defer f.l.mu.Unlock()
	f.waits++
	f.isWaiting = true
	defer func() { f.isWaiting = false }()
	for f.err == nil && ctx.Err() == nil {
		f.l.cond.Wait()
	}
	return f.err != nil
}

func (f *fake) ResetStreams(ids []uint16) error {
	f.l.mu.Lock()
	defer f.l.mu.Unlock()
	for _, id := range ids {
		if f.sending[id] > 0 {
			f.faults = append(f.faults, "a reset was asked for while its stream sent")
		}
		if id >= f.out {
			f.faults = append(f.faults, "a reset was asked for of a stream that there is not")
		}
	}
	f.requests = append(f.requests, request{slices.Clone(ids), time.Now()})
	if f.asked != nil {
		return engine.ErrBusy
	}
	for _, a := range f.held {
		if a.msg.Event == nil && slices.Contains(ids, a.msg.Stream) {
			return engine.ErrUnsent
		}
	}
	a := grant
	if f.answer != nil {
		a = f.answer(ids)
	}
	switch a {
	case busy:
		return engine.ErrBusy
	case unsent:
		return engine.ErrUnsent
	case refuse:
		return errRefused
	case later:
		f.asked = slices.Clone(ids)
	default:
		f.settle(slices.Clone(ids), a)
	}
	f.l.cond.Broadcast()
	return nil
}

// Close and Abort end the association. The peer reads the end after what has
// arrived, or in place of it.
func (f *fake) Close() error { return f.leave(io.EOF) }
func (f *fake) Abort() error { return f.leave(os.NewSyscallError("recvmsg", syscall.ECONNRESET)) }

func (f *fake) leave(err error) error {
	f.do(func() {
		if f.closed {
			return
		}
		f.closed = true
		if f.err == nil {
			f.err = err
		}
		if f.peer.err == nil {
			f.peer.err = err
		}
	})
	return nil
}

// A hookedContext is a context that calls a function each time a goroutine is
// about to wait for it: after it has looked whether it must wait, and before it
// does.
type hookedContext struct {
	context.Context
	hook func()
}

func (c hookedContext) Done() <-chan struct{} {
	c.hook()
	return c.Context.Done()
}
