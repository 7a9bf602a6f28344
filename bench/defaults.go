package main

import (
	"io"
	"net"
	"strings"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/bench/internal/result"
)

// variants are sctpnet with one of its defaults each turned into what the system
// has.
func variants() []side {
	const systemBuffer = 212992 / 2 // which the system doubles
	const ms = time.Millisecond
	return []side{
		zero,
		withConfig("sctpnet, Nagle", sctpnet.Config{Nagle: true}),
		withConfig("sctpnet, system's buffers", sctpnet.Config{ReadBuffer: systemBuffer, WriteBuffer: systemBuffer}),
		withConfig("sctpnet, system's MTU", sctpnet.Config{PathParams: sctpnet.PathParams{DiscoverMTU: true}}),
		withConfig("sctpnet, SACK.Delay 200 ms", sctpnet.Config{SACK: sctpnet.SACK{Delay: 200 * ms}}),
		withConfig("sctpnet, RTO.Min 1 s", sctpnet.Config{RTO: sctpnet.RTO{Min: time.Second}}),
		withConfig("sctpnet, KernelDefaults", sctpnet.Config{KernelDefaults: true}),
	}
}

// defaultsTests show what each default is good for: bulk over the loopback
// interface, and one exchange in each association over a path that loses
// nothing, or something.
func defaultsTests() []test {
	bulk := test{name: "defaults-bulk", param: sizeName(64 << 10), link: loopback}
	tests := bulkOf(bulk, 64<<10, variants())
	for _, l := range []struct {
		param string
		link  link
	}{
		{"no loss", link{count: 1, netem: "limit 10000 delay 5ms"}},
		{"2% loss", link{count: 1, netem: "limit 10000 delay 5ms loss 2%"}},
	} {
		for _, s := range variants() {
			// One that waits for timers takes its time: what has nothing to
			// do with loss is left out.
			if l.param != "no loss" && s.name != zero.name && !strings.Contains(s.name, "RTO") && !strings.Contains(s.name, "Kernel") {
				continue
			}
			tests = append(tests, test{name: "defaults-exchange", param: l.param, side: s.name, link: l.link,
				limit: 2 * time.Minute,
				run:   func(n *network) (*result.Sample, error) { return exchanges(n, &s) }})
		}
	}
	return tests
}

// exchanges has requests and answers of two small writes each, one after the
// other in an association of its own, and measures from the dial to the end of
// the association at the client.
func exchanges(n *network, s *side) (*result.Sample, error) {
	const count, head, body = 30, 100, 1000
	send := func(c net.Conn) error {
		if _, err := c.Write(make([]byte, head)); err != nil {
			return err
		}
		_, err := c.Write(make([]byte, body))
		return err
	}
	ln, err := s.listenIn(n)
	if err != nil {
		return nil, err
	}
	defer ln.Close()
	go n.server.do(func() error {
		for {
			c, err := ln.Accept()
			if err != nil {
				return err
			}
			go func() {
				defer c.Close()
				if _, err := io.ReadFull(c, make([]byte, head+body)); err == nil {
					send(c)
				}
			}()
		}
	})
	start := time.Now()
	for range count {
		err := n.client.do(func() error {
			c, err := s.dial(ln.Addr().String())
			if err != nil {
				return err
			}
			defer c.Close()
			if err := send(c); err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, c)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return &result.Sample{Values: map[string]float64{"ms": time.Since(start).Seconds() * 1e3 / count}}, nil
}
