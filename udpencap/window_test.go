package udpencap

import (
	"encoding/binary"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
)

// TestPromisedWindow has a peer send at once all that it was told there is room for. It is
// taken, though it takes more memory than it has bytes. What comes after that is not.
func TestPromisedWindow(t *testing.T) {
	r, _, ln := rawPair(t, sctpnet.Config{ReadBuffer: 64 << 10})
	a := assocOf(t, ln, r.tag)
	body := strings.Repeat("x", 1000)
	sent := uint16(0)
	send := func() {
		r.write(sent, body)
		sent++
	}
	wantTaken := func(n uint16) {
		t.Helper()
		r.ping()
		a.mu.Lock()
		defer a.mu.Unlock()
		if got := a.rx.cum - (r.own.tsn - 1); got != uint32(n) {
			t.Errorf("%d of %d chunks are taken, want %d", got, sent, n)
		}
	}
	send()
	_, sack := r.await(ctSACK)
	for range int(binary.BigEndian.Uint32(sack.value[4:])) / len(body) {
		send()
	}
	promised := sent
	wantTaken(promised)
	for range 10 {
		send()
	}
	wantTaken(promised)
}

// TestPacketsReadTogether has two packets be read at once. They are acknowledged as two, and
// without a delay.
func TestPacketsReadTogether(t *testing.T) {
	const delay = 500 * time.Millisecond
	r, _, ln := rawPair(t, sctpnet.Config{SACK: sctpnet.SACK{Delay: delay}})
	r.write(0, "first") // which is acknowledged at once
	r.awaitAck(r.own.tsn)
	from := r.conn.LocalAddr().(*net.UDPAddr).AddrPort()
	var in intake
	start := time.Now()
	for n := range uint32(2) {
		p := newPacket(r.header()).add(ctData, flagBegin|flagEnd, data(r.own.tsn+1+n, 0, uint16(1+n), "x"))
		socketOf(ln).input(p.seal(), from, r.conn.RemoteAddr().(*net.UDPAddr).AddrPort().Addr(), &in)
	}
	in.done()
	r.awaitAck(r.own.tsn + 2)
	if took := time.Since(start); took > delay/2 {
		t.Errorf("the acknowledgement took %v", took)
	}
}
