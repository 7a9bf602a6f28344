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
		return pipeBy(d, network, ln.Addr(), func(net.Addr) (net.Conn, error) { return ln.Accept() })
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

// streamPipe returns a function that makes pairs of streams. All are of one
// association, which lives until the test ends.
func streamPipe(t *testing.T, network string) nettest.MakePipe {
	client, server := pipe(t, network, "127.0.0.1:0")
	return func() (c1, c2 net.Conn, stop func(), err error) {
		s1, s2, err := openStream(client, server)
		if err != nil {
			return nil, nil, nil, err
		}
		return s1, s2, func() { s1.Close(); s2.Close() }, nil
	}
}

func TestStreamNettest(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		mp := streamPipe(t, network)
		for _, name := range []string{"one", "two", "three"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				nettest.TestConn(t, mp)
			})
		}
	})
}

func TestStreamConformance(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		conformance.TestConn(t, streamPipe(t, network))
	})
}
