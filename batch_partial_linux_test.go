package sctpnet_test

import (
	"bytes"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
)

// TestBatchDeadlineInMessage has the read deadline pass in the middle of a message:
// ReadMsgs returns the part that has arrived, and later the rest.
func TestBatchDeadlineInMessage(t *testing.T) {
	watchdog(t, func() {
		p, ln := newCrasher(t, sctpnet.ListenConfig{Config: sctpnet.Config{PartialDeliveryPoint: 1}})
		client := p.dial(t)
		s := accept(t, ln)
		// The first flight gets there, and no acknowledgement of it back.
		p.peer.tc(t, "add dev link1 root netem loss 100%")
		sent := bytes.Repeat([]byte("m"), 40<<10)
		if _, err := client.WriteMsg(sent, sctpnet.MsgInfo{Stream: 2, PPID: 7}); err != nil {
			t.Fatal(err)
		}
		var got []byte
		read := func() (more bool, err error) {
			ms := []sctpnet.Message{{Data: make([]byte, 64<<10)}, {Data: make([]byte, 64<<10)}}
			n, err := s.ReadMsgs(ms)
			if err != nil {
				return true, err
			}
			if m := ms[0]; n != 1 || m.Info.Stream != 2 || m.Info.PPID != 7 {
				t.Errorf("read %d messages, the first is %+v", n, m.Info)
			}
			got = append(got, ms[0].Data[:ms[0].N]...)
			return ms[0].Info.More, nil
		}
		for len(got) == 0 {
			s.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			if more, err := read(); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			} else if !more || len(got) == len(sent) {
				t.Fatalf("read %d bytes of %d, which are all", len(got), len(sent))
			}
		}
		s.SetReadDeadline(time.Time{})
		p.peer.tc(t, "del dev link1 root")
		for more := true; more; {
			var err error
			if more, err = read(); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, sent) {
			t.Errorf("read %d bytes, want the %d that were sent", len(got), len(sent))
		}
	})
}
