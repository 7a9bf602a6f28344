package udpencap

import (
	"errors"
	"strings"
	"testing"

	"github.com/sctpnet/sctpnet"
)

// sendOn sends a message on a stream, the n-th of the association and the ssn-th of
// the stream.
func (r *rawPeer) sendOn(n uint32, id, ssn uint16, s string) {
	r.t.Helper()
	r.sendChunk(ctData, flagBegin|flagEnd, data(r.own.tsn+n, id, ssn, s))
}

// TestNoReconfigAcceptedOnce has a peer without RE-CONFIG go on with a stream that was
// closed here: what it sends there is dropped, and is no other stream.
func TestNoReconfigAcceptedOnce(t *testing.T) {
	ln, err := sctpnet.Listen("sctp4+udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	watchdog(t, func() {
		r := newRawPeer(t, ln.Addr())
		r.own.reconfig = false
		r.handshake()
		c := accept(t, ln.(*sctpnet.Listener))
		accepted := func(id uint16, want string) *sctpnet.Stream {
			t.Helper()
			s, err := c.AcceptStream(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 100)
			if n, err := s.Read(b); s.ID() != id || string(b[:n]) != want || err != nil {
				t.Fatalf("stream %d reads %q, %v; want stream %d and %q", s.ID(), b[:n], err, id, want)
			}
			return s
		}
		r.sendOn(0, 2, 0, "first")
		s := accepted(2, "first")
		if err := s.CloseWrite(); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("CloseWrite: %v, want ErrUnsupported", err)
		}
		s.Close()
		r.sendOn(1, 2, 1, "dropped")
		r.sendOn(2, 4, 0, "second")
		accepted(4, "second").Close()
		r.sendOn(3, 2, 2, "dropped")
		r.sendOn(4, 4, 1, "dropped")
		r.sendOn(5, 6, 0, "third")
		accepted(6, "third")
	})
}

// TestNoReconfigNumbersRunOut opens all streams of an association with a peer without
// RE-CONFIG, which answers each when it is closed. No answer is read on another
// stream, and no number is used twice.
func TestNoReconfigNumbersRunOut(t *testing.T) {
	ln, err := sctpnet.Listen("sctp4+udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	watchdog(t, func() {
		r := newRawPeer(t, ln.Addr())
		r.own.reconfig = false
		r.own.out, r.own.in = 8, 8
		r.handshake()
		c := accept(t, ln.(*sctpnet.Listener))
		for i, id := range []uint16{1, 3, 5, 7} {
			s, err := c.OpenStream()
			if err != nil || s.ID() != id {
				t.Fatalf("OpenStream: %v, %v; want stream %d", s.ID(), err, id)
			}
			if _, err := s.Write([]byte("question")); err != nil {
				t.Fatal(err)
			}
			s.Close()
			r.sendOn(uint32(2*i), id, 0, "late answer")
			r.sendOn(uint32(2*i+1), 0, uint16(i), "x")
			b := make([]byte, 100)
			if n, err := c.Read(b); string(b[:n]) != "x" || err != nil {
				t.Errorf("the Conn reads %q, %v", b[:n], err)
			}
		}
		if _, err := c.OpenStream(); !errors.Is(err, sctpnet.ErrNoFreeStream) || !strings.Contains(err.Error(), "stream reconfiguration") {
			t.Errorf("OpenStream: %v, want ErrNoFreeStream and why", err)
		}
		if _, err := c.Stream(3); !errors.Is(err, sctpnet.ErrNoFreeStream) {
			t.Errorf("Stream: %v, want ErrNoFreeStream", err)
		}
	})
}
