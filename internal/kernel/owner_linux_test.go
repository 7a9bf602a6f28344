package kernel

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet/internal/conformance"
	"github.com/sctpnet/sctpnet/internal/engine"
)

// conns makes an association and returns its two ends.
func conns(t *testing.T, o engine.Options) (c, s engine.Conn) {
	t.Helper()
	needSCTP(t)
	lo := func(port int) *engine.Addr {
		return &engine.Addr{IPAddrs: []net.IPAddr{{IP: net.IP{127, 0, 0, 1}}}, Port: port}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	ln, err := kernelEngine{}.Listen(ctx, &engine.Socket{Network: "sctp", Local: lo(0), Options: o})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if c, err = (kernelEngine{}).Dial(ctx, &engine.Socket{Network: "sctp", Options: o}, lo(ln.Addr().Port)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if s, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return c, s
}

// owners makes an association with events, and takes its two ends.
func owners(t *testing.T) (client, server engine.Owner, c, s engine.Conn) {
	t.Helper()
	c, s = conns(t, engine.Options{Events: true})
	client, _ = c.Take()
	server, _ = s.Take()
	return client, server, c, s
}

// lent is messages that Recv borrows.
type lent []engine.Msg

func (l lent) Lend() []engine.Msg { return l }
func (l lent) Return()            {}

func TestAwaitEnd(t *testing.T) {
	conformance.TestAwaitEnd(t, func(t *testing.T) (c, s engine.Conn) { return conns(t, engine.Options{}) })
}
