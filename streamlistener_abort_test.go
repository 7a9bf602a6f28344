package sctpnet_test

import (
	"errors"
	"io"
	"syscall"
	"testing"
)

// TestAbortOfServedConn aborts associations that a StreamListener serves, and closes
// them when it learns of their end. Abort decides how they end.
func TestAbortOfServedConn(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		ln, address := streamServer(t, network)
		watchdog(t, func() {
			for range 100 {
				c := dial(t, nil, network, address)
				exchange(t, c, c)
				if err := (<-ln.conns).Abort(); err != nil {
					t.Error(err)
				}
				if b, err := io.ReadAll(c); len(b) > 0 || !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("read %q, %v; want ECONNRESET", b, err)
				}
				c.Close()
			}
		})
	})
}
