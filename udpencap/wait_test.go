package udpencap

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// TestWait waits for associations that were closed until the peers have all that was
// written.
func TestWait(t *testing.T) {
	const size = 1 << 20
	client, server := makeConns(t, sctpnet.Config{ReadBuffer: 64 << 10})
	watchdog(t, func() {
		if _, err := client.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		if err := client.Close(); err != nil {
			t.Fatal(err)
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if err := Wait(over); !errors.Is(err, context.Canceled) {
			t.Errorf("Wait returned %v while nobody reads", err)
		}
		wait := conformance.Start(t, func() (int, error) { return 0, Wait(t.Context()) })
		wait.Waits()
		if b, err := io.ReadAll(server); len(b) != size || err != nil {
			t.Errorf("read %d bytes, %v", len(b), err)
		}
		server.Close()
		if _, err := wait.Result(); err != nil {
			t.Error(err)
		}
		if err := Wait(over); err != nil {
			t.Errorf("Wait returned %v when there was nothing to wait for", err)
		}
	})
}
