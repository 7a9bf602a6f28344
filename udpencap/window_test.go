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

// TestPromisedFirstWindow has a peer send at once all that INIT ACK has promised.
func TestPromisedFirstWindow(t *testing.T) {
	r, _, ln := rawPair(t, sctpnet.Config{ReadBuffer: 64 << 10})
	a := assocOf(t, ln, r.tag)
	body := strings.Repeat("x", 1000)
	n := r.theirs.window / uint32(len(body))
	var in intake
	for i := range n {
		r.arrive(ln, &in, newPacket(r.header()).add(ctData, flagBegin|flagEnd, data(r.own.tsn+i, 0, uint16(i), body)))
	}
	in.done()
	a.mu.Lock()
	defer a.mu.Unlock()
	if got := a.rx.cum - (r.own.tsn - 1); got != n {
		t.Errorf("%d of %d chunks are taken", got, n)
	}
}

// arrive has a packet of the peer's come to a listener's socket, which reads it with others.
func (r *rawPeer) arrive(ln net.Listener, in *intake, p packet) {
	from, to := r.conn.LocalAddr().(*net.UDPAddr).AddrPort(), r.conn.RemoteAddr().(*net.UDPAddr).AddrPort()
	socketOf(ln).input(p.seal(), from, to.Addr(), in)
}

// TestPacketsReadTogether has two packets be read at once. They are acknowledged as two, and
// without a delay.
func TestPacketsReadTogether(t *testing.T) {
	const delay = 500 * time.Millisecond
	r, _, ln := rawPair(t, sctpnet.Config{SACK: sctpnet.SACK{Delay: delay}})
	r.write(0, "first") // which is acknowledged at once
	r.awaitAck(r.own.tsn)
	var in intake
	start := time.Now()
	for n := range uint32(2) {
		r.arrive(ln, &in, newPacket(r.header()).add(ctData, flagBegin|flagEnd, data(r.own.tsn+1+n, 0, uint16(1+n), "x")))
	}
	in.done()
	r.awaitAck(r.own.tsn + 2)
	if took := time.Since(start); took > delay/2 {
		t.Errorf("the acknowledgement took %v", took)
	}
}
