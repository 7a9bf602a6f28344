package udpencap

import (
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// TestKernelSlowPeer writes all it can to a host behind a slow link. What goes to another
// host meanwhile is not delayed.
func TestKernelSlowPeer(t *testing.T) {
	a, b := newNetworks(t)
	slow := b.listen(t, "sctp4+udp", "10.88.0.2:0", sctpnet.Config{})
	near := a.listen(t, "sctp4+udp", "127.0.0.1:0", sctpnet.Config{})
	dial := func(ln net.Listener) (c, s net.Conn) {
		t.Helper()
		c, err := a.dial(t, "sctp4+udp", ln.Addr().String(), sctpnet.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if s, err = ln.Accept(); err != nil {
			t.Fatal(err)
		}
		return c, s
	}
	c, s := dial(near)
	defer s.Close()
	go io.Copy(s, s)
	pingPong := func() time.Duration {
		t.Helper()
		var times []time.Duration
		buf := make([]byte, 64)
		for range 200 {
			start := time.Now()
			if _, err := c.Write(buf); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, buf); err != nil {
				t.Fatal(err)
			}
			times = append(times, time.Since(start))
		}
		slices.Sort(times)
		return times[len(times)/2]
	}
	watchdog(t, func() {
		alone := pingPong()
		var conns []net.Conn
		for range 8 {
			c, s := dial(slow)
			defer s.(*sctpnet.Conn).Abort()
			defer c.(*sctpnet.Conn).Abort()
			go io.Copy(io.Discard, s)
			conns = append(conns, c)
		}
		a.netem(t, "rate 1mbit")
		var writes []*conformance.Call
		for _, c := range conns {
			writes = append(writes, conformance.Start(t, func() (int, error) { return c.Write(make([]byte, 64<<20)) }))
		}
		for _, w := range writes {
			w.Waits()
		}
		defer a.Heal("wire")
		beside := pingPong()
		t.Logf("half of the round trips take %v alone, and %v beside the others", alone, beside)
		if beside > 5*alone+5*time.Millisecond*conformance.Slowness {
			t.Error("that is too long")
		}
	})
}
