package sctpnet_test

import (
	"errors"
	"net"
	"testing"

	"github.com/sctpnet/sctpnet/internal/conformance"
	"golang.org/x/sys/unix"
)

// TestRawWaitsDuringClaim claims a stream while Read and Write of a SyscallConn
// wait. Both go on: Read until Close, as what arrives is read for the streams.
func TestRawWaitsDuringClaim(t *testing.T) {
	c, s := pipe(t, "sctp4", "127.0.0.1:0")
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	message := make([]byte, 32<<10)
	reading := conformance.Start(t, func() (int, error) {
		return 0, raw.Read(func(fd uintptr) bool {
			_, _, err := unix.Recvfrom(int(fd), make([]byte, 10), unix.MSG_DONTWAIT)
			return err != unix.EAGAIN
		})
	})
	writing := conformance.Start(t, func() (int, error) {
		return 0, raw.Write(func(fd uintptr) bool {
			for {
				switch err := unix.Sendto(int(fd), message, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, nil); err {
				case nil:
				case unix.EAGAIN:
					return false
				default:
					return true
				}
				select {
				case <-t.Context().Done():
					return true
				default:
				}
			}
		})
	})
	reading.Waits()
	writing.Waits()
	stream, err := c.Stream(3)
	if err != nil {
		t.Fatal(err)
	}
	reading.Waits()
	writing.Waits()
	if _, err := s.WriteStream([]byte("hello"), 3); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, stream, []byte("hello"))
	reading.Waits()
	later := conformance.Start(t, func() (int, error) {
		return 0, raw.Read(func(uintptr) bool { return true })
	})
	later.Waits()
	c.Close()
	watchdog(t, func() {
		for what, call := range map[string]*conformance.Call{"Read": reading, "later Read": later, "Write": writing} {
			_, err := call.Result()
			var e *net.OpError
			if !errors.Is(err, net.ErrClosed) || !errors.As(err, &e) {
				t.Errorf("%s ended by %v, want net.ErrClosed", what, err)
			}
		}
	})
}
