package kernel

import "testing"

// TestTurnsPassedOver has the network be slow: more and more turns are passed over,
// up to a limit, until it is fast again.
func TestTurnsPassedOver(t *testing.T) {
	const cost = 1000
	tr := turns{every: cost}
	// skipped takes the next turn, which is slow or not, and returns how many were
	// passed over before it.
	skipped := func(slow bool) (n int) {
		for ; !tr.takeTurn(cost); n++ {
			if n > mostOver {
				t.Fatal("no turn any more")
			}
		}
		if tr.trust > 0 {
			tr.trust--
		} else {
			tr.judge(slow)
		}
		return n
	}
	take := func(slow bool, want ...int) {
		t.Helper()
		for i, want := range want {
			if n := skipped(slow); n != want {
				t.Errorf("turn %d: %d were passed over, want %d", i, n, want)
			}
		}
	}
	take(true, 0, 0, 63, 189, 441, 945, 1953, 3969, 4000, 4000)
	take(false, 4000) // is trusted,
	take(true, make([]int, trusted)...)
	take(true, 0, 0, 63, 189)
}

// TestTurnsOfSmallMessages has messages be sent of several sizes. Only small ones make
// the writer wait, and large ones that leave others room.
func TestTurnsOfSmallMessages(t *testing.T) {
	for _, tt := range []struct {
		size        int
		spare, want bool
	}{
		{1, false, true},
		{1000, false, true},
		{largeMessage - 1, false, true},
		{largeMessage, false, false},
		{64 << 10, false, false},
		{largeMessage, true, true},
		{64 << 10, true, true},
	} {
		tr := turns{every: 64 << 10}
		got := false
		for range 100 {
			got = got || tr.takeTurn(turnCost(tt.size, tt.spare))
			tr.sends(turnCost(tt.size, tt.spare))
		}
		if got != tt.want {
			t.Errorf("%d bytes, spare %v: waits: %v, want %v", tt.size, tt.spare, got, tt.want)
		}
	}
}
