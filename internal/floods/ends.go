//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/sctpnet/sctpnet"
)

// listen listens on the loopback interface.
func (e *env) listen(c sctpnet.Config) (*sctpnet.Listener, error) {
	ln, err := (&sctpnet.ListenConfig{Config: c}).Listen(context.Background(), e.network, "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return ln.(*sctpnet.Listener), nil
}

// dial dials with a timeout.
func (e *env) dial(addr string, c sctpnet.Config) (*sctpnet.Conn, error) {
	conn, err := (&sctpnet.Dialer{Timeout: patience, Config: c}).Dial(e.network, addr)
	if err != nil {
		return nil, err
	}
	return conn.(*sctpnet.Conn), nil
}

// patience is how long anything may take that is no flood.
const patience = 20 * time.Second

// pair makes an association with itself.
func (e *env) pair(client, server sctpnet.Config) (c, s *sctpnet.Conn, err error) {
	ln, err := e.listen(server)
	if err != nil {
		return nil, nil, err
	}
	defer ln.Close()
	if c, err = e.dial(ln.Addr().String(), client); err != nil {
		return nil, nil, err
	}
	ln.SetDeadline(time.Now().Add(patience))
	if s, err = ln.AcceptConn(); err != nil {
		c.Abort()
		return nil, nil, err
	}
	return c, s, nil
}

// A server echoes what comes on each stream.
type server struct {
	net.Listener
	addr string
	done sync.WaitGroup
}

func (e *env) serve() (*server, error) {
	ln, err := e.listen(sctpnet.Config{})
	if err != nil {
		return nil, err
	}
	s := &server{Listener: sctpnet.NewStreamListener(ln), addr: ln.Addr().String()}
	s.done.Go(func() {
		for {
			c, err := s.Accept()
			switch {
			case errors.Is(err, net.ErrClosed):
				return
			case err != nil:
				time.Sleep(10 * time.Millisecond) // as package http: it may pass
				continue
			}
			s.done.Go(func() {
				io.Copy(c, c)
				c.Close()
			})
		}
	})
	return s, nil
}

// close ends the server when its streams have ended.
func (s *server) close() {
	s.Close()
	s.done.Wait()
}

// probe has one exchange on a stream of an association of its own.
func (e *env) probe(addr string) error {
	d := &sctpnet.StreamDialer{}
	d.Dialer.Timeout = patience
	defer d.Close()
	c, err := d.Dial(e.network, addr)
	if err != nil {
		return fmt.Errorf("others are not served: %w", err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, "hello"); err != nil {
		return fmt.Errorf("others are not served: %w", err)
	}
	if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
		return fmt.Errorf("others are not served: %w", err)
	}
	return nil
}

// probes probes again and again, until stop, which returns the longest time that
// took and the first error.
func (e *env) probes(addr string) (stop func() (string, error)) {
	end, ended := make(chan struct{}), make(chan struct{})
	var worst time.Duration
	var failure error
	n := 0
	go func() {
		defer close(ended)
		for {
			start := time.Now()
			if err := e.probe(addr); err != nil && failure == nil {
				failure = err
			}
			worst = max(worst, time.Since(start))
			n++
			select {
			case <-end:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() (string, error) {
		close(end)
		<-ended
		return fmt.Sprintf("%d exchanges of others meanwhile, each on a new association: all served, the slowest in %v", n, worst.Round(time.Millisecond)), failure
	}
}

// exchange checks that an association works.
func exchange(a, b net.Conn) error {
	for _, p := range [][2]net.Conn{{a, b}, {b, a}} {
		p[0].SetWriteDeadline(time.Now().Add(patience))
		p[1].SetReadDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(p[0], "hello"); err != nil {
			return err
		}
		if _, err := io.ReadFull(p[1], make([]byte, 5)); err != nil {
			return err
		}
	}
	return nil
}

// A child is another process, the other end of a flood.
type child struct {
	cmd *exec.Cmd
	in  io.Closer
	out *bufio.Reader
}

// startChild starts one and waits until it says that it is ready, and what for.
func (e *env) startChild(what string, args ...string) (c *child, says string, err error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	cmd := exec.Command(exe, append([]string{"-networks", e.network, "-child", what}, args...)...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, "", err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	c = &child{cmd, in, bufio.NewReader(out)}
	line, err := c.out.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "ready ") {
		c.end()
		return nil, "", fmt.Errorf("the other end: %s %v", strings.TrimSpace(line), err)
	}
	return c, strings.TrimSpace(strings.TrimPrefix(line, "ready ")), nil
}

// end has the child abort its associations and waits for it.
func (c *child) end() {
	c.in.Close()
	io.Copy(io.Discard, c.out)
	c.cmd.Wait()
}

// errno is an error's cause in short.
func errno(err error) string {
	if err == nil {
		return "none"
	}
	s := err.Error()
	return s[strings.LastIndex(s, ": ")+1:]
}
