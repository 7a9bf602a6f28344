// What is added to package net: hooks for another package to be what Dial, Listen
// and ListenPacket do for the networks of TCP or of UDP, and the methods of these for
// what it returns.

package net

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// SCTPDial, SCTPListen and SCTPListenPacket, if not nil, do what Dialer.DialContext
// and methods of ListenConfig do for the networks of SCTPFor, which is "tcp" or "udp",
// and of SCTP.
var (
	SCTPFor          string
	SCTPDial         func(ctx context.Context, d *Dialer, network, address string) (Conn, error)
	SCTPListen       func(ctx context.Context, lc *ListenConfig, network, address string) (Listener, error)
	SCTPListenPacket func(ctx context.Context, lc *ListenConfig, network, address string) (PacketConn, error)
)

// isEngine reports whether it is SCTP over UDP that calls the function which asks.
func isEngine() bool {
	var pc [1]uintptr
	runtime.Callers(3, pc[:])
	f, _ := runtime.CallersFrames(pc[:]).Next()
	return strings.HasPrefix(f.Function, "sctpnet/udpencap.")
}

// isSCTP is true of SCTP's networks too because tests dial what Addr.Network
// returns.
func isSCTP(network string) bool {
	rest, ok := strings.CutPrefix(network, SCTPFor)
	return ok && (rest == "" || rest == "4" || rest == "6") || strings.HasPrefix(network, "sctp")
}

// SCTPConn has the methods of a TCPConn that tests call, and does them by what
// the Conn has.
type SCTPConn struct{ Conn }

func SCTPConnOf(c Conn) *SCTPConn { return &SCTPConn{c} }

// sctpConn is SCTPConnOf but for a connection of another network.
func sctpConn(c Conn) Conn {
	if _, ok := c.(*UnixConn); ok {
		return c
	}
	return SCTPConnOf(c)
}

func isSCTPAddr(a Addr) bool {
	return strings.HasPrefix(a.Network(), "sctp") && a.String() != "<nil>"
}

// CloseWrite is an association's Shutdown where there are no streams.
func (c *SCTPConn) CloseWrite() error {
	switch c := c.Conn.(type) {
	case interface{ CloseWrite() error }:
		return c.CloseWrite()
	case interface{ Shutdown() error }:
		return c.Shutdown()
	}
	return errors.ErrUnsupported
}

func (c *SCTPConn) CloseRead() error {
	if c, ok := c.Conn.(interface{ CloseRead() error }); ok {
		return c.CloseRead()
	}
	return errors.ErrUnsupported
}

func (c *SCTPConn) SetLinger(sec int) error {
	if c, ok := c.Conn.(interface{ SetLinger(int) error }); ok {
		return c.SetLinger(sec)
	}
	return errors.ErrUnsupported
}

func (c *SCTPConn) ReadFrom(r io.Reader) (int64, error) { return io.Copy(c.Conn, r) }

func (c *SCTPConn) SetKeepAliveConfig(KeepAliveConfig) error { return errors.ErrUnsupported }

func (c *SCTPConn) SyscallConn() (syscall.RawConn, error) { return sctpSyscallConn(c.Conn) }

func (c *SCTPConn) File() (*os.File, error) { return sctpFile(c.Conn) }

// SCTPListener is to a Listener what SCTPConn is to a Conn.
type SCTPListener struct{ Listener }

func SCTPListenerOf(l Listener) *SCTPListener { return &SCTPListener{l} }

func (l *SCTPListener) SetDeadline(t time.Time) error {
	if l, ok := l.Listener.(interface{ SetDeadline(time.Time) error }); ok {
		return l.SetDeadline(t)
	}
	return errors.ErrUnsupported
}

func (l *SCTPListener) SyscallConn() (syscall.RawConn, error) { return sctpSyscallConn(l.Listener) }

func (l *SCTPListener) File() (*os.File, error) { return sctpFile(l.Listener) }

func sctpSyscallConn(v any) (syscall.RawConn, error) {
	if c, ok := v.(syscall.Conn); ok {
		return c.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

func sctpFile(v any) (*os.File, error) {
	if f, ok := v.(interface{ File() (*os.File, error) }); ok {
		return f.File()
	}
	return nil, errors.ErrUnsupported
}

// SCTPPacketConn is what SCTPListenPacket returns, with addresses of UDP.
type SCTPPacketConn interface {
	PacketConn
	ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error)
	WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error)
	File() (*os.File, error)
}

// SCTPUDPConn has the methods of a UDPConn that tests call.
type SCTPUDPConn struct{ SCTPPacketConn }

func SCTPUDPConnOf(c any) *SCTPUDPConn { return &SCTPUDPConn{c.(SCTPPacketConn)} }

func SCTPListenUDP(network string, laddr *UDPAddr) (*SCTPUDPConn, error) {
	address := ":0"
	if laddr != nil {
		address = laddr.String()
	}
	c, err := ListenPacket(network, address)
	if err != nil {
		return nil, err
	}
	return SCTPUDPConnOf(c), nil
}

func SCTPDialUDP(network string, laddr, raddr *UDPAddr) (Conn, error) {
	var d Dialer
	if laddr != nil {
		d.LocalAddr = laddr
	}
	return d.Dial(network, raddr.String())
}

func (c *SCTPUDPConn) port() string {
	_, port, _ := SplitHostPort(c.LocalAddr().String())
	return port
}

func (c *SCTPUDPConn) RemoteAddr() Addr { return nil }

func (c *SCTPUDPConn) SetReadBuffer(int) error  { return errors.ErrUnsupported }
func (c *SCTPUDPConn) SetWriteBuffer(int) error { return errors.ErrUnsupported }

func (c *SCTPUDPConn) Write(b []byte) (int, error) { return c.WriteTo(b, nil) }

func (c *SCTPUDPConn) ReadFromUDP(b []byte) (int, *UDPAddr, error) {
	n, from, err := c.ReadFrom(b)
	a, _ := from.(*UDPAddr)
	return n, a, err
}

func (c *SCTPUDPConn) WriteToUDP(b []byte, to *UDPAddr) (int, error) { return c.WriteTo(b, to) }

func (c *SCTPUDPConn) ReadMsgUDP(b, oob []byte) (n, oobn, flags int, from *UDPAddr, err error) {
	n, from, err = c.ReadFromUDP(b)
	return n, 0, 0, from, err
}

func (c *SCTPUDPConn) ReadMsgUDPAddrPort(b, oob []byte) (n, oobn, flags int, from netip.AddrPort, err error) {
	n, from, err = c.ReadFromUDPAddrPort(b)
	return n, 0, 0, from, err
}

func (c *SCTPUDPConn) WriteMsgUDP(b, oob []byte, to *UDPAddr) (n, oobn int, err error) {
	n, err = c.WriteTo(b, to)
	return n, 0, err
}

func (c *SCTPUDPConn) WriteMsgUDPAddrPort(b, oob []byte, to netip.AddrPort) (n, oobn int, err error) {
	n, err = c.WriteToUDPAddrPort(b, to)
	return n, 0, err
}
