package sctpnet_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// TestRestartInPieces has a peer crash in the middle of a message of which a part
// has been handed over. A reader that waits for the rest learns of it.
func TestRestartInPieces(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config sctpnet.Config
		from   func(t *testing.T, c *sctpnet.Conn) net.Conn // what is read
		read   func(c net.Conn, b []byte) (int, error)      // nil for Read
	}{
		{name: "Read"},
		{name: "ReadMsg", read: func(c net.Conn, b []byte) (int, error) {
			n, _, err := c.(*sctpnet.Conn).ReadMsg(b)
			return n, err
		}},
		{name: "ReadMsgs", read: func(c net.Conn, b []byte) (int, error) {
			ms := []sctpnet.Message{{Data: b}, {Data: make([]byte, 100)}}
			n, err := c.(*sctpnet.Conn).ReadMsgs(ms)
			if n > 1 {
				return 0, errors.New("two messages")
			}
			return ms[0].N, err
		}},
		{name: "KeepRestarted", config: sctpnet.Config{KeepRestarted: true}},
		{name: "Events", config: sctpnet.Config{OnEvent: func(*sctpnet.Conn, sctpnet.Event) {}}},
		{name: "Stream", from: func(t *testing.T, c *sctpnet.Conn) net.Conn { return claim(t, c, 0) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			watchdog(t, func() {
				lc := sctpnet.ListenConfig{Config: tt.config}
				lc.Config.PartialDeliveryPoint = 1000
				p, ln := newCrasher(t, lc)
				client := p.dial(t)
				c := accept(t, ln)
				s := net.Conn(c)
				if tt.from != nil {
					s = tt.from(t, c)
				}
				if tt.read == nil {
					tt.read = net.Conn.Read
				}
				// The first flight gets there, and no acknowledgement of it back.
				p.peer.tc(t, "add dev link1 root netem loss 100%")
				if _, err := client.WriteMsg(bytes.Repeat([]byte("o"), 40<<10), sctpnet.MsgInfo{}); err != nil {
					t.Fatal(err)
				}
				got := 0
				reading := conformance.Start(t, func() (int, error) {
					for {
						n, err := tt.read(s, make([]byte, 64<<10))
						if got += n; err != nil {
							return 0, err
						}
					}
				})
				eventually(t, "a part of the message arrives", func() bool {
					st, err := c.Stats()
					return err == nil && st.OrderedReceived > 1
				})
				reading.Waits()
				p.crash(t, client)
				p.peer.tc(t, "del dev link1 root")
				p.dialAborted(t)
				if _, err := reading.Result(); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("read: %v; want ECONNRESET", err)
				}
				if got == 0 || got >= 40<<10 {
					t.Errorf("read %d bytes, want a part of the message", got)
				}
				wantReset(t, s)
				again := p.dial(t)
				exchange(t, again, accept(t, ln))
			})
		})
	}
}

// TestRestartOfDialledInPieces is the same where the reader has dialled.
func TestRestartOfDialledInPieces(t *testing.T) {
	watchdog(t, func() {
		p, peer, c := newCallback(t, "sctp", sctpnet.Config{PartialDeliveryPoint: 1000})
		p.peer.tc(t, "add dev link1 root netem loss 100%")
		if _, err := peer.WriteMsg(bytes.Repeat([]byte("o"), 40<<10), sctpnet.MsgInfo{}); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 100)); n != 100 {
			t.Fatalf("read %d bytes, %v", n, err)
		}
		reading := conformance.Start(t, func() (int, error) {
			_, err := io.Copy(io.Discard, c)
			return 0, err
		})
		reading.Waits()
		p.crash(t, peer)
		p.peer.tc(t, "del dev link1 root")
		p.dialAborted(t)
		if _, err := reading.Result(); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read: %v; want ECONNRESET", err)
		}
	})
}

// TestMessageInPiecesGoesOn has the rest of a message come late. That is no restart.
func TestMessageInPiecesGoesOn(t *testing.T) {
	watchdog(t, func() {
		lc := sctpnet.ListenConfig{Config: sctpnet.Config{PartialDeliveryPoint: 1000}}
		p, ln := newCrasher(t, lc)
		p.dialer.Config.RTO.Max = time.Second
		client := p.dial(t)
		c := accept(t, ln)
		p.peer.tc(t, "add dev link1 root netem loss 100%")
		message := ballast()[:40<<10]
		if _, err := client.WriteMsg(message, sctpnet.MsgInfo{}); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, len(message))
		n, err := c.Read(b)
		if err != nil || n == len(b) {
			t.Fatalf("read %d bytes, %v; want a part", n, err)
		}
		// The tag is looked at meanwhile.
		c.SetReadDeadline(time.Now().Add(time.Second))
		for err == nil {
			var k int
			k, err = c.Read(b[n:])
			n += k
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || n == len(b) {
			t.Fatalf("read %d bytes, %v; want a part and the deadline", n, err)
		}
		c.SetReadDeadline(time.Time{})
		p.peer.tc(t, "del dev link1 root")
		if _, err := io.ReadFull(c, b[n:]); err != nil || !bytes.Equal(b, message) {
			t.Errorf("the rest: %v", err)
		}
		exchange(t, client, c)
	})
}
