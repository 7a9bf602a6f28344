package udpencap

import (
	"os"
	"syscall"
)

// What Windows says of sockets has numbers of its own, which no other system uses.
// There, EADDRINUSE and the like of package syscall are invented ones.
const (
	wsaNoFamily  = syscall.Errno(10047)
	wsaInUse     = syscall.Errno(10048)
	wsaNoAddress = syscall.Errno(10049)
	wsaReset     = syscall.Errno(10054) // of UDP: the peer's port is closed
)

// portable makes an error of binding that is Windows' own the one that package
// syscall has a name for.
func portable(err error) error {
	e, ok := err.(*os.SyscallError)
	if !ok {
		return err
	}
	switch e.Err {
	case wsaNoFamily:
		return os.NewSyscallError(e.Syscall, syscall.EAFNOSUPPORT)
	case wsaInUse:
		return os.NewSyscallError(e.Syscall, syscall.EADDRINUSE)
	case wsaNoAddress:
		return os.NewSyscallError(e.Syscall, syscall.EADDRNOTAVAIL)
	}
	return err
}
