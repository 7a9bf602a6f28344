package main

import (
	"fmt"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/bench/internal/result"
)

// lossTests are of small messages on a lossy path: ten senders share one TCP
// connection, have ten, or have ten streams of an association.
func lossTests() []test {
	var tests []test
	for _, percent := range []int{2, 5} {
		l := link{count: 1, netem: fmt.Sprintf("limit 10000 delay 10ms loss %d%%", percent)}
		for _, w := range waysOf(10) {
			tests = append(tests, w.test("loss", fmt.Sprintf("%d%%", percent), l, false))
		}
	}
	return tests
}

// besideTests are of small messages beside bulk, on a link that bulk fills:
// 80 Mbit/s and a queue of 120 packets. These can be larger than what travels
// on a wire, as the system hands them to a device that cuts them up; with
// small ones the queue is as short as that of a router.
func besideTests() []test {
	priority := withConfig("", sctpnet.Config{Scheduler: sctpnet.SchedulerPriority})
	ways := append(waysOf(10), way{"sctpnet, ten streams, priority", func(n *network) (*lanes, error) {
		return streamLanes(n, &priority, 10, []uint16{1, 0, 0, 0, 0, 0, 0, 0, 0, 0}) // the least goes first
	}})
	var tests []test
	for _, plain := range []bool{false, true} {
		l := link{count: 1, netem: "limit 120 delay 10ms rate 80mbit", plain: plain}
		param := "large packets"
		if plain {
			param = "packets of 1500 bytes"
		}
		for _, w := range ways {
			tests = append(tests, w.test("beside", param, l, true))
		}
	}
	return tests
}

// A way is one in which ten can send.
type way struct {
	name  string
	lanes func(n *network) (*lanes, error)
}

func waysOf(count int) []way {
	return []way{
		{"tcp, one connection", func(n *network) (*lanes, error) { return sharedLanes(n, &tcp, count) }},
		{"tcp, ten connections", func(n *network) (*lanes, error) { return connLanes(n, &tcp, count) }},
		{"sctpnet, ten streams", func(n *network) (*lanes, error) { return streamLanes(n, &zero, count, nil) }},
	}
}

func (w way) test(name, param string, l link, bulk bool) test {
	d := *lossTime
	if bulk {
		d /= 4 // where each says less about the next
	}
	return test{name: name, param: param, side: w.name, link: l, limit: 2*time.Minute + 5*d,
		run: func(n *network) (*result.Sample, error) {
			lanes, err := w.lanes(n)
			if err != nil {
				return nil, err
			}
			return lanes.latencies(d, bulk)
		}}
}
