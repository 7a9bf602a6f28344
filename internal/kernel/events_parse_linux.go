package kernel

import (
	"encoding/binary"
	"net/netip"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// The types of notifications, from linux/sctp.h.
const (
	eventAssocChange     = 1<<15 + 1  // SCTP_ASSOC_CHANGE
	eventPeerAddrChange  = 1<<15 + 2  // SCTP_PEER_ADDR_CHANGE
	eventSendFailedOld   = 1<<15 + 3  // SCTP_SEND_FAILED
	eventRemoteError     = 1<<15 + 4  // SCTP_REMOTE_ERROR
	eventShutdown        = 1<<15 + 5  // SCTP_SHUTDOWN_EVENT
	eventPartialDelivery = 1<<15 + 6  // SCTP_PARTIAL_DELIVERY_EVENT
	eventAdaptation      = 1<<15 + 7  // SCTP_ADAPTATION_INDICATION
	eventAuthentication  = 1<<15 + 8  // SCTP_AUTHENTICATION_EVENT
	eventSenderDry       = 1<<15 + 9  // SCTP_SENDER_DRY_EVENT
	eventStreamReset     = 1<<15 + 10 // SCTP_STREAM_RESET_EVENT
	eventAssocReset      = 1<<15 + 11 // SCTP_ASSOC_RESET_EVENT
	eventStreamChange    = 1<<15 + 12 // SCTP_STREAM_CHANGE_EVENT
	eventSendFailed      = 1<<15 + 13 // SCTP_SEND_FAILED_EVENT
)

// Their flags.
const (
	resetIncoming = 0x01 // SCTP_STREAM_RESET_INCOMING_SSN, and of a request _INCOMING
	resetOutgoing = 0x02 // SCTP_STREAM_RESET_OUTGOING_SSN
	flagDenied    = 0x04 // SCTP_STREAM_RESET_DENIED, _ASSOC_RESET_, _STREAM_CHANGE_
	flagFailed    = 0x08 // SCTP_STREAM_RESET_FAILED, likewise
	flagSent      = 0x01 // SCTP_DATA_SENT

	// In the place of a failed message's own flags are its chunk's.
	chunkLast      = 0x01
	chunkFirst     = 0x02
	chunkUnordered = 0x04
)

// noteType is the type of a notification, or of the beginning of one.
func noteType(note []byte) uint16 {
	if len(note) < 2 {
		return 0
	}
	return binary.NativeEndian.Uint16(note)
}

// A parser reads the notifications of a socket.
type parser struct {
	assoc   engine.AssocID         // that the last one was about
	failed  engine.SendFailedEvent // what has come of it
	joining bool                   // and whether more will
}

// parse reads a notification, and keeps its association but no part of its memory. It
// returns nil if the notification is cut short, has a type that it does not know, or is
// a part of a failed message that is not the last one.
func (p *parser) parse(note []byte) engine.Event {
	n := fields{b: note}
	typ, flags := n.u16(), n.u16()
	n.skip(4) // the length, which is the notification's
	var e engine.Event
	var chunk uint16 // flags
	before := p.assoc
	switch typ {
	case eventAssocChange:
		a := engine.AssocEvent{Change: engine.AssocChange(n.u16()), Cause: n.be16(), Out: n.u16(), In: n.u16()}
		p.assoc = n.assoc()
		a.Causes = n.rest()
		e = a
	case eventPeerAddrChange:
		addr := n.next(128)
		e = engine.PathEvent{Addr: addrPort(addr), Change: engine.PathChange(n.u32())}
		n.skip(4)
		p.assoc = n.assoc()
	case eventSendFailed, eventSendFailedOld:
		f := engine.SendFailedEvent{Sent: flags&flagSent != 0, Cause: n.cause()}
		f.Message, chunk, p.assoc = n.failedChunk(typ == eventSendFailedOld)
		f.Data = n.rest()
		e = f
	case eventRemoteError:
		r := engine.RemoteErrorEvent{Cause: n.be16()}
		n.skip(2)
		p.assoc = n.assoc()
		r.Data = n.rest()
		e = r
	case eventShutdown:
		p.assoc = n.assoc()
		e = engine.ShutdownEvent{}
	case eventPartialDelivery:
		n.skip(4)
		p.assoc = n.assoc()
		e = engine.PartialDeliveryEvent{Stream: uint16(n.u32()), Seq: n.u32()}
	case eventAdaptation:
		e = engine.AdaptationEvent{Indication: n.u32()}
		p.assoc = n.assoc()
	case eventAuthentication:
		a := engine.AuthEvent{Key: n.u16()}
		n.skip(2)
		a.Change = engine.AuthChange(n.u32())
		p.assoc = n.assoc()
		e = a
	case eventSenderDry:
		p.assoc = n.assoc()
		e = engine.SenderDryEvent{}
	case eventStreamReset:
		r := engine.StreamResetEvent{
			Incoming: flags&resetIncoming != 0,
			Denied:   flags&flagDenied != 0,
			Failed:   flags&flagFailed != 0,
		}
		p.assoc = n.assoc()
		for !n.short && len(n.b) >= 2 {
			r.Streams = append(r.Streams, n.u16())
		}
		e = r
	case eventStreamChange:
		p.assoc = n.assoc()
		e = engine.StreamsAddedEvent{In: n.u16(), Out: n.u16(), Denied: flags&flagDenied != 0, Failed: flags&flagFailed != 0}
	case eventAssocReset:
		p.assoc = n.assoc()
		e = engine.AssocResetEvent{LocalTSN: n.u32(), RemoteTSN: n.u32(), Denied: flags&flagDenied != 0, Failed: flags&flagFailed != 0}
	}
	if n.short {
		return nil
	}
	if f, ok := e.(engine.SendFailedEvent); ok {
		p.joining = p.joining && p.assoc == before
		return p.join(f, chunk)
	}
	return e
}

// join puts a failed message together: the kernel reports each of its chunks,
// one after the other.
func (p *parser) join(f engine.SendFailedEvent, flags uint16) engine.Event {
	if p.joining && flags&chunkFirst == 0 {
		f.Data = append(p.failed.Data, f.Data...)
		f.Sent = f.Sent || p.failed.Sent
	}
	p.failed, p.joining = engine.SendFailedEvent{}, false
	if flags&chunkLast == 0 {
		p.failed, p.joining = f, true
		return nil
	}
	return f
}

// fields takes a structure apart, field by field.
type fields struct {
	b     []byte
	short bool // there was less than was asked for
}

// next takes n bytes, which are zero if they are not there.
func (f *fields) next(n int) []byte {
	if len(f.b) < n {
		f.b, f.short = nil, true
		return make([]byte, n)
	}
	b := f.b[:n]
	f.b = f.b[n:]
	return b
}

func (f *fields) skip(n int)            { f.next(n) }
func (f *fields) assoc() engine.AssocID { return engine.AssocID(f.u32()) }
func (f *fields) u16() uint16           { return binary.NativeEndian.Uint16(f.next(2)) }
func (f *fields) u32() uint32           { return binary.NativeEndian.Uint32(f.next(4)) }
func (f *fields) be16() uint16          { return binary.BigEndian.Uint16(f.next(2)) }

// cause takes a cause in network order that was put into 32 bits.
func (f *fields) cause() uint16 {
	return binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, uint16(f.u32())))
}

// failedChunk takes what a notification says of a chunk but its data, in the form that
// kernels before 5.5 have, or in the later one.
func (f *fields) failedChunk(isOld bool) (m engine.Message, flags uint16, id engine.AssocID) {
	skipOld := func(n int) {
		if isOld {
			f.skip(n)
		}
	}
	m.Stream = f.u16()
	skipOld(2) // the stream's sequence number
	flags = f.u16()
	skipOld(2)
	m.Unordered = flags&chunkUnordered != 0
	m.PPID = swapPPID(f.u32())
	m.Context = f.u32()
	skipOld(4 + 4 + 4) // the lifetime and two TSNs
	f.skip(4)          // the association, for the first time
	return m, flags, f.assoc()
}

// rest takes a copy of what is left, nil if that is nothing.
func (f *fields) rest() []byte { return append([]byte(nil), f.next(len(f.b))...) }

// addrPort reads a struct sockaddr_storage.
func addrPort(b []byte) netip.AddrPort {
	a, port, n := parseSockaddr(b)
	ip, ok := netip.AddrFromSlice(a.IP)
	if n == 0 || !ok {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ip.Unmap().WithZone(a.Zone), uint16(port))
}
