package main

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/bench/internal/result"
	_ "github.com/sctpnet/sctpnet/udpencap"
)

// overUDP is sctpnet's SCTP over UDP as it comes.
var overUDP = withNetwork("sctpnet over UDP", "sctp+udp", sctpnet.Config{})

// udpTests compare SCTP over UDP with TCP, with QUIC, and with another SCTP in
// Go. They need nothing of the kernel's SCTP.
func udpTests() []test {
	const size = 64 << 10
	bulk := test{name: "udp-bulk", param: sizeName(size), link: loopback}
	tests := bulkOf(bulk, size, []side{tcp, overUDP, quicSide, pionSide})
	tests = append(tests, pingPongOf(test{name: "udp-pingpong", param: sizeName(pingSize), link: loopback}, []side{tcp, overUDP, quicSide})...)
	sides := []side{tcp, overUDP, quicSide}
	for _, ms := range []int{10, 50} { // each way
		for _, loss := range []string{"0", "0.1", "1"} {
			t := test{name: "udp-rate", param: fmt.Sprintf("20 Mbit/s, %d ms, %s%%", 2*ms, loss), factor: 20,
				link: link{count: 1, plain: true, netem: fmt.Sprintf("limit 300 rate 20mbit delay %dms loss %s%%", ms, loss)}}
			tests = append(tests, bulkOf(t, size, sides)...)
		}
	}
	for _, far := range []struct{ param, netem string }{
		{"100 ms", "delay 50ms"},
		{"100 ms, jitter 1 ms", "delay 50ms 1ms"},
		{"100 ms, 2% early", "delay 50ms reorder 2%"},
	} {
		t := test{name: "udp-far", param: far.param, factor: 20, link: link{count: 1, plain: true, netem: "limit 100000 " + far.netem}}
		tests = append(tests, bulkOf(t, size, sides)...)
	}
	t := test{name: "udp-mtu", param: "1400 bytes, no ICMP", factor: 10, link: link{count: 1, plain: true, mtu: 1400, netem: "limit 10000 delay 5ms"}}
	tests = append(tests, bulkOf(t, size, []side{overUDP, quicSide})...)
	lossy := link{count: 1, netem: "limit 10000 delay 10ms loss 2%"}
	for _, w := range []way{
		{"tcp, ten connections", func(n *network) (*lanes, error) { return connLanes(n, &tcp, 10) }},
		{"sctpnet over UDP, ten streams", func(n *network) (*lanes, error) { return streamLanes(n, &overUDP, 10, nil) }},
		{"quic, ten streams", func(n *network) (*lanes, error) { return quicLanes(n, 10) }},
	} {
		tests = append(tests, w.test("udp-loss", "2%", lossy, false))
	}
	slow := link{count: 1, plain: true, netem: "limit 100 rate 1mbit delay 10ms"}
	for _, count := range []int{0, 8} {
		name := "sctpnet over UDP, alone"
		if count > 0 {
			name = fmt.Sprintf("sctpnet over UDP, beside %d", count)
		}
		tests = append(tests, test{name: "udp-beside", param: sizeName(pingSize), side: name, link: slow,
			run: func(n *network) (*result.Sample, error) { return besideSlow(n, *bulkTime, count) }})
	}
	return tests
}

// besideSlow measures a ping-pong within the host of the client beside bulk of some
// associations to the server, over a slow link.
func besideSlow(n *network, d time.Duration, count int) (*result.Sample, error) {
	if err := ip(n.client, "link set lo up"); err != nil {
		return nil, err
	}
	client, server, err := overUDP.pair(&network{client: n.client, server: n.client, host: "127.0.0.1"})
	if err != nil {
		return nil, err
	}
	slow, err := overUDP.pairs(n, count)
	if err != nil {
		return nil, err
	}
	var written atomic.Int64
	for _, p := range slow {
		go func() {
			for b := make([]byte, 64<<10); ; {
				k, err := p.client.Write(b)
				if written.Add(int64(k)); err != nil {
					return
				}
			}
		}()
		go io.Copy(io.Discard, p.server)
	}
	// It begins when the buffers are full.
	for before := int64(-1); written.Load() != before; time.Sleep(100 * time.Millisecond) {
		before = written.Load()
	}
	go io.Copy(server, server)
	var values []float64
	p := make([]byte, pingSize)
	for start := time.Now(); time.Since(start) < d || len(values) == 0; {
		begun := time.Now()
		if _, err := client.Write(p); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(client, p); err != nil {
			return nil, err
		}
		values = append(values, time.Since(begun).Seconds()*1e6)
	}
	return &result.Sample{Values: map[string]float64{"p50 µs": result.Quantile(values, 0.5), "p99 µs": result.Quantile(values, 0.99)}}, nil
}
