package udpencap

import (
	"encoding/binary"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// A clocked is an association on a clock that does not wait. The test is its peer, which
// is a few milliseconds away.
type clocked struct {
	*target
	t      *testing.T
	start  time.Time
	sent   []clockedChunk     // by the association
	answer func(clockedChunk) // is called with each of these
}

// A clockedChunk is a chunk that was sent, and when.
type clockedChunk struct {
	chunk
	at  time.Duration
	tag uint32
}

const clockedDelay = 5 * time.Millisecond

// onClock runs a test with an association that was accepted.
func onClock(t *testing.T, f func(c *clocked)) {
	synctest.Test(t, func(t *testing.T) {
		c := &clocked{target: newTarget(t), t: t, start: time.Now()}
		c.port.listener.queue.Pop()
		toPeer := func(_ path, b []byte, _ func([]byte)) {
			b = slices.Clone(b)
			time.AfterFunc(clockedDelay, func() { c.arrive(b) })
		}
		transport.Store(&toPeer)
		f(c)
		a := c.assoc
		a.mu.Lock()
		defer a.mu.Unlock()
		a.closed = true
		a.finish(engine.ErrEnded)
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
		c.sent = append(c.sent, s)
		if c.answer != nil {
			c.answer(s)
		}
	}
}

// send has the peer send a chunk.
func (c *clocked) send(typ, flags byte, value []byte) {
	c.sendTo(targetTag, typ, flags, value)
}

func (c *clocked) sendTo(tag uint32, typ, flags byte, value []byte) {
	p := newPacket(header{7777, targetPort, tag}).add(typ, flags, value).seal()
	time.AfterFunc(clockedDelay, func() {
		var in intake
		c.socket.input(p, fuzzPeer, loopbackIP, &in)
		in.done()
	})
}

// pass lets time pass, and forgets what was sent before.
func (c *clocked) pass(d time.Duration) {
	c.sent = nil
	time.Sleep(d)
	synctest.Wait()
}

// times is when chunks of a type came to the peer.
func (c *clocked) times(typ byte) (at []time.Duration) {
	for _, s := range c.sent {
		if s.typ == typ {
			at = append(at, s.at)
		}
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
