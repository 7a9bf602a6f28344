package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet"
)

// A side is a way to make connections in Go. A program that uses it has no
// other knowledge of it than net.Listener and net.Conn.
type side struct {
	name   string
	listen func(address string) (net.Listener, error)
	dial   func(address string) (net.Conn, error)
}

var tcp = side{
	"tcp",
	func(address string) (net.Listener, error) { return net.Listen("tcp", address) },
	func(address string) (net.Conn, error) { return net.Dial("tcp", address) },
}

// zero is sctpnet as it comes.
var zero = withConfig("sctpnet", sctpnet.Config{})

// withConfig is sctpnet with the same Config at both ends.
func withConfig(name string, config sctpnet.Config) side { return withNetwork(name, "sctp", config) }

// withNetwork is withConfig on a network of either engine.
func withNetwork(name, network string, config sctpnet.Config) side {
	return side{
		name,
		func(address string) (net.Listener, error) {
			lc := sctpnet.ListenConfig{Config: config}
			return lc.Listen(context.Background(), network, address)
		},
		func(address string) (net.Conn, error) {
			d := sctpnet.Dialer{Config: config}
			return d.Dial(network, address)
		},
	}
}

// ishidawataru is github.com/ishidawataru/sctp as it comes.
var ishidawataru = side{
	"ishidawataru",
	func(address string) (net.Listener, error) {
		addr, err := sctp.ResolveSCTPAddr("sctp", address)
		if err != nil {
			return nil, err
		}
		return sctp.ListenSCTP("sctp", addr)
	},
	func(address string) (net.Conn, error) {
		addr, err := sctp.ResolveSCTPAddr("sctp", address)
		if err != nil {
			return nil, err
		}
		return sctp.DialSCTP("sctp", nil, addr)
	},
}

// pair makes a connection over the network.
func (s *side) pair(n *network) (client, server net.Conn, err error) {
	conns, err := s.pairs(n, 1)
	if err != nil {
		return nil, nil, err
	}
	return conns[0].client, conns[0].server, nil
}

// listenIn listens at the server of the network.
func (s *side) listenIn(n *network) (ln net.Listener, err error) {
	err = n.server.do(func() (err error) {
		if ln, err = s.listen(n.host + ":0"); err != nil {
			err = fmt.Errorf("listen: %w", err)
		}
		return err
	})
	return ln, err
}

type connPair struct{ client, server net.Conn }

// pairs makes n connections.
func (s *side) pairs(n *network, count int) ([]connPair, error) {
	ln, err := s.listenIn(n)
	if err != nil {
		return nil, err
	}
	defer ln.Close()
	pairs := make([]connPair, count)
	for i := range pairs {
		p := &pairs[i]
		accepted := make(chan error, 1)
		go func() {
			accepted <- n.server.do(func() (err error) {
				p.server, err = ln.Accept()
				return err
			})
		}()
		err := n.client.do(func() (err error) {
			p.client, err = s.dial(ln.Addr().String())
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("dial: %w", err)
		}
		select {
		case err := <-accepted:
			if err != nil {
				return nil, fmt.Errorf("accept: %w", err)
			}
		case <-time.After(20 * time.Second):
			return nil, fmt.Errorf("nothing to accept after 20 s")
		}
	}
	return pairs, nil
}
