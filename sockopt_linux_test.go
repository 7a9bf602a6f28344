package sctpnet_test

import (
	"syscall"
	"testing"

	"github.com/ishidawataru/sctp"
	"golang.org/x/sys/unix"
)

// A socketer is a Conn or a Listener.
type socketer interface {
	SyscallConn() (syscall.RawConn, error)
}

// control runs f on a descriptor.
func control(t testing.TB, s socketer, f func(fd int) error) {
	t.Helper()
	raw, err := s.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var ferr error
	if err := raw.Control(func(fd uintptr) { ferr = f(int(fd)) }); err != nil {
		t.Fatal(err)
	}
	if ferr != nil {
		t.Fatal(ferr)
	}
}

// getsockopt returns an option that is an int.
func getsockopt(t testing.TB, s socketer, level, opt int) (v int) {
	t.Helper()
	control(t, s, func(fd int) (err error) {
		v, err = unix.GetsockoptInt(fd, level, opt)
		return err
	})
	return v
}

// status returns what SCTP_STATUS says.
func status(t testing.TB, s socketer) (st *sctp.Status) {
	t.Helper()
	control(t, s, func(fd int) (err error) {
		st, err = sctp.NewSCTPConn(fd, nil).GetStatus()
		return err
	})
	return st
}
