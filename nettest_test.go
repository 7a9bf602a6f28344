package sctpnet_test

import (
	"net"
	"testing"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"golang.org/x/net/nettest"
)

// kinds are the kinds of association that every net.Conn must be over.
var kinds = []struct {
	name, network string
	server        string // to listen on
	client        net.Addr
}{
	{name: "sctp4", network: "sctp4", server: "127.0.0.1:0"},
	{name: "sctp6", network: "sctp6", server: "[::1]:0"},
	{name: "multihomed", network: "sctp", server: "127.0.0.1/127.0.0.2:0", client: addr(0, "127.0.0.1", "127.0.0.2")},
	{name: "sctp4+udp", network: "sctp4+udp", server: "127.0.0.1:0"},
}

// makePipe returns a function that makes pairs of one kind.
func makePipe(t *testing.T, network, server string, client net.Addr) nettest.MakePipe {
	needNetwork(t, network)
	return func() (c1, c2 net.Conn, stop func(), err error) {
		ln, err := sctpnet.Listen(network, server)
		if err != nil {
			return nil, nil, nil, err
		}
		defer ln.Close()
		d := sctpnet.Dialer{LocalAddr: client}
		if c1, err = d.Dial(network, ln.Addr().String()); err != nil {
			return nil, nil, nil, err
		}
		if c2, err = ln.Accept(); err != nil {
			c1.Close()
			return nil, nil, nil, err
		}
		stop = func() {
			c1.Close()
			c2.Close()
		}
		return c1, c2, stop, nil
	}
}

func TestNettest(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			nettest.TestConn(t, makePipe(t, k.network, k.server, k.client))
		})
	}
}

func TestConformance(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			mp := makePipe(t, k.network, k.server, k.client)
			conformance.TestConn(t, mp, sendBuffer(t, mp)...)
		})
	}
}

// sendBuffer returns the size of the send buffer, and its neighbors.
func sendBuffer(t *testing.T, mp nettest.MakePipe) []int {
	c, _, stop, err := mp()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	n := c.(*sctpnet.Conn).MaxMessageSize()
	return []int{n - 1, n, n + 1}
}
