//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sctpnet/sctpnet"
	"golang.org/x/sys/unix"
)

func timeout(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

func sortedKeys(m map[string]int) []string { return slices.Sorted(maps.Keys(m)) }

// resets begins streams and resets them again and again, past the package's own
// bookkeeping where the kernel allows it: numbers that are in use, and such as
// were never used. Other streams of the association go on.
func resets(e *env) (string, error) {
	c, s, err := e.pair(sctpnet.Config{}, sctpnet.Config{})
	if err != nil {
		return "", err
	}
	defer c.Abort()
	defer s.Abort()
	var done sync.WaitGroup
	defer done.Wait()
	defer c.Abort()
	defer s.Abort()
	accepted := new(atomic.Int64)
	done.Go(func() {
		for {
			st, err := s.AcceptStream(context.Background())
			if err != nil {
				return
			}
			accepted.Add(1)
			done.Go(func() {
				io.Copy(st, st)
				st.Close()
			})
		}
	})
	good, err := c.OpenStream() // 2
	if err != nil {
		return "", err
	}
	done.Go(func() { io.Copy(io.Discard, c) }) // the answers on streams that are not claimed
	before := take()
	loops, answered := 0, 0
	var worst time.Duration
	start := time.Now()
	for end := start.Add(time.Duration(e.n(10_000)) * time.Millisecond); time.Now().Before(end); loops++ {
		if e.overUDP() {
			st, err := c.OpenStream()
			if err != nil {
				return "", err
			}
			st.Write(make([]byte, 100))
			st.Close()
		} else {
			id := uint16(10 + loops%50)
			c.SetWriteDeadline(time.Now().Add(patience))
			if _, err := c.WriteStream(make([]byte, 100), id); err != nil {
				return "", err
			}
			resetStreams(c, uint16(1+loops%3), id, id+1) // may be refused
		}
		if loops%10 == 0 {
			asked := time.Now()
			good.SetDeadline(asked.Add(patience))
			if _, err := good.Write([]byte("hello")); err != nil {
				return "", fmt.Errorf("a stream that is in use: %w", err)
			}
			if _, err := io.ReadFull(good, make([]byte, 5)); err != nil {
				return "", fmt.Errorf("a stream that is in use: %w", err)
			}
			answered++
			worst = max(worst, time.Since(asked))
		}
	}
	after := take()
	return fmt.Sprintf("%d in %v, and %d are accepted; another stream of the association has %d exchanges meanwhile, the slowest in %v; Go's memory grows by %s",
		loops, time.Since(start).Round(100*time.Millisecond), accepted.Load(), answered, worst.Round(time.Millisecond), kb(float64(max(0, after.heap-before.heap)))), nil
}

// resetStreams asks the kernel for resets of streams, outgoing ones by flag 2 and
// incoming ones by flag 1.
func resetStreams(c *sctpnet.Conn, flags uint16, ids ...uint16) error {
	const solSCTP, optResetStreams = 132, 119
	b := binary.NativeEndian.AppendUint32(nil, 0)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = binary.NativeEndian.AppendUint16(b, uint16(len(ids)))
	for _, id := range ids {
		b = binary.NativeEndian.AppendUint16(b, id)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var err1 error
	err = raw.Control(func(fd uintptr) { err1 = unix.SetsockoptString(int(fd), solSCTP, optResetStreams, string(b)) })
	if err == nil {
		err = err1
	}
	return err
}

// addStreams asks for more streams again and again. None is added.
func addStreams(e *env) (string, error) {
	c, s, err := e.pair(sctpnet.Config{}, sctpnet.Config{})
	if err != nil {
		return "", err
	}
	defer c.Abort()
	defer s.Abort()
	out, in := s.NumStreams()
	asked := 0
	for end := time.Now().Add(time.Duration(e.n(5000)) * time.Millisecond); time.Now().Before(end); {
		if c.AddStreams(asked%2, 1-asked%2) == nil {
			asked++
		} else {
			time.Sleep(100 * time.Microsecond) // another request is under way
		}
	}
	if err := exchange(c, s); err != nil {
		return "", err
	}
	if o, i := s.NumStreams(); o != out || i != in {
		return "", fmt.Errorf("there were %d and %d streams, and are %d and %d", out, in, o, i)
	}
	return fmt.Sprintf("%d requests, each denied: there still are %d and %d streams", asked, out, in), nil
}

// denied has a peer deny each reset. The numbers run out, and the rest goes on.
func denied(e *env) (string, error) {
	c, s, err := e.pair(sctpnet.Config{}, sctpnet.Config{})
	if err != nil {
		return "", err
	}
	defer c.Abort()
	defer s.Abort()
	if err := denyResets(s); err != nil {
		return "", err
	}
	var done sync.WaitGroup
	defer done.Wait()
	defer s.Abort()
	done.Go(func() {
		for {
			st, err := s.AcceptStream(context.Background())
			if err != nil {
				return
			}
			st.Close()
		}
	})
	n := 0
	for {
		st, err := c.OpenStream()
		if errors.Is(err, sctpnet.ErrNoFreeStream) {
			break
		}
		if err != nil {
			return "", err
		}
		st.Write([]byte("hello"))
		st.Close()
		n++
	}
	if err := exchange(c, s); err != nil {
		return "", err
	}
	return fmt.Sprintf("each number can be used once: OpenStream fails with ErrNoFreeStream after %d, and the Conn goes on", n), nil
}

// denyResets has the kernel deny the peer's requests.
func denyResets(c *sctpnet.Conn) error {
	const solSCTP, optEnableStreamReset = 132, 118
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var err1 error
	err = raw.Control(func(fd uintptr) {
		err1 = unix.SetsockoptString(int(fd), solSCTP, optEnableStreamReset, string(make([]byte, 8)))
	})
	if err == nil {
		err = err1
	}
	return err
}
