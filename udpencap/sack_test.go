package udpencap

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/sctpnet/sctpnet"
)

// sack is the value of a SACK chunk with gap blocks.
func sack(cum uint32, blocks ...[2]uint16) []byte {
	v := binary.BigEndian.AppendUint32(nil, cum)
	v = binary.BigEndian.AppendUint32(v, 1<<20)
	v = binary.BigEndian.AppendUint16(v, uint16(len(blocks)))
	v = binary.BigEndian.AppendUint16(v, 0)
	for _, b := range blocks {
		v = binary.BigEndian.AppendUint16(v, b[0])
		v = binary.BigEndian.AppendUint16(v, b[1])
	}
	return v
}

// inFlight writes messages of one chunk each to the peer, which acknowledges none.
func inFlight(t *testing.T, r *rawPeer, c *sctpnet.Conn, n int) {
	t.Helper()
	for i := range n {
		if _, err := c.Write([]byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	r.awaitData(r.theirs.tsn + uint32(n) - 1)
}

// awaitData waits for a DATA chunk.
func (r *rawPeer) awaitData(tsn uint32) {
	r.t.Helper()
	for {
		_, chunks := r.receive()
		for _, c := range chunks {
			if c.typ == ctData && binary.BigEndian.Uint32(c.value) == tsn {
				return
			}
		}
	}
}

// ping returns when the association has handled all that was sent to it before.
func (r *rawPeer) ping() {
	r.t.Helper()
	r.sendChunk(ctHeartbeat, 0, appendParam(nil, paramHeartbeatInfo, []byte("ping")))
	r.await(ctHeartbeatAck)
}

// TestBadGapBlocks has a peer acknowledge by gap blocks that overlap, are out of
// order or are of chunks that were never sent. They count for nothing, and the
// association goes on.
func TestBadGapBlocks(t *testing.T) {
	const flight = 6
	for _, tt := range []struct {
		blocks [][2]uint16
		acked  int // chunks
	}{
		{[][2]uint16{{2, 3}, {5, 6}}, 4},
		{[][2]uint16{{2, 3}, {4, 4}}, 3},
		{[][2]uint16{{0, 2}}, 0},
		{[][2]uint16{{3, 2}}, 0},
		{[][2]uint16{{2, 7}}, 0},
		{[][2]uint16{{7, 7}}, 0},
		{[][2]uint16{{2, 65535}}, 0},
		{[][2]uint16{{2, 4}, {2, 4}}, 0},
		{[][2]uint16{{2, 4}, {4, 5}}, 0},
		{[][2]uint16{{5, 6}, {2, 3}}, 0},
		{[][2]uint16{{2, 2}, {1, 6}}, 0},
	} {
		t.Run(fmt.Sprint(tt.blocks), func(t *testing.T) {
			r, c, ln := rawPair(t, sctpnet.Config{})
			inFlight(t, r, c, flight)
			a := assocOf(t, ln, r.tag)
			r.sendChunk(ctSACK, 0, sack(r.theirs.tsn-1, tt.blocks...))
			r.ping()
			a.mu.Lock()
			acked := flight - a.snd.Unacked()
			a.mu.Unlock()
			if acked != tt.acked {
				t.Errorf("%d chunks are acknowledged, want %d", acked, tt.acked)
			}
			// The blocks of a SACK that acknowledges more are of what is left then.
			r.sendChunk(ctSACK, 0, sack(r.theirs.tsn, [2]uint16{2, flight}))
			r.ping()
			r.sendChunk(ctSACK, 0, sack(r.theirs.tsn+flight-1))
			r.write(0, "x")
			wantRead(t, c, "x")
			if _, err := c.Write([]byte("more")); err != nil {
				t.Fatal(err)
			}
			r.awaitData(r.theirs.tsn + flight)
			if st, err := c.Stats(); err != nil || st.GapAcks != uint64(min(tt.acked, len(tt.blocks))) {
				t.Errorf("%d gap blocks have counted, %v", st.GapAcks, err)
			}
		})
	}
}

// TestManySACKs sends a packet with many SACK chunks. Each may go over all that
// is on its way.
func TestManySACKs(t *testing.T) {
	r, c, ln := rawPair(t, sctpnet.Config{})
	inFlight(t, r, c, 6)
	a := assocOf(t, ln, r.tag)
	p := newPacket(r.header())
	for range 60 {
		p = p.add(ctSACK, 0, sack(r.theirs.tsn-1, [2]uint16{2, 6}))
	}
	r.send(p)
	r.ping()
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := a.stats.SACKsReceived; n != 1 {
		t.Errorf("%d SACKs of one packet were handled", n)
	}
}
