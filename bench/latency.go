package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/bench/internal/result"
)

// lanes are ways to send side by side: connections, streams, or one connection
// that all share.
type lanes struct {
	writers []io.Writer
	readers []io.Reader
}

// sharedLanes are n lanes of one connection.
func sharedLanes(n *network, s *side, count int) (*lanes, error) {
	client, server, err := s.pair(n)
	if err != nil {
		return nil, err
	}
	shared := &lockedWriter{w: client}
	l := &lanes{readers: []io.Reader{server}}
	for range count {
		l.writers = append(l.writers, shared)
	}
	return l, nil
}

// A lockedWriter is used by several goroutines, which write whole frames.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.w.Write(p)
}

// connLanes are n connections.
func connLanes(n *network, s *side, count int) (*lanes, error) {
	pairs, err := s.pairs(n, count)
	if err != nil {
		return nil, err
	}
	l := new(lanes)
	for _, p := range pairs {
		l.writers, l.readers = append(l.writers, p.client), append(l.readers, p.server)
	}
	return l, nil
}

// streamLanes are n streams of one association. If values is not nil it gives
// the streams their values for the scheduler.
func streamLanes(n *network, s *side, count int, values []uint16) (*lanes, error) {
	client, server, err := s.pair(n)
	if err != nil {
		return nil, err
	}
	c := client.(*sctpnet.Conn)
	from, to, err := openStreams(c, server.(*sctpnet.Conn), count)
	if err != nil {
		return nil, err
	}
	l := new(lanes)
	for i := range from {
		l.writers, l.readers = append(l.writers, from[i]), append(l.readers, to[i])
		if values != nil {
			if err := c.SetStreamValue(from[i].ID(), values[i]); err != nil {
				return nil, err
			}
		}
	}
	return l, nil
}

// A frame is a small message, or a part of bulk. It begins with its size, and
// the time at which it was due to be sent, or 0 for bulk.
const (
	frameHeader = 4 + 8
	smallFrame  = 1 << 10
	bulkFrame   = 64 << 10
	interval    = 40 * time.Millisecond
)

// latencies has each lane send a small message each interval, for a time, or
// if bulk is set all lanes but the first, which then sends as fast as it can.
// It measures how long after it was due each small message arrives: what has to
// wait to be sent is late too.
func (l *lanes) latencies(d time.Duration, bulk bool) (*result.Sample, error) {
	count := int(d / interval) // by each lane
	small := l.writers
	if bulk {
		small = small[1:]
	}
	var (
		done      = make(chan error, len(l.writers)+len(l.readers))
		stop      = make(chan struct{})
		mu        sync.Mutex
		values    []float64
		bulkBytes int
		start     = time.Now()
		elapsed   time.Duration
	)
	pauses := watchPauses()
	for i, w := range small {
		go func() {
			p := make([]byte, smallFrame)
			binary.BigEndian.PutUint32(p, smallFrame)
			first := start.Add(time.Duration(i) * interval / time.Duration(len(small)))
			for k := range count {
				due := first.Add(time.Duration(k) * interval)
				time.Sleep(time.Until(due))
				binary.BigEndian.PutUint64(p[4:], uint64(due.Sub(start))+1)
				if _, err := w.Write(p); err != nil {
					done <- err
					return
				}
			}
		}()
	}
	if bulk {
		go func() {
			p := make([]byte, bulkFrame)
			binary.BigEndian.PutUint32(p, bulkFrame)
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := l.writers[0].Write(p); err != nil {
					done <- err
					return
				}
			}
		}()
	}
	for _, r := range l.readers {
		go func() {
			b := bufio.NewReaderSize(r, bulkFrame)
			p := make([]byte, bulkFrame)
			for {
				if _, err := io.ReadFull(b, p[:frameHeader]); err != nil {
					done <- err
					return
				}
				size := int(binary.BigEndian.Uint32(p))
				due := time.Duration(binary.BigEndian.Uint64(p[4:]))
				if size > len(p) {
					done <- errors.New("frames are mixed up")
					return
				}
				if _, err := io.ReadFull(b, p[frameHeader:size]); err != nil {
					done <- err
					return
				}
				now := time.Since(start)
				mu.Lock()
				if due == 0 {
					bulkBytes += size
				} else {
					values = append(values, (now-(due-1)).Seconds()*1e3)
				}
				if len(values) == count*len(small) && elapsed == 0 {
					elapsed = now
					done <- nil
				}
				mu.Unlock()
			}
		}()
	}
	err := <-done
	close(stop)
	if err != nil {
		return nil, err
	}
	mu.Lock()
	defer mu.Unlock()
	s := &result.Sample{Values: map[string]float64{"pause ms": pauses.end()}, Quantiles: result.Quantiles(values)}
	for name, q := range map[string]float64{"p50 ms": 0.5, "p95 ms": 0.95, "p99 ms": 0.99, "max ms": 1} {
		s.Values[name] = result.Quantile(values, q)
	}
	if bulk {
		s.Values["bulk MB/s"] = float64(bulkBytes) / elapsed.Seconds() / 1e6
	}
	return s, nil
}
