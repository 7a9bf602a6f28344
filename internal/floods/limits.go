//go:build linux

package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet"
	"golang.org/x/sys/unix"
)

// backlog dials until the backlog of a listener is full.
func backlog(e *env) (string, error) {
	s, err := e.serve()
	if err != nil {
		return "", err
	}
	defer s.close()
	const most = 128
	restore, err := setSysctl("net.core.somaxconn", strconv.Itoa(most))
	if err != nil {
		return "", err
	}
	defer restore()
	moreFiles()
	ln, err := e.listen(sctpnet.Config{})
	if err != nil {
		return "", err
	}
	defer ln.Close()
	var dialed []*sctpnet.Conn
	defer func() {
		for _, c := range dialed {
			c.Abort()
		}
	}()
	start := time.Now()
	for len(dialed) < most+10 {
		start = time.Now()
		var c *sctpnet.Conn
		if c, err = e.dial(ln.Addr().String(), sctpnet.Config{}); err != nil {
			break
		}
		dialed = append(dialed, c)
	}
	took := time.Since(start)
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return "", fmt.Errorf("after %d associations the dial's error is %v", len(dialed), err)
	}
	if err := e.probe(s.addr); err != nil {
		return "", err
	}
	for range dialed {
		ln.SetDeadline(time.Now().Add(patience))
		c, err := ln.AcceptConn()
		if err != nil {
			return "", err
		}
		defer c.Abort()
	}
	c, err := e.dial(ln.Addr().String(), sctpnet.Config{})
	if err != nil {
		return "", fmt.Errorf("after all were accepted: %w", err)
	}
	dialed = append(dialed, c)
	return fmt.Sprintf("after %d associations that wait (`net.core.somaxconn`) a dial fails with ECONNREFUSED, in %v; other listeners go on, and this one when some are accepted",
		len(dialed)-1, took.Round(100*time.Microsecond)), nil
}

// descriptors leaves a server no descriptors.
func descriptors(e *env) (string, error) {
	s, err := e.serve()
	if err != nil {
		return "", err
	}
	defer s.close()
	if err := e.probe(s.addr); err != nil {
		return "", err
	}
	// What the others have as well: an association with itself goes on.
	c, a, err := e.pair(sctpnet.Config{}, sctpnet.Config{})
	if err != nil {
		return "", err
	}
	defer c.Abort()
	defer a.Abort()
	ln, err := e.listen(sctpnet.Config{})
	if err != nil {
		return "", err
	}
	defer ln.Close()
	peer, _, err := e.startChild("dial", ln.Addr().String(), "1", "0")
	if err != nil {
		return "", err
	}
	defer peer.end()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		return "", err
	}
	low := old
	low.Cur = 0
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		return "", err
	}
	ln.SetDeadline(time.Now().Add(patience))
	accepted, acceptErr := ln.AcceptConn()
	dialed, dialErr := e.dial(s.addr, sctpnet.Config{})
	exchangeErr := exchange(c, a)
	unix.Setrlimit(unix.RLIMIT_NOFILE, &old)
	if exchangeErr != nil {
		return "", fmt.Errorf("an association that there was: %w", exchangeErr)
	}
	if accepted == nil {
		var t interface{ Temporary() bool }
		if !errors.Is(acceptErr, syscall.EMFILE) || !errors.As(acceptErr, &t) || !t.Temporary() {
			return "", fmt.Errorf("accept: %v", acceptErr)
		}
		ln.SetDeadline(time.Now().Add(patience))
		if accepted, err = ln.AcceptConn(); err != nil {
			return "", fmt.Errorf("accept with descriptors again: %w", err)
		}
	}
	accepted.Abort()
	if dialed != nil {
		dialed.Abort()
	} else if !errors.Is(dialErr, syscall.EMFILE) {
		return "", fmt.Errorf("dial: %v", dialErr)
	}
	if err := e.probe(s.addr); err != nil {
		return "", err
	}
	if e.overUDP() {
		if acceptErr != nil {
			return "", fmt.Errorf("accept: %w", acceptErr)
		}
		return "Accept and associations need none, as all share a socket; Dial, which looks for a route by one, fails with EMFILE", nil
	}
	return "Dial fails with EMFILE, Accept with an EMFILE that is temporary; associations go on, and the one that was not accepted is, when there are descriptors again", nil
}

// ports leaves no local port to dial from.
func ports(e *env) (string, error) {
	s, err := e.serve()
	if err != nil {
		return "", err
	}
	defer s.close()
	restore, err := setSysctl("net.ipv4.ip_local_port_range", "40000 40009")
	if err != nil {
		return "", err
	}
	defer restore()
	var dialed []*sctpnet.Conn
	defer func() {
		for _, c := range dialed {
			c.Abort()
		}
	}()
	for len(dialed) < 20 {
		var c *sctpnet.Conn
		if c, err = e.dial(s.addr, sctpnet.Config{}); err != nil {
			break
		}
		dialed = append(dialed, c)
	}
	n := len(dialed)
	var t net.Error
	if !errors.Is(err, syscall.EADDRNOTAVAIL) || errors.As(err, &t) && t.Timeout() {
		return "", fmt.Errorf("after %d associations: %v", n, err)
	}
	dialed[n-1].Abort()
	dialed = dialed[:n-1]
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if err = e.probe(s.addr); err == nil {
			break
		}
		if time.Now().After(deadline) {
			return "", err
		}
	}
	return fmt.Sprintf("with %d ports Dial fails with EADDRNOTAVAIL after %d associations, at once, and succeeds when one is closed", 10, n), nil
}

// memory leaves SCTP no memory, by the limit of all sockets together.
func memory(e *env) (string, error) {
	var from, to []*sctpnet.Conn
	defer abortAll(&from, &to)
	if err := e.pairs(sctpnet.Config{}, &from, &to); err != nil {
		return "", err
	}
	said, err := e.starve(from, to, "net.sctp.sctp_mem", "64 64 64")
	return "all associations together have 256 KB: " + said, err
}

// buffers leaves each socket the least memory.
func buffers(e *env) (string, error) {
	for _, name := range []string{"net.sctp.sctp_rmem", "net.sctp.sctp_wmem"} {
		restore, err := setSysctl(name, "4096 4096 4096")
		if err != nil {
			return "", err
		}
		defer restore()
	}
	var from, to []*sctpnet.Conn
	defer abortAll(&from, &to)
	if err := e.pairs(sctpnet.Config{KernelDefaults: true}, &from, &to); err != nil {
		return "", err
	}
	said, err := e.starve(from, to, "", "")
	return "each socket has the least, 4 KB each way: " + said, err
}

func (e *env) pairs(config sctpnet.Config, from, to *[]*sctpnet.Conn) error {
	for range 8 {
		c, s, err := e.pair(config, config)
		if err != nil {
			return err
		}
		*from, *to = append(*from, c), append(*to, s)
	}
	return nil
}

func abortAll(conns ...*[]*sctpnet.Conn) {
	for _, conns := range conns {
		for _, c := range *conns {
			c.Abort()
		}
	}
}

// starve has associations send to others that do not read, perhaps with a limit to
// memory. Then that is lifted, and all is read.
func (e *env) starve(from, to []*sctpnet.Conn, limit, value string) (string, error) {
	const size = 1 << 20
	restore := func() {}
	if limit != "" {
		r, err := setSysctl(limit, value)
		if err != nil {
			return "", err
		}
		restore = sync.OnceFunc(r)
		defer restore()
	}
	var total atomic.Int64
	written := make(chan error, len(from))
	for _, c := range from {
		go func() {
			b := make([]byte, 16<<10)
			for range size / len(b) {
				n, err := c.Write(b)
				total.Add(int64(n))
				if err != nil {
					written <- err
					return
				}
			}
			written <- nil
		}()
	}
	// Until all of them wait.
	for last := int64(-1); total.Load() != last; time.Sleep(time.Second) {
		last = total.Load()
	}
	held := total.Load()
	if held >= int64(len(from)*size) {
		return "", errors.New("nobody is held back")
	}
	dial := "a dial succeeds"
	c, s, err := e.pair(sctpnet.Config{}, sctpnet.Config{})
	if err != nil {
		dial = "a dial fails with" + errno(err)
	} else {
		c.Abort()
		s.Abort()
	}
	restore()
	read := make(chan error, len(to))
	for _, s := range to {
		go func() {
			b := make([]byte, 64<<10)
			for got := 0; got < size; {
				s.SetReadDeadline(time.Now().Add(time.Minute))
				n, err := s.Read(b)
				if got += n; err != nil {
					read <- fmt.Errorf("%d of %d bytes: %w", got, size, err)
					return
				}
			}
			read <- nil
		}()
	}
	for range from {
		if err := <-read; err != nil {
			return "", err
		}
		if err := <-written; err != nil {
			return "", err
		}
	}
	for i := range from {
		if err := exchange(from[i], to[i]); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d writers to peers that do not read wait after %s in all; %s; when the peers read%s, all goes on and nothing is lost",
		len(from), kb(float64(held)), dial, map[bool]string{true: " and there is memory again"}[limit != ""]), nil
}
