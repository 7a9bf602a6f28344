package sctpnet_test

import (
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
