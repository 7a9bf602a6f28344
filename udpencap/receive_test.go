package udpencap

import (
	"encoding/binary"
	"testing"
	"time"
)

// packet has the peer send chunks of one message each, one packet with all of them.
func (c *clocked) packet(body string, tsns ...uint32) {
	p := newPacket(header{c.from, targetPort, targetTag})
	for _, tsn := range tsns {
		p = p.add(ctData, flagBegin|flagEnd|flagUnordered, data(tsn, 0, 0, body))
	}
	c.toTarget.send(p.seal())
}

// ack lets time pass for a packet and its answer, and returns the last SACK.
func (c *clocked) ack() (cum uint32, blocks, dups int) {
	c.t.Helper()
	c.pass(2 * clockedDelay)
	all := c.all(ctSACK)
	if len(all) == 0 {
		c.t.Fatal("there is no SACK")
	}
	v := all[len(all)-1].value
	return binary.BigEndian.Uint32(v), int(binary.BigEndian.Uint16(v[8:])), int(binary.BigEndian.Uint16(v[10:]))
}

// TestDuplicatesAreBounded has a packet with many chunks that have come before. Some of them
// are reported.
func TestDuplicatesAreBounded(t *testing.T) {
	onClock(t, func(c *clocked) {
		c.packet("x", peerTSN)
		c.ack()
		again := make([]uint32, 40)
		for i := range again {
			again[i] = peerTSN
		}
		c.packet("x", again...)
		if _, _, n := c.ack(); n != 16 {
			t.Errorf("%d duplicates are reported", n)
		}
	})
}

// TestPromiseIsOfBytes has a peer send what it was told there is room for in chunks of one
// byte each. They take much more memory than that, and not all of them are taken.
func TestPromiseIsOfBytes(t *testing.T) {
	onClock(t, func(c *clocked) {
		r := &c.assoc.rx
		tsn := uint32(peerTSN)
		for range 60 {
			tsns := make([]uint32, 50)
			for i := range tsns {
				tsns[i], tsn = tsn, tsn+1
			}
			c.packet("x", tsns...)
		}
		c.pass(time.Second)
		if r.held.n > 2*r.window+1000 {
			t.Errorf("a window of %d holds %d", r.window, r.held.n)
		}
	})
}

// TestFarthestChunk has chunks come as far ahead of what is missing as a SACK can say, and one
// farther.
func TestFarthestChunk(t *testing.T) {
	onClock(t, func(c *clocked) {
		const missing = peerTSN
		for ahead, want := range map[uint32]bool{mostAhead - 1: true, mostAhead: false} {
			tsn := missing + ahead
			c.packet("x", tsn)
			c.ack()
			if got := c.assoc.rx.has(tsn); got != want {
				t.Errorf("%d after what is missing: taken is %t", ahead, got)
			}
		}
	})
}

// TestFirstGapIsFilled has gaps between as many chunks as can be remembered. What is missing
// first is taken all the same, as all others wait for it.
func TestFirstGapIsFilled(t *testing.T) {
	onClock(t, func(c *clocked) {
		r := &c.assoc.rx
		r.window = 4 << 20
		for i := range uint32(mostSpans + 10) {
			c.packet("x", peerTSN+2+2*i)
		}
		c.pass(time.Second)
		if len(r.later) != mostSpans {
			t.Fatalf("there are %d spans", len(r.later))
		}
		c.packet("x", peerTSN)
		if cum, _, _ := c.ack(); cum != peerTSN {
			t.Errorf("acknowledged is %d, want %d", cum, peerTSN)
		}
	})
}

// TestAckIsNotPutOff has packets come again and again before the time of an acknowledgement.
// It comes when the first of them has waited for long enough.
func TestAckIsNotPutOff(t *testing.T) {
	onClock(t, func(c *clocked) {
		c.assoc.options.SACK.Frequency = 100
		c.packet("x", peerTSN) // is acknowledged at once
		c.ack()
		for i := range uint32(3) {
			c.packet("x", peerTSN+1+i)
			c.pass(80 * time.Millisecond)
		}
		if len(c.all(ctSACK)) != 1 {
			t.Error("there is no acknowledgement after 200 ms")
		}
	})
}

// TestFullPacketBesideAck writes as much as a packet holds while an acknowledgement is due, for
// which the packet has no room. Both are sent.
func TestFullPacketBesideAck(t *testing.T) {
	onClock(t, func(c *clocked) {
		c.packet("x", peerTSN)
		c.ack()
		c.packet("x", peerTSN+1) // is acknowledged later
		c.pass(2 * clockedDelay)
		c.write(make([]byte, c.assoc.mtu-headerSize-dataHeaderSize))
		c.pass(clockedDelay)
		if n := len(c.all(ctData)); n != 1 {
			t.Errorf("%d chunks were sent", n)
		}
		c.pass(200 * time.Millisecond)
		if n := len(c.all(ctSACK)); n != 1 {
			t.Errorf("there were %d acknowledgements", n)
		}
	})
}

// forward has the peer pass over chunks, and over the messages of stream 0 up to a number.
func (c *clocked) forward(tsn uint32, ssn uint16) {
	v := binary.BigEndian.AppendUint32(nil, tsn)
	c.send(ctForwardTSN, 0, binary.BigEndian.AppendUint16(append(v, 0, 0), ssn))
}

// TestFarthestForwardTSN passes over as many chunks as may be on their way, and over one more.
func TestFarthestForwardTSN(t *testing.T) {
	onClock(t, func(c *clocked) {
		const before = peerTSN - 1
		c.forward(before+mostAhead+1, 0)
		if cum, _, _ := c.ack(); cum != before {
			t.Errorf("it has passed over %d chunks", cum-before)
		}
		c.forward(before+mostAhead, 0)
		if cum, _, _ := c.ack(); cum != before+mostAhead {
			t.Errorf("it has passed over %d chunks, want %d", cum-before, mostAhead)
		}
	})
}

// TestForwardTSNOfThePast names a message that was delivered long ago. The stream goes on
// where it is.
func TestForwardTSNOfThePast(t *testing.T) {
	onClock(t, func(c *clocked) {
		for n := range uint32(2) {
			c.send(ctData, flagBegin|flagEnd, data(peerTSN+n, 0, uint16(n), "x"))
		}
		c.forward(peerTSN+2, 0)
		c.send(ctData, flagBegin|flagEnd, data(peerTSN+3, 0, 2, "y"))
		c.pass(2 * clockedDelay)
		b := make([]byte, 10)
		if n, err := c.assoc.Read(b); string(b[:n]) != "xxy" || err != nil {
			t.Errorf("read %q, %v", b[:n], err)
		}
	})
}
