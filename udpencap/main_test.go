package udpencap

import (
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	status := m.Run()
	if status == 0 {
		if err := leaks(); err != nil {
			fmt.Println(err)
			status = 1
		}
	}
	os.Exit(status)
}

// leaks reports goroutines that still run after all tests. Associations that
// were closed end in the background, which takes as long as it takes.
func leaks() (err error) {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if err = goleak.Find(); err == nil {
			return nil
		}
	}
	return err
}

// watchdog fails the test, with all stacks, if f does not return in time.
func watchdog(t testing.TB, f func()) {
	t.Helper()
	conformance.Watchdog(t, f)
}

// listen listens until the test ends.
func listen(t testing.TB, network, address string) *sctpnet.Listener {
	t.Helper()
	ln, err := sctpnet.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln.(*sctpnet.Listener)
}

func dial(t testing.TB, d *sctpnet.Dialer, address string) *sctpnet.Conn {
	t.Helper()
	if d == nil {
		d = &sctpnet.Dialer{}
	}
	c, err := d.Dial("sctp+udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.(*sctpnet.Conn).Abort() }) // the peer may be none that answers
	return c.(*sctpnet.Conn)
}

func accept(t testing.TB, ln net.Listener) *sctpnet.Conn {
	t.Helper()
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.(*sctpnet.Conn).Abort() }) // the peer may be none that answers
	return c.(*sctpnet.Conn)
}

// makeConns makes an association with itself.
func makeConns(t testing.TB, config sctpnet.Config) (client, server *sctpnet.Conn) {
	t.Helper()
	lc := sctpnet.ListenConfig{Config: config}
	ln, err := lc.Listen(t.Context(), "sctp+udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	client = dial(t, &sctpnet.Dialer{Config: config}, ln.Addr().String())
	return client, accept(t, ln)
}

// exchange checks that two ends still work.
func exchange(t testing.TB, c1, c2 net.Conn) {
	t.Helper()
	b := make([]byte, 10)
	for _, pair := range [][2]net.Conn{{c1, c2}, {c2, c1}} {
		if _, err := pair[0].Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if n, err := pair[1].Read(b); string(b[:n]) != "hello" || err != nil {
			t.Fatalf("read %q, %v", b[:n], err)
		}
	}
}
