package main

import (
	"io"
	"runtime"
	"runtime/metrics"
	"time"

	"github.com/sctpnet/sctpnet/bench/internal/result"
)

// stwTests measure how long the garbage collector waits until all goroutines
// have stopped, while bulk is under way: a system call that the scheduler
// knows nothing of holds it up.
func stwTests() []test {
	const size = 64 << 10
	var tests []test
	for _, s := range []side{tcp, zero} {
		t := test{name: "stw", param: sizeName(size), side: s.name, link: loopback, factor: 4}
		t.run = func(n *network) (*result.Sample, error) {
			client, server, err := s.pair(n)
			if err != nil {
				return nil, err
			}
			stop, done := make(chan bool), make(chan bool)
			before := stopping()
			go func() {
				defer close(done)
				ticker := time.NewTicker(2 * time.Millisecond)
				defer ticker.Stop()
				for {
					select {
					case <-stop:
						return
					case <-ticker.C:
						runtime.GC()
					}
				}
			}()
			sample, err := t.bulk([]io.Writer{client}, []io.Reader{server}, size)
			close(stop)
			<-done
			if err != nil {
				return nil, err
			}
			latencies := stopping().since(before)
			for name, q := range map[string]float64{"stop p50 µs": 0.5, "stop p99 µs": 0.99, "stop max µs": 1} {
				sample.Values[name] = latencies.quantile(q) * 1e6
			}
			sample.Values["stops"] = float64(latencies.count())
			return sample, nil
		}
		tests = append(tests, t)
	}
	return tests
}

// A histogram is one of runtime/metrics.
type histogram metrics.Float64Histogram

// stopping returns how long it has taken to stop the world for the collector.
func stopping() *histogram {
	s := []metrics.Sample{{Name: "/sched/pauses/stopping/gc:seconds"}}
	metrics.Read(s)
	return (*histogram)(s[0].Value.Float64Histogram())
}

func (h *histogram) since(before *histogram) *histogram {
	d := &histogram{Counts: make([]uint64, len(h.Counts)), Buckets: h.Buckets}
	for i := range h.Counts {
		d.Counts[i] = h.Counts[i] - before.Counts[i]
	}
	return d
}

func (h *histogram) count() (n uint64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// quantile returns the upper bound of the bucket that a quantile is in, or its
// lower one if it has no other.
func (h *histogram) quantile(q float64) float64 {
	want := uint64(q * float64(h.count()))
	var n uint64
	for i, c := range h.Counts {
		n += c
		if c > 0 && n >= want {
			if i+1 == len(h.Counts) {
				return h.Buckets[i]
			}
			return h.Buckets[i+1]
		}
	}
	return 0
}
