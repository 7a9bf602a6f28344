package udpencap

import (
	"encoding/binary"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// A clocked is an association on a clock that does not wait. The test is its peer, which
// is a few milliseconds away.
type clocked struct {
	*target
	t        *testing.T
	start    time.Time
	from     uint16             // SCTP port of the peer
	answer   func(clockedChunk) // is called with each chunk that comes to the peer
	toPeer   wire
	toTarget wire

	mu   sync.Mutex
	sent []clockedChunk // by the association
}

// A clockedChunk is a chunk that was sent, and when it came to the peer.
type clockedChunk struct {
	chunk
	at  time.Duration
	tag uint32
}

const clockedDelay = 5 * time.Millisecond

// A wire takes packets to an end, in order and one at a time.
type wire struct {
	to func(b []byte)

	mu      sync.Mutex // of packets
	packets [][]byte
	turn    sync.Mutex
}

func (w *wire) send(b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.packets = append(w.packets, b)
	time.AfterFunc(clockedDelay, func() {
		w.turn.Lock()
		defer w.turn.Unlock()
		w.mu.Lock()
		b := w.packets[0]
		w.packets = w.packets[1:]
		w.mu.Unlock()
		w.to(b)
	})
}

// onClock runs a test with an association that was accepted.
func onClock(t *testing.T, f func(c *clocked)) {
	t.Helper()
	// A goroutine that reads from a socket would hold the clock, so there is one already
	// for ABORTs that are repeated.
	s, err := borrowSocket(loopbackIP)
	if err != nil {
		t.Fatal(err)
	}
	defer s.giveBack()
	synctest.Test(t, func(t *testing.T) {
		c := &clocked{target: newTarget(t), t: t, start: time.Now(), from: 7777}
		c.toPeer.to, c.toTarget.to = c.arrive, c.input
		c.port.listener.queue.Pop()
		send := func(p path, b []byte, send func([]byte)) {
			switch {
			case p.socket == c.socket:
				c.toPeer.send(slices.Clone(b))
			case p.to != fuzzPeer:
				send(b) // of another test, which goes on in the background
			}
		}
		transport.Store(&send)
		f(c)
		a := c.assoc
		a.mu.Lock()
		a.closed = true
		a.finish(engine.ErrEnded)
		a.mu.Unlock()
		time.Sleep(time.Second) // for what is repeated
	})
}

// arrive takes a packet of the association.
func (c *clocked) arrive(b []byte) {
	h, rest, ok := parseHeader(b)
	if !ok {
		c.t.Errorf("a malformed packet was sent: %x", b)
	}
	for {
		k, more, ok := nextChunk(rest)
		if !ok {
			return
		}
		rest = more
		s := clockedChunk{k, time.Since(c.start), h.tag}
		c.mu.Lock()
		c.sent = append(c.sent, s)
		c.mu.Unlock()
		if c.answer != nil {
			c.answer(s)
		}
	}
}

// input takes a packet of the peer.
func (c *clocked) input(b []byte) {
	var in intake
	c.socket.input(b, fuzzPeer, loopbackIP, &in)
	in.done()
}

// send has the peer send a chunk.
func (c *clocked) send(typ, flags byte, value []byte) {
	c.sendTo(targetTag, typ, flags, value)
}

func (c *clocked) sendTo(tag uint32, typ, flags byte, value []byte) {
	c.toTarget.send(newPacket(header{c.from, targetPort, tag}).add(typ, flags, value).seal())
}

// pass lets time pass, and forgets what was sent before.
func (c *clocked) pass(d time.Duration) {
	c.mu.Lock()
	c.sent = nil
	c.mu.Unlock()
	time.Sleep(d)
	synctest.Wait()
}

// all returns the chunks of a type that have come to the peer.
func (c *clocked) all(typ byte) (found []clockedChunk) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.sent {
		if s.typ == typ {
			found = append(found, s)
		}
	}
	return found
}

// times is when they came.
func (c *clocked) times(typ byte) (at []time.Duration) {
	for _, s := range c.all(typ) {
		at = append(at, s.at)
	}
	return at
}

// write writes a message.
func (c *clocked) write(b []byte) {
	c.t.Helper()
	if _, err := c.assoc.Send(b, 0, engine.Message{}); err != nil {
		c.t.Fatal(err)
	}
}

// windowed is the value of a SACK chunk with a window.
func windowed(cum, window uint32) []byte {
	v := sack(cum)
	binary.BigEndian.PutUint32(v[4:], window)
	return v
}

var loopbackIP = fuzzPeer.Addr()
