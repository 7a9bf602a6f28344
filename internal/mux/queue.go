package mux

import (
	"github.com/sctpnet/sctpnet/internal/engine"
	"github.com/sctpnet/sctpnet/internal/fifo"
)

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

// A queue holds pieces in order of arrival.
type queue struct {
	pieces fifo.Queue[piece]
	bytes  int
	memory *memory // of all queues of the association
}

func (q *queue) isFull() bool { return q.bytes >= queueSize }

// rest returns the pieces that are in the queue.
func (q *queue) rest() []piece { return q.pieces.All() }

func (q *queue) push(p piece) {
	q.pieces.Push(p)
	q.bytes += p.cost()
	q.memory.add(&p)
}

// remove removes piece i of rest and returns it.
func (q *queue) remove(i int) piece {
	p := q.pieces.Remove(i)
	q.subtract(&p)
	return p
}

// subtract no longer counts a piece.
func (q *queue) subtract(p *piece) {
	q.bytes -= p.cost()
	q.memory.subtract(p)
}

// removeStream removes the pieces of a stream and returns them.
func (q *queue) removeStream(id uint16) (pieces []piece) {
	q.pieces.DeleteFunc(func(p *piece) bool {
		if p.msg.Stream != id {
			return false
		}
		q.subtract(p)
		pieces = append(pieces, *p)
		return true
	})
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
