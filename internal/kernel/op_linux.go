package kernel

import (
	"sync"
	"unsafe"

	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// An op is one Send or Recv. The poller's callback is made once per op and the
// ops are kept, so that a call allocates nothing.
type op struct {
	conn    *conn
	owner   bool
	p       []byte
	size    int  // Send: of one message, or 0
	whole   bool // Recv
	n       int
	err     error
	msg     engine.Message
	waited  bool // Recv: for a message
	last    bool // Recv: has begun the next life
	turn    bool // Send: has left the reader its turn
	spare   bool // Send: leaves others room
	resumes bool // Send: goes on with an owner; under conn.taking
	many    *gather

	header

	send, recv, read func(fd uintptr) bool
	try              func(fd uintptr)
}

var ops = sync.Pool{New: func() any {
	o := new(op)
	o.init()
	o.send, o.recv, o.read, o.try = o.doSend, o.doRecv, o.doRead, o.doTry
	return o
}}

func newOp(c *conn, owner bool, p []byte) *op {
	o := ops.Get().(*op)
	o.conn, o.owner, o.p = c, owner, p
	return o
}

// done returns the op to the pool.
func (o *op) done() {
	o.clear()
	ops.Put(o)
}

// clear forgets the caller's memory, which a pool must not keep.
func (o *op) clear() {
	o.conn, o.p, o.err, o.iov.Base = nil, nil, nil, nil
	o.hdr.Name, o.hdr.Namelen = nil, 0
	o.n, o.size, o.whole, o.waited, o.last, o.turn, o.spare, o.resumes = 0, 0, false, false, false, false, false, false
	o.msg = engine.Message{}
	if o.many != nil {
		o.many.done()
		o.many = nil
	}
}

// taken reports whether the association belongs to an owner and this op is
// somebody else's.
func (o *op) taken() bool { return !o.owner && o.conn.taken.Load() }

// waitError translates an error of the poller.
func (o *op) waitError(err error) error {
	if o.taken() {
		return engine.ErrTaken // Take has used the deadline to get here
	}
	return waitError(err)
}

// move makes one of the system calls that move messages. None of them waits.
//
// With one processor nobody else can run meanwhile, but the runtime does not know
// that: it would hand the processor to another thread, which the kernel may then
// stop, with the other socket locked, for as long as this one has something to do.
func (c *conn) move(trap, fd uintptr, p unsafe.Pointer, a, b int) (int, unix.Errno) {
	return move(c.alone, trap, fd, p, a, b)
}

func move(alone bool, trap, fd uintptr, p unsafe.Pointer, a, b int) (int, unix.Errno) {
	call := unix.Syscall6
	if alone {
		call = unix.RawSyscall6
	}
	// What p points to is in the heap, where nothing moves, and is used by the
	// caller afterwards.
	r, _, errno := call(trap, fd, uintptr(p), uintptr(a), uintptr(b), 0, 0)
	return int(r), errno
}
