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

// begun is after how many reads by each receiver allocations begin to count: what
// is needed only once is there then.
const begun = 2

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
	for _, size := range []int{8 << 10, 64 << 10, 256 << 10} {
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
// readers read.
func (t *test) bulk(writers []io.Writer, readers []io.Reader, size int) (*result.Sample, error) {
	var senders []sender
	for _, w := range writers {
		senders = append(senders, writing(w, size))
	}
	var receivers []receiver
	for _, r := range readers {
		receivers = append(receivers, reading(r, cmp.Or(t.read, readBuffer)))
	}
	return t.transfer(senders, receivers)
}

// transfer is bulk of any kind, both ends in this process.
func (t *test) transfer(senders []sender, receivers []receiver) (*result.Sample, error) {
	sent := make(chan total, 1)
	go func() { sent <- send(t.time(), senders) }()
	p, err := receive(receivers, sent)
	if err != nil {
		return nil, err
	}
	sample := bulkSample(p)
	sample.Values["allocs/op"] = p.Mallocs / (p.Reads + p.Writes)
	return sample, nil
}

// A total is how much was sent and by how many writes, or why that is not known.
type total struct {
	bytes, writes int64
	err           error
}

// A sender sends until stop is set, but once at least.
type sender func(stop *atomic.Bool) total

func writing(w io.Writer, size int) sender {
	return func(stop *atomic.Bool) (sent total) {
		p := make([]byte, size)
		for {
			_, sent.err = w.Write(p)
			sent.bytes += int64(size)
			sent.writes++
			if sent.err != nil || stop.Load() {
				return sent
			}
		}
	}
}

// A receiver receives until it fails, and calls arrived after each read.
type receiver func(arrived func(n int)) error

func reading(r io.Reader, size int) receiver {
	return func(arrived func(n int)) error {
		p := make([]byte, size)
		for {
			n, err := r.Read(p)
			if err != nil {
				return err
			}
			arrived(n)
		}
	}
}

// send has the senders send for a time.
func send(d time.Duration, senders []sender) total {
	var stop atomic.Bool
	time.AfterFunc(d, func() { stop.Store(true) })
	totals := make(chan total, len(senders))
	for _, s := range senders {
		go func() { totals <- s(&stop) }()
	}
	var sum total
	for range senders {
		t := <-totals
		if t.err != nil {
			return t
		}
		sum.bytes += t.bytes
		sum.writes += t.writes
	}
	return sum
}

// receive has the receivers receive until all has arrived that was sent. It
// measures from the first read to that of the last byte.
func receive(receivers []receiver, sent <-chan total) (*pairResult, error) {
	var (
		received, reads atomic.Int64
		expected        atomic.Int64 // -1 until the sender is done
		last            atomic.Int64 // when something arrived after that
		first           time.Time
		writes          int64
		ended           atomic.Bool
		done            = make(chan error, len(receivers)+1)
		start           = time.Now()
		before          float64 // mallocs
		readsBefore     int64
	)
	expected.Store(-1)
	before = mallocs()
	// end is called when the last byte has arrived, or is known to have been
	// the last.
	end := func() {
		if !ended.Swap(true) {
			done <- nil
		}
	}
	arrived := func(n int) {
		if reads.Add(1) == 1 {
			first = time.Now()
		}
		if expected.Load() >= 0 {
			last.Store(int64(time.Since(start)))
		}
		if received.Add(int64(n)) == expected.Load() {
			end()
		}
	}
	for _, r := range receivers {
		go func() { done <- r(arrived) }()
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
			share := cmp.Or(1-float64(readsBefore)/float64(reads.Load()), 1)
			end := start.Add(time.Duration(cmp.Or(last.Load(), int64(time.Since(start)))))
			return &pairResult{
				Count:   float64(received.Load()),
				Reads:   float64(reads.Load()),
				Writes:  float64(writes),
				Mallocs: (mallocs() - before) / share,
				Seconds: end.Sub(first).Seconds(),
				Stall:   stall.Seconds(),
			}, nil
		case t := <-sent:
			if t.err != nil {
				return nil, t.err
			}
			writes = t.writes
			expected.Store(t.bytes)
			if received.Load() == t.bytes {
				end()
			}
		case <-ticker.C:
			if n := reads.Load(); readsBefore == 0 && n >= int64(begun*len(receivers)) {
				before, readsBefore = mallocs(), n
			}
			now := time.Now()
			switch n := received.Load(); {
			case n != seen:
				seen, moved = n, now
			case n > 0:
				stall = max(stall, now.Sub(moved))
			}
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
