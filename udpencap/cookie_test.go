package udpencap

import (
	"testing"
	"time"
)

// TestSpentCookiesAreRemembered spends cookies that live for different times. Each is
// remembered for its life, whatever others are spent meanwhile.
func TestSpentCookiesAreRemembered(t *testing.T) {
	var s spentCookies
	start := time.Now()
	n := uint32(0)
	spend := func(at, life time.Duration) tags {
		n++
		now := start.Add(at)
		s.add(tags{n, n}, now.Add(life).UnixMilli(), now)
		return tags{n, n}
	}
	spend(0, time.Second)
	spend(2*time.Second, time.Minute)
	spend(2*time.Second, time.Second)
	long := spend(3*time.Second, time.Minute)
	spend(4*time.Second, time.Second)
	spend(62500*time.Millisecond, time.Second)
	if !s.has(long) {
		t.Error("a cookie is forgotten that is still good")
	}
}
