package udpencap

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
	"github.com/sctpnet/sctpnet/internal/fifo"
)

// A listener is a listening endpoint.
type listener struct {
	port  *port
	addr  *engine.Addr
	bound bool        // to one address
	many  *packetConn // whose listener it is, or nil

	mu      sync.Mutex
	options engine.Options
	backlog int // how many associations wait for Accept at most; one more is refused
	some    sync.Cond
	by      waiting
	queue   fifo.Queue[*assoc]
	spent   spentCookies
	closed  bool
}

// newListener makes a listening endpoint, perhaps of a one-to-many socket.
func newListener(ctx context.Context, s *engine.Socket, many *packetConn) (*listener, error) {
	if err := checkOptions(&s.Options); err != nil {
		return nil, err
	}
	local := s.Local
	if local == nil {
		local = &engine.Addr{}
	}
	if len(local.IPAddrs) > 1 {
		return nil, unsupported(severalAddresses)
	}
	v4, v6 := netip.IPv4Unspecified(), netip.IPv6Unspecified()
	var ips []netip.Addr
	shown := net.IPAddr{IP: net.IPv6unspecified}
	switch {
	case !engine.IsWildcard(local.IPAddrs):
		ips = []netip.Addr{toIP(local.IPAddrs[0])}
		shown = ipAddr(ips[0])
	case s.Network == "sctp4":
		ips, shown = []netip.Addr{v4}, ipAddr(v4)
	case s.Network == "sctp6":
		ips = []netip.Addr{v6}
	default:
		ips = []netip.Addr{v6, v4}
	}
	p, err := listenPort(ctx, ips, uint16(local.Port), s.Options.LocalUDPPort, controlOf(ctx, s))
	if err != nil {
		return nil, err
	}
	options := s.Options
	options.MaxInStreams = grants(&options)
	l := &listener{
		port:    p,
		options: options,
		addr:    &engine.Addr{IPAddrs: []net.IPAddr{shown}, Port: int(p.num)},
		bound:   !engine.IsWildcard(local.IPAddrs),
		many:    many,
		backlog: engine.Backlog(),
	}
	if len(ips) == 2 && len(p.sockets) > 0 && p.sockets[0].is4() {
		l.addr.IPAddrs = []net.IPAddr{ipAddr(v4)} // this host lacks IPv6
	}
	if many != nil {
		many.l, many.options = l, options
	}
	l.some.L = &l.mu
	l.by.init(&l.mu, &l.some)
	p.mu.Lock()
	taken := p.listener != nil
	if !taken {
		p.listener = l
	}
	p.mu.Unlock()
	if taken {
		p.release()
		return nil, os.NewSyscallError("bind", syscall.EADDRINUSE)
	}
	return l, nil
}

// grants is how many incoming streams a listener grants: no more than it has outgoing
// ones, so that what came on a stream can be answered on it.
func grants(o *engine.Options) uint16 {
	mine := localInitiation(o)
	return min(mine.in, mine.out)
}

// Limits of what may come for associations that wait to be accepted: for each waitingWindow,
// and for all of a listener not much more than waitingMemory, unless they are so many that
// each has leastWindow. Small chunks may take twice as much memory.
const (
	waitingWindow = 64 << 10
	waitingMemory = 16 << 20
)

// currentOptions are the options of the handshakes that begin now.
func (l *listener) currentOptions() engine.Options {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.options
}

func (l *listener) Adaptation() uint32 { return l.currentOptions().Adaptation }

// SetAdaptation sets what INIT ACKs say from now on.
func (l *listener) SetAdaptation(v uint32) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return net.ErrClosed
	}
	l.options.Adaptation = v
	return nil
}

// isSpent reports whether there was an association of a cookie already.
func (l *listener) isSpent(ck *cookie) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.spent.has(ck.tags())
}

// spend has no association be made of the cookies of one that this end has dialed, and
// that is over. The peer has such a cookie if it has dialed at the same time.
func (l *listener) spend(a *assoc) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spent.add(tags{a.localTag, a.peerTag}, now.Add(lifeOfCookies(&a.options)).UnixMilli(), now)
}

// establish makes an association of a valid cookie, for Accept. It returns nil
// if there are too many, and refuses this one.
func (l *listener) establish(back path, to netip.Addr, key peer, ck *cookie, i *initiation) *assoc {
	l.mu.Lock()
	closed, others, full := l.closed, l.queue.Len(), l.queue.Len() >= l.backlog
	l.mu.Unlock()
	if closed {
		return nil
	}
	if full {
		back.sendPacket(newPacket(header{l.port.num, key.port, ck.peerTag}).addCause(ctAbort, 0, causeOutOfResource, nil))
		return nil
	}
	a := newAssoc(l.port, key, l.currentOptions())
	a.localTag, a.localTSN = ck.localTag, ck.localTSN
	a.path = back
	a.setAddrs(to)
	if l.bound {
		a.local.IPAddrs = l.addr.IPAddrs
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if l.many != nil {
		if !l.many.enter(a) {
			return nil
		}
	} else {
		if !l.port.use() {
			return nil
		}
		if !l.port.add(a) {
			l.port.release()
			return nil
		}
	}
	a.establish(i)
	if l.many == nil {
		a.rx.await(others)
	}
	a.answer(ctCookieAck, nil)
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		a.abort()
		return nil
	}
	l.spent.add(ck.tags(), ck.expires, time.Now())
	if l.many == nil {
		l.queue.Push(a)
		l.some.Signal()
	}
	l.mu.Unlock()
	return a
}

// Accept waits for the next association.
func (l *listener) Accept() (engine.Conn, error) {
	a, err := l.next()
	if err != nil {
		return nil, err
	}
	a.accepted()
	return a, nil
}

// next waits for the next association.
func (l *listener) next() (*assoc, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.closed:
			return nil, net.ErrClosed
		case l.by.isPast():
			return nil, os.ErrDeadlineExceeded
		case l.queue.Len() > 0:
			return l.queue.Pop(), nil
		}
		l.some.Wait()
	}
}

// Close stops listening. What nobody has accepted is aborted.
func (l *listener) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return net.ErrClosed
	}
	l.closed = true
	rest := l.queue.All()
	l.queue = fifo.Queue[*assoc]{}
	l.by.timer.end()
	l.some.Broadcast()
	l.mu.Unlock()
	l.port.mu.Lock()
	l.port.listener = nil
	l.port.mu.Unlock()
	for _, a := range rest {
		a.Abort()
	}
	l.port.release()
	return nil
}

func (l *listener) Addr() *engine.Addr { return l.addr }

func (l *listener) SetDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return net.ErrClosed
	}
	l.by.set(t)
	return nil
}

func (l *listener) SyscallConn() (syscall.RawConn, error) { return nil, errors.ErrUnsupported }

func (l *listener) File() (*os.File, error) { return nil, errors.ErrUnsupported }
