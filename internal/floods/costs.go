//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/sctpnet/sctpnet"
)

// silent has a peer make associations that it never uses.
func silent(e *env) (string, error) {
	moreFiles()
	s, err := e.serve()
	if err != nil {
		return "", err
	}
	defer s.close()
	if err := e.probe(s.addr); err != nil {
		return "", err
	}
	n := e.n(10_000)
	before, system := take(), kernelMemory()
	start := time.Now()
	peer, theirs, err := e.startChild("dial", s.addr, strconv.Itoa(n), "0")
	if err != nil {
		return "", err
	}
	defer peer.end()
	took := time.Since(start)
	if err := e.probe(s.addr); err != nil {
		return "", err
	}
	after := take()
	grown := kernelMemory() - system
	goroutines := after.goroutines - before.goroutines
	each := float64(after.heap-before.heap) / float64(n)
	start = time.Now()
	peer.end()
	if err := before.awaitReturn(); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d in %v; others are served; at the end that accepts (`NewStreamListener`) each takes %s of Go's memory and %.1f goroutines, at the end that dials %s, and the kernel %s for both; when the peer is gone all comes back in %v",
		n, took.Round(100*time.Millisecond), kb(each), float64(goroutines)/float64(n), theirs, kb(float64(grown)/float64(n)), time.Since(start).Round(100*time.Millisecond)), nil
}

// runChild is the other end of a flood.
func runChild(e *env, what string, args []string) error {
	moreFiles()
	addr := args[0]
	n, _ := strconv.Atoi(args[1])
	streams, _ := strconv.Atoi(args[2])
	before := take()
	conns, err := e.dialMany(addr, n)
	if err != nil {
		return err
	}
	items := n
	switch what {
	case "dial":
	case "use":
		for _, c := range conns {
			if _, err := io.WriteString(c, "hello"); err != nil {
				return err
			}
			if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
				return err
			}
			go readOn(c)
		}
	case "streams", "unaccepted":
		before = take() // the associations are not counted
		items = n * streams
		for _, c := range conns {
			for range streams {
				s, err := c.OpenStream()
				if err != nil {
					return err
				}
				if _, err := io.WriteString(s, "hello"); err != nil {
					return err
				}
				if what == "unaccepted" {
					continue
				}
				if _, err := io.ReadFull(s, make([]byte, 5)); err != nil {
					return err
				}
				go readOn(s)
			}
		}
	default:
		return fmt.Errorf("no child %q", what)
	}
	time.Sleep(500 * time.Millisecond) // until new goroutines wait
	fmt.Println("ready", kb(float64(take().heap-before.heap)/float64(items)))
	io.Copy(io.Discard, os.Stdin)
	for _, c := range conns {
		c.Abort()
	}
	time.Sleep(500 * time.Millisecond) // over UDP ABORT is sent more than once
	return nil
}

// dialMany makes associations, several at a time.
func (e *env) dialMany(addr string, n int) ([]*sctpnet.Conn, error) {
	conns, errs := make([]*sctpnet.Conn, n), make([]error, n)
	var all sync.WaitGroup
	turns := make(chan struct{}, 8)
	for i := range n {
		turns <- struct{}{}
		all.Go(func() {
			conns[i], errs[i] = e.dial(addr, sctpnet.Config{OutStreams: 256, MaxInStreams: 256})
			<-turns
		})
	}
	all.Wait()
	return conns, errors.Join(errs...)
}

// costs measures what things take at each end.
func costs(e *env) (string, error) {
	moreFiles()
	e.tables[e.network] = "| | Go, accepting end | Go, dialing end | kernel, both ends |\n|---|---|---|---|\n"
	n := e.n(2000)
	for _, c := range []struct {
		name, child string
		n, streams  int
		end         func(a *sctpnet.Conn, streams int) error
	}{
		{"an association that is silent", "dial", n, 0, nil},
		{"a Conn in use, with a Read that waits in a goroutine", "use", n, 0, func(a *sctpnet.Conn, _ int) error {
			if err := echoOnce(a); err != nil {
				return err
			}
			go readOn(a)
			return nil
		}},
		{"a Stream, likewise", "streams", max(1, n/100), 100, func(a *sctpnet.Conn, streams int) error {
			for range streams {
				s, err := a.AcceptStream(context.Background())
				if err != nil {
					return err
				}
				if err := echoOnce(s); err != nil {
					return err
				}
				go readOn(s)
			}
			return nil
		}},
		{"a stream with 5 bytes that was not accepted", "unaccepted", max(1, n/100), 100, func(a *sctpnet.Conn, _ int) error {
			ctx, cancel := timeout(time.Millisecond)
			defer cancel()
			a.AcceptStream(ctx)
			return nil
		}},
	} {
		if err := e.cost(c.name, c.child, c.n, c.streams, c.end); err != nil {
			return "", fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return fmt.Sprintf("in the table below, measured with %d associations", n), nil
}

// readOn reads until the end, into little memory of its own.
func readOn(c io.Reader) {
	var err error
	for b := make([]byte, 16); err == nil; {
		_, err = c.Read(b)
	}
}

func echoOnce(c io.ReadWriter) error {
	b := make([]byte, 5)
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	_, err := c.Write(b)
	return err
}

// cost measures one row. The memory of n associations comes first, where streams
// are what is measured.
func (e *env) cost(name, what string, n, streams int, end func(a *sctpnet.Conn, streams int) error) error {
	base := take()
	ln, err := e.listen(sctpnet.Config{AcceptStreams: max(128, streams)})
	if err != nil {
		return err
	}
	defer ln.Close()
	before, system := take(), kernelMemory()
	accepted := make(chan error, 1)
	var conns []*sctpnet.Conn
	go func() {
		for len(conns) < n {
			c, err := ln.AcceptConn()
			if err != nil {
				accepted <- err
				return
			}
			conns = append(conns, c)
			if streams > 0 && len(conns) == n {
				before, system = take(), kernelMemory()
			}
			if streams == 0 && end != nil {
				go end(c, 0)
			}
		}
		var all sync.WaitGroup
		errs := make([]error, len(conns))
		for i, c := range conns {
			if streams > 0 { // at once, as their order is the peer's
				all.Go(func() { errs[i] = end(c, streams) })
			}
		}
		all.Wait()
		if err := errors.Join(errs...); err != nil {
			accepted <- err
			return
		}
		accepted <- nil
	}()
	peer, theirs, err := e.startChild(what, ln.Addr().String(), strconv.Itoa(n), strconv.Itoa(streams))
	if err != nil {
		return err
	}
	defer peer.end()
	if err := <-accepted; err != nil {
		return err
	}
	time.Sleep(500 * time.Millisecond)
	items := float64(n * max(1, streams))
	row := fmt.Sprintf("| %s | %s | %s | %s |\n", name, kb(float64(take().heap-before.heap)/items), theirs, kb(max(0, float64(kernelMemory()-system)/items)))
	fmt.Print(row)
	e.tables[e.network] += row
	runtime.KeepAlive(conns)
	peer.end()
	for _, c := range conns {
		c.Abort()
	}
	ln.Close()
	return base.awaitReturn()
}
