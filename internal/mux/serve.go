package mux

import (
	"context"
	"net"
	"time"
)

// Some associations have nothing but streams: the Conn reads nothing, and stream
// 0 is accepted like any other. Where streams are accepted one at a time, one
// that waits to be accepted must not hold up the one that is being read. So more
// is kept of them all than of those on other associations, and if that is not
// enough and nobody accepts any, one is refused.
const (
	backlogSize     = 4 << 20 // bytes
	backlogPatience = time.Second
)

// ServeStreams makes the association one of streams only.
func (m *Mux) ServeStreams() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leaveToAccept(nothing)
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

// TryAccept is Accept without the wait. It returns nil if there is nothing to
// accept.
func (m *Mux) TryAccept() *Stream {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.accept()
	if len(m.backlog.rest()) > 0 {
		signal(m.acceptable)
	}
	return s
}

// RefuseStreams closes all streams that the peer opens, until the association or
// the context ends.
func (m *Mux) RefuseStreams(ctx context.Context) {
	for m.AwaitAccept(ctx) == nil {
		if s := m.TryAccept(); s != nil {
			s.Close()
		}
	}
}

// begunStream returns the number of a stream that can be accepted, or -1.
func (m *Mux) begunStream() int {
	for _, p := range m.backlog.rest() {
		if id := p.msg.Stream; m.streams[id] == nil {
			return int(id)
		}
	}
	return -1
}

// awaitAccept waits until the unclaimed streams of an association that serves
// have room for more than their last piece. If nobody makes room, the stream of
// that piece is refused.
func (m *Mux) awaitAccept(id uint16) {
	expired := false
	for m.backlog.bytes >= backlogSize && !expired && !m.ended && !m.closed.Load() {
		timer := time.AfterFunc(backlogPatience, func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			expired = true
			m.room.Broadcast()
		})
		before := m.backlog.bytes
		for m.backlog.bytes == before && !expired && !m.ended && !m.closed.Load() {
			m.room.Wait()
		}
		timer.Stop()
	}
	if s := m.streams[id]; expired && s == nil {
		m.claim(id).close()
	}
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
