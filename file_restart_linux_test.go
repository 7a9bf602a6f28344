package sctpnet_test

import (
	"errors"
	"io"
	"syscall"
	"testing"

	"github.com/sctpnet/sctpnet"
)

// TestRestartWithFile has a peer restart an association that File has copied. The copy
// keeps it from being aborted, but reads nothing of the new life. The new life ends
// with the copy.
func TestRestartWithFile(t *testing.T) {
	watchdog(t, func() {
		p, ln := newCrasher(t, sctpnet.ListenConfig{})
		client := p.dial(t)
		s := accept(t, ln)
		say(t, client, "old")
		f, err := s.File()
		if err != nil {
			t.Fatal(err)
		}
		c, err := sctpnet.FileConn(f)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		f.Close()
		p.crash(t, client)
		again := p.dial(t)
		say(t, again, "for nobody")
		wantLife(t, s, "old")
		if b, err := io.ReadAll(c); len(b) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the copy reads %q, %v", b, err)
		}
		say(t, again, "still for nobody")
		if b, err := io.ReadAll(c); len(b) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the copy reads %q, %v", b, err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(again); len(b) > 0 || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the new life reads %q, %v; want ECONNRESET", b, err)
		}
		again.Close() // it has the port
		exchange(t, p.dial(t), accept(t, ln))
	})
}
