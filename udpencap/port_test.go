package udpencap

import (
	"testing"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// TestPortIsNotNextOnes dials when the association before has just ended, while
// another one keeps the UDP socket: what knows associations by their ports must be
// able to tell them apart.
func TestPortIsNotNextOnes(t *testing.T) {
	ln, err := sctpnet.Listen("sctp4+udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	watchdog(t, func() {
		dial := func() (c *sctpnet.Conn, number int) {
			nc, err := sctpnet.Dial("sctp4+udp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { nc.Close() })
			return nc.(*sctpnet.Conn), nc.LocalAddr().(*sctpnet.Addr).Port
		}
		first, number := dial()
		dial() // keeps the socket
		first.Abort()
		conformance.WaitFor(t, "the port to be free", func() bool {
			registry.mu.Lock()
			defer registry.mu.Unlock()
			for _, s := range registry.dialing {
				if s.port(uint16(number)) != nil {
					return false
				}
			}
			return true
		})
		if _, next := dial(); next == number {
			t.Errorf("port %d is that of the association before", next)
		}
	})
}
