package engine_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/sctpnet/sctpnet"
)

// TestUDPNeedsImport is here because the tests of package sctpnet import
// udpencap.
func TestUDPNeedsImport(t *testing.T) {
	for _, network := range []string{"sctp+udp", "sctp4+udp", "sctp6+udp"} {
		_, derr := sctpnet.Dial(network, "127.0.0.1:9")
		_, lerr := sctpnet.Listen(network, "127.0.0.1:9")
		for _, err := range []error{derr, lerr, sctpnet.Available(network)} {
			if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "sctpnet/udpencap") {
				t.Errorf("%s: %v, want ErrUnsupported and what to import", network, err)
			}
		}
	}
}
