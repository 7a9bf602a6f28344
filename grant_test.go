package sctpnet_test

import (
	"fmt"
	"testing"

	"github.com/sctpnet/sctpnet"
)

// TestListenerGrants has peers that ask for many streams. Each can be answered on
// the stream of its question.
func TestListenerGrants(t *testing.T) { eachEngine(t, testListenerGrants) }

func testListenerGrants(t *testing.T, network string) {
	for _, tt := range []struct {
		server sctpnet.Config
		want   int
	}{
		{sctpnet.Config{}, 256},
		{sctpnet.Config{MaxInStreams: 500}, 500},
		{sctpnet.Config{OutStreams: 100}, 100},
		{sctpnet.Config{OutStreams: 100, MaxInStreams: 300}, 100},
	} {
		c, s := configured(t, network, "127.0.0.1:0", sctpnet.Config{OutStreams: 65535, MaxInStreams: 65535}, tt.server)
		for what, conn := range map[string]*sctpnet.Conn{"dialled": c, "accepted": s} {
			if out, in := conn.NumStreams(); int(out) != tt.want || int(in) != tt.want {
				t.Errorf("%+v: the %s end has %d and %d streams, want %d", tt.server, what, out, in, tt.want)
			}
		}
		watchdog(t, func() {
			last := uint16(tt.want - 1)
			p := make([]byte, 10)
			if _, err := c.WriteStream([]byte("question"), last); err != nil {
				t.Fatal(err)
			}
			_, stream, err := s.ReadStream(p)
			if err != nil || stream != last {
				t.Fatalf("the question is on stream %d, %v", stream, err)
			}
			if _, err := s.WriteStream([]byte("answer"), stream); err != nil {
				t.Fatal(err)
			}
			if n, stream, err := c.ReadStream(p); string(p[:n]) != "answer" || stream != last || err != nil {
				t.Fatalf("the answer is %q on stream %d, %v", p[:n], stream, err)
			}
		})
	}
}

// TestAddStreamsDenied has a peer ask for more streams than it was granted, both
// ways and at both ends.
func TestAddStreamsDenied(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		added := make(chan sctpnet.StreamsAddedEvent, 10)
		onEvent := func(_ *sctpnet.Conn, e sctpnet.Event) {
			if e, ok := e.(sctpnet.StreamsAddedEvent); ok {
				added <- e
			}
		}
		c, s := configured(t, network, "127.0.0.1:0", sctpnet.Config{OnEvent: onEvent}, sctpnet.Config{OnEvent: onEvent})
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
	})
}
