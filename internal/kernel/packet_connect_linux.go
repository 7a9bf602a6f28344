package kernel

import (
	"net/netip"
	"os"
	"runtime"
	"unsafe"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// Connect begins an association.
func (p *packet) Connect(remote *engine.Addr, begun func(id engine.AssocID, isNew bool)) error {
	list, err := appendSockaddrs(nil, remote)
	if err != nil {
		return err
	}
	return p.control(func(fd int) error {
		for _, ip := range remote.IPAddrs {
			if err := checkFamily(fd, toNetip(ip)); err != nil {
				return err
			}
		}
		if err := routeError(fd, p.from.bound, remote); err != nil {
			return os.NewSyscallError("connect", err)
		}
		p.receiving.Lock()
		defer p.receiving.Unlock()
		for tries := 0; ; tries++ {
			id, err := connectX(fd, list)
			switch err {
			case nil, unix.EINPROGRESS:
				p.assoc(id).attempt.begin(p, id, silence(fd, len(remote.IPAddrs)))
				begun(id, true)
				return nil
			case unix.EALREADY, unix.EISCONN:
				for _, ip := range remote.IPAddrs {
					if id = findAssoc(fd, netip.AddrPortFrom(toNetip(ip), uint16(remote.Port))); id != 0 {
						begun(id, false)
						return nil
					}
				}
				if tries < 10 {
					continue // the one that there was has ended since
				}
			case unix.EADDRNOTAVAIL:
				return engine.ErrPeeledOff // there is no other reason
			case unix.EAGAIN:
				err = unix.EADDRNOTAVAIL // as in connect
			}
			return os.NewSyscallError("connect", err)
		}
	})
}

// connectX begins an association with a list of addresses.
func connectX(fd int, list []byte) (engine.AssocID, error) {
	// struct sctp_getaddrs_old; the kernel also says which association it is.
	param := struct {
		assoc int32
		size  int32
		addrs *byte
	}{0, int32(len(list)), unsafe.SliceData(list)}
	n := uint32(unsafe.Sizeof(param))
	// The pointers are converted in the call itself, which keeps what they
	// point to in place until it returns.
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), sctp.SOL_SCTP, optConnectX3,
		uintptr(unsafe.Pointer(&param)), uintptr(unsafe.Pointer(&n)), 0)
	runtime.KeepAlive(list)
	if errno != 0 {
		return engine.AssocID(param.assoc), errno
	}
	return engine.AssocID(param.assoc), nil
}
