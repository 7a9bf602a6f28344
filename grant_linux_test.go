package sctpnet_test

import (
	"fmt"
	"testing"

	"github.com/sctpnet/sctpnet"
)

// TestAddStreamsDenied has a peer ask for more streams than it was granted, both
// ways and at both ends.
func TestAddStreamsDenied(t *testing.T) {
	var added = make(chan sctpnet.StreamsAddedEvent, 10)
	onEvent := func(_ *sctpnet.Conn, e sctpnet.Event) {
		if e, ok := e.(sctpnet.StreamsAddedEvent); ok {
			added <- e
		}
	}
	c, s := configured(t, "sctp", "127.0.0.1:0", sctpnet.Config{OnEvent: onEvent}, sctpnet.Config{OnEvent: onEvent})
	for _, tt := range []struct {
		name    string
		of      *sctpnet.Conn
		out, in int
	}{
		{"outgoing ones of the dialled end", c, 10, 0},
		{"incoming ones of the dialled end", c, 0, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			soon(t, func() error { return tt.of.AddStreams(tt.out, tt.in) })
			watchdog(t, func() {
				if e := <-added; !e.Denied {
					t.Errorf("the event is %v, want a denial", e)
				}
			})
			soon(t, func() error {
				for _, conn := range []*sctpnet.Conn{c, s} {
					if out, in := conn.NumStreams(); out != 64 || in != 64 {
						return fmt.Errorf("there are %d and %d streams, want 64", out, in)
					}
				}
				return nil
			})
		})
	}
}
