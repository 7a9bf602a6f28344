package main

import (
	"io"
	"net"

	"github.com/pion/sctp"
)

// pionSide is one stream of an association of pion/sctp, over UDP. Its listener is
// for one association. Without its option BlockWrite, Write queues without a bound.
var pionSide = side{"pion", listenPion, func(address string) (net.Conn, error) {
	u, err := net.Dial("udp", address)
	if err != nil {
		return nil, err
	}
	a, err := sctp.ClientWithOptions(sctp.WithNetConn(u), sctp.WithBlockWrite(true))
	if err != nil {
		return nil, err
	}
	s, err := a.OpenStream(0, sctp.PayloadTypeWebRTCBinary)
	if err != nil {
		return nil, err
	}
	_, err = s.Write([]byte{0}) // tells the peer of the stream
	return pionConn{u, s}, err
}}

// A pionConn is a stream, with the addresses of its socket.
type pionConn struct {
	net.Conn
	s *sctp.Stream
}

func (c pionConn) Read(p []byte) (int, error)  { return c.s.Read(p) }
func (c pionConn) Write(p []byte) (int, error) { return c.s.Write(p) }

type pionListener struct{ *net.UDPConn }

func listenPion(address string) (net.Listener, error) {
	addr, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, err
	}
	u, err := net.ListenUDP("udp", addr)
	return pionListener{u}, err
}

func (l pionListener) Addr() net.Addr { return l.LocalAddr() }

// Close does nothing: the association has the socket.
func (l pionListener) Close() error { return nil }

func (l pionListener) Accept() (net.Conn, error) {
	first := make([]byte, 64<<10)
	n, from, err := l.ReadFromUDP(first)
	if err != nil {
		return nil, err
	}
	u := &connected{l.UDPConn, from, first[:n]}
	a, err := sctp.ServerWithOptions(sctp.WithNetConn(u), sctp.WithBlockWrite(true))
	if err != nil {
		return nil, err
	}
	s, err := a.AcceptStream()
	if err != nil {
		return nil, err
	}
	_, err = io.ReadFull(s, make([]byte, 1))
	return pionConn{u, s}, err
}

// A connected is a UDP socket with one peer.
type connected struct {
	*net.UDPConn
	peer  *net.UDPAddr
	first []byte // the packet by which the peer was found, until it is read
}

func (c *connected) Read(p []byte) (int, error) {
	if c.first != nil {
		n := copy(p, c.first)
		c.first = nil
		return n, nil
	}
	return c.UDPConn.Read(p)
}

func (c *connected) Write(p []byte) (int, error) { return c.WriteTo(p, c.peer) }
func (c *connected) RemoteAddr() net.Addr        { return c.peer }
