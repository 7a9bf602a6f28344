package sctpnet_test

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet/internal/conformance"
)

// TestWriteWithoutMemory writes while all SCTP sockets together have no memory left.
// The Write waits, has its deadline, and goes on when there is memory, although
// nothing that the socket has sent is acknowledged then.
func TestWriteWithoutMemory(t *testing.T) {
	needSCTP(t)
	const file = "/proc/sys/net/sctp/sctp_mem"
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can set net.sctp.sctp_mem")
	}
	restore := func() {
		if err := os.WriteFile(file, old, 0); err != nil {
			t.Error(err)
		}
	}
	c, s := pipe(t, "sctp", "127.0.0.1:0")
	defer restore()
	if err := os.WriteFile(file, []byte("0 0 0"), 0); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 16<<10)
	sent := 0
	for err == nil {
		c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		var n int
		n, err = c.Write(b)
		if sent += n; sent > 64<<20 {
			t.Fatal("no Write waits")
		}
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("Write without memory: %v; want that it waits until its deadline", err)
	}
	c.SetWriteDeadline(time.Time{})
	writing := conformance.Start(t, func() (int, error) { return c.Write(b) })
	writing.Waits()
	restore()
	watchdog(t, func() {
		if _, err := io.ReadFull(s, make([]byte, sent+len(b))); err != nil {
			t.Errorf("Read with memory again: %v", err)
		}
		if _, err := writing.Result(); err != nil {
			t.Errorf("Write with memory again: %v", err)
		}
	})
}
