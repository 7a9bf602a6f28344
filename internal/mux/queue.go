package mux

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// queueSize is how many bytes a queue takes before it is full. Each piece counts
// with its data and pieceSize. A queue that is not full takes another piece of
// any size.
const (
	queueSize = 256 << 10
	pieceSize = 128
)

// A buffer is memory that the engine receives into.
type buffer struct {
	refs  atomic.Int32 // by pieces, and by the receiver
	used  int
	bytes [64 << 10]byte
}

// minReceive is how much of a buffer must be left to receive into.
const minReceive = 4 << 10

var buffers = sync.Pool{New: func() any { return new(buffer) }}

func newBuffer() *buffer {
	b := buffers.Get().(*buffer)
	b.used = 0
	b.refs.Store(1)
	return b
}

func (b *buffer) release() {
	if b != nil && b.refs.Add(-1) == 0 {
		buffers.Put(b)
	}
}

// A piece is a message or a part of one, or the end of a stream.
type piece struct {
	buf  *buffer // that data lies in; nil if it has its own memory
	data []byte  // nil of an end
	msg  engine.Message
}

func (p *piece) isEnd() bool { return p.data == nil }

// cost is what the piece counts in a queue.
func (p *piece) cost() int {
	if p.isEnd() {
		return 0
	}
	return len(p.data) + pieceSize
}

// A queue holds pieces in order of arrival, from head on. It uses its array
// again.
type queue struct {
	pieces []piece
	head   int
	bytes  int

	last  *buffer // the one that the last piece arrived in
	share int     // how many bytes of it were pushed
}

func (q *queue) isFull() bool { return q.bytes >= queueSize }

// rest returns the pieces that are in the queue.
func (q *queue) rest() []piece { return q.pieces[q.head:] }

func (q *queue) push(p piece) {
	q.own(&p)
	if len(q.pieces) == cap(q.pieces) && q.head >= max(1, len(q.pieces)/2) { // seldom enough
		n := copy(q.pieces, q.rest())
		clear(q.pieces[n:])
		q.pieces, q.head = q.pieces[:n], 0
	}
	q.pieces = append(q.pieces, p)
	q.bytes += p.cost()
}

// own copies a small piece behind many others to memory of its own. There it
// would otherwise keep a whole buffer from being used again, for as long as
// nobody reads.
func (q *queue) own(p *piece) {
	const many = 16
	if p.buf == nil {
		return
	}
	if p.buf != q.last {
		q.last, q.share = p.buf, 0
	}
	if q.share += len(p.data); q.share < minReceive && len(q.rest()) >= many {
		data := slices.Clone(p.data)
		p.buf.release()
		p.buf, p.data = nil, data
	}
}

// remove removes piece i of rest and returns it.
func (q *queue) remove(i int) piece {
	i += q.head
	p := q.pieces[i]
	q.bytes -= p.cost()
	copy(q.pieces[q.head+1:i+1], q.pieces[q.head:i])
	q.pieces[q.head] = piece{}
	if q.head++; q.head == len(q.pieces) {
		q.pieces, q.head = q.pieces[:0], 0
		q.last, q.share = nil, 0
	}
	return p
}

// removeStream removes the pieces of a stream and returns them. Those of others
// are moved once, however many there are.
func (q *queue) removeStream(id uint16) (pieces []piece) {
	others := q.pieces[:q.head]
	for _, p := range q.rest() {
		if p.msg.Stream == id {
			q.bytes -= p.cost()
			pieces = append(pieces, p)
		} else {
			others = append(others, p)
		}
	}
	clear(q.pieces[len(others):])
	if q.pieces = others; q.head == len(others) {
		q.pieces, q.head = others[:0], 0
		q.last, q.share = nil, 0
	}
	return pieces
}

// drop empties the queue.
func (q *queue) drop() {
	for _, p := range q.rest() {
		p.buf.release()
	}
	*q = queue{}
}
