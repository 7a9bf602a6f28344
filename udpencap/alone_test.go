package udpencap

import (
	"encoding/binary"
	"io"
	"slices"
	"testing"

	"github.com/sctpnet/sctpnet"
)

// TestINITAlone has an INIT come with DATA, which it must not: to a port that somebody
// listens at, and to one that nobody has. Nobody answers.
func TestINITAlone(t *testing.T) {
	ln := listen(t, "sctp+udp", "127.0.0.1:0")
	r := newRawPeer(t, ln.Addr())
	listening := r.dst
	for _, port := range []uint16{listening, 0xffff} {
		r.dst = port
		r.send(newPacket(header{r.src, port, 0}).add(ctInit, 0, r.own.value()).add(ctData, flagBegin|flagEnd, data(1000, 0, 0, "x")))
		r.send(newPacket(header{r.src, port, 99}).add(ctShutdownAck, 0, nil))
		if h, chunks := r.receive(); h.tag != 99 || chunks[0].typ != ctShutdownComplete {
			t.Errorf("SCTP port %d: it is answered by a chunk of type %d", port, chunks[0].typ)
		}
	}
}

// TestSHUTDOWNCOMPLETEAlone has a SHUTDOWN COMPLETE come with another chunk, before or
// after it, which it must not. The association goes on to wait for the one that is alone.
func TestSHUTDOWNCOMPLETEAlone(t *testing.T) {
	r, c, ln := rawPair(t, sctpnet.Config{})
	a := assocOf(t, ln, r.tag)
	r.sendChunk(ctShutdown, 0, binary.BigEndian.AppendUint32(nil, r.theirs.tsn-1))
	r.next(ctShutdownAck)
	complete := chunk{typ: ctShutdownComplete}
	others := []chunk{
		{typ: ctData, flags: flagBegin | flagEnd, value: data(1000, 0, 0, "x")},
		{typ: ctHeartbeat, value: appendParam(nil, paramHeartbeatInfo, []byte("first"))},
	}
	for i, bundle := range [][]chunk{{complete, others[0]}, {others[1], complete}} {
		p := newPacket(r.header())
		for _, c := range bundle {
			p = p.add(c.typ, c.flags, c.value)
		}
		r.send(p)
		// What comes then is handled after it.
		info := appendParam(nil, paramHeartbeatInfo, []byte{byte(i)})
		r.sendChunk(ctHeartbeat, 0, info)
		for !slices.Equal(r.next(ctHeartbeatAck).value, info) {
		}
	}
	r.sendChunk(ctShutdownComplete, 0, nil)
	waitForState(t, a, sctpnet.StateClosed)
	if n, err := c.Read(make([]byte, 10)); err != io.EOF {
		t.Errorf("Read returned %d, %v; want EOF", n, err)
	}
}
