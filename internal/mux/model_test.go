package mux

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// A model says what is seen of an association that has a Mux at both ends. All
// data tells which half it belongs to, and where in it:
//
//   - A Stream reads the data of one Stream of the peer, and that one reads its
//     data, if any.
//   - The data comes in order, without gaps. All of it comes, unless the reader was
//     closed or the stream could be refused.
//   - io.EOF comes behind all of it, if the peer's Stream was closed and not before.
//   - A call fails only for a reason that the model knows. Every call ends, and none
//     waits for what is there.
//   - What is kept has bounds. When all streams are closed at both ends, nothing of
//     them is left.
type model struct {
	ends  [2]*end
	calls sync.WaitGroup

	mu       sync.Mutex
	halves   []*half
	faults   []string
	hasEnded bool // the association has
	hasSpent bool // numbers were given up
}

// An end is one end of the association.
type end struct {
	*fake
	m          *Mux
	name       string
	peer       *end
	conn       *half // of the Conn's stream 0; nil if that is accepted, too
	answers    []answer
	readsAll   bool // nobody has asked for a stream to accept
	isDone     bool // the peer has granted the request whose answer is to come
	wasFull    bool // streams may have been refused
	accepting  int  // calls under way
	opening    int
	openMost   int // numbers that all calls of Open under way know
	claiming   map[uint16]int
	acceptMost int
}

// granted is the answer that comes later, of a peer that has reset the streams at
// once.
const granted answer = -1

// A half is one end's use of a stream: a Stream, or the Conn.
type half struct {
	number int
	end    *end
	id     uint16
	s      *Stream // nil of the Conn
	peer   *half   // known once data has come from it

	sent        int    // units of data,
	seen        int    // and how many of them the peer has read
	read        int    // units
	rest        []byte // what was read of another
	isSending   bool   // a Send is under way
	isReading   bool   // a goroutine reads until the end
	isTimed     bool   // it has had a deadline
	hasRead     bool   // io.EOF
	isClosed    bool
	closedRead  bool
	closedWrite bool
}

// A unit of data is the number of its half and its own.
const unitSize = 8

func (h *half) String() string {
	if h.s == nil {
		return h.end.name + "'s Conn"
	}
	return fmt.Sprintf("%s's stream %d (%d)", h.end.name, h.id, h.number)
}

func (h *half) hasEndedWrite() bool { return h.closedWrite || h.isClosed }

func newModel(t *testing.T, room, pieces int, announces, conns bool, limits [2]int) *model {
	md := new(model)
	df, af := newLink()
	for i, f := range []*fake{df, af} {
		e := &end{fake: f, name: [...]string{"dialer", "accepter"}[i], claiming: make(map[uint16]int), acceptMost: limits[i]}
		f.out, f.in, f.room, f.pieces = 4, 4, room, pieces
		f.answer = e.nextAnswer
		md.ends[i] = e
		e.m = f.start(t, Config{
			Accepted: i == 1, MessageSize: 8 << 10, Limits: Limits{AcceptStreams: limits[i]},
			Announces: func() bool { return announces },
		})
		if e.readsAll = conns; conns {
			e.conn = md.add(e, nil, 0)
		} else {
			e.m.ServeStreams()
		}
	}
	md.ends[0].peer, md.ends[1].peer = md.ends[1], md.ends[0]
	return md
}

// nextAnswer answers a request for resets.
func (e *end) nextAnswer(ids []uint16) answer {
	a := grant
	if len(e.answers) > 0 {
		a, e.answers = e.answers[0], e.answers[1:]
	}
	if a == granted {
		e.isDone = true
		e.send(incoming(ids...))
		a = later
	}
	return a
}

// answerPending answers the request that waits for it, if one does.
func (e *end) answerPending(a answer) {
	e.l.mu.Lock()
	isDone, isPending := e.isDone, e.asked != nil
	e.l.mu.Unlock()
	switch {
	case isDone:
		e.do(func() {
			e.arrived = append(e.arrived, event(engine.StreamResetEvent{Streams: e.asked}))
			e.asked, e.isDone = nil, false
		})
	case isPending:
		e.answerReset(a)
	}
}

func (md *model) fault(format string, a ...any) {
	md.faults = append(md.faults, fmt.Sprintf(format, a...))
}

// add notes a new half.
func (md *model) add(e *end, s *Stream, id uint16) *half {
	for _, h := range md.halves {
		if h.end == e && h.id == id && h.s != nil && !h.isClosed {
			md.fault("%v was open when another Stream was made of its number", h)
		}
	}
	h := &half{number: len(md.halves), end: e, id: id, s: s}
	md.halves = append(md.halves, h)
	return h
}

// addIf notes the Stream of a call, if it has returned one.
func (md *model) addIf(e *end, s *Stream, err error) {
	md.mu.Lock()
	defer md.mu.Unlock()
	switch {
	case s != nil:
		md.add(e, s, s.ID())
	case err == nil || md.hasEnded || errors.Is(err, ErrNoFreeStream) || errors.Is(err, context.DeadlineExceeded):
	case slices.ContainsFunc(md.halves, func(h *half) bool { return h.end == e }): // in use, or being closed
	default:
		md.fault("%s: %v", e.name, err)
	}
}

// open returns an end's halves that are not closed.
func (md *model) open(e *end) []*half {
	md.mu.Lock()
	defer md.mu.Unlock()
	var open []*half
	for _, h := range md.halves {
		if h.end == e && !h.isClosed {
			open = append(open, h)
		}
	}
	return open
}

func (md *model) claim(e *end, id uint16) {
	md.mu.Lock()
	e.claiming[id]++
	md.mu.Unlock()
	md.calls.Go(func() {
		s, err := e.m.Claim(id)
		md.mu.Lock()
		e.claiming[id]--
		md.mu.Unlock()
		md.addIf(e, s, err)
	})
}

func (md *model) openStream(e *end) {
	count := e.m.own().count
	md.mu.Lock()
	if e.opening++; e.opening == 1 {
		e.openMost = count
	}
	md.mu.Unlock()
	md.calls.Go(func() {
		s, err := e.m.Open(context.Background())
		md.mu.Lock()
		e.opening--
		md.mu.Unlock()
		md.addIf(e, s, err)
	})
}

func (md *model) accept(e *end) {
	md.mu.Lock()
	e.accepting++
	e.readsAll = false
	md.mu.Unlock()
	md.calls.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		s, err := e.m.Accept(ctx)
		md.mu.Lock()
		e.accepting--
		md.mu.Unlock()
		md.addIf(e, s, err)
	})
}

// acceptAll accepts what waits.
func (md *model) acceptAll(e *end) {
	md.mu.Lock()
	e.readsAll = false
	md.mu.Unlock()
	n := 0
	for s := e.m.TryAccept(); s != nil; s = e.m.TryAccept() {
		md.addIf(e, s, nil)
		n++
	}
	md.mu.Lock()
	defer md.mu.Unlock()
	if n > e.acceptMost {
		md.fault("%s: %d streams have waited to be accepted, of at most %d", e.name, n, e.acceptMost)
	}
}

// write begins to write on a half, if nothing is being written there.
func (md *model) write(h *half, units int, single bool) {
	md.mu.Lock()
	defer md.mu.Unlock()
	if h.isSending {
		return
	}
	h.isSending = true
	data := make([]byte, 0, units*unitSize)
	for i := range units {
		data = binary.BigEndian.AppendUint32(data, uint32(h.number))
		data = binary.BigEndian.AppendUint32(data, uint32(h.sent+i))
	}
	md.calls.Go(func() {
		var n int
		var err error
		if msg := (engine.Message{Stream: h.id}); h.s == nil {
			n, err = h.end.m.Send(data, single, msg, false)
		} else {
			n, err = h.s.Send(data, single, msg)
		}
		md.mu.Lock()
		defer md.mu.Unlock()
		h.isSending = false
		h.sent += n / unitSize
		switch {
		case n%unitSize != 0:
			md.fault("%v: %d bytes were written; no message is so long", h, n)
		case err == nil && n == len(data), md.hasEnded:
		case err == net.ErrClosed && h.isClosed:
		case err == syscall.EPIPE && (h.closedWrite || h.end.peer.wasFull || md.hasClosedPeer(h)):
		case err == os.ErrDeadlineExceeded && h.isTimed:
		default:
			md.fault("%v: written %d of %d bytes, %v", h, n, len(data), err)
		}
	})
}

// announce begins to announce a half on which nothing was written, if it can be.
func (md *model) announce(h *half) {
	md.mu.Lock()
	defer md.mu.Unlock()
	if h.s == nil || h.isSending || h.sent > 0 {
		return
	}
	h.isSending = true
	md.calls.Go(func() {
		h.s.Announce()
		md.mu.Lock()
		defer md.mu.Unlock()
		h.isSending = false
	})
}

// hasClosedPeer reports whether the peer's half may have been closed.
func (md *model) hasClosedPeer(h *half) bool {
	return slices.ContainsFunc(md.halves, func(p *half) bool {
		return p.end == h.end.peer && p.id == h.id && p.isClosed && (p.peer == nil || p.peer == h) && (h.peer == nil || h.peer == p)
	})
}

// readSome reads once, without waiting. It reports whether there was something.
func (md *model) readSome(h *half, size int, how Mode) bool {
	md.mu.Lock()
	cannot := h.isReading || h.s == nil && h.end.readsAll
	md.mu.Unlock()
	if cannot {
		return false
	}
	h.end.do(func() {
		if h.end.stuck && how == Whole {
			how = Piece // the rest of the message may not come
		}
	})
	n, err := md.recv(h, make([]byte, size), how, false)
	return n > 0 && err == nil
}

// readOn reads until the end.
func (md *model) readOn(h *half, size int, how Mode) {
	md.mu.Lock()
	defer md.mu.Unlock()
	if h.isReading || h.s == nil {
		return
	}
	h.isReading = true
	md.calls.Go(func() {
		p := make([]byte, size)
		for {
			if _, err := md.recv(h, p, how, true); err != nil {
				md.mu.Lock()
				h.isReading = false
				md.mu.Unlock()
				return
			}
		}
	})
}

func (md *model) recv(h *half, p []byte, how Mode, wait bool) (n int, err error) {
	var msg engine.Message
	switch {
	case h.s == nil && wait:
		n, msg, err = h.end.m.Recv(p, how)
	case h.s == nil:
		n, msg, err = h.end.m.TryRecv(p, how)
	case wait:
		n, msg, err = h.s.Recv(p, how)
	default:
		n, msg, err = tryRecv(h.s, p, how)
	}
	md.mu.Lock()
	defer md.mu.Unlock()
	if n > 0 {
		md.check(h, msg, p[:n])
	}
	switch {
	case err == nil, err == engine.ErrNothing && !wait, md.hasEnded:
	case err == io.EOF && h.s != nil:
		h.hasRead = h.hasRead || !h.closedRead && !h.isClosed
	case err == net.ErrClosed && h.isClosed:
	case err == os.ErrDeadlineExceeded && h.isTimed:
	default:
		md.fault("%v: read %d bytes, %v", h, n, err)
	}
	return n, err
}

// check checks what a half has read.
func (md *model) check(h *half, msg engine.Message, data []byte) {
	if msg.Stream != h.id {
		md.fault("%v has read what came on stream %d", h, msg.Stream)
		return
	}
	if h.hasRead {
		md.fault("%v has read data behind io.EOF", h)
	}
	data = append(h.rest, data...)
	for ; len(data) >= unitSize; data = data[unitSize:] {
		number, i := int(binary.BigEndian.Uint32(data)), int(binary.BigEndian.Uint32(data[4:]))
		if number >= len(md.halves) {
			md.fault("%v has read what nobody has written: %x", h, data[:unitSize])
			return
		}
		from := md.halves[number]
		switch {
		case from.end != h.end.peer || from.id != h.id:
			md.fault("%v has read data of %v", h, from)
		case from.peer != nil && from.peer != h:
			md.fault("%v has read data of %v, whose peer is %v", h, from, from.peer)
		case h.peer != nil && h.peer != from:
			md.fault("%v has read data of %v, and its peer is %v", h, from, h.peer)
		case i != from.seen:
			md.fault("%v has read unit %d of %v, want %d", h, i, from, from.seen)
		default:
			h.peer, from.peer = from, h
			from.seen++
			h.read++
			continue
		}
		return
	}
	h.rest = slices.Clone(data)
}

func (md *model) close(h *half) {
	if h.s == nil {
		return
	}
	md.mu.Lock()
	defer md.mu.Unlock()
	h.isClosed = true
	if err := h.s.Close(); err != nil {
		md.fault("%v: Close: %v", h, err)
	}
}

func (md *model) closeRead(h *half) {
	if h.s == nil {
		return
	}
	md.mu.Lock()
	defer md.mu.Unlock()
	h.closedRead = true
	if err := h.s.CloseRead(); err != nil && !(err == net.ErrClosed && md.hasEnded) {
		md.fault("%v: CloseRead: %v", h, err)
	}
}

func (md *model) closeWrite(h *half) {
	if h.s == nil {
		return
	}
	md.mu.Lock()
	defer md.mu.Unlock()
	switch err := h.s.CloseWrite(); {
	case err == nil:
		h.closedWrite = true
	case err == net.ErrClosed && md.hasEnded:
	case !md.hasSpent || !errors.Is(err, errors.ErrUnsupported):
		md.fault("%v: CloseWrite: %v", h, err)
	}
}

func (md *model) setDeadline(h *half, write bool, t time.Time) {
	md.mu.Lock()
	h.isTimed = true
	md.mu.Unlock()
	switch {
	case h.s == nil && write:
		h.end.m.SetWriteDeadline(t)
	case h.s == nil:
		h.end.m.SetReadDeadline(t)
	case write:
		h.s.SetWriteDeadline(t)
	default:
		h.s.SetReadDeadline(t)
	}
}

// settle waits until nothing moves, and checks what must hold then.
func (md *model) settle() {
	synctest.Wait()
	md.mu.Lock()
	defer md.mu.Unlock()
	for _, e := range md.ends {
		md.checkEnd(e)
	}
	if md.hasEnded {
		return
	}
	for _, h := range md.halves {
		if !h.hasRead {
			continue
		}
		if p := h.peer; p != nil {
			if !p.hasEndedWrite() || p.isSending || p.sent != h.read || len(h.rest) > 0 {
				md.fault("%v has read io.EOF behind %d units; %v has written %d, and has ended that: %v",
					h, h.read, p, p.sent, p.hasEndedWrite())
			}
		} else if !h.end.peer.wasFull && !slices.ContainsFunc(md.halves, func(p *half) bool {
			return p.end == h.end.peer && p.id == h.id && p.peer == nil && p.hasEndedWrite() && !p.isSending
		}) {
			md.fault("%v has read io.EOF, and the peer has ended no writing", h)
		}
	}
}

// checkEnd checks that no call waits for what is there, and how much is kept.
func (md *model) checkEnd(e *end) {
	m := e.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		for _, h := range md.halves {
			if h.end == e && h.isReading && !h.isClosed && len(h.s.queue.rest()) > 0 {
				md.fault("%v waits for data that is there", h)
			}
		}
		if e.accepting > 0 && m.begunStream() >= 0 {
			md.fault("%s: Accept waits for a stream that is there", e.name)
		}
		for id, n := range e.claiming {
			if s := m.numbers[id].stream; n > 0 && (s == nil || !s.closed) {
				md.fault("%s: Claim waits for stream %d, which is not being closed", e.name, id)
			}
		}
		own := m.own()
		for i := range min(own.count, e.openMost) {
			id := uint16(own.first + 2*i)
			if n := m.numbers[id]; e.opening > 0 && n.stream == nil && !n.next.isBegun && n.spent == nil {
				md.fault("%s: Open waits, and stream %d is free", e.name, id)
			}
		}
	}
	const over = bufferSize + 64<<10 + pieceSize // of what holds less than it may, and then gets a piece
	claimed, waiting, mayWait, late := 0, 0, 0, 0
	for id, n := range m.numbers {
		claimed += one(n.stream != nil)
		waiting += one(m.waits(id, n))
		mayWait += one(n.next.pieces > 0)
		late += n.late
	}
	if claimed != m.claimed || waiting != m.waiting {
		md.fault("%s counts %d streams and %d that wait; there are %d and %d", e.name, m.claimed, m.waiting, claimed, waiting)
	}
	// While Accept waits, streams may come and go unseen.
	e.wasFull = e.wasFull || mayWait >= e.acceptMost || m.isFull() || e.accepting > 0 && e.acceptMost < int(e.in)
	if waiting > e.acceptMost {
		md.fault("%s: %d streams wait to be accepted, of at most %d", e.name, waiting, e.acceptMost)
	}
	if size := m.memory.size(); !md.hasEnded && size > m.config.StreamMemory+over { // at the end there is no more to come
		md.fault("%s: the streams hold %d bytes, want at most %d", e.name, size, m.config.StreamMemory)
	}
	if n := int(e.out); len(m.resets.list) > n || late > n {
		md.fault("%s keeps %d resets and %d late answers", e.name, len(m.resets.list), late)
	}
}

// finish lets the engine work, reads all there is, and checks that nothing was
// lost. Then it closes the streams and checks that their numbers are free, and at
// last the association.
func (md *model) finish() {
	for _, h := range slices.Concat(md.open(md.ends[0]), md.open(md.ends[1])) {
		md.setDeadline(h, false, time.Time{})
		md.setDeadline(h, true, time.Time{})
	}
	for _, e := range md.ends {
		e.do(func() {
			e.answers = nil
			e.stuck = false
		})
		e.release()
		e.answerPending(grant)
	}
	md.settle()
	for quiet, before := 0, -1; quiet < 15 && len(md.faults) == 0; { // 3 s
		progress := 0
		for _, e := range md.ends {
			md.acceptAll(e)
			for _, h := range md.open(e) {
				for md.readSome(h, 32<<10, Filled) {
					progress++
				}
				if (h.hasRead || h.closedRead) && h.closedWrite {
					md.close(h) // the number's next use waits for that
				}
			}
		}
		md.settle()
		md.mu.Lock()
		for _, h := range md.halves {
			progress += h.read + h.sent + 1
			if h.hasRead {
				progress++
			}
			if h.isSending {
				progress++
			}
		}
		md.mu.Unlock()
		if quiet++; progress != before {
			quiet, before = 0, progress
		}
		time.Sleep(200 * time.Millisecond)
		md.settle()
	}
	if !md.hasEnded && len(md.faults) == 0 {
		md.checkLosses()
		md.checkFree()
	}
	md.mu.Lock()
	md.hasEnded = true
	md.mu.Unlock()
	for _, e := range md.ends {
		e.m.Close(e.Close)
	}
	md.calls.Wait()
}

// checkLosses checks, when all that is there was read, that it is all.
func (md *model) checkLosses() {
	md.mu.Lock()
	defer md.mu.Unlock()
	excused := make(map[*half]bool)
	for _, h := range md.halves {
		if h.isSending {
			md.fault("%v waits for room to write, and the peer has read all", h)
		}
		p := h.peer
		switch {
		case p != nil && p.s != nil && h.hasEndedWrite() && !p.hasRead && !p.isClosed && !p.closedRead && !md.hasSpent:
			md.fault("%v has not read io.EOF, and %v has ended its writing", p, h)
		case h.sent == h.seen, h.end.peer.wasFull, p != nil && (p.isClosed || p.closedRead):
		case p != nil:
			md.fault("%v has read %d of %d units of %v", p, h.seen, h.sent, h)
		default:
			i := slices.IndexFunc(md.halves, func(p *half) bool {
				return p.end == h.end.peer && p.id == h.id && p.peer == nil && (p.isClosed || p.closedRead) && !p.hasRead && !excused[p]
			})
			if i < 0 {
				md.fault("nobody has read %d units of %v", h.sent, h)
			} else {
				excused[md.halves[i]] = true
			}
		}
	}
}

// checkFree closes all streams and checks that nothing of them is left.
func (md *model) checkFree() {
	left := ""
	for range 100 { // 30 s
		left = ""
		for _, e := range md.ends {
			md.acceptAll(e)
			for _, h := range md.open(e) {
				md.close(h)
			}
		}
		md.settle()
		for _, e := range md.ends {
			e.m.mu.Lock()
			if e.conn != nil {
				e.m.setNext(0, use{}) // the Conn's
			}
			if len(e.m.numbers)+len(e.m.resets.list) > 0 {
				left += fmt.Sprintf("%s: numbers %+v, resets %v; ", e.name, e.m.numbers, e.m.resets.list)
			}
			e.m.mu.Unlock()
		}
		if left == "" || len(md.faults) > 0 {
			return
		}
		time.Sleep(300 * time.Millisecond)
		md.settle()
	}
	if !md.hasSpent {
		md.fault("all streams are closed, and not free: %s", left)
	}
}
