package udpencap

import (
	"encoding/binary"
	"testing"

	"github.com/sctpnet/sctpnet"
)

// TestStreamsHaveTurns has a stream write much more than the peer's window takes. What
// another one writes then goes before the rest of it.
func TestStreamsHaveTurns(t *testing.T) {
	r, c := dialRaw(t, sctpnet.Config{WriteBuffer: 2 << 20, OutStreams: 10})
	watchdog(t, func() {
		var ids [2]uint16
		for i, text := range []string{string(make([]byte, 500_000)), "small"} {
			s, err := c.OpenStream()
			if err != nil {
				t.Fatal(err)
			}
			ids[i] = s.ID()
			if _, err := s.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		const least = 100_000 // that is left of the first one
		got := map[uint16]int{}
		for tsn := r.theirs.tsn; got[ids[1]] == 0; {
			_, chunks := r.receive()
			for _, k := range chunks {
				if k.typ != ctData || binary.BigEndian.Uint32(k.value) != tsn {
					continue
				}
				tsn++
				got[binary.BigEndian.Uint16(k.value[4:])] += len(k.value) - 12
			}
			r.sack(tsn - 1)
		}
		if n := got[ids[0]]; n > 500_000-least {
			t.Errorf("before it %d bytes of the other stream have come", n)
		}
	})
}
