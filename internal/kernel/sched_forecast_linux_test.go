package kernel

import "testing"

// TestForecastCount lets a Read try for twice as many messages as there were, if
// there were as many as it tried for.
func TestForecastCount(t *testing.T) {
	var f forecast
	for i, step := range []struct {
		n, tried int
		waited   bool
		want     int
	}{
		{1, 1, true, 1}, // one that was waited for is alone
		{1, 1, false, 2},
		{2, 2, false, 4},
		{4, 4, true, 8},
		{3, 8, false, 3}, // there were no more
		{64, 64, false, maxBatch},
	} {
		f.found(step.n, step.tried, step.waited)
		if f.count != step.want {
			t.Errorf("step %d: %d are tried for, want %d", i, f.count, step.want)
		}
	}
	f.waits()
	if f.count != maxBatch {
		t.Errorf("%d are tried for after a run of 75, want %d", f.count, maxBatch)
	}
	f.found(5, 64, true)
	f.waits()
	if f.count != 5 {
		t.Errorf("%d are tried for after a run of 5", f.count)
	}
}

// TestForecastSize follows longer messages at once, and shorter ones slowly.
func TestForecastSize(t *testing.T) {
	var f forecast
	for i, step := range []struct {
		n    int
		cut  bool
		want int
	}{
		{100, false, 100},
		{1000, false, 1000},
		{100, false, 750},
		{100, false, 563},
		{600, true, 1200}, // longer than that
	} {
		f.saw(step.n, step.cut)
		if f.size != step.want {
			t.Errorf("step %d: the size is %d, want %d", i, f.size, step.want)
		}
	}
}
