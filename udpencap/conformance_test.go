package udpencap

import (
	"context"
	"net"
	"testing"

	"github.com/sctpnet/sctpnet"
	"golang.org/x/net/nettest"
)

// connPipe returns a function that makes pairs of associations.
func connPipe(network, address string, config sctpnet.Config) nettest.MakePipe {
	return func() (c1, c2 net.Conn, stop func(), err error) {
		lc := sctpnet.ListenConfig{Config: config}
		ln, err := lc.Listen(context.Background(), network, address)
		if err != nil {
			return nil, nil, nil, err
		}
		defer ln.Close()
		d := sctpnet.Dialer{Config: config}
		if c1, err = d.Dial(network, ln.Addr().String()); err != nil {
			return nil, nil, nil, err
		}
		if c2, err = ln.Accept(); err != nil {
			c1.Close()
			return nil, nil, nil, err
		}
		return c1, c2, func() { c1.Close(); c2.Close() }, nil
	}
}

// streamPipe returns a function that makes pairs of streams. All are of one
// association, which lives until the test ends.
func streamPipe(t *testing.T, config sctpnet.Config) nettest.MakePipe {
	client, server := makeConns(t, config)
	return func() (c1, c2 net.Conn, stop func(), err error) {
		s1, err := client.OpenStream()
		if err != nil {
			return nil, nil, nil, err
		}
		s2, err := server.Stream(s1.ID())
		if err != nil {
			s1.Close()
			return nil, nil, nil, err
		}
		return s1, s2, func() { s1.Close(); s2.Close() }, nil
	}
}

func TestNettest(t *testing.T) {
	t.Run("sctp4", func(t *testing.T) { nettest.TestConn(t, connPipe("sctp4+udp", "127.0.0.1:0", sctpnet.Config{})) })
	t.Run("sctp6", func(t *testing.T) { nettest.TestConn(t, connPipe("sctp6+udp", "[::1]:0", sctpnet.Config{})) })
	t.Run("any", func(t *testing.T) { nettest.TestConn(t, connPipe("sctp+udp", ":0", sctpnet.Config{})) })
	t.Run("Stream", func(t *testing.T) { nettest.TestConn(t, streamPipe(t, sctpnet.Config{})) })
}
