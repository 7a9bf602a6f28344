package kernel

import (
	"net"
	"os"
	"syscall"
)

func (sk *socket) SyscallConn() (syscall.RawConn, error) { return rawConn{sk.raw}, nil }

// A rawConn is the os.File's, with package net's errors.
type rawConn struct{ raw syscall.RawConn }

func (r rawConn) Control(f func(fd uintptr)) error {
	if r.raw.Control(f) != nil {
		return net.ErrClosed
	}
	return nil
}

func (r rawConn) Read(f func(fd uintptr) bool) error {
	if err := r.raw.Read(f); err != nil {
		return waitError(err)
	}
	return nil
}

func (r rawConn) Write(f func(fd uintptr) bool) error {
	if err := r.raw.Write(f); err != nil {
		return waitError(err)
	}
	return nil
}

// SyscallConn returns the socket. What Take interrupts goes on.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	c.shareReading()
	return rawAssoc{rawConn{c.raw}, c}, nil
}

// A rawAssoc is the rawConn of an association, which an owner may take.
type rawAssoc struct {
	rawConn
	c *conn
}

// Read waits until Close once there is an owner: all that arrives is the owner's.
func (r rawAssoc) Read(f func(fd uintptr) bool) error {
	if !r.c.taken.Load() {
		err := r.c.overError(r.rawConn.Read(f))
		if err != os.ErrDeadlineExceeded || !r.c.taken.Load() {
			return err
		}
	}
	<-r.c.over
	return net.ErrClosed
}

func (r rawAssoc) Write(f func(fd uintptr) bool) error {
	taken := r.c.taken.Load()
	err := r.rawConn.Write(f)
	if err == os.ErrDeadlineExceeded && !taken && r.c.taken.Load() {
		// Take has used the deadline.
		r.c.awaitTake()
		err = r.rawConn.Write(f)
	}
	return r.c.overError(err)
}

func (r rawAssoc) Control(f func(fd uintptr)) error { return r.c.overError(r.rawConn.Control(f)) }
