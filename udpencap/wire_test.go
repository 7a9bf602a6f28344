package udpencap

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/sctpnet/sctpnet"
)

// TestChunkLengths has chunks be made whose last parameter or error cause needs
// padding. The raw peer looks at each chunk that comes.
func TestChunkLengths(t *testing.T) {
	ln := listen(t, "sctp+udp", "127.0.0.1:0")
	for n := range 4 {
		// INIT ACK ends with what is reported, or with the cookie.
		r := newRawPeer(t, ln.Addr())
		r.init(appendParam(nil, 0xc123, make([]byte, n))...)
		r.init()
		// ABORT of INIT ends with the host name.
		r.send(newPacket(header{r.src, r.dst, 0}).add(ctInit, 0, appendParam(r.own.value(), paramHostName, make([]byte, n+1))))
		if _, c := r.await(ctAbort); !bytes.HasSuffix(c.value, make([]byte, n+1)) || len(c.value) != 2*paramHeaderSize+n+1 {
			t.Errorf("ABORT because of a host name of %d bytes is %x", n+1, c.value)
		}
	}
	r, _, own := rawPair(t, sctpnet.Config{})
	a := assocOf(t, own, r.tag)
	// RE-CONFIG ends with the numbers of streams.
	for n := range 3 {
		var ids []uint16
		for id := range n + 1 {
			ids = append(ids, uint16(id))
		}
		if err := (owner{a}).ResetStreams(ids); err != nil {
			t.Fatal(err)
		}
		_, k := r.await(ctReconfig)
		p, _, _ := nextParam(k.value)
		if want := 12 + 2*len(ids); p.typ != paramResetOutgoing || len(p.value) != want {
			t.Fatalf("the request for %d streams has %d bytes, want %d", len(ids), len(p.value), want)
		}
		r.sendChunk(ctReconfig, 0, response(binary.BigEndian.Uint32(p.value), resultPerformed))
		r.ping()
	}
	// ERROR ends with the chunk that nobody knows.
	for n := range 4 {
		r.sendChunk(0xfe, 0, make([]byte, n))
		if _, k := r.await(ctError); len(k.value) != causeHeaderSize+chunkHeaderSize+n {
			t.Errorf("ERROR because of a chunk of %d bytes is %x", chunkHeaderSize+n, k.value)
		}
	}
	r.ping()
	// INIT ends with the extensions or whatever comes last.
	for _, i := range []initiation{{}, {reconfig: true}, {partial: true}, {reconfig: true, partial: true}, {adapts: true}, {cookie: make([]byte, 5)}} {
		for _, i.batches = range []bool{false, true} {
			v := i.value()
			if !isWellMade(chunk{typ: ctInit, value: v}) {
				t.Errorf("INIT of %+v is %x", i, v)
			}
		}
	}
}
