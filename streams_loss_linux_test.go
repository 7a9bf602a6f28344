package sctpnet_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// TestLoss runs tests of streams where two of a hundred packets are lost: in a
// process that has a loopback interface of its own.
func TestLoss(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		if os.Geteuid() != 0 {
			t.Skip("only root can make a network that loses packets")
		}
		if !inNetwork(t) {
			return
		}
		netem(t, network, "loss", "2%")
		for _, tt := range orderTests {
			t.Run(tt.name, func(t *testing.T) {
				const n, count = 50, max(6, 60/conformance.Slowness)
				from, to := pipeOf(t, network, n)
				watchdog(t, func() {
					together(t, []*sctpnet.Conn{from, to},
						func() error { return tt.send(from, n, count) },
						func() error { return tt.receive(to, n, count) },
					)
				})
			})
		}
		t.Run("half-close", func(t *testing.T) {
			client, server := pipe(t, network, "127.0.0.1:0")
			watchdog(t, func() {
				var fs []func() error
				for i := range 25 {
					c, s := streamPair(t, client, server)
					want := ballast()[i:][:100_000/conformance.Slowness]
					fs = append(fs, func() error { return errors.Join(sendAll(c, want), receiveAll(c, want)) })
					fs = append(fs, func() error { return errors.Join(receiveAll(s, want), sendAll(s, want)) })
				}
				together(t, []*sctpnet.Conn{client, server}, fs...)
			})
		})
		t.Run("churn", func(t *testing.T) {
			client, server := pipe(t, network, "127.0.0.1:0")
			watchdog(t, func() {
				churn(t, client, server, 400/min(conformance.Slowness, 4), openInTheEnd, churnClient, churnServer)
			})
		})
	})
}

// TestFarAway has both ends close streams at the same time where packets take long:
// both ask, both are refused, and must not ask at the same time for ever.
func TestFarAway(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		if os.Geteuid() != 0 {
			t.Skip("only root can make a network that is slow")
		}
		if !inNetwork(t) {
			return
		}
		netem(t, network, "delay", "50ms")
		client, server := pipe(t, network, "127.0.0.1:0")
		watchdog(t, func() {
			for range 5 {
				c, s := streamPair(t, client, server)
				exchange(t, c, s)
				var fs []func() error
				for _, s := range []*sctpnet.Stream{c, s} {
					fs = append(fs, func() error { return errors.Join(s.CloseWrite(), receiveAll(s, nil), s.Close()) })
				}
				together(t, []*sctpnet.Conn{client, server}, fs...)
			}
		})
	})
}

// openInTheEnd opens a stream however long it takes: where several packets of the
// resets are lost one after the other, no number is free for longer than OpenStream
// waits.
func openInTheEnd(c *sctpnet.Conn) (*sctpnet.Stream, error) {
	for {
		if s, err := c.OpenStream(); !errors.Is(err, sctpnet.ErrNoFreeStream) {
			return s, err
		}
	}
}

// netem makes a process's own loopback interface lose or delay packets. The tests
// of the kernel run where it can; SCTP over UDP is tested there, too.
func netem(t *testing.T, network string, what ...string) {
	t.Helper()
	err := run("tc", append(strings.Fields("qdisc add dev lo root netem limit 10000"), what...)...)
	if err != nil && overUDP(network) && sctpnet.Available("sctp") != nil {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// sendAll writes b and half-closes.
func sendAll(s *sctpnet.Stream, b []byte) error {
	if _, err := s.Write(b); err != nil {
		return err
	}
	return s.CloseWrite()
}

// receiveAll checks that b comes, and then the end.
func receiveAll(s *sctpnet.Stream, b []byte) error {
	got, err := io.ReadAll(s)
	if err != nil || string(got) != string(b) {
		return fmt.Errorf("stream %d: read %d bytes, %v; want %d", s.ID(), len(got), err, len(b))
	}
	return nil
}

// TestTTLPartial has a message expire after a part of it was handed over: it
// must not go on with the next message.
func TestTTLPartial(t *testing.T) {
	needSCTP(t)
	if os.Geteuid() != 0 {
		t.Skip("only root can make a network that loses packets")
	}
	if !inNetwork(t) {
		return
	}
	for _, batch := range []bool{false, true} {
		t.Run(fmt.Sprintf("batch=%v", batch), func(t *testing.T) {
			// Once in a hundred times, if the machine is busy, the kernel itself
			// keeps to itself all that follows, though it has acknowledged it.
			for attempt := 1; !expirePartly(t, batch); attempt++ {
				if attempt == 3 {
					t.Fatal("what follows does not arrive")
				}
			}
		})
	}
}

// expirePartly is one try of TestTTLPartial. It reports whether what was sent last
// arrives.
func expirePartly(t *testing.T, batch bool) (arrives bool) {
	const ttl = 300 * time.Millisecond * conformance.Slowness
	ln, err := (&sctpnet.ListenConfig{Config: sctpnet.Config{ReadBuffer: 30_000}}).Listen(t.Context(), "sctp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c := dial(t, nil, "sctp4", ln.Addr().String())
	s := accept(t, ln)
	watchdog(t, func() {
		if _, err := c.WriteMsg(bytes.Repeat([]byte("a"), 100_000), sctpnet.MsgInfo{Stream: 1, TTL: ttl}); err != nil {
			t.Fatal(err)
		}
		for status(t, c).RWND > 2000 {
			time.Sleep(ms)
		}
		if err := run("tc", "qdisc", "add", "dev", "lo", "root", "netem", "loss", "100%"); err != nil {
			t.Fatal(err)
		}
		var got []sctpnet.Message
		last := make(chan struct{})
		reading := conformance.Start(t, func() (int, error) {
			for {
				msgs := batchOf(8, 200_000)
				n, err := 1, error(nil)
				if batch {
					n, err = s.ReadMsgs(msgs)
				} else {
					msgs[0].N, msgs[0].Info, err = s.ReadMsg(msgs[0].Data)
				}
				if err != nil {
					return 0, err
				}
				got = append(got, msgs[:n]...)
				if m := got[len(got)-1]; string(m.Data[:m.N]) == "world" {
					close(last)
				}
			}
		})
		time.Sleep(ttl + time.Second) // until it is to be sent again, and is too old
		if err := run("tc", "qdisc", "del", "dev", "lo", "root"); err != nil {
			t.Fatal(err)
		}
		for _, m := range []string{"hello", "world"} {
			if _, err := c.WriteMsg([]byte(m), sctpnet.MsgInfo{Stream: 1, PPID: 7}); err != nil {
				t.Fatal(err)
			}
		}
		// The kernel also loses messages behind one that expired if the end of
		// the association comes before the peer knows that it did.
		select {
		case <-last:
			arrives = true
			c.Shutdown()
		case <-time.After(10 * time.Second):
			c.Abort()
			reading.Result()
			return
		}
		if _, err := reading.Result(); err != io.EOF {
			t.Errorf("reading ended by %v", err)
		}
		var part int
		for len(got) > 0 && got[0].Data[0] == 'a' {
			if m := got[0]; !m.Info.More || bytes.Count(m.Data[:m.N], []byte("a")) != m.N {
				t.Errorf("%d bytes of the message that expired, %+v", m.N, m.Info)
			}
			part += got[0].N
			got = got[1:]
		}
		if part == 0 || part == 100_000 {
			t.Errorf("read %d bytes of the message that expired", part)
		}
		for i, want := range []string{"hello", "world"} {
			if i >= len(got) || string(got[i].Data[:got[i].N]) != want || got[i].Info.PPID != 7 || got[i].Info.More {
				t.Fatalf("read %d messages after it, not %q", len(got), want)
			}
		}
	})
	return arrives
}
