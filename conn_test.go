package sctpnet_test

import (
	"bytes"
	"errors"
	"io"
	"syscall"
	"testing"
	"time"
)

// TestSmallWriteBuffer has a Write meet a send buffer that holds no message of
// the usual size.
func TestSmallWriteBuffer(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		c, s := pipe(t, network, "127.0.0.1:0")
		if err := c.SetWriteBuffer(1); err != nil {
			t.Fatal(err)
		}
		if n := c.MaxMessageSize(); n > 64<<10 {
			t.Fatalf("the send buffer holds a message of %d bytes, want few", n)
		}
		want := bytes.Repeat([]byte("0123456789"), 20_000)
		watchdog(t, func() {
			written := make(chan error, 1)
			go func() {
				n, err := c.Write(want)
				if err == nil && n != len(want) {
					err = io.ErrShortWrite
				}
				written <- errors.Join(err, c.Close())
			}()
			got, err := io.ReadAll(s)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("read %d bytes, %v; want %d", len(got), err, len(want))
			}
			if err := <-written; err != nil {
				t.Error(err)
			}
		})
	})
}

func TestSetLinger(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		t.Run("0", func(t *testing.T) {
			c, s := pipe(t, network, "127.0.0.1:0")
			if err := errors.Join(c.SetLinger(0), c.Close()); err != nil {
				t.Fatal(err)
			}
			watchdog(t, func() {
				if _, err := s.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("the peer's Read: %v, want ECONNRESET", err)
				}
			})
		})
		t.Run("1", func(t *testing.T) {
			watchdog(t, func() {
				// A signal of the runtime's ends the wait, but not every time.
				for range 10 {
					c, _ := smallPipe(t, network)
					c.SetLinger(1)
					fillWindow(t, c) // and more than the peer takes unread
					start := time.Now()
					c.Close()
					took := time.Since(start)
					if took > time.Second+atOnce {
						t.Errorf("Close took %v, want 1 s", took)
					}
					if took > 900*time.Millisecond {
						return
					}
				}
				t.Error("Close never took 1 s")
			})
		})
	})
}
