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
	"github.com/sctpnet/sctpnet/internal/engine"
)

// TestFullBacklog makes as many associations as can wait to be accepted. One more is
// refused, until one is accepted.
func TestFullBacklog(t *testing.T) {
	ln, err := sctpnet.Listen("sctp+udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conformance.Watchdog(t, func() {
		l := socketOf(ln).port(uint16(ln.Addr().(*sctpnet.Addr).Port)).listener
		if l.backlog != engine.Backlog() {
			t.Errorf("%d associations can wait, want %d", l.backlog, engine.Backlog())
		}
		const backlog = 100
		l.mu.Lock()
		l.backlog = backlog
		l.mu.Unlock()
		r := newRawPeer(t, ln.Addr())
		for i := range backlog {
			r.src = uint16(10_000 + i)
			r.handshake()
		}
		_, err := (&sctpnet.Dialer{Timeout: 20 * time.Second}).Dial("sctp+udp", ln.Addr().String())
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("Dial with a full backlog: %v, want ECONNREFUSED", err)
		}
		r.src = 9999
		r.sendChunk(ctCookieEcho, 0, r.init())
		if _, c := r.await(ctAbort); len(c.value) < 4 || binary.BigEndian.Uint16(c.value) != causeOutOfResource {
			t.Errorf("ABORT has the causes %x, want %d, out of resource", c.value, causeOutOfResource)
		}
		accept(t, ln)
		r.handshake()
	})
}

// TestWaitingAssociationsHoldLittle fills associations that nobody accepts, with
// messages and with first parts of messages. When they are accepted they hold as
// much as others.
func TestWaitingAssociationsHoldLittle(t *testing.T) {
	body := strings.Repeat("x", 1000)
	for _, flags := range []byte{flagBegin, flagBegin | flagEnd} {
		ln, err := sctpnet.Listen("sctp+udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		conformance.Watchdog(t, func() {
			const peers = 20
			r := newRawPeer(t, ln.Addr())
			for i := range peers {
				r.src = uint16(10_000 + i)
				r.handshake()
				if r.theirs.window > waitingWindow {
					t.Fatalf("INIT ACK has a window of %d, want %d at most", r.theirs.window, waitingWindow)
				}
				r.sendData(200, func(n int) (byte, []byte) {
					// With gaps, so that first parts may still go on.
					return flags, data(r.own.tsn+2*uint32(n), 0, uint16(n), body)
				})
				a := assocOf(t, ln, r.tag)
				a.mu.Lock()
				most := (waitingWindow/len(body) + 1) * (1024 + chunkCost) // of as much data
				if a.rx.held.n > most || a.rx.held.n < waitingWindow/2 {
					t.Errorf("association %d holds %d bytes while it waits, want no more than %d", i, a.rx.held.n, most)
				}
				a.mu.Unlock()
			}
			for range peers - 1 {
				accept(t, ln)
			}
			accept(t, ln) // the last one
			for {
				_, c := r.await(ctSACK)
				if window := binary.BigEndian.Uint32(c.value[4:]); window > defaultBufferSize/4 {
					break
				}
			}
		})
	}
}

// TestWaitingMemory has many associations wait: each new one may hold less.
func TestWaitingMemory(t *testing.T) {
	sum := 0
	for n := range 1 << 16 {
		r := receiver{window: defaultBufferSize / 2}
		r.await(n)
		if sum += r.window; r.window < 1500 {
			t.Fatalf("association %d has room for %d bytes, not for a packet", n, r.window)
		}
		if n == 4096 && sum > 4*waitingMemory {
			t.Errorf("%d may hold %d bytes, want no more than %d", n, sum, 4*waitingMemory)
		}
	}
	if sum > 10*waitingMemory {
		t.Errorf("they may hold %d bytes, want no more than %d", sum, 10*waitingMemory)
	}
}

// TestChunksCountWhatTheyTake fills windows with small messages, which are complete,
// parts, or out of order. What they count must be about the memory that they take.
func TestChunksCountWhatTheyTake(t *testing.T) {
	for _, tt := range []struct {
		name  string
		chunk func(i int) (flags byte, tsn uint32, ssn uint16)
	}{
		{"messages", func(i int) (byte, uint32, uint16) { return flagBegin | flagEnd, uint32(i), uint16(i) }},
		{"first parts", func(i int) (byte, uint32, uint16) { return flagBegin, 2 * uint32(i), uint16(i) }},
		{"messages out of order", func(i int) (byte, uint32, uint16) { return flagBegin | flagEnd, uint32(i), uint16(i + 1) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const n = 4000
			r, _, ln := rawPair(t, sctpnet.Config{ReadBuffer: 16 << 20})
			before := conformance.HeapBytes()
			r.sendData(n, func(i int) (byte, []byte) {
				flags, tsn, ssn := tt.chunk(i)
				return flags, data(r.own.tsn+tsn, 0, ssn, "x")
			})
			a := assocOf(t, ln, r.tag)
			a.mu.Lock()
			counted := a.rx.held.n
			a.mu.Unlock()
			if want := n * (rooms[0] + chunkCost); counted != want {
				t.Errorf("%d messages of a byte count as %d bytes, want %d", n, counted, want)
			}
			conformance.WaitForHeap(t, before+counted*5/4) // what the socket's goroutine reads into goes in time
		})
	}
}
