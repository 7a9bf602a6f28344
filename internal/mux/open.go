package mux

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// ErrNoFreeStream is returned by Open when all streams are in use, or were used
// and cannot be used again.
var ErrNoFreeStream = errors.New("no free stream")

// errClosing says that a number is not free yet.
var errClosing = errors.New("being closed")

// Open makes the Stream of a number that is not in use: an even one, but not 0,
// on the side that dialed, an odd one on the side that accepted (RFC 8832
// section 6). It waits up to 5 s for one that is being closed.
func (m *Mux) Open(ctx context.Context) (*Stream, error) {
	s, err := m.awaitFree(ctx, m.claimUnused)
	if errors.Is(err, ErrNoFreeStream) && m.hasMore() {
		s, err = m.awaitFree(ctx, m.claimUnused)
	}
	if err == errClosing {
		err = m.own().none(nil)
	}
	return s, err
}

// hasMore asks whether there are more streams for this side to open than was known: the
// event of those that were added may not have been received yet.
func (m *Mux) hasMore() bool {
	before := m.own().count
	m.conn.Streams(true)
	return m.own().count > before
}

// ErrClosing is an ErrNoFreeStream that may be over soon: some of the streams are
// being closed.
var ErrClosing = fmt.Errorf("%w: some are being closed", ErrNoFreeStream)

// TryOpen is Open without the wait.
func (m *Mux) TryOpen() (*Stream, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed.Load() {
		return nil, net.ErrClosed
	}
	s, err := m.claimUnused()
	if err == errClosing {
		err = ErrClosing
	}
	return s, err
}

// CanOpen returns an error if no number is for this side to open.
func (m *Mux) CanOpen() error {
	if own := m.own(); own.count == 0 {
		return own.none(nil)
	}
	return nil
}

// An ownNumbers is the numbers that are for one side to open: every second one.
type ownNumbers struct {
	first, count int
	out, in      uint16 // how many streams there are
}

func (m *Mux) own() ownNumbers {
	out, in := m.conn.Streams(false)
	first := 2
	if m.config.Accepted {
		first = 1
	}
	return ownNumbers{first, max(0, (int(min(out, in))-first+1)/2), out, in}
}

// none is the error for when all are in use, or why they cannot be used again.
func (o ownNumbers) none(why error) error {
	if why != nil {
		return fmt.Errorf("%w: of %d outgoing and %d incoming, %d are for this side to open: each number is used once: %w", ErrNoFreeStream, o.out, o.in, o.count, why)
	}
	return fmt.Errorf("%w: of %d outgoing and %d incoming, %d are for this side to open", ErrNoFreeStream, o.out, o.in, o.count)
}

// claimUnused makes the Stream of a number for this side that is not in use. If all
// are in use, and some of them are being closed, it returns errClosing.
func (m *Mux) claimUnused() (*Stream, error) {
	if m.err != nil {
		return nil, m.err
	}
	own := m.own()
	closing, why := false, m.noReset
	for range own.count {
		i := m.opened % own.count
		m.opened = i + 1
		id := uint16(own.first + 2*i)
		switch n := m.numbers[id]; {
		case m.isSpent(id):
			why = n.spent
		case n.stream == nil && !n.next.isBegun:
			return m.claim(id), nil
		case n.stream != nil && n.stream.closed:
			closing = true
		}
	}
	if closing {
		return nil, errClosing
	}
	return nil, own.none(why)
}

// wakeOpeners wakes all that wait for a number to be free. They may want
// different ones.
func (m *Mux) wakeOpeners() {
	if m.freed != nil {
		close(m.freed)
		m.freed = nil
	}
}

// awaitFree calls claim until that returns another error than errClosing: first at
// once and then whenever a number has become free. It gives up after 5 s. Closing
// a stream takes a round trip or two, and a few timeouts where packets are lost.
// Nothing tells that streams were added, so it looks at the end once more.
func (m *Mux) awaitFree(ctx context.Context, claim func() (*Stream, error)) (*Stream, error) {
	timeout := time.NewTimer(5 * time.Second)
	defer timeout.Stop()
	for isLast := false; ; {
		m.mu.Lock()
		if m.closed.Load() {
			m.mu.Unlock()
			return nil, net.ErrClosed
		}
		s, err := claim()
		if err == errClosing && m.err != nil {
			err = m.err
		}
		if m.freed == nil {
			m.freed = make(chan struct{})
		}
		freed := m.freed
		m.mu.Unlock()
		if err != errClosing || isLast {
			return s, err
		}
		select {
		case <-freed:
		case <-m.dead:
		case <-timeout.C:
			isLast = true
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
