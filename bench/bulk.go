package main

import (
	"cmp"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sctpnet/sctpnet/bench/internal/result"
)

// readBuffer is as large as the largest message, and a buffer that a program
// might have for TCP.
const readBuffer = 64 << 10

// tick is how often it is looked whether anything has arrived. A clock in each
// read would cost as much as the read, in some virtual machines.
const tick = 5 * time.Millisecond

func bulkTests(r *result.Run) []test {
	var tests []test
	for _, size := range []int{1 << 10, 8 << 10, 32 << 10, 64 << 10, 256 << 10} {
		t := test{name: "bulk-lo", param: sizeName(size), link: loopback}
		sides := []side{tcp, zero}
		if size == 64<<10 {
			sides = append(sides, ishidawataru)
		}
		tests = slices.Concat(tests, bulkOf(t, size, sides), cSides(r, t, "bulk", size, bulkSample))
	}
	// Where reads are larger than messages, TCP gains.
	t := test{name: "bulk-lo", param: "64KB, reads of 256KB", link: loopback, read: 256 << 10}
	tests = slices.Concat(tests, bulkOf(t, 64<<10, []side{tcp, zero}), cSides(r, t, "bulk", 64<<10, bulkSample))
	for _, size := range []int{8 << 10, 64 << 10} {
		t := test{name: "bulk-veth", param: sizeName(size), link: veth}
		tests = slices.Concat(tests, bulkOf(t, size, []side{tcp, zero}), cSides(r, t, "bulk", size, bulkSample))
	}
	for _, t := range []test{
		{name: "bulk-delay", param: "default sysctls", link: delayed, factor: 6},
		{name: "bulk-delay", param: "rmem_max 8 MB", link: delayed, factor: 6, rmemMax: largeBuffers},
	} {
		tests = slices.Concat(tests, bulkOf(t, 64<<10, []side{tcp, zero}), cSides(r, t, "bulk", 64<<10, bulkSample))
	}
	return tests
}

func bulkOf(t test, size int, sides []side) []test {
	var tests []test
	for _, s := range sides {
		t := t
		t.side = s.name
		t.run = func(n *network) (*result.Sample, error) {
			client, server, err := s.pair(n)
			if err != nil {
				return nil, err
			}
			return t.bulk([]io.Writer{client}, []io.Reader{server}, size)
		}
		tests = append(tests, t)
	}
	return tests
}

// bulk has each of the writers write as fast as it can for a time, and the
// readers read. It measures from the first read to that of the last byte.
func (t *test) bulk(writers []io.Writer, readers []io.Reader, size int) (*result.Sample, error) {
	var (
		stop, ended           atomic.Bool
		writing               atomic.Int32
		sent, received, reads atomic.Int64
		last                  atomic.Int64 // when something arrived after stop
		first                 time.Time
		done                  = make(chan error, len(writers)+len(readers)+1)
	)
	// end is called when the last byte has arrived, or is known to have been
	// the last.
	end := func() {
		if writing.Load() == 0 && received.Load() == sent.Load() && !ended.Swap(true) {
			done <- nil
		}
	}
	before := mallocs()
	writing.Store(int32(len(writers)))
	for _, w := range writers {
		go func() {
			p := make([]byte, size)
			for !stop.Load() {
				sent.Add(int64(size))
				if _, err := w.Write(p); err != nil {
					done <- err
					return
				}
			}
			writing.Add(-1)
			end()
		}()
	}
	start := time.Now()
	for _, r := range readers {
		go func() {
			p := make([]byte, cmp.Or(t.read, readBuffer))
			for {
				n, err := r.Read(p)
				if err != nil {
					done <- err
					return
				}
				if reads.Add(1) == 1 {
					first = time.Now()
				}
				received.Add(int64(n))
				if stop.Load() {
					last.Store(int64(time.Since(start)))
					end()
				}
			}
		}()
	}

	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	moved, seen, stall := start, int64(0), time.Duration(0)
	for {
		select {
		case err := <-done:
			if err != nil {
				return nil, err
			}
			end := start.Add(time.Duration(cmp.Or(last.Load(), int64(time.Since(start)))))
			sample := bulkSample(&pairResult{
				Count:   float64(received.Load()),
				Reads:   float64(reads.Load()),
				Seconds: end.Sub(first).Seconds(),
				Stall:   stall.Seconds(),
			})
			sample.Values["allocs/op"] = (mallocs() - before) / float64(reads.Load()+sent.Load()/int64(size))
			return sample, nil
		case <-ticker.C:
		}
		now := time.Now()
		switch n := received.Load(); {
		case n != seen:
			seen, moved = n, now
		case n > 0:
			stall = max(stall, now.Sub(moved))
		}
		if now.Sub(start) > t.time() {
			stop.Store(true)
		}
	}
}

func bulkSample(p *pairResult) *result.Sample {
	return &result.Sample{Values: map[string]float64{
		"MB/s":     p.Count / p.Seconds / 1e6,
		"B/read":   p.Count / p.Reads,
		"stall ms": p.Stall * 1e3,
	}}
}
