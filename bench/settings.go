package main

import (
	"errors"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/bench/internal/result"
)

// settingsTests find out what settings an association of sctpnet with a zero
// Config has, for the C program to have the same.
func settingsTests() []test {
	tests := []test{{link: loopback}, {link: veth}, {link: veth, rmemMax: largeBuffers}}
	for i := range tests {
		t := &tests[i]
		t.name, t.param, t.side, t.run = "settings", t.settings(), zero.name, findSettings
	}
	return tests
}

// settings names the settings of sctpnet that apply to a test.
func (t *test) settings() string {
	switch {
	case t.link.count == 0:
		return "lo"
	case t.rmemMax != 0:
		return "veth, large buffers"
	}
	return "veth"
}

// messageSize is what sctpnet's Write says that it splits into.
const messageSize = 64 << 10

func findSettings(n *network) (*result.Sample, error) {
	client, _, err := zero.pair(n)
	if err != nil {
		return nil, err
	}
	c := client.(*sctpnet.Conn)
	config, err1 := c.Config()
	path, err2 := c.PathParams(c.PeerAddrs()[0])
	out, _ := c.NumStreams()
	settings := map[string]float64{
		"nodelay":     0,
		"rcvbuf":      float64(config.ReadBuffer),
		"sndbuf":      float64(config.WriteBuffer),
		"rto_initial": float64(config.RTO.Initial.Milliseconds()),
		"rto_min":     float64(config.RTO.Min.Milliseconds()),
		"rto_max":     float64(config.RTO.Max.Milliseconds()),
		"sack_delay":  float64(config.SACK.Delay.Milliseconds()),
		"sack_freq":   float64(config.SACK.Frequency),
		"streams":     float64(out),
		"message":     messageSize,
	}
	if !config.Nagle {
		settings["nodelay"] = 1
	}
	if !path.DiscoverMTU {
		settings["mtu"] = float64(path.MTU)
	}
	return &result.Sample{Values: settings}, errors.Join(err1, err2)
}
