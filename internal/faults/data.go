package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"

	"github.com/sctpnet/sctpnet"
)

// An amount is what is sent in either direction.
type amount struct {
	bytes    int // on one association
	messages int // on another one, on ten streams of it
}

const streams = 10

var (
	full  = amount{bytes: 16 << 20, messages: 10_000}
	small = amount{bytes: 256 << 10, messages: 200}
)

// content returns n bytes, which differ between seeds.
func content(seed byte, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// A flow is one direction of a transfer: the bytes of a Conn, or the messages of
// its streams.
type flow struct {
	seed byte
	n    int           // bytes, or messages on all streams
	done *atomic.Int64 // of them
	at   func()        // called when a quarter has been read
}

// count adds n to what was read.
func (f *flow) count(n int) {
	quarter := int64(f.n / 4)
	if after := f.done.Add(int64(n)); after >= quarter && after-int64(n) < quarter {
		f.at()
	}
}

// writeBytes writes all bytes of the flow.
func (f *flow) writeBytes(w io.Writer) error {
	b := content(f.seed, f.n)
	for len(b) > 0 {
		n, err := w.Write(b[:min(len(b), 64<<10)])
		if err != nil {
			return fmt.Errorf("after %d bytes written: %w", f.n-len(b)+n, err)
		}
		b = b[n:]
	}
	return nil
}

// readBytes reads all bytes of the flow and compares them.
func (f *flow) readBytes(r io.Reader) error {
	want := content(f.seed, f.n)
	buf := make([]byte, 64<<10)
	for len(want) > 0 {
		n, err := r.Read(buf[:min(len(buf), len(want))])
		if !bytes.Equal(buf[:n], want[:n]) {
			return fmt.Errorf("other bytes than were written, within %d bytes after the first %d", n, f.n-len(want))
		}
		want = want[n:]
		f.count(n)
		if err != nil {
			return fmt.Errorf("after %d bytes read: %w", f.n-len(want), err)
		}
	}
	return nil
}

// message returns message i of a stream, of at most 1,000 bytes.
func message(random []byte, stream uint16, i int) []byte {
	size := 1 + (i*577+int(stream)*131)%1000
	start := (i*7919 + int(stream)*104729) % (len(random) - size)
	return random[start:][:size]
}

const randomBytes = 1 << 20

// perStream is how many messages each stream has.
func (f *flow) perStream() int { return f.n / streams }

// writeMessages writes all messages of a stream, and then its end.
func (f *flow) writeMessages(s *sctpnet.Stream, random []byte) error {
	for i := range f.perStream() {
		if _, err := s.WriteMsg(message(random, s.ID(), i), sctpnet.MsgInfo{PPID: uint32(i)}); err != nil {
			return fmt.Errorf("message %d of stream %d: %w", i, s.ID(), err)
		}
	}
	return s.CloseWrite()
}

// readMessages reads all messages of a stream, compares them, and reads its end.
func (f *flow) readMessages(s *sctpnet.Stream, random []byte) error {
	buf := make([]byte, 2000)
	for i := range f.perStream() {
		n, info, err := s.ReadMsg(buf)
		if err != nil {
			return fmt.Errorf("message %d of stream %d: %w", i, s.ID(), err)
		}
		if want := message(random, s.ID(), i); info.PPID != uint32(i) || info.More || !bytes.Equal(buf[:n], want) {
			return fmt.Errorf("message %d of stream %d: %d bytes, %+v; want %d bytes", i, s.ID(), n, info, len(want))
		}
		f.count(1)
	}
	if n, _, err := s.ReadMsg(buf); err != io.EOF {
		return fmt.Errorf("after the last message of stream %d: %d bytes, %v; want EOF", s.ID(), n, err)
	}
	return nil
}

// together runs functions at the same time. It returns the first error, and does
// not wait for the others then.
func together(fs ...func() error) error {
	errs := make(chan error, len(fs))
	for _, f := range fs {
		go func() { errs <- f() }()
	}
	for range fs {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

// exchangeBytes sends and receives the bytes of two flows at the same time.
func exchangeBytes(c net.Conn, out, in *flow) error {
	return together(
		func() error { return out.writeBytes(c) },
		func() error { return in.readBytes(c) })
}

// exchangeMessages sends and receives the messages of two flows at the same time.
func exchangeMessages(claimed []*sctpnet.Stream, out, in *flow) error {
	outBytes, inBytes := content(out.seed, randomBytes), content(in.seed, randomBytes)
	var fs []func() error
	for _, s := range claimed {
		fs = append(fs,
			func() error { return out.writeMessages(s, outBytes) },
			func() error { return in.readMessages(s, inBytes) })
	}
	return together(fs...)
}

var trailer = []byte("done")

// finish ends an association after both flows: the server sends the trailer, then the
// client shuts the association down. It returns the association's counters and MTU.
func finish(c *sctpnet.Conn, isClient bool) (s sctpnet.Stats, mtu int, err error) {
	measure := func() error {
		status, err := c.Status()
		if err != nil {
			return fmt.Errorf("at the end: %w", err)
		}
		mtu = status.Primary.MTU
		s, err = c.Stats()
		return err
	}
	if isClient {
		buf := make([]byte, len(trailer))
		if _, err := io.ReadFull(c, buf); err != nil || !bytes.Equal(buf, trailer) {
			return s, mtu, fmt.Errorf("at the end: %q, %v; want %q", buf, err, trailer)
		}
		if err := errors.Join(measure(), c.Shutdown()); err != nil {
			return s, mtu, err
		}
	} else {
		if err := measure(); err != nil {
			return s, mtu, err
		}
		if _, err := c.Write(trailer); err != nil {
			return s, mtu, fmt.Errorf("at the end: %w", err)
		}
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		return s, mtu, fmt.Errorf("after the end: %d bytes, %v; want EOF", n, err)
	}
	return s, mtu, c.Close()
}
