package main

import (
	"encoding/binary"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/bench/internal/result"
)

// fast is the Config that the documentation gives for quick failover.
var fast = sctpnet.Config{RTO: sctpnet.RTO{
	Initial: 200 * time.Millisecond,
	Min:     200 * time.Millisecond,
	Max:     time.Second,
}}

// failoverTests cut the primary of two paths under load.
func failoverTests() []test {
	var tests []test
	for _, s := range []side{
		zero,
		withConfig("sctpnet, fast", fast),
		withConfig("sctpnet, kernel's defaults", sctpnet.Config{KernelDefaults: true}),
	} {
		tests = append(tests, test{name: "failover", side: s.name, link: link{count: 2}, limit: time.Minute,
			run: func(n *network) (*result.Sample, error) { return failover(n, &s) }})
	}
	return tests
}

// failover sends numbered messages, one each millisecond, cuts the first link
// at the far end, and measures the longest time between two messages.
func failover(n *network, s *side) (*result.Sample, error) {
	const count, cutAt = 3000, 1000
	client, server, err := s.pair(n)
	if err != nil {
		return nil, err
	}
	pauses := watchPauses()
	done := make(chan error, 2)
	go func() {
		p := make([]byte, 1000)
		start := time.Now()
		for i := range count {
			time.Sleep(time.Until(start.Add(time.Duration(i) * time.Millisecond)))
			if i == cutAt {
				go func() {
					if err := ip(n.server, "link set link0 down"); err != nil {
						done <- err
					}
				}()
			}
			binary.BigEndian.PutUint32(p, uint32(i))
			if _, err := client.(*sctpnet.Conn).WriteMsg(p, sctpnet.MsgInfo{}); err != nil {
				done <- err
				return
			}
		}
	}()
	var last time.Time
	var stall time.Duration
	seen := make([]int, count)
	go func() {
		p := make([]byte, 1000)
		for {
			if _, _, err := server.(*sctpnet.Conn).ReadMsg(p); err != nil {
				done <- err
				return
			}
			now := time.Now()
			if !last.IsZero() {
				stall = max(stall, now.Sub(last))
			}
			last = now
			i := binary.BigEndian.Uint32(p)
			seen[i]++
			if i == count-1 {
				done <- nil
				return
			}
		}
	}()
	if err := <-done; err != nil {
		return nil, err
	}
	lost, doubled := 0, 0
	for _, times := range seen {
		switch {
		case times == 0:
			lost++
		case times > 1:
			doubled++
		}
	}
	return &result.Sample{Values: map[string]float64{
		"pause ms": pauses.end(),
		"stall ms": stall.Seconds() * 1e3,
		"lost":     float64(lost),
		"doubled":  float64(doubled),
	}}, nil
}
