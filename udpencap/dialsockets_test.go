package udpencap

import (
	"net/netip"
	"testing"

	"github.com/sctpnet/sctpnet"
)

// TestDialSockets dials from as few sockets as it takes to keep what goes to different
// hosts apart, and from no more than there may be.
func TestDialSockets(t *testing.T) {
	socketTo := func(ip netip.Addr) *socket {
		t.Helper()
		s, err := borrowSocket(ip)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.giveBack)
		return s
	}
	ip := netip.MustParseAddr("127.1.0.1")
	first := socketTo(ip)
	if socketTo(ip) != first {
		t.Error("one host is dialed from two sockets")
	}
	sockets := map[*socket]bool{first: true}
	for range 3 * mostDialing {
		ip = ip.Next()
		sockets[socketTo(ip)] = true
		if len(sockets) == 1 {
			t.Fatal("two hosts are dialed from one socket")
		}
	}
	if n := len(sockets); n > mostDialing {
		t.Errorf("there are %d sockets to dial from, want %d at most", n, mostDialing)
	}
	ln := listen(t, "sctp4+udp", "127.0.0.1:0")
	c := dial(t, &sctpnet.Dialer{}, ln.Addr().String())
	defer c.Abort()
	exchange(t, c, accept(t, ln))
}
