package sctpnet_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/sctpnet/sctpnet"
)

// TestAcceptStreamSaysThatItEnded looks at the error after a graceful end.
func TestAcceptStreamSaysThatItEnded(t *testing.T) {
	watchdog(t, func() {
		ln, err := sctpnet.Listen("sctp4+udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		client, err := sctpnet.Dial("sctp4+udp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		client.Close()
		_, err = server.(*sctpnet.Conn).AcceptStream(t.Context())
		if _, ok := errors.AsType[*net.OpError](err); !ok || !errors.Is(err, io.EOF) || !strings.Contains(err.Error(), "the association has ended: EOF") {
			t.Errorf("AcceptStream: %v", err)
		}
	})
}
