package sctpnet_test

import (
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet"
	"golang.org/x/sys/unix"
)

// withoutReconfig makes a socket one of a peer that cannot reset streams.
func withoutReconfig(_, _ string, raw syscall.RawConn) (err error) {
	const reconfigSupported = 117 // SCTP_RECONFIG_SUPPORTED
	cerr := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptString(int(fd), sctp.SOL_SCTP, reconfigSupported, string(make([]byte, 8)))
	})
	return errors.Join(cerr, err)
}

// TestStreamDialerNoReset dials a server that serves streams and cannot reset
// them.
func TestStreamDialerNoReset(t *testing.T) {
	needSCTP(t)
	lc := sctpnet.ListenConfig{Control: withoutReconfig}
	ln, err := lc.Listen(t.Context(), "sctp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sl := sctpnet.NewStreamListener(ln)
	defer sl.Close()
	go func() {
		for {
			c, err := sl.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b := make([]byte, 5)
				io.ReadFull(c, b)
				c.Write(b)
			}()
		}
	}()
	watchdog(t, func() {
		d := closing(t, &sctpnet.StreamDialer{})
		_, err := d.Dial("sctp4", ln.Addr().String())
		wantError(t, "Dial", err, errors.ErrUnsupported)
		if !strings.Contains(err.Error(), "cannot reset") {
			t.Errorf("Dial: %v, want the reason", err)
		}
		any := closing(t, &sctpnet.StreamDialer{AnyPeer: true})
		for range 5 {
			c, err := any.Dial("sctp4", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			echoed(t, c)
			c.Close()
		}
	})
}

// TestNoResetPeerOfStreamListener has a peer that cannot reset streams use the
// association as a connection: it reads EOF.
func TestNoResetPeerOfStreamListener(t *testing.T) {
	needSCTP(t)
	address, _ := streamsOf(t, "sctp4", sctpnet.Config{}, func(s *sctpnet.Stream) {
		io.ReadFull(s, make([]byte, 5))
		io.WriteString(s, "answer")
	})
	watchdog(t, func() {
		d := &sctpnet.Dialer{Control: withoutReconfig}
		c := dial(t, d, "sctp4", address)
		write(t, c, "hello")
		b, err := io.ReadAll(c)
		if string(b) != "answer" || err != nil {
			t.Errorf("read %q, %v", b, err)
		}
		// Another stream is open when stream 0 is closed: it goes on.
		c = dial(t, d, "sctp4", address)
		if _, err := c.WriteStream([]byte("hel"), 5); err != nil {
			t.Fatal(err)
		}
		write(t, c, "hello")
		wantBytes(t, c, []byte("answer"))
		if _, err := c.WriteStream([]byte("lo"), 5); err != nil {
			t.Fatal(err)
		}
		b, err = io.ReadAll(c)
		if string(b) != "answer" || err != nil {
			t.Errorf("read %q, %v", b, err)
		}
	})
}
