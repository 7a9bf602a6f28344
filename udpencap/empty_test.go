package udpencap

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
)

// TestEmptyReadAndWrite reads into nothing and writes nothing. As package net has
// it, that Read is never late and meets no end but Close; that Write fails where
// any other does.
func TestEmptyReadAndWrite(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	tc, err := net.Dial("tcp4", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer tc.Close()
	ts, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c, s := makeConns(t, sctpnet.Config{})
	for name, pair := range map[string][2]net.Conn{"TCP": {tc, ts}, "SCTP over UDP": {c, s}} {
		t.Run(name, func(t *testing.T) {
			watchdog(t, func() { testEmpty(t, pair[0], pair[1]) })
		})
	}
}

func testEmpty(t *testing.T, c, s net.Conn) {
	type call struct {
		name string
		f    func() (int, error)
	}
	reads := []call{{"Read", func() (int, error) { return c.Read(nil) }}}
	writes := []call{{"Write", func() (int, error) { return c.Write(nil) }}}
	if c, ok := c.(*sctpnet.Conn); ok {
		reads = append(reads,
			call{"ReadStream", func() (n int, err error) { n, _, err = c.ReadStream(nil); return n, err }},
			call{"ReadMsg", func() (n int, err error) { n, _, err = c.ReadMsg(nil); return n, err }})
	}
	check := func(when string, calls []call, want error) {
		t.Helper()
		for _, k := range calls {
			if n, err := k.f(); n != 0 || !errors.Is(err, want) {
				t.Errorf("%s %s: %d, %v; want %v", k.name, when, n, err, want)
			}
		}
	}
	check("with nothing to read", reads, nil)
	check("with nothing to read", writes, nil)
	c.SetDeadline(time.Now().Add(-time.Second))
	check("after the deadline", reads, nil)
	check("after the deadline", writes, os.ErrDeadlineExceeded)
	c.SetDeadline(time.Time{})
	if _, err := s.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	check("before a byte", reads, nil)
	if n, err := c.Read(make([]byte, 2)); n != 1 || err != nil {
		t.Fatalf("Read after empty ones: %d, %v", n, err)
	}
	if a, ok := s.(*sctpnet.Conn); ok {
		a.Abort()
	} else {
		s.(*net.TCPConn).SetLinger(0)
		s.Close()
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("Read after the peer has reset the connection: %v", err)
	}
	check("after a reset", reads, nil)
	for _, w := range writes {
		if _, err := w.f(); err == nil {
			t.Errorf("%s after a reset does not fail", w.name)
		}
	}
	c.Close()
	check("after Close", reads, net.ErrClosed)
	check("after Close", writes, net.ErrClosed)
}
