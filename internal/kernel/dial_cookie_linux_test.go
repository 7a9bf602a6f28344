package kernel

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"
)

// TestPatientDialLeavesNoDeadline has a handshake succeed, or go on, when the
// patience of the dial has just ended. The deadline that interrupts the wait must
// not stay: it would fail the first Write of the Conn.
func TestPatientDialLeavesNoDeadline(t *testing.T) {
	for name, interrupted := range map[string]error{
		"succeeds": nil,
		"goes on":  os.ErrDeadlineExceeded,
	} {
		t.Run(name, func(t *testing.T) {
			sk, _ := adoptedPipe(t)
			isWritable := func() error { return sk.raw.Write(func(uintptr) bool { return true }) }
			// This wait returns only when patience has ended.
			first := true
			wait := func() error {
				if !first {
					return nil
				}
				first = false
				for deadline := time.Now().Add(10 * time.Second); !errors.Is(isWritable(), os.ErrDeadlineExceeded); time.Sleep(time.Millisecond) {
					if time.Now().After(deadline) {
						return errors.New("patience does not end")
					}
				}
				return interrupted
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if err := sk.waitPatiently(ctx, wait, 20*time.Millisecond); err != nil {
				t.Fatalf("the dial failed: %v", err)
			}
			if err := isWritable(); err != nil {
				t.Errorf("a Write after the dial: %v", err)
			}
		})
	}
}
