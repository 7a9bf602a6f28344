package kernel

import (
	"errors"
	"os"

	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

func init() { engine.Register("", kernelEngine{}) }

// kernelEngine is the kernel's SCTP.
type kernelEngine struct{}

var (
	_ engine.Filer    = kernelEngine{}
	_ engine.Packeter = kernelEngine{}
)

// Available reports whether this kernel makes SCTP sockets.
func (kernelEngine) Available() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	if err == nil {
		return unix.Close(fd)
	}
	return socketError(err)
}

// socketError turns the failure of socket(2) into one that says what to do
// where the kernel has no SCTP.
func socketError(err error) error {
	serr := os.NewSyscallError("socket", err)
	switch err {
	case unix.EPROTONOSUPPORT, unix.ESOCKTNOSUPPORT, unix.EAFNOSUPPORT:
		return &noSCTPError{serr}
	}
	return serr
}

// noSCTPError says that a kernel has no SCTP.
type noSCTPError struct{ err error }

func (e *noSCTPError) Error() string {
	return "this kernel has no SCTP (" + e.err.Error() + "): load it with `modprobe sctp`, or use the network sctp+udp"
}

func (e *noSCTPError) Unwrap() []error { return []error{errors.ErrUnsupported, e.err} }
