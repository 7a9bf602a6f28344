package kernel

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet/internal/conformance"
	"github.com/sctpnet/sctpnet/internal/engine"
)

// TestReadAroundClose has the poller wake a reader for nothing, again and again, while
// the peer closes. The association may then end after the reader has found nothing to
// receive, and before it asks whether there is an association. The end is no failure.
func TestReadAroundClose(t *testing.T) {
	needSCTP(t)
	conformance.Watchdog(t, func() {
		lo := &engine.Addr{IPAddrs: []net.IPAddr{{IP: net.IP{127, 0, 0, 1}}}}
		ln, err := kernelEngine{}.Listen(t.Context(), &engine.Socket{Network: "sctp", Local: lo})
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		for range 300 {
			client, err := kernelEngine{}.Dial(context.Background(), &engine.Socket{Network: "sctp"}, ln.Addr())
			if err != nil {
				t.Fatal(err)
			}
			server, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(time.Millisecond, func() { client.Close() })
			c := server.(*conn)
			o := newOp(c, false, make([]byte, 1))
			o.wait = true
			for done := false; !done; {
				c.raw.Control(func(fd uintptr) { done = o.doRecv(fd) })
			}
			if o.err != io.EOF {
				t.Errorf("read: %v; want EOF", o.err)
			}
			o.done()
			c.Close()
		}
	})
}
