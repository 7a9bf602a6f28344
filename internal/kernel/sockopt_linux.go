package kernel

import (
	"encoding/binary"
	"os"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"github.com/ishidawataru/sctp"
	"golang.org/x/sys/unix"
)

// What github.com/ishidawataru/sctp lacks, from linux/sctp.h.
const (
	optRecvRcvInfo       = 32  // SCTP_RECVRCVINFO
	optReconfigSupported = 117 // SCTP_RECONFIG_SUPPORTED
	optEnableStreamReset = 118 // SCTP_ENABLE_STREAM_RESET
	optResetStreams      = 119 // SCTP_RESET_STREAMS
	optEvent             = 127 // SCTP_EVENT

	cmsgPRInfo = 5 // SCTP_PRINFO

	// SCTP_ENABLE_RESET_STREAM_REQ, _RESET_ASSOC_REQ and _CHANGE_ASSOC_REQ, which
	// is needed to ask for more streams and lets the peer add any number.
	enableResets     = 0x03
	enableAddStreams = 0x04
)

// Structures that it lacks. Their fields are as in linux/sctp.h; they travel
// through encoding/binary, which adds no padding.
type (
	rcvInfo struct { // struct sctp_rcvinfo
		Stream, SSN, Flags uint16
		_                  uint16
		PPID               uint32 // as it traveled
		TSN, CumTSN        uint32
		Context            uint32
		AssocID            int32
	}
	prInfo struct { // struct sctp_prinfo
		Policy uint16
		_      uint16
		Value  uint32
	}
	rtoInfo struct { // struct sctp_rtoinfo
		AssocID           int32
		Initial, Max, Min uint32
	}
	assocValue struct { // struct sctp_assoc_value
		AssocID int32
		Value   uint32
	}
	event struct { // struct sctp_event
		AssocID int32
		Type    uint16
		On      uint8
		_       uint8
	}
	pathParams struct { // struct sctp_paddrparams, packed
		AssocID       int32
		Address       [128]byte
		HBInterval    uint32
		PathMaxRxt    uint16
		PathMTU       uint32
		SACKDelay     uint32
		Flags         uint32
		IPv6FlowLabel uint32
		DSCP          uint8
		_             uint8
	}
)

const sppPMTUDDisable = 1 << 4 // SPP_PMTUD_DISABLE

func setStruct(fd, opt int, v any) error {
	b, err := binary.Append(nil, binary.NativeEndian, v)
	if err != nil {
		return err
	}
	return setBytes(fd, opt, b)
}

func setBytes(fd, opt int, b []byte) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptString(fd, sctp.SOL_SCTP, opt, string(b)))
}

// setEvent subscribes to one type of event.
func setEvent(fd int, typ uint16) error {
	return setStruct(fd, optEvent, event{Type: typ, On: 1})
}

func setInt(fd, level, opt, v int) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, level, opt, v))
}

func setLinger(fd, sec int) error {
	l := unix.Linger{Onoff: int32(boolInt(sec >= 0)), Linger: int32(max(0, sec))}
	return os.NewSyscallError("setsockopt", unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &l))
}

// getsockopt fills buf, which may hold arguments, with an SCTP option's value
// and returns its length.
func getsockopt(fd, opt int, buf []byte) (int, error) {
	n := uint32(len(buf))
	// Both pointers are converted in the call itself, which keeps what they
	// point to in place until it returns; n bounds what the kernel writes.
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), sctp.SOL_SCTP, uintptr(opt),
		uintptr(unsafe.Pointer(&buf[0])), uintptr(unsafe.Pointer(&n)), 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// assocStatus asks for SCTP_STATUS. It fails with EINVAL once the association
// is gone, and with nothing else that a socket of ours can meet.
func assocStatus(fd int) (sctp.Status, error) { return socketOf(fd).assocStatus() }

func (t target) assocStatus() (sctp.Status, error) {
	var st sctp.Status
	var buf [unsafe.Sizeof(st)]byte
	t.name(buf[:])
	if _, err := getsockopt(t.fd, sctp.SCTP_STATUS, buf[:]); err != nil {
		return st, err
	}
	_, err := binary.Decode(buf[:], binary.NativeEndian, &st)
	return st, err
}

// maxBacklog is the system's limit on a listener's queue, which package net
// uses too.
var maxBacklog = sync.OnceValue(func() int {
	b, err := os.ReadFile("/proc/sys/net/core/somaxconn")
	if err != nil {
		return unix.SOMAXCONN
	}
	if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && n > 0 {
		return n
	}
	return unix.SOMAXCONN
})

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
