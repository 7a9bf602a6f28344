package mux

import (
	"context"
	"net"
)

// ServeStreams makes the association one of streams only: the Conn reads nothing,
// and stream 0 is accepted like any other.
func (m *Mux) ServeStreams() {
	m.mu.Lock()
	defer m.unlock()
	m.leaveToAccept(nothing)
}

// Accept waits for a stream that the peer begins to use, or has used before,
// and makes its Stream. From the first Accept on, the Conn reads stream 0 alone.
func (m *Mux) Accept(ctx context.Context) (*Stream, error) {
	for {
		if s := m.TryAccept(); s != nil {
			return s, nil
		}
		if err := m.AwaitAccept(ctx); err != nil {
			return nil, err
		}
	}
}

// AwaitAccept waits until TryAccept has a Stream to return.
func (m *Mux) AwaitAccept(ctx context.Context) error {
	for {
		m.mu.Lock()
		ok, err := m.begunStream() >= 0, m.err
		m.mu.Unlock()
		switch {
		case m.closed.Load():
			return net.ErrClosed
		case ok:
			return nil
		case err != nil:
			return err
		}
		select {
		case <-m.acceptable:
		case <-m.dead:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// CanAccept reports whether TryAccept has a Stream to return.
func (m *Mux) CanAccept() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.begunStream() >= 0
}

// TryAccept is Accept without the wait. It returns nil if there is nothing to
// accept, or the Mux is closed.
func (m *Mux) TryAccept() *Stream {
	m.mu.Lock()
	defer m.unlock()
	if m.closed.Load() {
		return nil
	}
	s := m.accept()
	if len(m.backlog.rest()) > 0 {
		signal(m.acceptable)
	}
	return s
}

// accept claims the first stream that the peer has begun to use. It returns nil
// if there is none.
func (m *Mux) accept() *Stream {
	m.leaveToAccept(stream0)
	if id := m.begunStream(); id >= 0 {
		return m.claim(uint16(id))
	}
	return nil
}

// RefuseStreams closes all streams that the peer opens, until the association or
// the context ends.
func (m *Mux) RefuseStreams(ctx context.Context) {
	for ctx.Err() == nil && m.AwaitAccept(ctx) == nil {
		if s := m.TryAccept(); s != nil {
			s.Close()
		}
	}
}

// begunStream returns the number of a stream that can be accepted, or -1.
func (m *Mux) begunStream() int {
	for _, p := range m.backlog.rest() {
		if id := p.msg.Stream; m.numbers[id].stream == nil {
			return int(id)
		}
	}
	return -1
}

// Arrivals counts the messages of the peer and the ends of its streams. It does
// not count what the peer's system answers by itself, even if nobody reads there.
func (m *Mux) Arrivals() uint64 { return m.arrivals.Load() }

// CanReset reports whether both sides have stream reconfiguration, and the peer
// has not denied a reset.
func (m *Mux) CanReset() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.noReset == nil
}
