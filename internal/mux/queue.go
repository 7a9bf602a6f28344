package mux

import "github.com/sctpnet/sctpnet/internal/engine"

// queueSize is how many bytes a queue takes before it is full. Each piece counts
// with its data and pieceSize, which is what its place in the queue's array takes
// at most. A queue that is not full takes another piece of any size.
const (
	queueSize = 256 << 10
	pieceSize = 256
)

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
// again, unless that is much larger than what is in it.
type queue struct {
	pieces []piece
	head   int
	bytes  int
	memory *memory // of all queues of the association
}

func (q *queue) isFull() bool { return q.bytes >= queueSize }

// rest returns the pieces that are in the queue.
func (q *queue) rest() []piece { return q.pieces[q.head:] }

func (q *queue) push(p piece) {
	if len(q.pieces) == cap(q.pieces) {
		if q.head >= max(1, len(q.pieces)/4) { // seldom enough
			n := copy(q.pieces, q.rest())
			clear(q.pieces[n:])
			q.pieces, q.head = q.pieces[:n], 0
		} else {
			q.resize()
		}
	}
	q.pieces = append(q.pieces, p)
	q.bytes += p.cost()
	q.memory.add(&p)
}

// resize makes another array, with a little room for more.
func (q *queue) resize() {
	rest := q.rest()
	q.pieces = append(make([]piece, 0, len(rest)+len(rest)/4+4), rest...)
	q.head = 0
}

// fewPieces is how large an array is that an almost empty queue may keep.
const fewPieces = 32

// shrink gives up memory that the pieces left do not need.
func (q *queue) shrink() {
	switch n := len(q.rest()); {
	case cap(q.pieces) > fewPieces && n <= cap(q.pieces)/4:
		q.resize()
	case n == 0:
		q.pieces, q.head = q.pieces[:0], 0
	}
}

// remove removes piece i of rest and returns it.
func (q *queue) remove(i int) piece {
	i += q.head
	p := q.pieces[i]
	q.bytes -= p.cost()
	q.memory.subtract(&p)
	copy(q.pieces[q.head+1:i+1], q.pieces[q.head:i])
	q.pieces[q.head] = piece{}
	q.head++
	q.shrink()
	return p
}

// removeStream removes the pieces of a stream and returns them. Those of others
// are moved once, however many there are.
func (q *queue) removeStream(id uint16) (pieces []piece) {
	others := q.pieces[:q.head]
	for _, p := range q.rest() {
		if p.msg.Stream == id {
			q.bytes -= p.cost()
			q.memory.subtract(&p)
			pieces = append(pieces, p)
		} else {
			others = append(others, p)
		}
	}
	clear(q.pieces[len(others):])
	q.pieces = others
	q.shrink()
	return pieces
}

// drop empties the queue.
func (q *queue) drop() {
	for _, p := range q.rest() {
		q.memory.subtract(&p)
		p.buf.release()
	}
	*q = queue{memory: q.memory}
}
