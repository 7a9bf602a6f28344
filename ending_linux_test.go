package sctpnet_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// TestAcceptEnding accepts associations that the peer has begun to shut down.
// Their sockets do not become readable when they end. Whoever waits for
// something to read must be woken all the same.
func TestAcceptEnding(t *testing.T) {
	ignore := func(*sctpnet.Conn, sctpnet.Event) {}
	for _, tt := range []struct {
		name   string
		config sctpnet.Config
		wait   func(*sctpnet.Conn) error
	}{
		{"Read", sctpnet.Config{}, func(c *sctpnet.Conn) error {
			_, err := c.Read(make([]byte, 10))
			return err
		}},
		{"ReadMsg", sctpnet.Config{}, func(c *sctpnet.Conn) error {
			_, _, err := c.ReadMsg(make([]byte, 10))
			return err
		}},
		{"Read with events", sctpnet.Config{OnEvent: ignore}, func(c *sctpnet.Conn) error {
			_, err := c.Read(make([]byte, 10))
			return err
		}},
		{"Stream.Read", sctpnet.Config{}, func(c *sctpnet.Conn) error {
			s, err := c.Stream(3)
			if err != nil {
				return err
			}
			_, err = s.Read(make([]byte, 10))
			return err
		}},
		{"AcceptStream", sctpnet.Config{}, func(c *sctpnet.Conn) error {
			_, err := c.AcceptStream(context.Background())
			return err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := newLinks(t)
			ln := b.listen(t, sctpnet.ListenConfig{Config: tt.config}, "10.77.1.2:0")
			client := a.dial(t, sctpnet.Dialer{}, ln.Addr().String())
			b.awaitState(t, port(ln.Addr()), "3") // ESTABLISHED
			b.tc(t, "add dev link1 root netem loss 100%")
			if err := client.Shutdown(); err != nil {
				t.Fatal(err)
			}
			b.awaitState(t, port(ln.Addr()), "7") // SHUTDOWN ACK SENT
			server := accept(t, ln)
			waiting := conformance.Start(t, func() (int, error) { return 0, tt.wait(server) })
			waiting.Waits()
			b.tc(t, "del dev link1 root")
			watchdog(t, func() {
				if _, err := waiting.Result(); !isEOF(err) {
					t.Errorf("the wait ended by %v, want the end of the association", err)
				}
			})
		})
	}
}

func isEOF(err error) bool { return err != nil && strings.HasSuffix(err.Error(), io.EOF.Error()) }

// tc runs tc qdisc in the network.
func (ns *netns) tc(t testing.TB, args string) {
	t.Helper()
	ns.do(t, func() error { return run("tc", append([]string{"qdisc"}, strings.Fields(args)...)...) })
}

// awaitState waits until an association with a local port has a state, by its
// number in /proc/net/sctp/assocs.
func (ns *netns) awaitState(t testing.TB, port int, want string) {
	t.Helper()
	ns.do(t, func() error {
		var state string
		for deadline := time.Now().Add(10 * time.Second * conformance.Slowness); time.Now().Before(deadline); time.Sleep(ms) {
			b, err := os.ReadFile("/proc/thread-self/net/sctp/assocs")
			if err != nil {
				return err
			}
			for line := range strings.Lines(string(b)) {
				const stateColumn, local = 4, 11
				if f := strings.Fields(line); len(f) > local && f[local] == strconv.Itoa(port) {
					state = f[stateColumn]
				}
			}
			if state == want {
				return nil
			}
		}
		return fmt.Errorf("the association is in state %q, want %q", state, want)
	})
}

// TestReadAfterCopyShutdown shuts an association down by a copy of its Conn.
func TestReadAfterCopyShutdown(t *testing.T) {
	c, s := pipe(t, "sctp4", "127.0.0.1:0")
	f, err := c.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	copied, err := sctpnet.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Close()
	if err := copied.(*sctpnet.Conn).Shutdown(); err != nil {
		t.Fatal(err)
	}
	watchdog(t, func() {
		if _, err := s.Read(make([]byte, 10)); err != io.EOF {
			t.Fatalf("the peer's Read: %v, want EOF", err)
		}
		for alive(t, port(c.LocalAddr())) {
			time.Sleep(ms)
		}
		for what, c := range map[string]net.Conn{"original": c, "copy": copied} {
			if _, err := c.Read(make([]byte, 10)); err != io.EOF {
				t.Errorf("%s: %v, want EOF", what, err)
			}
		}
	})
}
