package udpencap

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// shut has the peer acknowledge one chunk, then drop all DATA and say that it has no room.
// Something is written to it.
func (c *clocked) shut(size int) {
	c.write([]byte("x"))
	c.pass(clockedDelay)
	c.send(ctSACK, 0, windowed(targetTSN, 0))
	c.pass(clockedDelay)
	c.answer = func(k clockedChunk) {
		if k.typ == ctData {
			c.send(ctSACK, 0, windowed(targetTSN, 0))
		}
	}
	c.write(make([]byte, size))
}

// TestShutWindowIsProbedLessAndLess has a peer have no room for five minutes. It is asked
// again after twice the time, up to a bound, each time by one packet. As it answers, that is
// no error.
func TestShutWindowIsProbedLessAndLess(t *testing.T) {
	for _, size := range []int{100, 1184, 20_000} {
		onClock(t, func(c *clocked) {
			a := c.assoc
			a.retry.most = 2
			c.shut(size)
			c.pass(5 * time.Minute)
			at := c.times(ctData)
			for i, want := 1, time.Second; i < len(at); i++ {
				if got := at[i] - at[i-1]; got != want {
					t.Errorf("%d bytes: pause %d is %v, want %v", size, i, got, want)
				}
				want = min(2*want, 15*time.Second)
			}
			if len(at) < 20 {
				t.Errorf("%d bytes: the peer was asked %d times", size, len(at))
			}
			a.mu.Lock()
			defer a.mu.Unlock()
			if a.state != engine.StateEstablished || a.retry.errors != 0 || a.retry.RTO != time.Second {
				t.Errorf("%d bytes: state %v, %d errors, RTO %v", size, a.state, a.retry.errors, a.retry.RTO)
			}
		})
	}
}

// TestShutWindowThenSilence has a peer without room vanish. From the first probe on that it
// does not answer it has as much time as any other.
func TestShutWindowThenSilence(t *testing.T) {
	onClock(t, func(c *clocked) {
		c.assoc.retry.most = 3
		c.shut(100)
		c.pass(5*time.Minute + 3*time.Second)
		c.answer = nil
		c.pass(time.Minute)
		at, end := c.times(ctData), c.times(ctAbort)
		if len(at) == 0 || len(end) == 0 {
			t.Fatalf("there were %d probes, and %d ABORTs", len(at), len(end))
		}
		if got := end[0] - at[0]; got != (1+2+4+8)*time.Second {
			t.Errorf("the peer is given up %v after the first probe", got)
		}
		if _, _, err := c.assoc.Recv(make([]byte, 1), false); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("Recv: %v, want ETIMEDOUT", err)
		}
	})
}

// TestWindowOpens has a peer have room again after a long time. What it has dropped is sent
// at once, or soon if a probe is on its way that may have been dropped or not.
func TestWindowOpens(t *testing.T) {
	for _, tt := range []struct {
		name   string
		probe  bool
		window uint32
		most   time.Duration
	}{
		{"much", false, 1 << 20, 3 * clockedDelay},
		{"a little", false, 50, 3 * clockedDelay},
		{"after a probe", true, 1 << 20, time.Second + 3*clockedDelay},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onClock(t, func(c *clocked) {
				c.shut(100)
				c.pass(5*time.Minute + 3*time.Second)
				c.answer = nil
				for tt.probe && len(c.times(ctData)) == 0 {
					time.Sleep(time.Millisecond)
				}
				opens := time.Since(c.start)
				c.send(ctSACK, 0, windowed(targetTSN, tt.window))
				c.pass(20 * time.Second)
				if at := c.times(ctData); len(at) == 0 || at[0]-opens > tt.most {
					t.Errorf("it comes at %v, after %v", at, opens)
				}
			})
		})
	}
}

// TestShutWindowKeepsMTU has a peer have no room for large packets. That they do not arrive
// says nothing of the path.
func TestShutWindowKeepsMTU(t *testing.T) {
	onClock(t, func(c *clocked) {
		a := c.assoc
		a.mu.Lock()
		a.setMTU(1472)
		a.search.begun = true
		a.mu.Unlock()
		c.shut(20_000)
		c.pass(5 * time.Minute)
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.mtu != 1472 {
			t.Errorf("the MTU is %d, was 1472", a.mtu)
		}
	})
}

// TestWindowOpensAtOnce has a peer refuse a chunk, and have room before it is certain that the
// refusal was of that chunk. It is sent again by a tail loss probe, long before T3-rtx.
func TestWindowOpensAtOnce(t *testing.T) {
	onClock(t, func(c *clocked) {
		c.shut(100)
		c.pass(clockedDelay)
		c.answer = nil
		time.Sleep(time.Millisecond)
		c.send(ctSACK, 0, windowed(targetTSN, 1<<20))
		c.pass(2 * time.Second)
		if at := c.times(ctData); len(at) == 0 || at[0] > time.Second/2 {
			t.Errorf("it comes again at %v", at)
		}
	})
}

// TestWindowOpensAfterSilence has a peer be out of reach while it has no room, until the pauses
// of T3-rtx are long. When it says that it has room it is there, and what it did not
// acknowledge is sent again soon.
func TestWindowOpensAfterSilence(t *testing.T) {
	onClock(t, func(c *clocked) {
		c.shut(100)
		c.answer = nil
		c.pass(40 * time.Second) // the next T3-rtx is after 63 s
		opens := time.Since(c.start)
		c.send(ctSACK, 0, windowed(targetTSN, 1<<20))
		c.pass(10 * time.Second)
		if at := c.times(ctData); len(at) == 0 || at[0]-opens > time.Second+3*clockedDelay {
			t.Errorf("it comes at %v, after %v", at, opens)
		}
	})
}
