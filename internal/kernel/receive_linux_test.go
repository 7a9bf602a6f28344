package kernel

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet/internal/conformance"
	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// TestDataFirst has the peer's data arrive without the notification that an association
// is up, as if the system had none. It is read all the same.
func TestDataFirst(t *testing.T) {
	needSCTP(t)
	conformance.Watchdog(t, func() { testFirst(t, bytes.Repeat([]byte("data"), 100)) })
}

// TestEndFirst has the peer shut down, and nothing arrive before.
func TestEndFirst(t *testing.T) {
	needSCTP(t)
	conformance.Watchdog(t, func() { testFirst(t, nil) })
}

// testFirst has the peer send data, if there is some, and end the association. Both have
// arrived when the conn is made.
func testFirst(t *testing.T, sent []byte) {
	lo := &engine.Addr{IPAddrs: []net.IPAddr{{IP: net.IP{127, 0, 0, 1}}}}
	ln, err := kernelEngine{}.Listen(t.Context(), &engine.Socket{Network: "sctp", Local: lo})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dialed := &engine.Socket{Network: "sctp"}
	sk, err := newSocket(t.Context(), dialed, unix.SOCK_STREAM, unix.AF_INET, false, ln.Addr())
	if err != nil {
		t.Fatal(err)
	}
	err = sk.control(func(fd int) error { return optEvent.set(fd, event{Type: eventAssocChange}) })
	if err != nil {
		t.Fatal(err)
	}
	from := origin{remote: ln.Addr()}
	if from.status, err = sk.connect(t.Context(), nil, ln.Addr(), 0); err != nil {
		t.Fatal(err)
	}
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if _, err := server.Send(sent, 0, engine.Message{}); err != nil {
		t.Fatal(err)
	}
	server.Close()
	err = sk.raw.Read(func(fd uintptr) bool {
		_, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return err == nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := newConn(sk, from)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got := make([]byte, 1000)
	if len(sent) > 0 {
		n, m, err := c.Recv(got, true)
		if err != nil || m.More || !bytes.Equal(got[:n], sent) {
			t.Errorf("received %d bytes, more: %v, %v; want the %d that were sent", n, m.More, err, len(sent))
		}
	}
	if n, m, err := c.Recv(got, false); n != 0 || err != io.EOF {
		t.Errorf("received %d bytes, %+v, %v; want EOF", n, m, err)
	}
}

// TestReadAroundClose has the poller wake a reader for nothing, again and again, while
// the peer closes. The association may then end after the reader has found nothing to
// receive, and before it asks whether there is an association. The end is no failure.
func TestReadAroundClose(t *testing.T) {
	needSCTP(t)
	conformance.Watchdog(t, func() {
		lo := &engine.Addr{IPAddrs: []net.IPAddr{{IP: net.IP{127, 0, 0, 1}}}}
		ln, err := kernelEngine{}.Listen(t.Context(), &engine.Socket{Network: "sctp", Local: lo})
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		for range 300 {
			client, err := kernelEngine{}.Dial(context.Background(), &engine.Socket{Network: "sctp"}, ln.Addr())
			if err != nil {
				t.Fatal(err)
			}
			server, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(time.Millisecond, func() { client.Close() })
			c := server.(*conn)
			o := newOp(c, false, make([]byte, 1))
			o.wait = true
			for done := false; !done; {
				c.raw.Control(func(fd uintptr) { done = o.doRecv(fd) })
			}
			if o.err != io.EOF {
				t.Errorf("read: %v; want EOF", o.err)
			}
			o.done()
			c.Close()
		}
	})
}
