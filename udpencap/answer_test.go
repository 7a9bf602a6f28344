package udpencap

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
)

// wantBundle has the next packet consist of chunks of these types, and returns them.
func (r *rawPeer) wantBundle(types ...byte) []chunk {
	r.t.Helper()
	_, chunks := r.receive()
	var got []byte
	for _, c := range chunks {
		got = append(got, c.typ)
	}
	if string(got) != string(types) {
		r.t.Fatalf("got a packet of chunks of the types %d, want %d", got, types)
	}
	return chunks
}

// TestAnswersTogether sends packets with several chunks that want an answer. The answers
// come in one packet, and the acknowledgement with them.
func TestAnswersTogether(t *testing.T) {
	r, c, _ := rawPair(t, sctpnet.Config{SACK: sctpnet.SACK{Frequency: 1}, MaxInStreams: 1})
	none := func(tsn uint32) []byte { return data(tsn, 5, 0, "x") }

	r.send(newPacket(r.header()).add(0xfe, 0, []byte("what")).add(ctData, flagBegin|flagEnd, data(1000, 0, 0, "x")))
	r.wantBundle(ctError, ctSACK)
	wantRead(t, c, "x")

	r.sendChunk(ctData, flagBegin|flagEnd, none(1001))
	chunks := r.wantBundle(ctError, ctSACK)
	if cause, _, _ := nextParam(chunks[0].value); cause.typ != causeInvalidStream || binary.BigEndian.Uint16(cause.value) != 5 {
		t.Errorf("the cause is %d: %x", cause.typ, cause.value)
	}
	if tsn := binary.BigEndian.Uint32(chunks[1].value); tsn != 1001 {
		t.Errorf("acknowledged up to %d, want 1001", tsn)
	}

	// Without DATA there is nothing to acknowledge.
	r.send(newPacket(r.header()).add(0xfe, 0, []byte("first")).add(0xfd, 0, []byte("second")))
	r.wantBundle(ctError, ctError)

	// In SHUTDOWN-SENT each packet with DATA is answered by SHUTDOWN.
	c.Shutdown()
	r.await(ctShutdown)
	r.sendChunk(ctData, flagBegin|flagEnd, none(1002))
	chunks = r.wantBundle(ctError, ctShutdown, ctSACK)
	for _, c := range chunks[1:] {
		if tsn := binary.BigEndian.Uint32(c.value); tsn != 1002 {
			t.Errorf("a chunk of type %d acknowledges up to %d, want 1002", c.typ, tsn)
		}
	}
}

// TestCOOKIEACKWithSACK sends DATA with COOKIE ECHO, and without. What is acknowledged at
// once is so by one packet.
func TestCOOKIEACKWithSACK(t *testing.T) {
	ln := listen(t, "sctp+udp", "127.0.0.1:0")
	r := newRawPeer(t, ln.Addr())
	cookie := r.init()
	r.send(newPacket(r.header()).add(ctCookieEcho, 0, cookie).add(ctData, flagBegin|flagEnd, data(1000, 0, 0, "x")))
	r.wantBundle(ctCookieAck, ctSACK)
	for range 2 * mostAnswers { // as if they were lost
		r.sendChunk(ctCookieEcho, 0, cookie)
		r.wantBundle(ctCookieAck)
	}
	wantRead(t, accept(t, ln), "x")
}

// TestNoSACKForAccept accepts an association whose peer has sent little. It knows of room
// enough, and of more with the next acknowledgement.
func TestNoSACKForAccept(t *testing.T) {
	ln := listen(t, "sctp+udp", "127.0.0.1:0")
	r := newRawPeer(t, ln.Addr())
	r.handshake()
	r.write(0, "x")
	r.wantBundle(ctSACK)
	wantRead(t, accept(t, ln), "x")
	r.sendChunk(ctHeartbeat, 0, appendParam(nil, paramHeartbeatInfo, nil))
	r.wantBundle(ctHeartbeatAck)
	r.write(1, "x")
	r.write(2, "x")
	if window := binary.BigEndian.Uint32(r.wantBundle(ctSACK)[0].value[4:]); window <= waitingWindow {
		t.Errorf("the peer is told of a window of %d, want more than %d", window, waitingWindow)
	}
}

// TestAnswersFirst has the application act while an answer waits for others to go with it.
// A peer that has not got COOKIE ACK drops what comes before.
func TestAnswersFirst(t *testing.T) {
	for name, tt := range map[string]struct {
		act  func(c *sctpnet.Conn) error
		then byte
	}{
		"Write":    {func(c *sctpnet.Conn) error { _, err := c.Write([]byte("x")); return err }, ctData},
		"Shutdown": {(*sctpnet.Conn).Shutdown, ctShutdown},
		"Abort":    {(*sctpnet.Conn).Abort, ctAbort},
	} {
		t.Run(name, func(t *testing.T) {
			r, c, ln := rawPair(t, sctpnet.Config{})
			a := assocOf(t, ln, r.tag)
			a.mu.Lock()
			a.answer(ctCookieAck, nil)
			a.mu.Unlock()
			if err := tt.act(c); err != nil {
				t.Fatal(err)
			}
			r.wantBundle(ctCookieAck)
			r.wantBundle(tt.then)
		})
	}
}

// TestLongAnswers sends a packet whose answers do not fit into one, nor into as many as
// there may be.
func TestLongAnswers(t *testing.T) {
	const mtu = ethernetMTU - ipv4Overhead
	r, _, _ := rawPair(t, sctpnet.Config{PathParams: sctpnet.PathParams{MTU: ethernetMTU}})
	p := newPacket(r.header())
	for range 200 {
		p = p.add(0xfe, 0, make([]byte, 200))
	}
	r.send(p)
	r.sendChunk(ctHeartbeat, 0, appendParam(nil, paramHeartbeatInfo, []byte("last")))
	packets, reports := 0, 0
	for done := false; !done; {
		_, chunks := r.receive()
		size := headerSize
		for _, c := range chunks {
			size += padded(len(c.raw))
			switch c.typ {
			case ctError:
				reports++
			case ctHeartbeatAck:
				done = true
			}
		}
		if packets++; size > mtu {
			t.Errorf("there is a packet of %d bytes, where the path takes %d", size, mtu)
		}
	}
	if packets > mostAnswers+1 || reports < mostAnswers {
		t.Errorf("%d packets have come with %d reports", packets-1, reports)
	}
}

// TestAckGoesWithData has something wait to be sent when data comes that is acknowledged at
// once, and the acknowledgement that it waits for. It carries the other one.
func TestAckGoesWithData(t *testing.T) {
	r, c, _ := rawPair(t, sctpnet.Config{RTO: sctpnet.RTO{Initial: time.Minute}, PathParams: sctpnet.PathParams{MTU: 1500}})
	if _, err := c.Write(make([]byte, 6000)); err != nil {
		t.Fatal(err)
	}
	last := r.theirs.tsn + 3 // that cwnd allows
	r.awaitData(last)
	r.send(newPacket(r.header()).add(ctSACK, 0, sack(last)).add(ctData, flagBegin|flagEnd, data(r.own.tsn, 0, 0, "x")))
	r.wantBundle(ctSACK, ctData)
}

// TestAckBeforeFullPackets is the same where DATA has no room for the acknowledgement. That
// goes before all DATA.
func TestAckBeforeFullPackets(t *testing.T) {
	r, c, _ := rawPair(t, sctpnet.Config{RTO: sctpnet.RTO{Initial: time.Minute}, PathParams: sctpnet.PathParams{MTU: 1500}})
	for range 6 {
		if _, err := c.Write(make([]byte, 1500-ipv4Overhead-headerSize-dataHeaderSize)); err != nil {
			t.Fatal(err)
		}
	}
	last := r.theirs.tsn + 3 // that cwnd allows
	r.awaitData(last)
	r.send(newPacket(r.header()).add(ctSACK, 0, sack(last)).add(ctData, flagBegin|flagEnd, data(r.own.tsn, 0, 0, "x")))
	r.wantBundle(ctSACK)
	r.wantBundle(ctData)
}

// TestCookieAckIsFirst has a COOKIE ECHO come again, and be read with a packet that is
// answered by ERROR. COOKIE ACK must be the first chunk of a packet.
func TestCookieAckIsFirst(t *testing.T) {
	r, _, ln := rawPair(t, sctpnet.Config{})
	var in intake
	r.arrive(ln, &in, newPacket(r.header()).add(0x40, 0, nil)) // of no type that is known
	r.arrive(ln, &in, newPacket(r.header()).add(ctCookieEcho, 0, r.theirs.cookie))
	in.done()
	r.wantBundle(ctError)
	r.wantBundle(ctCookieAck)
}
