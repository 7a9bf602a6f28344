package sctpnet_test

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/sctpnet/sctpnet"
)

func TestAvailable(t *testing.T) {
	for _, network := range []string{"", "udp", "sctp5", "unix"} {
		var unknown net.UnknownNetworkError
		if err := sctpnet.Available(network); !errors.As(err, &unknown) {
			t.Errorf("Available(%q): %v, want an UnknownNetworkError", network, err)
		}
	}
	want := sctpnet.Available("sctp") == nil
	for _, network := range []string{"sctp4", "sctp6", "tcp", "tcp4", "tcp6"} {
		if err := sctpnet.Available(network); (err == nil) != want {
			t.Errorf("Available(%q): %v, of sctp it is %t", network, err, want)
		}
	}
}

// TestUnsupported is for a kernel without SCTP.
func TestUnsupported(t *testing.T) {
	err := sctpnet.Available("sctp")
	if err == nil {
		t.Skip("this kernel has SCTP")
	}
	_, derr := sctpnet.Dial("sctp", "127.0.0.1:9")
	_, lerr := sctpnet.Listen("sctp", "127.0.0.1:9")
	for op, err := range map[string]error{"Available": err, "Dial": derr, "Listen": lerr} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v does not wrap ErrUnsupported", op, err)
			continue
		}
		for _, remedy := range []string{"modprobe sctp", "sctp+udp"} {
			if !strings.Contains(err.Error(), remedy) {
				t.Errorf("%s: %v does not say %s", op, err, remedy)
			}
		}
	}
}
