package sctpnet_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"golang.org/x/sys/unix"
)

// TestWriteFillsBuffer writes to a peer that does not read. What waits must wait
// for room in the send buffer and for nothing else.
func TestWriteFillsBuffer(t *testing.T) {
	for _, size := range []int{1000, 8 << 10, 60_000} {
		const buffer = 400_000
		ln := listenWith(t, sctpnet.Config{ReadBuffer: buffer})
		c := dial(t, &sctpnet.Dialer{Config: sctpnet.Config{WriteBuffer: buffer}}, "sctp4", ln.Addr().String())
		accept(t, ln)
		var err error
		for sent := 1; ; sent++ {
			by := time.Now().Add(time.Second * conformance.Slowness)
			c.SetWriteDeadline(by)
			if _, err = c.WriteMsg(make([]byte, size), sctpnet.MsgInfo{Stream: 1}); err != nil {
				break
			}
			if time.Now().After(by) {
				t.Errorf("messages of %d bytes: number %d was sent, and WriteMsg waited all the same", size, sent)
			}
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		if hasRoom(t, c) {
			t.Errorf("messages of %d bytes: WriteMsg waits though there is room", size)
		}
	}
}

// listenWith listens with a Config.
func listenWith(t testing.TB, config sctpnet.Config) *sctpnet.Listener {
	t.Helper()
	needSCTP(t)
	ln, err := (&sctpnet.ListenConfig{Config: config}).Listen(t.Context(), "sctp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln.(*sctpnet.Listener)
}

// hasRoom reports whether the system has room for another message.
func hasRoom(t testing.TB, c *sctpnet.Conn) bool {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	p := []unix.PollFd{{Events: unix.POLLOUT}}
	err = raw.Control(func(fd uintptr) {
		p[0].Fd = int32(fd)
		if _, err := unix.Poll(p, 0); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return p[0].Revents&unix.POLLOUT != 0
}
