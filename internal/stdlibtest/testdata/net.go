// What is added to package net: hooks for another package to be what Dial and
// Listen do for the networks of TCP, and TCP's methods for what it returns.

package net

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"time"
)

// SCTPDial and SCTPListen, if not nil, do what Dialer.DialContext and
// ListenConfig.Listen do for the networks of TCP and SCTP.
var (
	SCTPDial   func(ctx context.Context, d *Dialer, network, address string) (Conn, error)
	SCTPListen func(ctx context.Context, lc *ListenConfig, network, address string) (Listener, error)
)

// isSCTP is true of SCTP's networks too because tests dial what Addr.Network
// returns.
func isSCTP(network string) bool {
	switch network {
	case "tcp", "tcp4", "tcp6":
		return true
	}
	return strings.HasPrefix(network, "sctp")
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
