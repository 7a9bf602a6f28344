package udpencap

import (
	"bytes"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// narrowPath loses packets that are larger than the path until the test ends, and tells
// nobody.
func narrowPath(t *testing.T) (most *atomic.Int64) {
	most = new(atomic.Int64)
	f := func(p path, b []byte, send func([]byte)) {
		if int64(len(b)) <= most.Load() || p.divide {
			send(b)
		}
	}
	transport.Store(&f)
	t.Cleanup(func() { transport.Store(nil) })
	return most
}

// discovering is a configuration that has the MTU of the loopback path be discovered.
var discovering = sctpnet.Config{
	PathParams: sctpnet.PathParams{DiscoverMTU: true},
	RTO:        sctpnet.RTO{Initial: 20 * time.Millisecond, Min: 20 * time.Millisecond, Max: 200 * time.Millisecond},
	AssocParams: sctpnet.AssocParams{
		MaxRetransmissions: 50, // as the path may lose all for some time
	},
}

// transfer writes bytes and reads them at the other end.
func transfer(t *testing.T, c, s *sctpnet.Conn, n int) {
	t.Helper()
	want := make([]byte, n)
	rand.NewChaCha8([32]byte{9}).Read(want)
	w := conformance.Start(t, func() (int, error) { return c.Write(want) })
	got := make([]byte, n)
	if _, err := io.ReadFull(s, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("read: %v, or the bytes differ", err)
	}
	if _, err := w.Result(); err != nil {
		t.Fatal(err)
	}
}

// awaitMTU waits until the MTU of the path is known to be as large as it may be, with the
// headers of IPv4 and UDP, or a little less.
func awaitMTU(t *testing.T, c *sctpnet.Conn, most int) {
	t.Helper()
	for {
		got := mtu(t, c)
		if got > most+ipv4Overhead {
			t.Fatalf("the MTU is %d, more than %d", got, most+ipv4Overhead)
		}
		if got > most+ipv4Overhead-searchStep {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// mtu is the MTU of the path, as far as it is known.
func mtu(t *testing.T, c *sctpnet.Conn) int {
	t.Helper()
	st, err := c.Status()
	if err != nil {
		t.Fatal(err)
	}
	return st.Primary.MTU
}

// TestDiscoverMTU has paths of several MTUs. Data passes at once, and as large packets are
// found as pass.
func TestDiscoverMTU(t *testing.T) {
	for _, size := range []int64{ethernetMTU - ipv4Overhead, 1400 - ipv4Overhead, 1280 - ipv4Overhead, 1000 - ipv4Overhead, 576 - ipv4Overhead} {
		most := narrowPath(t)
		most.Store(size)
		c, s := makeConns(t, discovering)
		watchdog(t, func() {
			transfer(t, c, s, 100_000)
			awaitMTU(t, c, int(size))
			transfer(t, c, s, 1<<20)
			if st, err := c.Stats(); err != nil || st.Retransmitted > 200 {
				t.Errorf("%d: %d chunks were sent again, %v", size, st.Retransmitted, err)
			}
		})
	}
}

// TestPathShrinks has large packets vanish that have passed before: all of a sudden, while
// there is much to send, and while there is nothing.
func TestPathShrinks(t *testing.T) {
	for _, tt := range []struct{ before, narrow int }{
		{0, 1300}, {4 << 20, 1300}, {0, 1000 - ipv4Overhead}, {4 << 20, 1000 - ipv4Overhead},
	} {
		const wide = ethernetMTU - ipv4Overhead
		before, narrow := tt.before, tt.narrow
		most := narrowPath(t)
		most.Store(wide)
		c, s := makeConns(t, discovering)
		watchdog(t, func() {
			transfer(t, c, s, 100_000)
			awaitMTU(t, c, wide)
			if before > 0 {
				w := conformance.Start(t, func() (int, error) { return c.Write(make([]byte, before)) })
				if _, err := io.ReadFull(s, make([]byte, 100_000)); err != nil {
					t.Fatal(err)
				}
				most.Store(int64(narrow))
				if _, err := io.ReadFull(s, make([]byte, before-100_000)); err != nil {
					t.Fatal(err)
				}
				if _, err := w.Result(); err != nil {
					t.Fatal(err)
				}
			}
			most.Store(int64(narrow))
			// What was sent before is divided. Only what comes after finds out.
			for first := true; first || mtu(t, c) > narrow+ipv4Overhead; first = false {
				transfer(t, c, s, 100_000)
			}
			awaitMTU(t, c, narrow)
			transfer(t, c, s, 1<<20)
		})
	}
}

// TestProbesEndWithShutdown has a probe be unanswered when SHUTDOWN is sent. Neither time nor
// an answer has another one be sent.
func TestProbesEndWithShutdown(t *testing.T) {
	r, c, ln := rawPair(t, discovering)
	a := assocOf(t, ln, r.tag)
	watchdog(t, func() {
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		_, largest := r.await(ctHeartbeat)
		probe := largest
		for bytes.Equal(probe.value, largest.value) {
			_, probe = r.await(ctHeartbeat) // until one is smaller, which can be followed by a larger one
		}
		r.sendChunk(ctSACK, 0, sack(r.theirs.tsn))
		r.ping()
		if err := c.Shutdown(); err != nil {
			t.Fatal(err)
		}
		r.await(ctShutdown)
		probes := func() bool {
			a.mu.Lock()
			defer a.mu.Unlock()
			return a.search.timer.isRunning()
		}
		if probes() {
			t.Error("the search goes on after SHUTDOWN")
		}
		r.sendChunk(ctHeartbeatAck, 0, probe.value)
		r.ping()
		if probes() {
			t.Error("the search goes on after an answer")
		}
	})
}
