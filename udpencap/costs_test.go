package udpencap

import (
	"encoding/binary"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// These tests have a peer try to take more memory or time than it is due.

// tooLong is when something takes longer than it may, which otherwise takes
// milliseconds.
const tooLong = 2 * time.Second * conformance.Slowness

// awaitAck waits until all chunks up to a number are acknowledged.
func (r *rawPeer) awaitAck(tsn uint32) {
	r.t.Helper()
	for {
		if _, c := r.await(ctSACK); binary.BigEndian.Uint32(c.value) == tsn {
			return
		}
	}
}

// sendData sends DATA chunks in as few packets as can be.
func (r *rawPeer) sendData(n int, value func(i int) (flags byte, value []byte)) {
	const most = 60_000
	p := newPacket(r.header())
	for i := range n {
		flags, v := value(i)
		p = p.add(ctData, flags, v)
		if len(p) > most || i == n-1 {
			r.send(p)
			r.await(ctSACK)
			p = newPacket(r.header())
		}
	}
}

// wantHeld checks that an association holds no more than so many windows.
func wantHeld(t *testing.T, a *assoc, most int) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.rx.held.n > most*a.rx.window {
		t.Errorf("%d bytes are held, of a window of %d", a.rx.held.n, a.rx.window)
	}
}

// TestGapFarAhead sends a chunk that is far ahead, and then in order what is
// missing, which nobody reads.
func TestGapFarAhead(t *testing.T) {
	r, c, ln := rawPair(t, sctpnet.Config{ReadBuffer: 64 << 10})
	body := strings.Repeat("x", 1000)
	const ahead = 1000
	send := func(i int) {
		r.sendChunk(ctData, flagBegin|flagEnd, data(r.own.tsn+uint32(i), 0, uint16(i), body))
		r.await(ctSACK)
	}
	send(ahead)
	for i := range ahead {
		send(i)
	}
	wantHeld(t, assocOf(t, ln, r.tag), 4)
	// What was dropped is taken when there is room.
	watchdog(t, func() {
		buf := make([]byte, 2*len(body))
		for i := range ahead + 1 {
			send(i)
			if n, info, err := c.ReadMsg(buf); n != len(body) || info.SSN != uint16(i) || err != nil {
				t.Fatalf("message %d: read %d bytes, number %d, %v", i, n, info.SSN, err)
			}
		}
	})
}

// TestScatteredChunks sends every second chunk, and then all.
func TestScatteredChunks(t *testing.T) {
	const n = 4 * mostSpans
	r, c, ln := rawPair(t, sctpnet.Config{ReadBuffer: 16 << 20})
	chunk := func(i int) (byte, []byte) {
		return flagBegin | flagEnd, data(r.own.tsn+uint32(i), 0, uint16(i), string([]byte{byte(i)}))
	}
	start := time.Now()
	r.sendData(n/2, func(i int) (byte, []byte) { return chunk(2*i + 1) })
	a := assocOf(t, ln, r.tag)
	a.mu.Lock()
	spans := len(a.rx.later)
	a.mu.Unlock()
	if spans > mostSpans {
		t.Errorf("%d spans are kept, want %d at most", spans, mostSpans)
	}
	r.sendData(n, chunk)
	if took := time.Since(start); took > tooLong {
		t.Errorf("that took %v", took)
	}
	watchdog(t, func() {
		b := make([]byte, 1)
		for i := range n {
			if _, err := c.Read(b); b[0] != byte(i) || err != nil {
				t.Fatalf("message %d: read %d, %v", i, b[0], err)
			}
		}
	})
}

// TestFragmentsFromBehind sends a message of many small fragments, the last one
// first.
func TestFragmentsFromBehind(t *testing.T) {
	const n = 60_000
	r, c, _ := rawPair(t, sctpnet.Config{ReadBuffer: 32 << 20})
	start := time.Now()
	r.sendData(n, func(i int) (flags byte, value []byte) {
		i = n - 1 - i
		switch i {
		case 0:
			flags = flagBegin
		case n - 1:
			flags = flagEnd
		}
		return flags, data(r.own.tsn+uint32(i), 0, 0, string([]byte{byte(i)}))
	})
	watchdog(t, func() {
		buf, _, err := c.ReadMessage(n)
		if len(buf) != n || err != nil {
			t.Fatalf("read %d bytes, %v", len(buf), err)
		}
		for i := range n {
			if buf[i] != byte(i) {
				t.Fatalf("byte %d is %d", i, buf[i])
			}
		}
	})
	if took := time.Since(start); took > tooLong {
		t.Errorf("that took %v", took)
	}
}

// TestFragmentWithoutBeginning sends fragments in order of which the first is
// missing. They take no room.
func TestFragmentWithoutBeginning(t *testing.T) {
	r, c, ln := rawPair(t, sctpnet.Config{})
	r.sendData(1000, func(i int) (byte, []byte) {
		return flagEnd * byte(i%2), data(r.own.tsn+uint32(i), 0, 0, "x")
	})
	a := assocOf(t, ln, r.tag)
	a.mu.Lock()
	held, runs := a.rx.held.n, len(a.rx.byFirst)
	a.mu.Unlock()
	if held != 0 || runs != 0 {
		t.Errorf("%d bytes are held in %d parts of messages", held, runs)
	}
	r.sendChunk(ctData, flagBegin|flagEnd, data(r.own.tsn+1000, 0, 0, "next"))
	wantRead(t, c, "next")
}

// TestForwardTSNPastWaiting passes over many numbers of many streams, of each of
// which a message waits that is the last to be reached.
func TestForwardTSNPastWaiting(t *testing.T) {
	const streams, rounds = 2000, 10
	ln, err := (&sctpnet.ListenConfig{Config: sctpnet.Config{OutStreams: streams, MaxInStreams: streams, ReadBuffer: 16 << 20}}).Listen(t.Context(), "sctp+udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	r := newRawPeer(t, ln.Addr())
	r.own.out = streams
	r.handshake()
	c := accept(t, ln)
	tsn := r.own.tsn
	var next uint16 // of each stream
	start := time.Now()
	for range rounds {
		tsn++ // one is missing
		first := tsn
		r.sendData(streams, func(i int) (byte, []byte) {
			return flagBegin | flagEnd, data(first+uint32(i), uint16(i), next-1, "x")
		})
		tsn += streams
		v := binary.BigEndian.AppendUint32(nil, tsn-1)
		for range 3 {
			next += 1<<15 - 1
			for id := range uint16(streams) {
				v = binary.BigEndian.AppendUint16(v, id)
				v = binary.BigEndian.AppendUint16(v, next-1)
			}
		}
		r.sendChunk(ctForwardTSN, 0, v)
		r.awaitAck(tsn - 1)
	}
	if took := time.Since(start); took > tooLong {
		t.Errorf("that took %v", took)
	}
	watchdog(t, func() {
		for i := range rounds * streams {
			if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
				t.Fatalf("message %d: read %d bytes, %v", i, n, err)
			}
		}
	})
}

// TestManyForwardTSNs has packets of many FORWARD TSN chunks pass over nothing
// while many messages wait for a part.
func TestManyForwardTSNs(t *testing.T) {
	const n, rounds, each = 4000, 20, 1000
	r, c, _ := rawPair(t, sctpnet.Config{ReadBuffer: 16 << 20})
	tsn := r.own.tsn
	begins := tsn + rounds*each + 1
	start := time.Now()
	r.sendData(n, func(i int) (byte, []byte) {
		return flagBegin, data(begins+2*uint32(i), 0, uint16(i), "x")
	})
	for range rounds {
		p := newPacket(r.header())
		for range each {
			p = p.add(ctForwardTSN, 0, binary.BigEndian.AppendUint32(nil, tsn))
			tsn++
		}
		r.send(p)
		r.await(ctSACK)
	}
	if took := time.Since(start); took > tooLong {
		t.Errorf("that took %v", took)
	}
	v := binary.BigEndian.AppendUint32(nil, begins+2*n-1)
	r.sendChunk(ctForwardTSN, 0, binary.BigEndian.AppendUint32(v, n-1))
	r.sendChunk(ctData, flagBegin|flagEnd, data(begins+2*n, 0, n, "next"))
	wantRead(t, c, "next")
}

// TestManyResets asks for more and more resets of streams while nobody reads the
// events. They must not pile up without end, nor be forgotten.
func TestManyResets(t *testing.T) {
	r, c, ln := rawPair(t, sctpnet.Config{})
	request := r.own.tsn
	ask := func(ids ...uint16) (result uint32) {
		t.Helper()
		v := binary.BigEndian.AppendUint32(nil, request)
		v = binary.BigEndian.AppendUint32(v, 0)
		v = binary.BigEndian.AppendUint32(v, r.own.tsn-1)
		for _, id := range ids {
			v = binary.BigEndian.AppendUint16(v, id)
		}
		r.sendChunk(ctReconfig, 0, appendParam(nil, paramResetOutgoing, v))
		for {
			_, k := r.await(ctReconfig)
			p, _, _ := nextParam(k.value)
			if p.typ == paramResetResponse && binary.BigEndian.Uint32(p.value) == request {
				return binary.BigEndian.Uint32(p.value[4:])
			}
		}
	}
	if got := ask(9, 10); got != resultWrongSSN {
		t.Errorf("a stream too high is answered by %d", got)
	}
	request++
	for n := 0; ask(1, 2) == resultPerformed; n++ {
		if n > 1000 {
			t.Fatalf("%d resets are performed, of which nobody takes note", n)
		}
		request++
	}
	a := assocOf(t, ln, r.tag)
	a.mu.Lock()
	isPending := a.rst.pending != nil
	a.mu.Unlock()
	if !isPending {
		t.Error("no request waits")
	}
	r.write(0, "x")
	wantRead(t, c, "x")
	if got := ask(1, 2); got != resultPerformed {
		t.Errorf("the request that waited is answered by %d", got)
	}
	// One that waits when the association ends is forgotten.
	for ask(1, 2) == resultPerformed {
		request++
	}
	r.sendChunk(ctAbort, 0, nil)
	waitForState(t, a, sctpnet.StateClosed)
	watchdog(t, func() {
		for err := error(nil); !errors.Is(err, syscall.ECONNRESET); {
			_, err = c.Read(make([]byte, 1))
		}
	})
	if h, chunks, ok := r.poll(100 * time.Millisecond); ok {
		t.Errorf("after ABORT %v came, %v", h, chunks)
	}
}
