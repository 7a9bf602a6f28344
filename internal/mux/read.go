package mux

import (
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// A Mode is how much to read.
type Mode uint8

const (
	Piece  Mode = iota // one piece of a message
	Whole              // all of a message, waiting for it, as far as there is room, unless streams interleave
	Filled             // as many messages as have arrived
)

// Recv reads into p what arrives for the Conn.
func (m *Mux) Recv(p []byte, how Mode) (int, engine.Message, error) {
	m.reader.mu.Lock()
	defer m.reader.mu.Unlock()
	return m.receive(&m.reader, p, 0, engine.Message{}, m.apart(how), true)
}

// Resume reads into p the rest of the message msg, which a Recv of the engine's Conn has
// begun. The first n bytes of p are there already.
func (m *Mux) Resume(p []byte, n int, msg engine.Message) (int, engine.Message, error) {
	if m.interleaves {
		return n, msg, nil
	}
	m.reader.mu.Lock()
	defer m.reader.mu.Unlock()
	return m.receive(&m.reader, p, n, msg, Whole, true)
}

// TryRecv is Recv without the wait for a first piece: it returns ErrNothing.
func (m *Mux) TryRecv(p []byte, how Mode) (int, engine.Message, error) {
	m.reader.mu.Lock()
	defer m.reader.mu.Unlock()
	return m.receive(&m.reader, p, 0, engine.Message{}, m.apart(how), false)
}

// apart is how to read where the next piece may be another message's.
func (m *Mux) apart(how Mode) Mode {
	if m.interleaves && how == Whole {
		return Piece
	}
	return how
}

// SetReadDeadline sets the deadline of Recv, the zero time meaning never.
func (m *Mux) SetReadDeadline(t time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reader.deadline.set(m, t)
}

// A reader reads pieces from a source, with a deadline of its own.
type reader struct {
	from    source
	mu      sync.Mutex    // held for the time of one Recv
	cur     piece         // what a Recv has begun; under mu
	rest    int           // how much memory that takes; under mu
	begun   atomic.Bool   // cur holds data that was not read
	arrived chan struct{} // has a value when the source may have a piece

	// Under Mux.mu.
	deadline deadline
	isStale  bool // what was begun is not to be read any more
	counted  int  // how much of it Mux.memory has
}

// A source has pieces to read.
type source interface {
	// isClosed reports whether nothing is read any more, whatever there is.
	isClosed() bool
	// next returns the next piece, and whether there may be another one. If
	// there is none yet, ok is false.
	next() (p piece, ok, more bool, err error)
	// isElsewhere reports whether what arrives on a stream goes to another
	// source.
	isElsewhere(stream uint16) bool
}

func (m *Mux) isClosed() bool { return m.closed.Load() }

// next takes the next piece for the Conn.
func (m *Mux) next() (p piece, ok, more bool, err error) {
	for i := 0; i < len(m.unclaimed.rest()); i++ {
		if p := &m.unclaimed.rest()[i]; m.numbers[p.msg.Stream].stream == nil { // else it is of the next use
			m.room.Signal()
			p := m.take(&m.unclaimed, i)
			return p, true, len(m.unclaimed.rest()) > 0, nil
		}
	}
	return piece{}, false, false, m.err
}

// A look is what a reader finds when it looks for more.
type look struct {
	piece     piece
	ok        bool // there is a piece
	more      bool // and there may be another one
	elsewhere bool // the rest of that stream's message goes to another source
	passed    <-chan struct{}
	err       error
}

// look looks for more: for the next piece, unless one was begun. stream is that of the
// message that was begun, if one was.
func (m *Mux) look(r *reader, stream uint16) (l look) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.isStale {
		r.cur.buf.release()
		r.cur, r.isStale = piece{}, false
	}
	switch {
	case r.from.isClosed():
		l.err = net.ErrClosed
	case r.deadline.isPast:
		l.err = os.ErrDeadlineExceeded
	case len(r.cur.data) == 0:
		l.piece, l.ok, l.more, l.err = r.from.next()
		if !l.ok && l.err == nil {
			l.elsewhere = r.from.isElsewhere(stream)
			l.passed = r.deadline.wait()
		}
	default:
		l.piece, l.ok, l.more = r.cur, true, true
	}
	return l
}

// receive fills p from what was begun and then from the reader's source. It waits when
// that has nothing, but for the first piece only if wait is set. The first n bytes of p
// are there already; they belong to msg.
func (m *Mux) receive(r *reader, p []byte, n int, msg engine.Message, how Mode, wait bool) (int, engine.Message, error) {
	if len(p) == 0 {
		m.mu.Lock()
		defer m.mu.Unlock()
		if r.from.isClosed() {
			return 0, msg, net.ErrClosed
		}
		return 0, msg, nil // as package net, also after the deadline
	}
	cur := &r.cur
	defer func() {
		if len(cur.data) > 0 && cur.buf != nil {
			cur.shrink()
		}
		if rest := cur.rest(); rest != r.rest {
			r.rest = rest
			r.begun.Store(rest > 0)
			m.countBegun(r)
		}
	}()
	for {
		l := m.look(r, msg.Stream)
		switch {
		case l.err != nil:
			if n > 0 {
				l.err = nil // the next call will meet it again
			}
			return n, msg, l.err
		case l.ok && l.piece.isEnd():
			if n > 0 && how != Filled && l.piece.msg.Stream == msg.Stream {
				return n, msg, nil // the rest of the message was given up
			}
			continue
		case l.ok:
		case n > 0 && (how == Filled || l.elsewhere):
			return n, msg, nil
		case n == 0 && !wait:
			return 0, msg, engine.ErrNothing
		default:
			select {
			case <-r.arrived:
			case <-l.passed:
			}
			continue
		}
		*cur = l.piece
		if n == 0 {
			msg = cur.msg
		} else if how != Filled && !cur.msg.Continues(&msg) {
			return n, msg, nil // this piece belongs to another message
		}
		cur.msg.Begins = false
		k := copy(p[n:], cur.data)
		n += k
		cur.data = cur.data[k:]
		rest := len(cur.data) > 0
		msg.More = cur.msg.More || rest
		if !rest {
			cur.buf.release()
			*cur = piece{}
		}
		if n == len(p) || how == Filled && !l.more || how == Piece || how == Whole && !msg.More {
			return n, msg, nil
		}
	}
}
