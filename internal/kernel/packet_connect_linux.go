package kernel

import (
	"encoding/binary"
	"net/netip"
	"os"
	"runtime"
	"time"
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
				p.assoc(id).gives = time.Now().Add(silence(fd, len(remote.IPAddrs)))
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

// silence is after what time at the earliest a handshake with an endpoint of so
// many addresses is given up: each INIT has waited for its answer by then.
func silence(fd, addrs int) time.Duration {
	var rto rtoInfo
	var b [unsafe.Sizeof(sctp.InitMsg{})]byte
	var init sctp.InitMsg
	if optRTO.get(fd, &rto) != nil {
		return 0
	}
	if _, err := getsockopt(fd, sctp.SCTP_INITMSG, b[:]); err != nil {
		return 0
	}
	if _, err := binary.Decode(b[:], binary.NativeEndian, &init); err != nil {
		return 0
	}
	most := time.Duration(init.MaxInitTimeout) * time.Millisecond
	if most == 0 {
		most = fromMilliseconds(rto.Max)
	}
	wait, sum := fromMilliseconds(rto.Initial), time.Duration(0)
	for i := range int(init.MaxAttempts) + 1 {
		if i > 0 && i%max(1, addrs) == 0 {
			wait = min(2*wait, most)
		}
		sum += wait
	}
	return sum * 9 / 10 // timers are not exact
}
