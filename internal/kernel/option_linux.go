package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// An option is a socket option with the name that errors give it.
type option struct {
	level, num int
	name       string
}

func sctpOption(num int, name string) option { return option{sctp.SOL_SCTP, num, name} }

// The numbers that github.com/ishidawataru/sctp lacks are from linux/sctp.h.
var (
	optInit               = sctpOption(sctp.SCTP_INITMSG, "SCTP_INITMSG")
	optRTO                = sctpOption(sctp.SCTP_RTOINFO, "SCTP_RTOINFO")
	optAssocInfo          = sctpOption(sctp.SCTP_ASSOCINFO, "SCTP_ASSOCINFO")
	optNoDelay            = sctpOption(sctp.SCTP_NODELAY, "SCTP_NODELAY")
	optAdaptation         = sctpOption(sctp.SCTP_ADAPTATION_LAYER, "SCTP_ADAPTATION_LAYER")
	optPrimary            = sctpOption(sctp.SCTP_PRIMARY_ADDR, "SCTP_PRIMARY_ADDR")
	optPeerPrimary        = sctpOption(sctp.SCTP_SET_PEER_PRIMARY_ADDR, "SCTP_SET_PEER_PRIMARY_ADDR")
	optPathParams         = sctpOption(sctp.SCTP_PEER_ADDR_PARAMS, "SCTP_PEER_ADDR_PARAMS")
	optMaxSegment         = sctpOption(13, "SCTP_MAXSEG")
	optSACK               = sctpOption(sctp.SCTP_DELAYED_SACK, "SCTP_DELAYED_SACK")
	optFragmentInterleave = sctpOption(18, "SCTP_FRAGMENT_INTERLEAVE")
	optPartialDelivery    = sctpOption(19, "SCTP_PARTIAL_DELIVERY_POINT")
	optMaxBurst           = sctpOption(20, "SCTP_MAX_BURST")
	optAuthChunk          = sctpOption(21, "SCTP_AUTH_CHUNK")
	optHMAC               = sctpOption(22, "SCTP_HMAC_IDENT")
	optAuthKey            = sctpOption(23, "SCTP_AUTH_KEY")
	optAuthActive         = sctpOption(24, "SCTP_AUTH_ACTIVE_KEY")
	optAuthDelete         = sctpOption(25, "SCTP_AUTH_DELETE_KEY")
	optPeerAuthChunks     = sctpOption(26, "SCTP_PEER_AUTH_CHUNKS")
	optLocalAuthChunks    = sctpOption(27, "SCTP_LOCAL_AUTH_CHUNKS")
	optThresholds         = sctpOption(31, "SCTP_PEER_ADDR_THLDS")
	optRecvRcvInfo        = sctpOption(32, "SCTP_RECVRCVINFO")
	optAuthDeactivate     = sctpOption(35, "SCTP_AUTH_DEACTIVATE_KEY")
	optThresholdsV2       = sctpOption(37, "SCTP_PEER_ADDR_THLDS_V2")
	optBindAdd            = sctpOption(sctp.SCTP_SOCKOPT_BINDX_ADD, "SCTP_SOCKOPT_BINDX_ADD")
	optBindRemove         = sctpOption(sctp.SCTP_SOCKOPT_BINDX_REM, "SCTP_SOCKOPT_BINDX_REM")
	optPRSupported        = sctpOption(113, "SCTP_PR_SUPPORTED")
	optDefaultPRInfo      = sctpOption(114, "SCTP_DEFAULT_PRINFO")
	optReconfig           = sctpOption(117, "SCTP_RECONFIG_SUPPORTED")
	optEnableReset        = sctpOption(118, "SCTP_ENABLE_STREAM_RESET")
	optResetStreams       = sctpOption(119, "SCTP_RESET_STREAMS")
	optResetAssoc         = sctpOption(120, "SCTP_RESET_ASSOC")
	optAddStreams         = sctpOption(121, "SCTP_ADD_STREAMS")
	optScheduler          = sctpOption(123, "SCTP_STREAM_SCHEDULER")
	optSchedulerValue     = sctpOption(124, "SCTP_STREAM_SCHEDULER_VALUE")
	optInterleaving       = sctpOption(125, "SCTP_INTERLEAVING_SUPPORTED")
	optEvent              = sctpOption(127, "SCTP_EVENT")
	optASCONF             = sctpOption(128, "SCTP_ASCONF_SUPPORTED")
	optAuth               = sctpOption(129, "SCTP_AUTH_SUPPORTED")
	optECN                = sctpOption(130, "SCTP_ECN_SUPPORTED")
	optExposePF           = sctpOption(131, "SCTP_EXPOSE_POTENTIALLY_FAILED_STATE")
	optUDPPort            = sctpOption(132, "SCTP_REMOTE_UDP_ENCAPS_PORT")

	optReadBuffer  = option{unix.SOL_SOCKET, unix.SO_RCVBUF, "SO_RCVBUF"}
	optWriteBuffer = option{unix.SOL_SOCKET, unix.SO_SNDBUF, "SO_SNDBUF"}
)

// wrap names the option in an error, and says where the kernel has none.
func (o option) wrap(call string, err error) error {
	if err == nil {
		return nil
	}
	err = os.NewSyscallError(call, err)
	if errors.Is(err, unix.ENOPROTOOPT) {
		return fmt.Errorf("%s: %w: %w", o.name, errors.ErrUnsupported, err)
	}
	return fmt.Errorf("%s: %w", o.name, err)
}

func (o option) setBytes(fd int, b []byte) error {
	return o.wrap("setsockopt", setsockopt(fd, o.level, o.num, b))
}

func (o option) set(fd int, v any) error { return socketOf(fd).set(o, v) }

func (o option) setInt(fd, v int) error {
	return o.wrap("setsockopt", unix.SetsockoptInt(fd, o.level, o.num, v))
}

// setValue sets an option that is a struct sctp_assoc_value.
func (o option) setValue(fd int, v uint32) error { return socketOf(fd).setValue(o, v) }

func (o option) getBytes(fd int, b []byte) (int, error) {
	n, err := getsockopt(fd, o.num, b)
	return n, o.wrap("getsockopt", err)
}

// get fills *v, which may hold arguments.
func (o option) get(fd int, v any) error { return socketOf(fd).get(o, v) }

func (o option) getInt(fd int) (int, error) {
	v, err := unix.GetsockoptInt(fd, o.level, o.num)
	return v, o.wrap("getsockopt", err)
}

func (o option) getValue(fd int) (uint32, error) { return socketOf(fd).getValue(o) }

// A target is what has options: a socket or, of a one-to-many socket, one of its
// associations.
type target struct {
	fd    int
	assoc engine.AssocID // 0 for the socket, which may be the association's own
}

func socketOf(fd int) target { return target{fd: fd} }

// name puts the association into an option's value, which begins with it.
func (t target) name(b []byte) {
	if t.assoc != 0 {
		binary.NativeEndian.PutUint32(b, uint32(t.assoc))
	}
}

func (t target) setBytes(o option, b []byte) error {
	t.name(b)
	return o.setBytes(t.fd, b)
}

func (t target) set(o option, v any) error {
	b, err := binary.Append(nil, binary.NativeEndian, v)
	if err != nil {
		return err
	}
	return t.setBytes(o, b)
}

func (t target) setValue(o option, v uint32) error { return t.set(o, assocValue{Value: v}) }

func (t target) getBytes(o option, b []byte) (int, error) {
	t.name(b)
	return o.getBytes(t.fd, b)
}

func (t target) get(o option, v any) error {
	b, err := binary.Append(nil, binary.NativeEndian, v)
	if err != nil {
		return err
	}
	if _, err := t.getBytes(o, b); err != nil {
		return err
	}
	_, err = binary.Decode(b, binary.NativeEndian, v)
	return err
}

func (t target) getValue(o option) (uint32, error) {
	var v assocValue
	err := t.get(o, &v)
	return v.Value, err
}

// read is control for a getter.
func read[T any](c controller, get func(fd int) (T, error)) (v T, err error) {
	err = c.control(func(fd int) error {
		v, err = get(fd)
		return err
	})
	return v, err
}

// ask is read for what a one-to-many socket has of each association.
func ask[T any](c controller, assoc engine.AssocID, get func(t target) (T, error)) (T, error) {
	return read(c, func(fd int) (T, error) { return get(target{fd, assoc}) })
}

// A controller has a socket.
type controller interface {
	control(f func(fd int) error) error
}

// milliseconds rounds up, as what is rounded to zero would mean another thing.
func milliseconds(d time.Duration) uint32 {
	return uint32((d + time.Millisecond - 1) / time.Millisecond)
}

func fromMilliseconds(ms uint32) time.Duration { return time.Duration(ms) * time.Millisecond }

// setEvent subscribes to one type of event.
func setEvent(fd int, typ uint16) error {
	return optEvent.set(fd, event{Type: typ, On: 1})
}

func setInt(fd, level, opt, v int) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, level, opt, v))
}

func setLinger(fd, sec int) error {
	l := unix.Linger{Onoff: int32(boolInt(sec >= 0)), Linger: int32(max(0, sec))}
	return os.NewSyscallError("setsockopt", unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &l))
}

// setsockopt sets an option to b. Package unix would copy that, twice.
func setsockopt(fd, level, opt int, b []byte) error {
	// The kernel reads b, which the call keeps in place, and keeps nothing of it.
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(opt),
		uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), 0)
	if errno != 0 {
		return errno
	}
	return nil
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

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
