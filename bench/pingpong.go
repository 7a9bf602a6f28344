package main

import (
	"io"
	"net"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sctpnet/sctpnet/bench/internal/result"
)

const pingSize = 64

func pingPongTests(r *result.Run) []test {
	base := test{name: "pingpong", param: sizeName(pingSize), link: loopback}
	return slices.Concat(pingPongOf(base, []side{tcp, zero, ishidawataru}), cSides(r, base, "pingpong", pingSize, pingPongSample))
}

func pingPongOf(t test, sides []side) []test {
	var tests []test
	for _, s := range sides {
		t := t
		t.side = s.name
		t.run = func(n *network) (*result.Sample, error) {
			client, server, err := s.pair(n)
			if err != nil {
				return nil, err
			}
			return pingPong(t.time(), client, server)
		}
		tests = append(tests, t)
	}
	return tests
}

// pingPong sends a few bytes there and back, one at a time.
func pingPong(d time.Duration, client, server net.Conn) (*result.Sample, error) {
	go pong(server)
	return ping(d, client, 4)
}

// pong answers until the client is gone.
func pong(server net.Conn) error {
	p := make([]byte, pingSize)
	for {
		if _, err := io.ReadFull(server, p); err != nil {
			return err
		}
		if _, err := server.Write(p); err != nil {
			return err
		}
	}
}

// ping measures; calls is how many of an exchange are made in this process.
func ping(d time.Duration, client net.Conn, calls int) (*result.Sample, error) {
	var stop atomic.Bool
	time.AfterFunc(d, func() { stop.Store(true) })
	p := make([]byte, pingSize)
	before := mallocs()
	start, count := time.Now(), 0
	for count == 0 || !stop.Load() {
		if _, err := client.Write(p); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(client, p); err != nil {
			return nil, err
		}
		count++
	}
	sample := pingPongSample(&pairResult{Count: float64(count), Seconds: time.Since(start).Seconds()})
	sample.Values["allocs/op"] = (mallocs() - before) / float64(calls*count)
	return sample, nil
}

func pingPongSample(p *pairResult) *result.Sample {
	return &result.Sample{Values: map[string]float64{"µs": p.Seconds / p.Count * 1e6}}
}

// mallocs counts the allocations so far.
func mallocs() float64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.Mallocs)
}
