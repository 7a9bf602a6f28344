package kernel

import (
	"bytes"
	"context"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/ishidawataru/sctp"
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
	if _, err := c.SyscallConn(); err != nil { // which takes nothing that its user may want
		t.Fatal(err)
	}
	if len(c.held) > 0 {
		t.Errorf("%d pieces were received for SyscallConn", len(c.held))
	}
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

// TestOtherReaders has another user of the socket receive first. It gets the peer's
// message, and not the notification that the association is up.
func TestOtherReaders(t *testing.T) {
	for name, other := range map[string]func(c engine.Conn) (syscall.RawConn, error){
		"SyscallConn": engine.Conn.SyscallConn,
		"File": func(c engine.Conn) (syscall.RawConn, error) {
			f, err := c.File()
			if err != nil {
				return nil, err
			}
			t.Cleanup(func() { f.Close() })
			return f.SyscallConn()
		},
	} {
		t.Run(name, func(t *testing.T) {
			conformance.Watchdog(t, func() {
				dialed, accepted := conns(t, engine.Options{})
				for _, ends := range [][2]engine.Conn{{dialed, accepted}, {accepted, dialed}} {
					raw, err := other(ends[0])
					if err != nil {
						t.Fatal(err)
					}
					if _, err := ends[1].Send([]byte("hello"), 0, engine.Message{}); err != nil {
						t.Fatal(err)
					}
					b := make([]byte, 100)
					var n, flags int
					var rerr error
					err = raw.Read(func(fd uintptr) bool {
						n, _, flags, _, rerr = unix.Recvmsg(int(fd), b, nil, unix.MSG_DONTWAIT)
						return rerr != unix.EAGAIN
					})
					if err != nil || rerr != nil || string(b[:n]) != "hello" || flags&sctp.MSG_NOTIFICATION != 0 {
						t.Errorf("received %q with flags %#x, %v, %v; want the message", b[:n], flags, err, rerr)
					}
				}
			})
		})
	}
}

// TestFirstReaderBesideAnother has a reader wait for the first message while another
// user gets the socket. Neither hinders the other, and the reader gets the message.
func TestFirstReaderBesideAnother(t *testing.T) {
	needSCTP(t)
	conformance.Watchdog(t, func() {
		for range 30 {
			c, s := conns(t, engine.Options{})
			read := make(chan error)
			b := make([]byte, 100)
			n := 0
			go func() {
				var err error
				n, _, err = c.Recv(b, true)
				read <- err
			}()
			if _, err := c.SyscallConn(); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Send([]byte("hello"), 0, engine.Message{}); err != nil {
				t.Fatal(err)
			}
			if err := <-read; err != nil || string(b[:n]) != "hello" {
				t.Fatalf("received %q, %v; want the message", b[:n], err)
			}
			c.Close()
			s.Close()
		}
	})
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
			o.waited = true
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
