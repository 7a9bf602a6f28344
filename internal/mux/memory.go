package mux

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// A buffer is memory that the engine receives into, or a smaller one. Little data is
// moved there, so that it does not keep a large one.
type buffer struct {
	refs  atomic.Int32 // by pieces, and by the receiver
	used  int
	bytes []byte
	batch []engine.Msg // of a large one, to receive with

	// Of the pieces in queues, under Mux.mu.
	pieces int // that lie in the buffer
	queued int // their bytes
}

const (
	bufferSize = 64 << 10
	middleSize = bufferSize / 4
	smallSize  = minReceive
)

// minReceive is how much of a buffer must be left to receive into.
const minReceive = 4 << 10

var (
	buffers = sync.Pool{New: func() any {
		return &buffer{bytes: make([]byte, bufferSize), batch: make([]engine.Msg, receiveBatch)}
	}}
	middleBuffers = sync.Pool{New: func() any { return &buffer{bytes: make([]byte, middleSize)} }}
	smallBuffers  = sync.Pool{New: func() any { return &buffer{bytes: make([]byte, smallSize)} }}
)

func newBuffer() *buffer      { return emptied(&buffers) }
func newSmallBuffer() *buffer { return emptied(&smallBuffers) }

func emptied(pool *sync.Pool) *buffer {
	b := pool.Get().(*buffer)
	b.used = 0
	b.refs.Store(1)
	return b
}

func (b *buffer) release() {
	if b == nil || b.refs.Add(-1) > 0 {
		return
	}
	switch len(b.bytes) {
	case smallSize:
		smallBuffers.Put(b)
	case middleSize:
		middleBuffers.Put(b)
	default:
		buffers.Put(b)
	}
}

// shrink moves a piece, which has a buffer, to a smaller one that has room for it, if
// there is one.
func (p *piece) shrink() {
	var pool *sync.Pool
	switch n, has := len(p.data), len(p.buf.bytes); {
	case n <= smallSize && has > smallSize:
		pool = &smallBuffers
	case n <= middleSize && has > middleSize:
		pool = &middleBuffers
	default:
		return
	}
	b := emptied(pool)
	b.used = copy(b.bytes, p.data)
	p.buf.release()
	p.buf, p.data = b, b.bytes[:b.used]
}

// own gives a piece memory of its own.
func (p *piece) own() {
	data := slices.Clone(p.data)
	p.buf.release()
	p.buf, p.data = nil, data
}

// A memory is what an association's streams hold unread: the memory that this
// takes, and not only the bytes. A buffer counts as a whole while one byte of it is
// left.
type memory struct {
	buffers int // bytes of those that pieces in queues lie in
	shared  int // bytes of these pieces
	others  int // what else is held: pieces, and data that has its own memory
}

func (m *memory) size() int { return m.buffers + m.others }

func (m *memory) add(p *piece) {
	m.others += pieceSize
	if p.buf == nil {
		m.others += len(p.data)
		return
	}
	if p.buf.pieces++; p.buf.pieces == 1 {
		m.buffers += len(p.buf.bytes)
	}
	p.buf.queued += len(p.data)
	m.shared += len(p.data)
}

func (m *memory) subtract(p *piece) {
	m.others -= pieceSize
	if p.buf == nil {
		m.others -= len(p.data)
		return
	}
	if p.buf.pieces--; p.buf.pieces == 0 {
		m.buffers -= len(p.buf.bytes)
	}
	p.buf.queued -= len(p.data)
	m.shared -= len(p.data)
}

// isSparse reports whether the buffers, but for a few, have more than twice what
// their pieces need, as others have been read.
func (m *memory) isSparse(few int) bool {
	return m.buffers > few*bufferSize && m.buffers > 2*m.shared
}

// compact gives pieces memory of their own that lie in buffers which hold little
// else.
func (m *memory) compact(q *queue) {
	for i := range q.rest() {
		p := &q.rest()[i]
		if p.buf == nil || p.buf.queued >= len(p.buf.bytes)/2 {
			continue
		}
		m.subtract(p)
		p.own()
		m.add(p)
	}
}

// compact makes sure that the memory is at most twice of what is held.
func (m *Mux) compact() {
	few := 4
	if m.isFull() {
		few = 0
	}
	if !m.memory.isSparse(few) {
		return
	}
	m.memory.compact(&m.unclaimed)
	m.memory.compact(&m.backlog)
	for _, n := range m.numbers {
		if n.stream != nil {
			m.memory.compact(&n.stream.queue)
		}
	}
}

// isFull reports whether the streams hold as much as they may.
func (m *Mux) isFull() bool { return m.memory.size() >= m.config.StreamMemory }

// rest is what the rest of a piece takes that is in no queue any more.
func (p *piece) rest() int {
	if len(p.data) > 0 && p.buf != nil {
		return len(p.buf.bytes)
	}
	return len(p.data)
}

// countBegun counts what a reader holds of a piece that a Recv has begun.
func (m *Mux) countBegun(r *reader) {
	rest := r.rest
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.isStale {
		rest = 0
	}
	m.memory.others += rest - r.counted
	if rest < r.counted {
		m.room.Signal()
	}
	r.counted = rest
}
