package sctpnet_test

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/sctpnet/sctpnet"
)

// TestAddressListMistakes gives what people write for a list of addresses, and looks for
// what is wrong in the error.
func TestAddressListMistakes(t *testing.T) {
	for _, c := range []struct{ address, want string }{
		{"127.0.0.1/8:80", "host in a list of addresses: lookup 8"},
		{"127.0.0.1;127.0.0.2:80", `"/" or "," separates a list of addresses`},
		{"127.0.0.1 127.0.0.2:80", `"/" or "," separates a list of addresses`},
	} {
		_, err := sctpnet.ResolveAddr("sctp", c.address)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %s", c.address, err, c.want)
		}
	}
	_, err := sctpnet.ResolveAddr("sctp", "127.0.0.1/8:80")
	if _, ok := errors.AsType[*net.DNSError](err); !ok {
		t.Errorf("%v is no error of a resolver", err)
	}
}

// TestLocalAddrOfAnotherType dials from an address of TCP.
func TestLocalAddrOfAnotherType(t *testing.T) {
	d := sctpnet.Dialer{LocalAddr: &net.TCPAddr{}}
	_, err := d.Dial("sctp+udp", "127.0.0.1:1")
	if err == nil || !strings.Contains(err.Error(), "*net.TCPAddr: want *sctpnet.Addr") {
		t.Error(err)
	}
}
