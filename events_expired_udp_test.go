package sctpnet_test

import (
	"bytes"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
)

// TestEventsOverUDPExpired has messages expire on a wire that loses them, and then the
// association fail. Each message comes back once, as it was written.
func TestEventsOverUDPExpired(t *testing.T) {
	watchdog(t, func() {
		quick := sctpnet.Config{RTO: sctpnet.RTO{Initial: 50 * ms, Min: 50 * ms, Max: 100 * ms}}
		c, s, ce, _, w := eventWire(t, quick, quick)
		exchange(t, c, s)
		w.setLoss(func(p []byte, toServer bool) bool { return toServer && chunkType(p) == 0 })
		info := sctpnet.MsgInfo{Stream: 5, PPID: 1 << 24, Context: 7, Unordered: true, TTL: 200 * ms}
		long := eventData(100_000) // more than is sent before it expires
		for _, b := range [][]byte{[]byte("expires"), long, []byte("is not sent")} {
			if _, err := c.WriteMsg(b, info); err != nil {
				t.Fatal(err)
			}
			info.Context++
		}
		info.TTL = 0
		want := map[uint32][]byte{7: []byte("expires"), 8: long, 9: []byte("is not sent")}
		for len(want) > 0 {
			e := await[sctpnet.SendFailedEvent](t, ce, nil)
			b := want[e.Info.Context]
			info.Context = e.Info.Context
			if b == nil || e.Info != info || !bytes.Equal(e.Data, b) || e.Sent != (info.Context < 9) || e.Cause != 0 {
				t.Fatalf("%v; want %d bytes of %+v", e, len(b), info)
			}
			delete(want, info.Context)
		}
		w.setLoss(nil)
		exchange(t, c, s)

		w.setLoss(all)
		if _, err := c.WriteMsg([]byte("never arrives"), sctpnet.MsgInfo{Context: 9, TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
		if err := c.Set(sctpnet.Config{AssocParams: sctpnet.AssocParams{MaxRetransmissions: 2}}); err != nil {
			t.Fatal(err)
		}
		e := await[sctpnet.SendFailedEvent](t, ce, nil)
		if string(e.Data) != "never arrives" || e.Info.Context != 9 || !e.Sent || e.Cause != 0 {
			t.Errorf("%#v; want what was sent", e)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("read %v; want ETIMEDOUT", err)
		}
	})
}
