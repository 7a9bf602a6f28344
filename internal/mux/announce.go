package mux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// The opener of a stream can announce it before there is something to say: its
// first message is then a DATA_CHANNEL_OPEN (RFC 8832 section 5.1) without label
// and protocol. The accepting side drops it. So a protocol in which the server
// speaks first works. Both sides do this only if each knows that the other does:
// see docs/wire.md.
const (
	announcementPPID = 50 // WebRTC DCEP, RFC 8832 section 8.1
	announcementType = 3  // DATA_CHANNEL_OPEN
	announcementSize = 12
)

// announcement is a reliable, ordered channel of priority 0, with neither label
// nor protocol.
var announcement = [announcementSize]byte{announcementType}

// isAnnouncement reports whether a piece announces the number's use that it begins.
// The sequence number says whether it does: the Conn may have read what came before.
func (p *piece) isAnnouncement() bool {
	return p.msg.SSN == 0 && !p.msg.More && looksLikeAnnouncement(p.data, p.msg)
}

func looksLikeAnnouncement(p []byte, msg engine.Message) bool {
	return msg.PPID == announcementPPID && !msg.Unordered && len(p) == announcementSize &&
		p[0] == announcementType && binary.BigEndian.Uint32(p[8:]) == 0
}

// announces reports whether both sides announce the streams that they open.
func (m *Mux) announces() bool { return m.config.Announces != nil && m.config.Announces() }

// opens reports whether a number is for this side to open.
func (m *Mux) opens(id uint16) bool { return id != 0 && (id%2 == 1) == m.config.Accepted }

// push queues a piece for Recv, unless it is the announcement of the stream.
func (s *Stream) push(p piece) {
	isFirst := !s.begun
	s.begun = true
	if isFirst && p.isAnnouncement() && s.id != 0 && !s.m.opens(s.id) && s.m.announces() {
		p.buf.release()
		return
	}
	s.queue.push(p)
}

// Announce makes the peer's Accept return the stream before something is
// written. Nothing may have been written yet.
func (s *Stream) Announce() error {
	s.sender.mu.Lock()
	defer s.sender.mu.Unlock()
	switch {
	case s.hasClosed():
		return net.ErrClosed
	case !s.m.opens(s.id):
		return fmt.Errorf("stream %d is for the peer to open, and to announce", s.id)
	case !s.m.announces():
		return fmt.Errorf("the peer does not know announcements of streams: %w", errors.ErrUnsupported)
	case s.written:
		return errors.New("something was written on the stream already")
	}
	return s.announce()
}

// announce sends the announcement. The caller holds the sender's lock.
func (s *Stream) announce() error {
	_, err := s.send(announcement[:], true, engine.Message{Stream: s.id, PPID: announcementPPID})
	return err
}

// announceFirst announces a stream if its first message would be taken for an
// announcement. The caller holds the sender's lock.
func (s *Stream) announceFirst(p []byte, msg engine.Message) error {
	if s.written || !looksLikeAnnouncement(p, msg) || !s.m.opens(s.id) || !s.m.announces() {
		return nil
	}
	return s.announce()
}
