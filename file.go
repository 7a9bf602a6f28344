package sctpnet

import (
	"errors"
	"net"
	"os"
	"syscall"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// File returns a copy of the underlying socket, as an [os.File]. It is the
// caller's responsibility to close f when finished. Closing l does not affect
// f, and closing f does not affect l; the socket goes on listening until both
// are closed.
//
// The descriptor is another one, but the socket is the same: options set on
// one are set on the other, and each association is accepted once, by one of
// the two. It is in non-blocking mode, and not inherited by other programs except
// by way of [os/exec.Cmd.ExtraFiles] or the like. [FileListener] makes a
// Listener of it again, in the same process or another one. Other code that
// accepts from it must know notifications: accepted sockets are subscribed to
// SCTP_ASSOC_CHANGE and SCTP_STREAM_RESET_EVENT (RFC 6458 section 6.1).
func (l *Listener) File() (f *os.File, err error) {
	if !l.ok() {
		return nil, syscall.EINVAL
	}
	if err := checkCall(l.network, "Listener.File"); err != nil {
		return nil, l.opError("file", err)
	}
	f, err = l.e.File()
	return f, l.opError("file", err)
}

// File returns a copy of the underlying socket, as an [os.File]. It is the
// caller's responsibility to close f when finished. Closing c does not affect
// f, and closing f does not affect c; the association ends when both are
// closed. Shutdown and Abort do act on both, Abort at the last Close.
//
// The descriptor is another one, but the socket is the same: options set on
// one are set on the other, and each byte of the peer's is read once, by one of
// the two. It is in non-blocking mode, and not inherited by other programs except
// by way of [os/exec.Cmd.ExtraFiles] or the like. [FileConn] makes a Conn of it
// again, in the same process or another one. Other code that reads from it must
// know notifications: the socket is subscribed to SCTP_ASSOC_CHANGE and
// SCTP_STREAM_RESET_EVENT (RFC 6458 section 6.1).
//
// File fails once a goroutine receives for the Conn, as it does for its streams
// and events: what that has received would be missing. The process that takes
// over must claim the streams.
func (c *Conn) File() (f *os.File, err error) {
	return get(c, "file", "File", nil, func() (*os.File, error) {
		c.mu.Lock() // no Mux may start meanwhile
		defer c.mu.Unlock()
		if c.mux.Load() != nil {
			return nil, errFileInUse
		}
		return c.e.File()
	})
}

var errFileInUse = errors.New("streams or events are in use: a part of what the peer has sent may be received already")

// FileConn returns a copy of the association of the open file f, as a [*Conn]:
// one that [Conn.File] has returned, perhaps in another process. It is the
// caller's responsibility to close f when finished. Closing c does not affect
// f, and closing f does not affect c.
//
// f must be a one-to-one SCTP socket with an association. Its options stay as
// they are, but it is put into non-blocking mode. LocalAddr of the Conn holds all
// the addresses that the association has at this end. OpenStream regards the Conn
// as one that has dialed; where it was accepted, choose odd numbers for
// [Conn.Stream] instead.
func FileConn(f *os.File) (c net.Conn, err error) {
	if f == nil {
		return nil, fileError(f, os.ErrInvalid)
	}
	e, err := filer().FileConn(f)
	if err != nil {
		return nil, fileError(f, err)
	}
	return newConn(e, "sctp", false, new(Config)), nil
}

// FileListener returns a copy of the listening endpoint of the open file f, as
// a [*Listener]: one that [Listener.File] has returned, perhaps in another
// process, or one that a service manager has opened. It is the caller's
// responsibility to close f when finished. Closing l does not affect f, and
// closing f does not affect l.
//
// f must be a one-to-one SCTP socket that listens. Its options stay as they are
// and hold for what it accepts, so that [Config] has no part in it; but it is
// put into non-blocking mode, and stream reconfiguration, which streams need,
// is enabled.
//
// With systemd, a unit with SocketProtocol=sctp and ListenStream= passes the
// socket as descriptor 3:
//
//	ln, err := sctpnet.FileListener(os.NewFile(3, "socket"))
//
// For a restart without a gap, an old process passes the copy of its Listener
// to the new one by os/exec, and closes its own when that accepts. What waits
// to be accepted then waits for the new one.
func FileListener(f *os.File) (l net.Listener, err error) {
	if f == nil {
		return nil, fileError(f, os.ErrInvalid)
	}
	e, err := filer().FileListener(f, engine.Options{SmallLoopbackMTU: true})
	if err != nil {
		return nil, fileError(f, err)
	}
	return newListener(e, "sctp", new(Config)), nil
}

// filer returns the engine of sockets of the system.
func filer() engine.Filer { return engine.Lookup("sctp").(engine.Filer) }

func fileError(f *os.File, err error) error {
	e := &net.OpError{Op: "file", Net: "sctp", Err: err}
	if f != nil {
		e.Addr = fileAddr(f.Name())
	}
	return e
}

// fileAddr is the name of a file in the place of an address, as in package net.
type fileAddr string

func (fileAddr) Network() string  { return "file+sctp" }
func (f fileAddr) String() string { return string(f) }
