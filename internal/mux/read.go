package mux

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// A Mode is how to read. Zero reads one piece of a message.
type Mode uint8

const (
	Whole  Mode = 1 << iota // wait for all of a message, as far as there is room for it
	Filled                  // go on with more messages, as far as they have arrived
	NoWait                  // do not wait for the first one
)

// errNothing says that there is nothing to read without waiting.
var errNothing = errors.New("nothing has arrived")

// Recv reads into p what arrives for the Conn. The first n bytes of p are there
// already, and belong to a message msg that goes on.
func (m *Mux) Recv(p []byte, n int, msg engine.Message, how Mode) (int, engine.Message, error) {
	m.reader.mu.Lock()
	defer m.reader.mu.Unlock()
	if n == 0 && m.closed.Load() {
		return 0, msg, net.ErrClosed
	}
	return m.reader.receive(p, n, msg, how, m)
}

// SetReadDeadline sets the deadline of Recv, the zero time meaning never.
func (m *Mux) SetReadDeadline(t time.Time) { m.reader.by.set(t) }

// A reader reads pieces from a source, with a deadline of its own.
type reader struct {
	mu      sync.Mutex // held for the time of one Recv
	by      deadline
	arrived chan struct{} // has a value when the source may have a piece
	cur     piece         // what a Recv has begun; under mu
	begun   atomic.Bool   // cur holds data that was not read
	counted int           // how much of it Mux.memory has, under Mux.mu
}

// A source has pieces to read.
type source interface {
	// next returns the next piece. If there is none yet, ok is false.
	next() (p piece, ok bool, err error)
	// isElsewhere reports whether what arrives on a stream goes to another
	// source.
	isElsewhere(stream uint16) bool
	// begin takes note of how much is left of a piece that a Recv has begun.
	begin(r *reader, rest int)
}

// next takes the next piece for the Conn.
func (m *Mux) next() (piece, bool, error) {
	if m.closed.Load() {
		return piece{}, false, net.ErrClosed
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := 0; i < len(m.unclaimed.rest()); {
		switch p := &m.unclaimed.rest()[i]; {
		case m.streams[p.msg.Stream] != nil: // of its next use
			i++
		default:
			m.room.Signal()
			return m.take(&m.unclaimed, i), true, nil
		}
	}
	return piece{}, false, m.err
}

func (m *Mux) begin(r *reader, rest int) { m.count(r, rest, func() bool { return false }) }

// receive fills p from what was begun and then from a source. It waits when the
// source has nothing. The first n bytes of p are there already; they belong to
// msg.
func (r *reader) receive(p []byte, n int, msg engine.Message, how Mode, from source) (int, engine.Message, error) {
	if len(p) == 0 {
		return 0, msg, nil // as package net, also after the deadline
	}
	cur := &r.cur
	defer func() {
		if cur.buf != nil && len(cur.data) < bufferSize/4 {
			cur.own()
		}
		if begun := len(cur.data) > 0; begun != r.begun.Load() {
			r.begun.Store(begun)
			from.begin(r, len(cur.data))
		}
	}()
	var err error
	for {
		if r.by.isPast() {
			err = os.ErrDeadlineExceeded
			break
		}
		if len(cur.data) == 0 {
			got, ok, err1 := from.next()
			if err1 != nil {
				err = err1
				break
			}
			switch {
			case ok && got.isEnd():
				if n > 0 && how&Filled == 0 && got.msg.Stream == msg.Stream {
					return n, msg, nil // the rest of the message was given up
				}
				continue
			case ok:
			case how&Filled != 0 && n > 0:
				return n, msg, nil
			case n > 0 && from.isElsewhere(msg.Stream):
				return n, msg, nil
			case how&NoWait != 0 && n == 0:
				return 0, msg, errNothing
			default:
				select {
				case <-r.arrived:
				case <-r.by.wait():
				}
				continue
			}
			*cur = got
		}
		if n == 0 {
			msg = cur.msg
		} else if how&Filled == 0 && (cur.msg.Stream != msg.Stream || cur.msg.SSN != msg.SSN || cur.msg.Unordered != msg.Unordered) {
			return n, msg, nil // this piece belongs to another message
		}
		k := copy(p[n:], cur.data)
		n += k
		cur.data = cur.data[k:]
		rest := len(cur.data) > 0
		msg.More = cur.msg.More || rest
		if !rest {
			cur.buf.release()
			*cur = piece{}
		}
		if n == len(p) || how&Filled == 0 && (how&Whole == 0 || !msg.More) {
			return n, msg, nil
		}
	}
	if n > 0 {
		err = nil // the next call will meet it again
	}
	return n, msg, err
}
