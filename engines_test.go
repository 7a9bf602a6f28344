package sctpnet_test

import (
	"strings"
	"testing"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/engine"
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

// ofEngine is the network of a family, like "sctp6", of the engine that serves
// network.
func ofEngine(network, family string) string {
	if overUDP(network) {
		return family + "+udp"
	}
	return family
}

// onlyTo is what a dial to a port is told so that it asks nobody else: over UDP it
// asks at the UDP port 9899, too, which may be anybody's.
func onlyTo(network string, port int) sctpnet.Config {
	if !overUDP(network) {
		return sctpnet.Config{}
	}
	return sctpnet.Config{PathParams: sctpnet.PathParams{UDPPort: port}}
}

// lacking reports whether an engine lacks a call, by its table. If so, try must
// say so.
func lacking(t testing.TB, network, call string, try func() error) bool {
	t.Helper()
	lack, ok := lacksOf(t, network).Find(engine.LacksCall, call)
	if ok {
		wantUnsupported(t, call, network, try(), lack)
	}
	return ok
}

// What calls other than methods are in the tables.
const (
	severalAddresses = "Dial and Listen with several addresses of an endpoint"
	lifetime         = "MsgInfo.TTL"
)

// noList is lacking of an address that is a list, as multi-homing has them.
func noList(t testing.TB, network, address string) bool {
	t.Helper()
	return strings.Contains(address, "/") && lacking(t, network, severalAddresses, func() error {
		_, err := sctpnet.Listen(network, address)
		return err
	})
}
