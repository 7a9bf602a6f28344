package sender

import (
	"math"
	"testing"
)

// TestUndo has all that was taken for lost arrive, in any order. Then cwnd is what it was,
// and before that it is not.
func TestUndo(t *testing.T) {
	for _, order := range [][]uint32{{5, 7, 9}, {9, 7, 5}, {7, 9, 5}} {
		for _, arrive := range [][]uint32{{5, 7, 9}, {9, 5, 7}} {
			c := newCubic(100_000)
			var u undos
			u.push(c)
			c.lost()
			for _, tsn := range order {
				u.lost(tsn)
			}
			for _, tsn := range []uint32{4, 10} {
				if u.arrived(tsn, c) {
					t.Error("what was not lost has undone it")
				}
			}
			for i, tsn := range arrive {
				done := u.arrived(tsn, c)
				if want := i == 2; done != want || want != (c.cwnd == 100_000) {
					t.Errorf("lost %v, arrived %v: undone: %t, cwnd %v", order, arrive[:i+1], done, c.cwnd)
				}
			}
			if u.arrived(5, c) || u.n != 0 {
				t.Error("it is undone twice")
			}
		}
	}
}

// TestUndoEarlier undoes the first of two reductions: cwnd is what the second one alone
// makes of it.
func TestUndoEarlier(t *testing.T) {
	c := newCubic(100_000)
	c.ssthresh = math.Inf(1)
	var u undos
	u.push(c)
	c.lost()
	u.lost(1)
	u.push(c)
	c.lost()
	u.lost(2)
	if math.Abs(c.cwnd-49_000) > 1 {
		t.Fatalf("cwnd is %v", c.cwnd)
	}
	if !u.arrived(1, c) || math.Abs(c.cwnd-70_000) > 1 || math.Abs(c.ssthresh-70_000) > 1 {
		t.Errorf("after the first: cwnd %v, ssthresh %v", c.cwnd, c.ssthresh)
	}
	if !u.arrived(2, c) || c.cwnd != 100_000 || !math.IsInf(c.ssthresh, 1) {
		t.Errorf("after both: cwnd %v, ssthresh %v", c.cwnd, c.ssthresh)
	}
}

// TestUndoLast has more reductions than are remembered: the oldest are forgotten.
func TestUndoLast(t *testing.T) {
	c := newCubic(1_000_000)
	var u undos
	u.lost(99) // there is none that it belongs to
	for i := range uint32(6) {
		u.push(c)
		c.lost()
		u.lost(i)
	}
	for i, want := range []bool{false, false, true, true, true, true} {
		if got := u.arrived(uint32(i), c); got != want {
			t.Errorf("reduction %d is undone: %t", i, got)
		}
	}
}
