package kernel

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet/internal/engine"
	"github.com/sctpnet/sctpnet/internal/fifo"
	"golang.org/x/sys/unix"
)

// A peer that has lost an association and dials again from the same addresses
// restarts it (RFC 9260 section 5.2). Linux keeps the socket, and with it the
// descriptor: a notification between the data of the old life and that of the new
// one is all that tells. A conn is one life. So when it has received the
// notification, it closes its descriptor, and a duplicate goes to a conn of its
// own, for Accept; or else the new life is aborted.

// lives is what a conn knows of its life and the next one.
type lives struct {
	parent *listener     // that accepted it, or nil
	keeps  bool          // it goes on with the next life
	kept   atomic.Uint32 // how many more lives it had

	restarted atomic.Bool // the next life has begun
	mu        sync.Mutex
	streamed  bool     // streams are used
	reborn    bool     // it has, or began as, another life than the first
	isLeaving bool     // Close or Abort was called
	next      *newLife // until it is passed on
}

// A newLife is the next life of an association.
type newLife struct {
	fd      int          // its descriptor, or -1 if it is to be aborted
	remote  *engine.Addr // the peer, which the kernel has forgotten if it is over
	streams *lifeStreams // how many it has
	cause   uint32       // the errno that a call of the old life was told, or 0
	born    []held       // what of it was received already,
	held    []piece      // and with the end of the old one
}

// A piece is what one place of a system call received.
type piece struct {
	data   []byte
	isNote bool // it is of a notification
	msg    engine.Message
}

// isRestart reports whether a notification says that the peer has restarted the
// association.
func isRestart(note []byte) bool { return says(note, engine.AssocRestarted) }

// restart begins the next life. It reports whether that is another conn's.
func (c *conn) restart(fd int, e engine.AssocEvent) bool {
	c.renewTag(fd)
	streams := streamsOf(e)
	c.lives.mu.Lock()
	defer c.lives.mu.Unlock()
	if c.keepsOn() {
		c.reborn = true
		c.kept.Add(1)
		c.most.Store(streams)
		c.setStreams(c.Streams(false))
		return false
	}
	next := &newLife{fd: -1, remote: c.remote, streams: streams, cause: c.cause.Load()}
	if c.parent != nil && !c.isLeaving && !c.streamed && !c.shared.Load() {
		if dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0); err == nil {
			next.fd = dup
		}
	}
	c.begin(next, fd)
	return true
}

// keepsOn reports whether the conn goes on with the next life. The caller holds mu.
func (c *conn) keepsOn() bool { return c.keeps && !c.streamed }

// goesOn is keepsOn for a caller that does not hold mu.
func (c *conn) goesOn() bool {
	c.lives.mu.Lock()
	defer c.lives.mu.Unlock()
	return c.keepsOn()
}

// begin ends this life. The caller holds mu, and calls passOn.
func (c *conn) begin(next *newLife, fd int) {
	c.next = next
	c.cause.CompareAndSwap(0, uint32(unix.ECONNRESET))
	c.ended.Store(true)
	c.restarted.Store(true)
	if next.fd < 0 {
		setLinger(fd, 0)
		if c.shared.Load() {
			deafen(fd) // which wakes a reader: it must know why
		}
	}
}

// deafen drops what a socket has received, and what it will receive. Another
// descriptor of it may keep the association from being aborted. Its reader was not
// told of the restart, and must not read the next life.
func deafen(fd int) {
	unix.Shutdown(fd, unix.SHUT_RD) // from now on nothing is queued
	for b := make([]byte, 64<<10); ; {
		n, _, err := unix.Recvfrom(fd, b, unix.MSG_DONTWAIT)
		if n <= 0 && err != unix.EINTR {
			return
		}
	}
}

// inherit keeps what one place of a system call received of the next life.
func (c *conn) inherit(data []byte, hdr *unix.Msghdr, info *rcvControl) {
	c.lives.mu.Lock()
	defer c.lives.mu.Unlock()
	if c.next != nil && len(data) > 0 {
		c.next.held = append(c.next.held, piece{slices.Clone(data), hdr.Flags&sctp.MSG_NOTIFICATION != 0, info.message(hdr)})
	}
}

// inheritHeld moves all that is held to the next life.
func (c *conn) inheritHeld() {
	c.lives.mu.Lock()
	defer c.lives.mu.Unlock()
	c.next.born = c.held
	c.setHeld(nil)
}

// asRestart returns the event of a restart, if e is one.
func asRestart(e engine.Event) (engine.AssocEvent, bool) {
	a, ok := e.(engine.AssocEvent)
	return a, ok && a.Change == engine.AssocRestarted
}

// passOn gives the next life away. The call that has begun it does so, after it has
// kept all that its system call brought. The descriptor of this life is closed
// first, and no call uses it any more.
func (c *conn) passOn() {
	c.lives.mu.Lock()
	next := c.next
	c.next = nil
	c.lives.mu.Unlock()
	if next == nil {
		return
	}
	c.file.Close()
	if next.fd >= 0 {
		c.parent.welcome(next)
	}
}

// isOver reports whether the conn has come to the end of its life, and was not
// closed.
func (c *conn) isOver() bool { return c.restarted.Load() && !c.closed.Load() }

// receiveLast is receive without a descriptor.
func (c *conn) receiveLast(recv func(fd uintptr) bool) {
	c.failed.Lock()
	defer c.failed.Unlock()
	recv(^uintptr(0))
}

// finish closes the conn. It tells a restart that comes at the same time. If there was
// one that nobody has read, the next life is aborted, as it would take this end for its
// own. An association that is new is spared the question.
func (c *conn) finish(abort bool) error {
	looks := c.endWatch() && !c.keeps && !c.taken.Load() && !c.shared.Load()
	c.lives.mu.Lock()
	c.isLeaving = true
	if !c.restarted.Load() && (abort || looks) {
		c.socket.control(func(fd int) error {
			if abort || c.restartIsNext(fd) {
				return setLinger(fd, 0)
			}
			return nil
		})
	}
	c.lives.mu.Unlock()
	return c.close()
}

// restartIsNext reports whether the next thing to be received is the notification of a
// restart.
func (c *conn) restartIsNext(fd int) bool {
	c.passUp(fd)
	return isRestart(c.peekNote(fd))
}

// hasUnreadRestart reports whether the next life has begun, and no reader has come to that.
func (c *conn) hasUnreadRestart(fd int) bool {
	if c.restartIsNext(fd) {
		return true
	}
	n, err := unix.IoctlGetInt(fd, unix.SIOCINQ)
	return err == nil && n > 0 && c.isReborn(fd) // then it is behind that
}

var errRestarted = fmt.Errorf("the peer has restarted the association: %w", unix.ECONNRESET)

// overError says that the conn's life is over where its descriptor was closed
// for that.
func (c *conn) overError(err error) error {
	if err != nil && c.isOver() && errors.Is(err, net.ErrClosed) {
		return errRestarted
	}
	return err
}

// control is that of the socket, whose descriptor a restart closes.
func (c *conn) control(f func(fd int) error) error { return c.overError(c.socket.control(f)) }

func (c *conn) SetDeadline(t time.Time) error {
	return c.deadlineError(c.socket.SetDeadline(t))
}

func (c *conn) SetReadDeadline(t time.Time) error {
	return c.deadlineError(c.socket.SetReadDeadline(t))
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	return c.deadlineError(c.socket.SetWriteDeadline(t))
}

// deadlineError forgives a deadline after a restart, when nothing waits any more.
func (c *conn) deadlineError(err error) error {
	if err != nil && c.isOver() {
		return nil
	}
	return err
}

// errSentRestarted is what a Send returns in a life that is over.
var errSentRestarted = os.NewSyscallError("sendmsg", unix.ECONNRESET)

var errReborn = fmt.Errorf("%w: the peer has restarted the association, and Linux keeps the numbering of its former streams", errors.ErrUnsupported)

func (c *conn) UseStreams() error {
	c.lives.mu.Lock()
	defer c.lives.mu.Unlock()
	if c.reborn {
		return errReborn
	}
	c.streamed = true
	return nil
}

// welcome makes the conn of a new life, and has Accept return it.
func (l *listener) welcome(n *newLife) {
	sk, err := adopt(n.fd)
	if err != nil {
		return
	}
	c, err := l.bear(sk, n)
	if err != nil {
		sk.abort()
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isClosed {
		c.Abort()
		return
	}
	l.newborn.Push(c)
	l.file.SetReadDeadline(aLongTimeAgo) // a waiting Accept looks here then
}

func (l *listener) bear(sk *socket, n *newLife) (*conn, error) {
	err := sk.control(func(fd int) error {
		return l.control(func(lfd int) error { return copyOptions(fd, lfd) })
	})
	if err != nil {
		return nil, err
	}
	from := l.from
	from.parent, from.reborn, from.most = l, true, n.streams
	c, err := newConn(sk, from)
	if err != nil {
		return nil, err
	}
	if c.remote == nil {
		c.remote = n.remote
	}
	c.cause.CompareAndSwap(0, n.cause)
	c.setHeld(n.born)
	for _, p := range n.held {
		switch {
		case !p.isNote:
			c.hold(p.data, p.msg)
		default:
			c.note = append(c.note, p.data...)
			if p.msg.More {
				continue
			}
			c.learn(c.note)
			e := c.events.parse(c.note)
			if e != nil && (from.options.Events || isRestart(c.note)) {
				c.hold(nil, engine.Message{Event: e})
			}
			c.note = c.note[:0]
		}
	}
	return c, nil
}

// nextBorn returns a new life for Accept, if there is one, unless the deadline
// has passed.
func (l *listener) nextBorn() *conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.newborn.Len() == 0 || l.isPast() {
		return nil
	}
	c := l.newborn.Pop()
	if l.newborn.Len() == 0 {
		l.file.SetReadDeadline(l.by)
	}
	return c
}

// isPast reports whether the deadline has passed. The caller holds mu.
func (l *listener) isPast() bool { return !l.by.IsZero() && !time.Now().Before(l.by) }

// isWoken reports whether Accept was woken for a new life and not by its
// deadline.
func (l *listener) isWoken(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.isPast()
}

func (l *listener) SetDeadline(t time.Time) error {
	if !t.IsZero() {
		// The poller has a monotonic clock. By the wall clock, which may be set,
		// its deadline would not have passed yet, and Accept would spin.
		t = time.Now().Add(time.Until(t))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.by = t
	if l.newborn.Len() > 0 {
		t = aLongTimeAgo
	}
	return l.socket.SetDeadline(t)
}

func (l *listener) Close() error {
	l.mu.Lock()
	newborn := l.newborn.All()
	l.newborn, l.isClosed = fifo.Queue[*conn]{}, true
	l.mu.Unlock()
	for _, c := range newborn {
		c.Abort()
	}
	return l.close()
}

// copyOptions gives a socket the settings of another one, as far as both have
// them.
func copyOptions(to, from int) error {
	for _, r := range rows {
		for _, o := range r.options {
			o.copy(to, from)
		}
	}
	return setLinger(to, -1)
}

func (o option) copy(to, from int) {
	if o.level == unix.SOL_SOCKET {
		if n, err := o.getInt(from); err == nil {
			o.setInt(to, n/2) // a buffer's size, which Linux doubles
		}
		return
	}
	b := make([]byte, 256) // more than any has
	if n, err := o.getBytes(from, b); err == nil {
		o.setBytes(to, b[:n])
	}
}
