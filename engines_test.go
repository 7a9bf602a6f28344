package sctpnet_test

import (
	"strings"
	"testing"

	_ "github.com/sctpnet/sctpnet/udpencap"
)

// engines has one network of each engine.
var engines = []string{"sctp4", "sctp4+udp"}

// eachEngine runs a test on each engine, as a subtest with the network's name.
func eachEngine(t *testing.T, f func(t *testing.T, network string)) {
	for _, network := range engines {
		t.Run(network, func(t *testing.T) {
			needNetwork(t, network)
			f(t, network)
		})
	}
}

// needNetwork is needSCTP for a network that the kernel serves.
func needNetwork(t testing.TB, network string) {
	t.Helper()
	if !overUDP(network) {
		needSCTP(t)
	}
}

// overUDP reports whether SCTP over UDP serves a network.
func overUDP(network string) bool { return strings.HasSuffix(network, "+udp") }
