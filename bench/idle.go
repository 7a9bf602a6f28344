package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/sctpnet/sctpnet/bench/internal/result"
)

// idleTests find out what memory idle associations take.
func idleTests() []test {
	var tests []test
	for _, s := range []side{tcp, zero} {
		tests = append(tests, test{name: "idle", param: fmt.Sprint(*idleCount), side: s.name, link: loopback, limit: 3 * time.Minute,
			run: func(n *network) (*result.Sample, error) { return idle(n, &s, *idleCount) }})
	}
	return tests
}

func idle(n *network, s *side, count int) (*result.Sample, error) {
	beforeHeap := heap()
	before, err := available()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	pairs, err := s.pairs(n, count)
	if err != nil {
		return nil, err
	}
	took := time.Since(start)
	afterHeap := heap()
	after, err := available()
	if err != nil {
		return nil, err
	}
	runtime.KeepAlive(pairs)
	return &result.Sample{Values: map[string]float64{
		"MB":          (before - after) / 1e6,
		"heap KB/end": (afterHeap - beforeHeap) / float64(2*count) / 1e3,
		"s":           took.Seconds(),
	}}, nil
}

// heap returns the bytes that live on the Go heap.
func heap() float64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools held back
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// available returns how much memory the system has left, in bytes.
func available() (float64, error) {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		var kb float64
		if _, err := fmt.Sscanf(line, "MemAvailable: %f kB", &kb); err == nil {
			return kb * 1024, nil
		}
	}
	return 0, fmt.Errorf("/proc/meminfo has no MemAvailable")
}
