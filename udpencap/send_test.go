package udpencap

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// TestBatchesGoToPeersThatTakeThem writes to a peer that takes several packets at once, and to
// one that does not.
func TestBatchesGoToPeersThatTakeThem(t *testing.T) {
	for _, takes := range []bool{false, true} {
		onClock(t, func(c *clocked) {
			a := c.assoc
			a.mu.Lock()
			a.peerInit.batches = takes
			a.mu.Unlock()
			sent := 0
			f := func(p path, b []byte, _ func([]byte)) {
				if p.socket != c.socket || b[headerSize] != ctData {
					return
				}
				if sent++; p.single == takes {
					t.Errorf("the peer takes batches: %t, and packets go alone: %t", takes, p.single)
				}
			}
			transport.Store(&f)
			c.write(make([]byte, 3000))
			if sent < 3 {
				t.Errorf("%d packets were sent", sent)
			}
		})
	}
}

// TestTimeoutsApartKeepMTU has T3-rtx expire several times, with answers in between. That is no
// sign of large packets that vanish.
func TestTimeoutsApartKeepMTU(t *testing.T) {
	onClock(t, func(c *clocked) {
		a := c.assoc
		a.mu.Lock()
		a.setMTU(1472)
		a.search.begun = true
		a.mu.Unlock()
		for i := range uint32(5) {
			c.write([]byte("x"))
			c.pass(1100 * time.Millisecond)
			if n := len(c.all(ctData)); n < 2 {
				t.Fatalf("it was sent %d times", n)
			}
			c.send(ctSACK, 0, sack(targetTSN+i))
			c.pass(2 * clockedDelay)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.mtu != 1472 {
			t.Errorf("the MTU is %d, was 1472", a.mtu)
		}
	})
}

// TestPathIsLostOnce has a peer fall silent. One event tells that the path is lost, and one
// that the association is.
func TestPathIsLostOnce(t *testing.T) {
	for _, most := range []int{2, 8} { // before the path counts as inactive, and after
		onClock(t, func(c *clocked) {
			a := c.assoc
			a.options.Events = true
			a.retry.most = most
			c.write([]byte("x"))
			c.pass(time.Hour)
			paths, ends := 0, 0
			for {
				_, m, err := a.recvOwned(make([]byte, 1))
				if err != nil {
					break
				}
				switch e := m.Event.(type) {
				case engine.PathEvent:
					if e.Change == engine.PathUnreachable {
						paths++
					}
				case engine.AssocEvent:
					if e.Change == engine.AssocLost {
						ends++
					}
				}
			}
			if paths != 1 || ends != 1 {
				t.Errorf("after %d timeouts %d events are of the path, and %d of the end", most, paths, ends)
			}
		})
	}
}

// TestResetAsksForAll has a reset of all streams be refused while something was not sent.
func TestResetAsksForAll(t *testing.T) {
	onClock(t, func(c *clocked) {
		c.shut(100)
		c.write([]byte("not sent"))
		if err := (owner{c.assoc}).ResetStreams(nil); !errors.Is(err, engine.ErrUnsent) {
			t.Errorf("ResetStreams: %v", err)
		}
	})
}

// TestPathIsInactive has a path be inactive after one timeout more than it may have, and
// active again with an answer.
func TestPathIsInactive(t *testing.T) {
	onClock(t, func(c *clocked) {
		a := c.assoc
		c.write([]byte("x"))
		is := func(want bool, when string) {
			t.Helper()
			a.mu.Lock()
			defer a.mu.Unlock()
			if a.retry.isInactive() != want {
				t.Errorf("%s inactive is %t", when, !want)
			}
		}
		c.pass((1 + 2 + 4 + 8 + 16 + 1) * time.Second)
		is(false, "after five timeouts")
		c.pass(32 * time.Second)
		is(true, "after six timeouts")
		a.mu.Lock()
		a.hb.doubt = true // as the peer's host has said so
		a.mu.Unlock()
		c.send(ctSACK, 0, sack(targetTSN))
		c.pass(2 * clockedDelay)
		is(false, "after an answer")
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.hb.doubt {
			t.Error("after an answer there is a doubt")
		}
	})
}

// TestSearchForMTUSlowsDown has probes of the MTU be lost. Each size is tried three times, and
// all of them are tried again after longer and longer pauses.
func TestSearchForMTUSlowsDown(t *testing.T) {
	onClock(t, func(c *clocked) {
		c.assoc.Set(netip.Addr{}, engine.Settings{PathParams: engine.PathParams{NoHeartbeat: true}})
		c.answer = func(k clockedChunk) {
			if k.typ == ctData {
				c.send(ctSACK, 0, sack(targetTSN))
			}
		}
		c.write([]byte("x"))
		c.pass(2 * time.Hour)
		var largest []time.Duration
		sizes := c.all(ctPad)
		for _, k := range sizes {
			if len(k.raw) == len(sizes[0].raw) {
				largest = append(largest, k.at)
			}
		}
		last := time.Duration(0)
		for i := 2; i < len(largest); i += 3 {
			if took := largest[i] - largest[i-2]; took > 3*time.Second {
				t.Errorf("search %d: three probes of the same size took %v", i/3, took)
			}
			if i+1 < len(largest) {
				pause := largest[i+1] - largest[i]
				if pause < last*9/10 {
					t.Errorf("search %d comes after %v, the one before after %v", i/3, pause, last)
				}
				last = pause
			}
		}
		if last < searchLater || last > searchLater+time.Minute {
			t.Errorf("at last there is a search each %v", last)
		}
	})
}
