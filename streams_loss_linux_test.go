package sctpnet_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// TestLoss runs tests of streams where two of a hundred packets are lost: in a
// process that has a loopback interface of its own.
func TestLoss(t *testing.T) {
	needSCTP(t)
	if os.Geteuid() != 0 {
		t.Skip("only root can make a network that loses packets")
	}
	if !inNetwork(t) {
		return
	}
	if err := run("tc", "qdisc", "add", "dev", "lo", "root", "netem", "limit", "10000", "loss", "2%"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range orderTests {
		t.Run(tt.name, func(t *testing.T) {
			const n, count = 50, max(6, 60/conformance.Slowness)
			from, to := pipeOf(t, n)
			conformance.Watchdog(t, lossLimit, func() {
				together(t, []*sctpnet.Conn{from, to},
					func() error { return tt.send(from, n, count) },
					func() error { return tt.receive(to, n, count) },
				)
			})
		})
	}
	t.Run("half-close", func(t *testing.T) {
		client, server := pipe(t, "sctp4", "127.0.0.1:0")
		conformance.Watchdog(t, lossLimit, func() {
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
		client, server := pipe(t, "sctp4", "127.0.0.1:0")
		conformance.Watchdog(t, lossLimit, func() {
			churn(t, client, server, 400/min(conformance.Slowness, 4), churnClient, churnServer)
		})
	})
}

// TestFarAway has both ends close streams at the same time where packets take long:
// both ask, both are refused, and must not ask at the same time for ever.
func TestFarAway(t *testing.T) {
	needSCTP(t)
	if os.Geteuid() != 0 {
		t.Skip("only root can make a network that is slow")
	}
	if !inNetwork(t) {
		return
	}
	if err := run("tc", "qdisc", "add", "dev", "lo", "root", "netem", "limit", "10000", "delay", "50ms"); err != nil {
		t.Fatal(err)
	}
	client, server := pipe(t, "sctp4", "127.0.0.1:0")
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
}

const lossLimit = 2 * time.Minute * conformance.Slowness

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
