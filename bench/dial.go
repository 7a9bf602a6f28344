package main

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/sctpnet/sctpnet/bench/internal/result"
)

func dialTests(r *result.Run) []test {
	var tests []test
	for _, n := range []int{1, 8} {
		for _, s := range []side{tcp, zero} {
			t := test{name: "dial", param: fmt.Sprintf("%d at once", n), side: s.name, link: loopback}
			t.run = func(nw *network) (*result.Sample, error) { return dial(nw, &s, n, t.time()) }
			tests = append(tests, t)
		}
		if n == 1 {
			inC := test{name: "dial", param: "1 at once", link: loopback}
			tests = append(tests, cSides(r, inC, "dial", 0, func(p *pairResult) *result.Sample {
				return &result.Sample{Values: map[string]float64{"/s": p.Count / p.Seconds}}
			})...)
		}
	}
	return tests
}

// dial has n goroutines dial, accept and close, one after the other each.
func dial(nw *network, s *side, n int, d time.Duration) (*result.Sample, error) {
	ln, err := s.listenIn(nw)
	if err != nil {
		return nil, err
	}
	var (
		stop  atomic.Bool
		count atomic.Int64
		done  = make(chan error, n)
	)
	time.AfterFunc(d, func() { stop.Store(true) })
	start := time.Now()
	for range n {
		go func() {
			done <- nw.client.do(func() error {
				for !stop.Load() {
					client, err := s.dial(ln.Addr().String())
					if err != nil {
						return err
					}
					server, err := ln.Accept()
					if err != nil {
						return err
					}
					client.Close()
					server.Close()
					count.Add(1)
				}
				return nil
			})
		}()
	}
	for range n {
		if err := <-done; err != nil {
			return nil, err
		}
	}
	return &result.Sample{Values: map[string]float64{"/s": float64(count.Load()) / time.Since(start).Seconds()}}, nil
}
