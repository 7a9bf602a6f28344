package udpencap

import (
	"encoding/binary"
	"hash/crc32"
	"iter"
)

// Chunk types (RFC 9260 section 3.2, RFC 3758, RFC 6525).
const (
	ctData             = 0
	ctInit             = 1
	ctInitAck          = 2
	ctSACK             = 3
	ctHeartbeat        = 4
	ctHeartbeatAck     = 5
	ctAbort            = 6
	ctShutdown         = 7
	ctShutdownAck      = 8
	ctError            = 9
	ctCookieEcho       = 10
	ctCookieAck        = 11
	ctShutdownComplete = 14
	ctReconfig         = 130
	ctForwardTSN       = 192
)

// Error causes (RFC 9260 section 3.3.10).
const (
	causeInvalidStream            = 1
	causeMissingParameter         = 2
	causeStaleCookie              = 3
	causeOutOfResource            = 4
	causeUnresolvableAddress      = 5
	causeUnrecognizedChunk        = 6
	causeInvalidParameter         = 7
	causeUnrecognizedParam        = 8
	causeNoUserData               = 9
	causeCookieInShutdown         = 10
	causeUserAbort                = 12
	causeProtocolViolation        = 13
	causeNewUDPPort               = 14 // draft-tuexen-tsvwg-sctp-udp-encaps-cons
	causeHeaderSize               = 4
	chunkHeaderSize               = 4
	paramHeaderSize               = 4
	headerSize                    = 12
	dataHeaderSize                = 16 // of a DATA chunk, the chunk's header included
	flagReflected            byte = 1  // T: the tag is the receiver's peer's
)

// Flags of DATA chunks.
const (
	flagEnd       byte = 1
	flagBegin     byte = 2
	flagUnordered byte = 4
	flagImmediate byte = 8 // RFC 7053
)

// A header is a packet's common header, without the checksum.
type header struct {
	src, dst uint16 // SCTP ports
	tag      uint32
}

// parseHeader takes the common header off a packet. It reports false for a
// packet that is too short or has the wrong checksum.
func parseHeader(b []byte) (h header, chunks []byte, ok bool) {
	if len(b) < headerSize+chunkHeaderSize {
		return h, nil, false
	}
	if binary.LittleEndian.Uint32(b[8:]) != checksum(b) {
		return h, nil, false
	}
	h = header{binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[4:])}
	return h, b[headerSize:], h.src != 0 && h.dst != 0
}

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	zeros      [4]byte
)

// checksum is the CRC32c of a packet, its own field taken for zero.
func checksum(b []byte) uint32 {
	sum := crc32.Update(0, castagnoli, b[:8])
	sum = crc32.Update(sum, castagnoli, zeros[:])
	return crc32.Update(sum, castagnoli, b[headerSize:])
}

// A chunk is one of a packet's chunks.
type chunk struct {
	typ, flags byte
	value      []byte
	raw        []byte // all of it, without padding
}

// nextChunk takes the first chunk off what parseHeader returned. It reports
// false at the end, and where the rest is no chunk.
func nextChunk(b []byte) (c chunk, rest []byte, ok bool) {
	if len(b) < chunkHeaderSize {
		return c, nil, false
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n < chunkHeaderSize || n > len(b) {
		return c, nil, false
	}
	c = chunk{b[0], b[1], b[chunkHeaderSize:n:n], b[:n:n]}
	return c, b[min(padded(n), len(b)):], true
}

// padded rounds a length up to a multiple of four.
func padded(n int) int { return (n + 3) &^ 3 }

// A param is a parameter of a chunk, or an error cause: they look alike.
type param struct {
	typ   uint16
	value []byte
	raw   []byte
}

// nextParam is nextChunk for parameters.
func nextParam(b []byte) (p param, rest []byte, ok bool) {
	if len(b) < paramHeaderSize {
		return p, nil, false
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n < paramHeaderSize || n > len(b) {
		return p, nil, false
	}
	p = param{binary.BigEndian.Uint16(b), b[paramHeaderSize:n:n], b[:n:n]}
	return p, b[min(padded(n), len(b)):], true
}

// params are the parameters in b, up to what is none.
func params(b []byte) iter.Seq[param] {
	return func(yield func(param) bool) {
		for {
			p, rest, ok := nextParam(b)
			if !ok || !yield(p) {
				return
			}
			b = rest
		}
	}
}

// What to do with a chunk or parameter of unknown type is in its two highest
// bits: go on or stop, and whether to report it.
func unknownChunk(typ byte) (stop, report bool)   { return typ&0x80 == 0, typ&0x40 != 0 }
func unknownParam(typ uint16) (stop, report bool) { return typ&0x8000 == 0, typ&0x4000 != 0 }

// appendParam appends a parameter, and before it the padding of the one before.
// What comes last is not padded here: a chunk's length does not count that (RFC
// 9260 section 3.2).
func appendParam(b []byte, typ uint16, v []byte) []byte {
	b = binary.BigEndian.AppendUint16(pad(b), typ)
	b = binary.BigEndian.AppendUint16(b, uint16(paramHeaderSize+len(v)))
	return append(b, v...)
}

// pad appends what makes the length a multiple of four.
func pad(b []byte) []byte { return append(b, zeros[:padded(len(b))-len(b)]...) }

// A packet is a packet that is being made.
type packet []byte

func newPacket(h header) packet { return appendHeader(make(packet, 0, 256), h) }

func appendHeader(p packet, h header) packet {
	p = binary.BigEndian.AppendUint16(p, h.src)
	p = binary.BigEndian.AppendUint16(p, h.dst)
	p = binary.BigEndian.AppendUint32(p, h.tag)
	return append(p, zeros[:]...)
}

// add appends a chunk.
func (p packet) add(typ, flags byte, value []byte) packet {
	p = append(p, typ, flags)
	p = binary.BigEndian.AppendUint16(p, uint16(chunkHeaderSize+len(value)))
	return pad(append(p, value...))
}

// addCause appends a chunk with one error cause, as ABORT and ERROR have.
func (p packet) addCause(typ, flags byte, cause uint16, info []byte) packet {
	return p.add(typ, flags, appendCause(nil, cause, info))
}

// appendCause is appendParam for error causes.
func appendCause(b []byte, cause uint16, info []byte) []byte { return appendParam(b, cause, info) }

// seal sets the checksum.
func (p packet) seal() packet {
	binary.LittleEndian.PutUint32(p[8:], checksum(p))
	return p
}

// before and before16 compare serial numbers (RFC 1982).
func before(a, b uint32) bool   { return int32(a-b) < 0 }
func before16(a, b uint16) bool { return int16(a-b) < 0 }
