package udpencap

import (
	"encoding/binary"
	"strings"
	"testing"

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
