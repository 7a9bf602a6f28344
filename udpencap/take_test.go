package udpencap

import (
	"testing"

	"github.com/sctpnet/sctpnet/internal/conformance"
	"github.com/sctpnet/sctpnet/internal/engine"
)

// TestTakeTellsOfCutSend takes an association while a Send is under way and others
// wait for it: the one is cut short, and Take says so whatever becomes of the others.
func TestTakeTellsOfCutSend(t *testing.T) {
	for range 10 {
		c, _ := enginePair(t)
		send := func() *conformance.Call {
			call := conformance.Start(t, func() (int, error) { return c.Send(make([]byte, 16<<20), 64<<10, engine.Message{}) })
			call.Waits()
			return call
		}
		watchdog(t, func() {
			var calls []*conformance.Call
			for range 6 {
				calls = append(calls, send())
			}
			if _, interrupted := c.Take(); !interrupted {
				t.Error("Take does not tell of the Send that it has cut short")
			}
			underWay := 0
			for _, call := range calls {
				n, err := call.Result()
				if err != engine.ErrTaken {
					t.Errorf("Send: %d, %v; want ErrTaken", n, err)
				}
				if n > 0 {
					underWay++
				}
			}
			if underWay != 1 {
				t.Errorf("%d Sends had begun, want one", underWay)
			}
		})
	}
}

func TestAwaitEnd(t *testing.T) { conformance.TestAwaitEnd(t, enginePair) }

// enginePair makes an association that has no sctpnet.Conn.
func enginePair(t *testing.T) (c, s engine.Conn) {
	t.Helper()
	ln, err := udpEngine{}.Listen(t.Context(), &engine.Socket{Network: "sctp4", Local: &engine.Addr{IPAddrs: loopbackAddr}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	if c, err = (udpEngine{}).Dial(t.Context(), &engine.Socket{Network: "sctp4"}, ln.Addr()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Abort() })
	if s, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Abort() })
	return c, s
}
