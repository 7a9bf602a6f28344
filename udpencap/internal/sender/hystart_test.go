package sender

import (
	"testing"
	"time"
)

// TestHystart has round trips grow. Slow start becomes slower, and after five rounds it
// is over, unless they become shorter again.
func TestHystart(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name   string
		rounds []time.Duration // the shortest round trip of each
		css    int             // the round in which slow start becomes slower, 0 for none
		over   int             // and that in which it is over
	}{
		{name: "the same", rounds: []time.Duration{20 * ms, 20 * ms, 20 * ms, 20 * ms, 20 * ms, 20 * ms, 20 * ms, 20 * ms}},
		{name: "a little longer", rounds: []time.Duration{20 * ms, 23 * ms, 26 * ms, 29 * ms}},
		{name: "longer", rounds: []time.Duration{20 * ms, 24 * ms, 24 * ms, 24 * ms, 24 * ms, 24 * ms, 24 * ms}, css: 2, over: 7},
		{name: "a long path", rounds: []time.Duration{80 * ms, 89 * ms, 101 * ms}, css: 3},
		{name: "a very long path", rounds: []time.Duration{1000 * ms, 1015 * ms, 1031 * ms}, css: 3},
		{name: "jitter", rounds: []time.Duration{20 * ms, 24 * ms, 23 * ms, 23 * ms, 23 * ms, 23 * ms, 23 * ms, 23 * ms}, css: 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var h hystart
			h.init()
			packet := uint64(0)
			for i, rtt := range tt.rounds {
				round := i + 1
				const each = 2 * hystartSamples
				end := packet + each
				for k := range each {
					packet++
					// Only the best one of many round trips counts.
					sample := rtt
					if k%3 != 0 {
						sample += 50 * ms
					}
					slow := h.css > 0
					over := h.measured(sample, packet, end)
					if over != (round == tt.over && k == 0) {
						t.Fatalf("round %d, sample %d: over: %t", round, k, over)
					}
					if over {
						return
					}
					if !slow && h.css > 0 {
						if round != tt.css || k < hystartSamples-1 {
							t.Fatalf("it is slower from sample %d of round %d on", k, round)
						}
						if got := h.growth(400); got != 100 {
							t.Errorf("cwnd grows by %v, want 100", got)
						}
					}
				}
				if round == tt.css && h.css == 0 {
					t.Fatalf("it is not slower after round %d", round)
				}
			}
			if got, slow := h.growth(400), tt.css > 0 && tt.name != "jitter"; got != map[bool]float64{true: 100, false: 400}[slow] {
				t.Errorf("in the end cwnd grows by %v", got)
			}
		})
	}
}
