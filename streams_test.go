package sctpnet_test

import (
	"bytes"
	"context"
	"net"
	"testing"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"golang.org/x/net/nettest"
)

// openStream opens a stream on one side of an association and takes it on the
// other, which needs a message to know of it.
func openStream(from, to *sctpnet.Conn) (s1, s2 *sctpnet.Stream, err error) {
	if s1, err = from.OpenStream(); err != nil {
		return nil, nil, err
	}
	if s2, err = to.Stream(s1.ID()); err != nil {
		s1.Close()
		return nil, nil, err
	}
	return s1, s2, nil
}

// streamPipe returns a function that makes pairs of streams. All are of one
// association, which lives until the test ends.
func streamPipe(t *testing.T) nettest.MakePipe {
	client, server := pipe(t, "sctp4", "127.0.0.1:0")
	return func() (c1, c2 net.Conn, stop func(), err error) {
		s1, s2, err := openStream(client, server)
		if err != nil {
			return nil, nil, nil, err
		}
		return s1, s2, func() { s1.Close(); s2.Close() }, nil
	}
}

func TestStreamNettest(t *testing.T) {
	mp := streamPipe(t)
	for _, name := range []string{"one", "two", "three"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nettest.TestConn(t, mp)
		})
	}
}

func TestStreamConformance(t *testing.T) {
	conformance.TestConn(t, streamPipe(t))
}

func TestStreamBasics(t *testing.T) {
	client, server := pipe(t, "sctp4", "127.0.0.1:0")
	watchdog(t, func() {
		s, err := client.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		if s.ID() == 0 || s.ID()%2 != 0 {
			t.Errorf("the dialling side opened stream %d", s.ID())
		}
		if _, err := s.WriteMsg([]byte("hello"), sctpnet.MsgInfo{PPID: 46}); err != nil {
			t.Fatal(err)
		}
		r, err := server.AcceptStream(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		n, info, err := r.ReadMsg(buf)
		if err != nil || string(buf[:n]) != "hello" || info.PPID != 46 || info.Stream != s.ID() || r.ID() != s.ID() {
			t.Fatalf("read %q, %+v, %v", buf[:n], info, err)
		}
		// Half-close, and an answer.
		if err := s.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if n, err := r.Read(buf); err == nil {
			t.Fatalf("read %d bytes after CloseWrite", n)
		}
		if _, err := r.Write([]byte("answer")); err != nil {
			t.Fatal(err)
		}
		r.Close()
		var all bytes.Buffer
		if _, err := all.ReadFrom(s); err != nil || all.String() != "answer" {
			t.Fatalf("read %q, %v", all.String(), err)
		}
		s.Close()
	})
}
