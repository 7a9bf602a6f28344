package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"

	"github.com/quic-go/quic-go"
)

// quicSide is one stream of a connection of quic-go.
var quicSide = side{"quic", listenQUIC, func(address string) (net.Conn, error) {
	c, err := dialQUIC(address)
	if err != nil {
		return nil, err
	}
	return openQUIC(c)
}}

// A quicConn is a stream of a connection.
type quicConn struct {
	*quic.Stream
	c *quic.Conn
}

func (c quicConn) LocalAddr() net.Addr  { return c.c.LocalAddr() }
func (c quicConn) RemoteAddr() net.Addr { return c.c.RemoteAddr() }
func (c quicConn) Close() error         { return c.c.CloseWithError(0, "") }

const protocol = "sctpnet-bench"

func dialQUIC(address string) (*quic.Conn, error) {
	return quic.DialAddr(context.Background(), address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}}, nil)
}

// openQUIC opens a stream. The peer learns of it when it is used.
func openQUIC(c *quic.Conn) (net.Conn, error) {
	s, err := c.OpenStream()
	if err != nil {
		return nil, err
	}
	_, err = s.Write([]byte{0})
	return quicConn{s, c}, err
}

func acceptQUIC(c *quic.Conn) (net.Conn, error) {
	s, err := c.AcceptStream(context.Background())
	if err != nil {
		return nil, err
	}
	_, err = io.ReadFull(s, make([]byte, 1))
	return quicConn{s, c}, err
}

type quicListener struct{ *quic.Listener }

func listenQUIC(address string) (net.Listener, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		return nil, err
	}
	ln, err := quic.ListenAddr(address, &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: private}},
		NextProtos:   []string{protocol},
	}, nil)
	return quicListener{ln}, err
}

func (l quicListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept(context.Background())
	if err != nil {
		return nil, err
	}
	return acceptQUIC(c)
}

// Close does nothing: connections do not outlive their listener.
func (l quicListener) Close() error { return nil }

// quicLanes are streams of one connection.
func quicLanes(n *network, count int) (*lanes, error) {
	client, server, err := quicSide.pair(n)
	if err != nil {
		return nil, err
	}
	l := new(lanes)
	for range count {
		from, err := openQUIC(client.(quicConn).c)
		if err != nil {
			return nil, err
		}
		to, err := acceptQUIC(server.(quicConn).c)
		if err != nil {
			return nil, err
		}
		l.writers, l.readers = append(l.writers, from), append(l.readers, to)
	}
	return l, nil
}
