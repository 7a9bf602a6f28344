package sctpnet_test

import (
	"encoding/binary"
	"errors"
	"net"
	"reflect"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
)

// What comes to OnEvent over UDP, apart from what events_test.go has for both
// engines.

const udp4 = "sctp4+udp"

// eventWire makes an association with handlers at both ends, over a wire.
func eventWire(t testing.TB, client, server sctpnet.Config) (c, s *sctpnet.Conn, ce, se *recorder, w *wire) {
	t.Helper()
	ce, se = newRecorder(udp4), newRecorder(udp4)
	client.OnEvent, server.OnEvent = ce.handle, se.handle
	ln, err := (&sctpnet.ListenConfig{Config: server}).Listen(t.Context(), udp4, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	w = newWire(t, ln)
	local := &sctpnet.Addr{IPAddrs: []net.IPAddr{{IP: net.IPv4(127, 0, 0, 1)}}, Port: freeUDPPort(t)}
	c = dial(t, &sctpnet.Dialer{LocalAddr: local, Config: w.config(client)}, udp4, ln.Addr().String())
	return c, accept(t, ln), ce, se, w
}

// TestEventsOverUDPPaths has a wire lose everything for a while, and then for
// good.
func TestEventsOverUDPPaths(t *testing.T) {
	watchdog(t, func() {
		quick := sctpnet.Config{
			RTO:         sctpnet.RTO{Initial: 50 * ms, Min: 50 * ms, Max: 100 * ms},
			PathParams:  sctpnet.PathParams{HeartbeatInterval: 20 * ms, MaxRetransmissions: 2},
			AssocParams: sctpnet.AssocParams{MaxRetransmissions: 1000},
		}
		c, s, ce, _, w := eventWire(t, quick, sctpnet.Config{})
		exchange(t, c, s)
		w.setLoss(all)
		awaitPath(t, ce, "127.0.0.1", sctpnet.PathUnreachable)
		if paths, err := c.Paths(); err != nil || paths[0].State != sctpnet.PathStateInactive {
			t.Errorf("%+v, %v; want an inactive path", paths, err)
		}
		w.setLoss(nil)
		awaitPath(t, ce, "127.0.0.1", sctpnet.PathReachable)
		if paths, err := c.Paths(); err != nil || paths[0].State != sctpnet.PathStateActive {
			t.Errorf("%+v, %v; want an active path", paths, err)
		}
		exchange(t, c, s)
		if err := c.Set(sctpnet.Config{AssocParams: sctpnet.AssocParams{MaxRetransmissions: 4}}); err != nil {
			t.Fatal(err)
		}
		w.setLoss(all)
		if e := awaitAssociation(t, ce, sctpnet.AssocLost); e.Cause != 0 || e.Causes != nil {
			t.Errorf("%#v; want no cause", e)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("read %v; want ETIMEDOUT", err)
		}
	})
}

// TestEventsOverUDPRestart has a peer lose the association and make it anew.
func TestEventsOverUDPRestart(t *testing.T) {
	const abort = 6
	watchdog(t, func() {
		c, s, _, se, w := eventWire(t, sctpnet.Config{}, sctpnet.Config{})
		exchange(t, c, s)
		w.setLoss(func(p []byte, toServer bool) bool { return toServer && chunkType(p) == abort })
		local, remote := *c.LocalAddr().(*sctpnet.Addr), c.RemoteAddr().String()
		if err := c.Abort(); err != nil {
			t.Fatal(err)
		}
		d := sctpnet.Dialer{LocalAddr: &local, Config: w.config(sctpnet.Config{})}
		dial(t, &d, udp4, remote)
		awaitAssociation(t, se, sctpnet.AssocRestarted)
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read %v; want ECONNRESET", err)
		}
	})
}

// TestEventsOverUDPRemoteError has an ERROR come from the peer.
func TestEventsOverUDPRemoteError(t *testing.T) {
	watchdog(t, func() {
		c, s, ce, _, w := eventWire(t, sctpnet.Config{}, sctpnet.Config{})
		exchange(t, c, s)
		for _, cause := range []struct {
			chunk []byte
			want  sctpnet.RemoteErrorEvent
		}{
			{[]byte{9, 0, 0, 12, 0, 6, 0, 8, 0x7f, 1, 2, 3}, sctpnet.RemoteErrorEvent{Cause: sctpnet.CauseUnrecognizedChunk, Data: []byte{0x7f, 1, 2, 3}}},
			{[]byte{9, 0, 0, 8, 0, 13, 0, 4}, sctpnet.RemoteErrorEvent{Cause: sctpnet.CauseProtocolViolation}},
		} {
			if err := w.send(cause.chunk); err != nil {
				t.Fatal(err)
			}
			if e := await[sctpnet.RemoteErrorEvent](t, ce, nil); !reflect.DeepEqual(e, cause.want) {
				t.Errorf("%#v; want %#v", e, cause.want)
			}
		}
		exchange(t, c, s)
	})
}

// TestPendingOverUDP counts what is missing where a packet was lost.
func TestPendingOverUDP(t *testing.T) {
	const data = 0
	watchdog(t, func() {
		c, s, _, _, w := eventWire(t, sctpnet.Config{}, sctpnet.Config{})
		if err := c.Set(sctpnet.Config{RTO: sctpnet.RTO{Initial: time.Hour, Min: time.Hour, Max: time.Hour}}); err != nil {
			t.Fatal(err)
		}
		lost := make(map[uint32]bool) // by TSN
		w.setLoss(func(p []byte, toServer bool) bool {
			if !toServer || chunkType(p) != data || len(p) < 20 {
				return false
			}
			tsn := binary.BigEndian.Uint32(p[16:])
			if len(lost) < 2 {
				lost[tsn] = true
			}
			return lost[tsn]
		})
		for i := range 2 { // each in a packet of its own
			if _, err := c.Write([]byte("lost")); err != nil {
				t.Fatal(err)
			}
			eventually(t, "a loss", func() bool {
				w.mu.Lock()
				defer w.mu.Unlock()
				return len(lost) == i+1
			})
		}
		if _, err := c.Write([]byte("arrives")); err != nil {
			t.Fatal(err)
		}
		eventually(t, "two chunks that are missing", func() bool {
			st, err := s.Status()
			return err == nil && st.Pending == 2
		})
		if st, err := s.Stats(); err != nil || st.OutOfOrder != 1 {
			t.Errorf("%+v, %v; want one chunk out of order", st, err)
		}
		c.Abort()
	})
}
