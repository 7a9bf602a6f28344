//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet"
	"golang.org/x/sys/unix"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// initPacket is an SCTP packet with an INIT chunk.
func initPacket(from, to uint16) []byte {
	p := make([]byte, 12+20)
	binary.BigEndian.PutUint16(p, from)
	binary.BigEndian.PutUint16(p[2:], to)
	p[12] = 1 // INIT
	binary.BigEndian.PutUint16(p[14:], 20)
	binary.BigEndian.PutUint32(p[16:], rand.Uint32()|1) // tag
	binary.BigEndian.PutUint32(p[20:], 100_000)         // window
	binary.BigEndian.PutUint16(p[24:], 65535)           // streams
	binary.BigEndian.PutUint16(p[26:], 65535)
	binary.BigEndian.PutUint32(p[28:], rand.Uint32()) // TSN
	binary.LittleEndian.PutUint32(p[8:], crc32.Checksum(p, castagnoli))
	return p
}

// overIP puts an IPv4 header before an SCTP packet to 127.0.0.1.
func overIP(from [4]byte, p []byte) []byte {
	h := make([]byte, 20, 20+len(p))
	h[0], h[8], h[9] = 0x45, 64, unix.IPPROTO_SCTP
	binary.BigEndian.PutUint16(h[2:], uint16(20+len(p)))
	copy(h[12:], from[:])
	copy(h[16:], []byte{127, 0, 0, 1})
	return append(h, p...)
}

// inits sends INITs, as from many hosts. Nothing may be kept of them.
func inits(e *env) (string, error) {
	s, err := e.serve()
	if err != nil {
		return "", err
	}
	defer s.close()
	if err := e.probe(s.addr); err != nil {
		return "", err
	}
	port := s.Addr().(*sctpnet.Addr).Port
	send, done, err := e.rawSender(port)
	if err != nil {
		return "", err
	}
	defer done()
	before := take()
	stop := e.probes(s.addr)
	count := e.n(100_000)
	start := time.Now()
	for i := range count {
		if err := send(i, initPacket(uint16(1024+i%60_000), uint16(port))); err != nil {
			stop()
			return "", err
		}
	}
	took := time.Since(start)
	said, err := stop()
	if err != nil {
		return "", err
	}
	after := take()
	return fmt.Sprintf("%d in %v; no association is made (Go's memory grew by %s); %s",
		count, took.Round(10*time.Millisecond), kb(float64(max(0, after.heap-before.heap))), said), before.awaitReturn()
}

// rawSender returns what sends SCTP packets to a port.
func (e *env) rawSender(port int) (send func(i int, p []byte) error, done func(), err error) {
	if e.overUDP() {
		c, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		if err != nil {
			return nil, nil, err
		}
		go io.Copy(io.Discard, c) // the answers
		return func(_ int, p []byte) error {
			_, err := c.Write(p)
			return err
		}, func() { c.Close() }, nil
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return nil, nil, fmt.Errorf("no raw socket: %w", err)
	}
	return func(i int, p []byte) error {
		p = overIP([4]byte{10, 99, byte(i >> 8), byte(i)}, p)
		return unix.Sendto(fd, p, 0, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}, func() { unix.Close(fd) }, nil
}

// unaccepted has associations end in each way before they are accepted. Accept
// returns all of them, and no call of theirs hangs.
func unaccepted(e *env) (string, error) {
	counts := make(map[string]int)
	each := e.n(200)
	for _, how := range []string{"abort", "close", "data, abort", "data, close"} {
		ln, err := e.listen(sctpnet.Config{})
		if err != nil {
			return "", err
		}
		defer ln.Close()
		for range each {
			c, err := e.dial(ln.Addr().String(), sctpnet.Config{})
			if err != nil {
				return "", err
			}
			if how[0] == 'd' {
				io.WriteString(c, "hello")
			}
			if how == "close" || how == "data, close" {
				c.Close()
			} else {
				c.Abort()
			}
		}
		for {
			ln.SetDeadline(time.Now().Add(time.Second))
			c, err := ln.AcceptConn()
			if err != nil {
				break
			}
			c.SetDeadline(time.Now().Add(patience))
			b, err := io.ReadAll(c)
			var t net.Error
			switch {
			case errors.As(err, &t) && t.Timeout():
				return "", fmt.Errorf("%s: Read hangs", how)
			case err == nil && string(b) == "hello":
				counts["read all that was sent"]++
			case err == nil:
				counts["read EOF"]++
			case errors.Is(err, syscall.ECONNRESET):
				counts["read ECONNRESET"]++
			default:
				return "", fmt.Errorf("%s: %w", how, err)
			}
			c.Close()
		}
		ln.Close()
	}
	return fmt.Sprintf("of 4 × %d: %s", each, listing(counts)), nil
}

// listing lists counts.
func listing(counts map[string]int) string {
	s := ""
	for _, k := range sortedKeys(counts) {
		if s != "" {
			s += ", "
		}
		s += fmt.Sprintf("%d %s", counts[k], k)
	}
	return s
}

// everyStream has a peer ask for all streams that there can be, and begin each one
// that it gets. Those that too many wait for are reset.
func everyStream(e *env) (string, error) {
	s, err := e.serve()
	if err != nil {
		return "", err
	}
	defer s.close()
	ln, err := e.listen(sctpnet.Config{})
	if err != nil {
		return "", err
	}
	defer ln.Close()
	c, err := e.dial(ln.Addr().String(), sctpnet.Config{OutStreams: 65535, MaxInStreams: 65535})
	if err != nil {
		return "", err
	}
	defer c.Abort()
	a, err := ln.AcceptConn()
	if err != nil {
		return "", err
	}
	defer a.Abort()
	out, in := c.NumStreams()
	if out != 256 || in != 256 {
		return "", fmt.Errorf("%d and %d streams were granted", out, in)
	}
	ctx, cancel := timeout(time.Millisecond)
	a.AcceptStream(ctx) // from now on streams are accepted
	cancel()
	if err := exchange(c, a); err != nil { // after which an association has all its goroutines
		return "", err
	}
	before := take()
	for id := uint16(1); id < out; id++ {
		if _, err := c.WriteStream([]byte("x"), id); err != nil {
			return "", err
		}
	}
	if err := exchange(c, a); err != nil {
		return "", err
	}
	after := take()
	for deadline := time.Now().Add(patience); after.goroutines > before.goroutines+1; after = take() {
		if time.Now().After(deadline) {
			return "", fmt.Errorf("%d goroutines more", after.goroutines-before.goroutines)
		}
		time.Sleep(10 * time.Millisecond) // those of timers come and go
	}
	if err := e.probe(s.addr); err != nil {
		return "", err
	}
	accepted := 0
	for {
		ctx, cancel := timeout(500 * time.Millisecond)
		st, err := a.AcceptStream(ctx)
		cancel()
		if err != nil {
			break
		}
		accepted++
		st.Close()
	}
	if accepted != 128 {
		return "", fmt.Errorf("%d streams could be accepted", accepted)
	}
	return fmt.Sprintf("of 65,535 that it asks for the peer gets 256; 128 wait to be accepted, the others are reset; that takes %s, and no goroutine", kb(float64(max(0, after.heap-before.heap)))), nil
}

// oneByte sends messages of one byte to an end that does not read, until that holds
// the sender back; and then reads all of them.
func oneByte(e *env) (string, error) {
	said := ""
	for _, onStream := range []bool{false, true} {
		c, s, err := e.pair(sctpnet.Config{}, sctpnet.Config{})
		if err != nil {
			return "", err
		}
		defer c.Abort()
		defer s.Abort()
		var from, to net.Conn = c, s
		what := "a Conn"
		if onStream {
			what = "a Stream"
			if to, err = s.Stream(2); err != nil {
				return "", err
			}
			if from, err = c.Stream(2); err != nil {
				return "", err
			}
		}
		before, beforeKernel := take(), kernelMemory()
		n := 0
		b := []byte{1}
		for {
			from.SetWriteDeadline(time.Now().Add(2 * time.Second))
			if _, err := from.Write(b); err != nil {
				var t net.Error
				if !errors.As(err, &t) || !t.Timeout() {
					return "", err
				}
				break
			}
			n++
		}
		heap, system := take().heap-before.heap, kernelMemory()-beforeKernel
		if heap > 16<<20 {
			return "", fmt.Errorf("%s: %d messages take %s", what, n, kb(float64(heap)))
		}
		got := 0
		buf := make([]byte, 64<<10)
		for got < n {
			to.SetReadDeadline(time.Now().Add(patience))
			k, err := to.Read(buf)
			if got += k; err != nil {
				return "", fmt.Errorf("%s: %d of %d messages were read: %w", what, got, n, err)
			}
		}
		from.SetWriteDeadline(time.Time{})
		if err := exchange(from, to); err != nil {
			return "", err
		}
		if said != "" {
			said += "; "
		}
		said += fmt.Sprintf("%s that is not read holds the peer back after %d: in Go %s at both ends, in the kernel %s", what, n, kb(float64(max(0, heap))), kb(float64(max(0, system))))
	}
	return said + "; then all are read", nil
}
