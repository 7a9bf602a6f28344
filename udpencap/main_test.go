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
	conformance.Watchdog(t, 30*time.Second*conformance.Slowness, f)
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
	t.Cleanup(func() { c.Close() })
	return c.(*sctpnet.Conn)
}

func accept(t testing.TB, ln net.Listener) *sctpnet.Conn {
	t.Helper()
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*sctpnet.Conn)
}

// pipe makes an association with itself.
func makeConns(t testing.TB) (client, server *sctpnet.Conn) {
	t.Helper()
	ln := listen(t, "sctp+udp", "127.0.0.1:0")
	client = dial(t, nil, ln.Addr().String())
	return client, accept(t, ln)
}
