package udpencap

import (
	"crypto/rand"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
	"github.com/sctpnet/sctpnet/udpencap/internal/sender"
)

// An assoc is one association. It is an engine.Conn.
//
// One lock is over all of it. What is sent to the peer package sender numbers, paces
// and sends again.
type assoc struct {
	engine.Unsupported // see lacks

	port     *port
	peer     peer
	options  engine.Options
	local    *engine.Addr
	remote   *engine.Addr
	localTag uint32
	localTSN uint32
	tieTags  [2]uint32     // stand for both tags in cookies, which others may see
	done     chan struct{} // closed when it is established, or will never be

	mu    sync.Mutex
	state engine.State
	err   error // why it has ended

	path     path
	move     move
	localIP  netip.Addr // that the peer knows
	peerTag  uint32
	out, in  atomic.Uint32 // streams
	reconfig bool          // both have it
	partial  bool
	peerInit initiation
	mtu      int

	dial  dialing
	retry retry

	answers int    // to the packet that is being handled
	reply   packet // of them, with what was not sent yet, or nil
	acks    int    // SACKs of the packet

	snd       sender.Sender
	epoch     time.Time // since when its time counts
	pumping   bool      // a goroutine sends
	pumped    sync.Cond // it has sent all that it may
	held      *batch    // that the socket's goroutine sends
	wantsPump bool      // there may be something to send
	readWait  readWait  // of its timer

	knownGivenUp uint64 // messages

	rx  receiver
	rst resets
	hb  heartbeat

	search search // for the path MTU

	// Of the calls.
	readable, writable sync.Cond
	readBy, writeBy    waiting
	sending, receiving bool // a call has its turn
	partialSend        bool // a Send was cut short
	taken              bool
	closed             bool
	closedAt           time.Time
	awaited            bool // by Wait
	shutdown           bool // Shutdown was called, or Close
	linger             int

	ackTimer   timer
	sendTimer  timer // of snd
	ctrlTimer  timer // T1-init, T1-cookie and T2-shutdown
	ctrlCount  int
	flushTimer timer // of an association that is to end and is not yet over

	stats stats

	many member // of a one-to-many socket
}

// How long Close's delivery in the background goes on: if nothing is acknowledged, and
// however little at a time is.
const (
	flushLimit = 30 * time.Second
	closeLimit = 2 * time.Minute
)

func newAssoc(p *port, key peer, o engine.Options) *assoc {
	a := &assoc{
		port:     p,
		peer:     key,
		options:  o,
		localTag: p.newTag(),
		localTSN: randUint32(),
		tieTags:  [2]uint32{randUint32(), randUint32()},
		done:     make(chan struct{}),
		linger:   -1,
		epoch:    time.Now().Add(-time.Second), // no time is zero
	}
	a.readable.L, a.writable.L, a.pumped.L = &a.mu, &a.mu, &a.mu
	a.readBy.init(&a.mu, &a.readable)
	a.writeBy.init(&a.mu, &a.writable)
	a.ackTimer.init(&a.mu, a.sendAck)
	a.sendTimer.init(&a.mu, a.onSendTimer)
	a.ctrlTimer.init(&a.mu, a.onControlTimeout)
	a.flushTimer.init(&a.mu, a.onFlushLimit)
	a.hb.timer.init(&a.mu, a.onHeartbeatTimer)
	a.rst.timer.init(&a.mu, a.onResetTimeout)
	a.search.timer.init(&a.mu, a.onSearchTimer)
	a.retry.init(o)
	a.setReliability(o.PartialReliability)
	return a
}

// setAddrs sets the addresses of both ends. Packets come from local.
func (a *assoc) setAddrs(local netip.Addr) {
	a.localIP = local
	a.local = &engine.Addr{IPAddrs: []net.IPAddr{ipAddr(local)}, Port: int(a.port.num)}
	a.remote = &engine.Addr{IPAddrs: []net.IPAddr{ipAddr(a.peer.ip)}, Port: int(a.peer.port)}
}

func randUint32() uint32 {
	var b [4]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint32(b[:])
}

func (a *assoc) header() header {
	return header{a.port.num, a.peer.port, a.peerTag}
}

// sendChunk sends a packet with one control chunk, without flags.
func (a *assoc) sendChunk(typ byte, value []byte) {
	a.stats.ControlSent++
	a.sendPacket(newPacket(a.header()).add(typ, 0, value))
}

// sendPacket sends a packet, after the answers that wait.
func (a *assoc) sendPacket(p packet) {
	a.sendReply()
	a.stats.PacketsSent++
	a.path.sendPacket(p)
}

// readWindow is what the receive buffer holds.
func (a *assoc) readWindow() int { return a.port.readWindow(&a.options) }

// initiation is what this side says of itself in a handshake.
func (a *assoc) initiation() initiation {
	i := localInitiation(&a.options)
	i.window = uint32(a.readWindow())
	i.tag, i.tsn = a.localTag, a.localTSN
	return i
}

func localInitiation(o *engine.Options) initiation {
	i := initiation{
		out:        o.OutStreams,
		in:         o.MaxInStreams,
		reconfig:   true,
		partial:    !o.NoPartialReliability,
		adaptation: o.Adaptation,
		adapts:     o.Adaptation != 0,
		batches:    maxSegments > 1,
	}
	if i.out == 0 {
		i.out = defaultStreams
	}
	if i.in == 0 {
		i.in = 65535
	}
	return i
}

const (
	defaultStreams    = 10 // as Linux
	defaultBufferSize = 2 << 20
	leastBufferSize   = 64 << 10
)

func bufferSize(n int) int {
	if n == 0 {
		return defaultBufferSize
	}
	return max(n, leastBufferSize)
}

// establish begins the association's life. The caller holds a.mu.
func (a *assoc) establish(i *initiation) {
	mine := a.initiation()
	a.peerTag = i.tag
	a.out.Store(uint32(min(mine.out, i.in)))
	a.in.Store(uint32(min(mine.in, i.out)))
	a.reconfig = mine.reconfig && i.reconfig
	a.partial = mine.partial && i.partial
	a.peerInit = *i
	a.peerInit.cookie = nil
	a.startMTU()
	c := sender.Config{TSN: a.localTSN, Window: i.window, Room: a.mtu - headerSize, RTT: &a.retry.RTT}
	if a.options.Events {
		c.Failed = func(m sender.Message, data []byte, sent bool) { a.failed(m, data, sent, 0) }
	}
	a.snd.Init(c)
	a.rx.init(a, i.tsn)
	a.rst.init(a.localTSN, i.tsn)
	a.state = engine.StateEstablished
	a.endDialing()
	a.ctrlTimer.stop()
	a.ctrlCount = 0
	a.scheduleHeartbeat(0)
	a.tell(engine.AssocEvent{Change: engine.AssocUp, Out: uint16(a.out.Load()), In: uint16(a.in.Load())})
	if i.adapts {
		a.tell(engine.AdaptationEvent{Indication: i.adaptation})
	}
	close(a.done)
	a.writable.Broadcast()
}

// Sizes of what is around a packet.
const (
	ipv4Overhead = 20 + 8 // with UDP
	ipv6Overhead = 40 + 8
	ethernetMTU  = 1500
)

// overhead is what is around a packet.
func (a *assoc) overhead() int {
	if a.peer.ip.Is4() {
		return ipv4Overhead
	}
	return ipv6Overhead
}

// pathMTU is the most that a packet can have.
func (a *assoc) pathMTU() int {
	overhead := a.overhead()
	switch {
	case a.options.PathParams.MTU != 0:
		return min(a.options.PathParams.MTU, 65535) - overhead
	case a.isLocal():
		return loopbackMTU
	}
	return ethernetMTU - overhead
}

// isLocal reports whether the path is within this host, and nothing is said of its MTU.
func (a *assoc) isLocal() bool {
	return a.options.SmallLoopbackMTU && (a.peer.ip.IsLoopback() || a.peer.ip == a.localIP)
}

// discovers reports whether the MTU of the path has to be found out.
func (a *assoc) discovers() bool { return a.options.PathParams.MTU == 0 && !a.isLocal() }

// input handles the chunks of a packet with a valid tag. reflected says that
// the tag is the peer's own, which only two kinds of chunk may have.
func (a *assoc) input(at *arrival, chunks []byte, reflected bool, in *intake) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.state == engine.StateClosed {
		return
	}
	a.stats.PacketsReceived++
	if in.has(a) {
		a.sendReply() // to the packet before, which was read with this one
	}
	established := a.state >= engine.StateEstablished
	a.answers, a.acks = 0, 0
	a.handleChunks(at, chunks, reflected)
	a.rx.endPacket()
	in.add(a)
	if established && !reflected && a.state != engine.StateClosed {
		a.noteSource(at)
	}
}

func (a *assoc) handleChunks(at *arrival, chunks []byte, reflected bool) {
	established := a.state >= engine.StateEstablished
	for first := true; ; first = false {
		c, rest, ok := nextChunk(chunks)
		if !ok {
			break
		}
		chunks = rest
		if mustBeAlone(c.typ) && (!first || len(rest) > 0) {
			return
		}
		if reflected && c.typ != ctAbort && c.typ != ctShutdownComplete {
			at.socket.counters.wrongTag.Add(1)
			return
		}
		if c.typ != ctData {
			a.stats.ControlReceived++
		}
		switch {
		case c.typ == ctAbort || c.typ == ctShutdownComplete:
			if c.flags&flagReflected != 0 != reflected {
				at.socket.counters.wrongTag.Add(1)
				return
			}
		case !established && c.typ == ctShutdownAck:
			// It is of an association before (RFC 9260 section 8.5.1).
			a.answerAt(a.pathTo(at), newPacket(header{at.header.dst, at.header.src, at.header.tag}).add(ctShutdownComplete, flagReflected, nil))
			return
		case !established && !a.inHandshake(c.typ):
			return // nothing else can be meant before
		}
		if !a.handle(at, c) || a.state == engine.StateClosed {
			return
		}
		established = a.state >= engine.StateEstablished
	}
}

// pathTo is the path to where a packet has come from, from the address that the peer
// knows.
func (a *assoc) pathTo(at *arrival) path { return at.socket.pathTo(at.from, a.localIP) }

// mustBeAlone reports whether a chunk has no other beside it (RFC 9260 section 6.10).
func mustBeAlone(typ byte) bool {
	return typ == ctInit || typ == ctInitAck || typ == ctShutdownComplete
}

// inHandshake reports whether a chunk has a meaning before the association is established.
func (a *assoc) inHandshake(typ byte) bool {
	switch typ {
	case ctInitAck, ctCookieAck, ctError:
		return true
	case ctHeartbeat: // to the peer it may be established (RFC 9260 section 8.3)
		return a.state == engine.StateCookieEchoed
	}
	return false
}

// handle handles a chunk. It reports whether the rest of the packet is to be
// handled too.
func (a *assoc) handle(at *arrival, c chunk) bool {
	if a.state == engine.StateShutdownSent {
		a.noteLife(c.typ)
	}
	switch c.typ {
	case ctData:
		return a.onData(c)
	case ctSACK:
		// Each may go over all that is on its way, and a packet could have a
		// hundred. A peer has no use for a second one.
		if a.acks++; a.acks == 1 {
			a.onSACK(c.value)
		}
	case ctInitAck:
		a.onInitAck(at, c)
		return false
	case ctCookieAck:
		a.onCookieAck()
	case ctHeartbeat:
		// It goes to where the question has come from (RFC 9260 section 8.3), which
		// may be a port that is not yet known to be the peer's.
		a.answerAt(a.pathTo(at), newPacket(a.header()).add(ctHeartbeatAck, 0, c.value))
	case ctHeartbeatAck:
		a.onHeartbeatAck(at, c.value)
	case ctAbort:
		a.onAbort(at.header.tag, c.value)
		return false
	case ctError:
		a.onError(c.value)
	case ctShutdown:
		a.onShutdown(c.value)
	case ctShutdownAck:
		a.onShutdownAck()
	case ctShutdownComplete:
		a.onShutdownComplete()
	case ctReconfig:
		if !a.reconfig {
			return a.onUnknown(c)
		}
		a.onReconfig(c.value)
	case ctForwardTSN:
		if !a.partial {
			return a.onUnknown(c)
		}
		a.onForwardTSN(c.value)
	case ctInit:
		return false // it came after COOKIE ECHO
	case ctCookieEcho:
		// It comes first, and socket.input has seen to it.
	default:
		return a.onUnknown(c)
	}
	return true
}

// onUnknown handles a chunk of a type that is not known, or that the two ends have not
// agreed on.
func (a *assoc) onUnknown(c chunk) bool {
	stop, report := unknownChunk(c.typ)
	if report {
		a.answer(ctError, appendCause(nil, causeUnrecognizedChunk, c.raw[:min(len(c.raw), maxReported)]))
	}
	return !stop
}

// onAbort ends the association by the peer's wish.
func (a *assoc) onAbort(tag uint32, causes []byte) {
	if a.state < engine.StateEstablished {
		a.onRefused(tag)
		return
	}
	if a.state == engine.StateShutdownAckSent {
		// All has arrived on both sides, and the peer has forgotten it: that
		// it says so instead of SHUTDOWN COMPLETE makes no difference.
		a.finish(io.EOF)
		return
	}
	var cause uint16
	if c, _, ok := nextParam(causes); ok {
		cause = c.typ
	}
	a.tell(engine.AssocEvent{Change: engine.AssocLost, Cause: cause, Causes: append([]byte(nil), causes...)})
	a.finishFor(errReset, cause)
}

// onError handles the peer's report of an error.
func (a *assoc) onError(causes []byte) {
	for c := range params(causes) {
		switch {
		case c.typ == causeStaleCookie && a.state == engine.StateCookieEchoed:
			a.onStaleCookie()
		case a.state >= engine.StateEstablished && a.options.Events && !a.rx.hasEvents():
			a.rx.pushEvent(engine.RemoteErrorEvent{Cause: c.typ, Data: append([]byte(nil), c.value...)})
		}
	}
}

// tell tells of an event, if somebody wants to know.
func (a *assoc) tell(e engine.Event) {
	if a.options.Events {
		a.rx.pushEvent(e)
	}
}

// The reasons for an end.
var (
	errReset   = os.NewSyscallError("read", syscall.ECONNRESET)
	errTimeout = os.NewSyscallError("read", syscall.ETIMEDOUT)
)

// sendAbort tells the peer that the association is over.
func (a *assoc) sendAbort(cause uint16, info []byte) {
	a.stats.ControlSent++
	a.sendPacket(newPacket(a.header()).addCause(ctAbort, 0, cause, info))
}

// violation ends the association because of what the peer has sent.
func (a *assoc) violation(cause uint16, info []byte) {
	a.sendAbort(cause, info)
	a.finish(errReset)
}

// unreachable ends the association because the peer is silent.
func (a *assoc) unreachable() {
	a.sendAbort(causeProtocolViolation, []byte("too many retransmissions"))
	if a.state == engine.StateShutdownAckSent {
		a.finish(io.EOF) // which Read may have returned already: all has arrived
		return
	}
	if !a.retry.isInactive() {
		a.tellPath(engine.PathUnreachable)
	}
	a.tell(engine.AssocEvent{Change: engine.AssocLost})
	a.finish(errTimeout)
}

// finish is the end of the association, with the reason that its calls return.
func (a *assoc) finish(err error) { a.finishFor(err, 0) }

// finishFor is finish where the peer has given a cause.
func (a *assoc) finishFor(err error, cause uint16) {
	if a.state == engine.StateClosed {
		return
	}
	before := a.state
	a.state = engine.StateClosed
	a.err = err
	a.rst.pending = nil
	switch {
	case !a.options.Events || a.closed || before < engine.StateEstablished:
	case err == io.EOF:
		a.rx.pushEvent(engine.AssocEvent{Change: engine.AssocEnded})
	default:
		a.snd.Fail(func(m sender.Message, data []byte, sent bool) { a.failed(m, data, sent, cause) })
	}
	for _, t := range []*timer{&a.ackTimer, &a.sendTimer, &a.ctrlTimer, &a.flushTimer, &a.hb.timer, &a.rst.timer, &a.search.timer,
		&a.readBy.timer, &a.writeBy.timer} {
		t.end()
	}
	switch {
	case a.closed:
		a.rx.dropAll()
	case err != io.EOF:
		a.rx.dropIncomplete()
	}
	a.stopSending()
	a.hasEnded()
	if before < engine.StateEstablished {
		a.endDialing()
		close(a.done)
	}
	if l := a.port.listening(); l != nil && a.dial.ctx != nil && before >= engine.StateCookieEchoed {
		l.spend(a)
	}
	a.port.remove(a)
	a.wakeCalls()
	a.tellMany()
}

// abort ends the association at once.
func (a *assoc) abort() {
	switch {
	case a.state == engine.StateClosed:
	case a.state >= engine.StateEstablished:
		a.abandonPeer()
		a.finish(net.ErrClosed)
	default:
		a.abandon(net.ErrClosed)
	}
}

// onFlushLimit ends what does not come to its end.
func (a *assoc) onFlushLimit() {
	if a.closed {
		a.abort()
		return
	}
	a.sendAbort(causeUserAbort, []byte("the shutdown takes too long"))
	a.tell(engine.AssocEvent{Change: engine.AssocLost})
	a.finish(errTimeout)
}

// partings are when ABORT is sent again. Nothing acknowledges it, and a peer
// that only waits would notice its loss at the next heartbeat at best.
var partings = [...]time.Duration{
	10 * time.Millisecond, // each after the one before
	20 * time.Millisecond,
	40 * time.Millisecond,
	80 * time.Millisecond,
	160 * time.Millisecond,
}

// abandonPeer tells the peer that nobody is here any more.
func (a *assoc) abandonPeer() {
	a.stats.ControlSent++
	p := newPacket(a.header()).addCause(ctAbort, 0, causeUserAbort, nil)
	a.sendPacket(p)
	// From another socket, so that the port is free at once: it is by the tag
	// that the peer knows what this is about.
	s, err := borrowSocket(a.peer.ip)
	if err != nil {
		return
	}
	to := s.pathTo(a.path.to, a.localIP)
	var again func(i int)
	again = func(i int) {
		time.AfterFunc(partings[i], func() {
			to.sendPacket(p)
			if i++; i < len(partings) {
				again(i)
			} else {
				s.giveBack()
			}
		})
	}
	again(0)
}

// onControlTimeout is the end of T1 or T2.
func (a *assoc) onControlTimeout() {
	switch a.state {
	case engine.StateCookieWait, engine.StateCookieEchoed:
		a.onHandshakeTimeout()
	case engine.StateShutdownSent, engine.StateShutdownAckSent:
		a.onShutdownTimeout()
	}
}
