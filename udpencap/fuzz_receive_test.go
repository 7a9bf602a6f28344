package udpencap

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// renew gives the target a new association.
func (tg *target) renew() *assoc {
	tg.drain()
	tg.establish()
	return tg.assoc
}

// send has a packet come with the association's tag.
func (tg *target) send(p packet) {
	var in intake
	tg.socket.input(p.seal(), fuzzPeer, fuzzPeer.Addr(), &in)
	in.done()
}

// checkBytes checks that what counts against the window is what is held.
func checkBytes(t testing.TB, a *assoc) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	r := &a.rx
	if r.byFirst == nil {
		return // it has ended
	}
	chunks, bytes := -r.events, 0
	for _, p := range r.queue.All() {
		chunks++
		if p.of != nil {
			bytes += cap(p.of.data)
		}
	}
	count := func(m *run) {
		if m.isGap {
			chunks++
		}
		for f := m.head; f != nil; f = f.next {
			chunks++
			bytes += cap(f.data)
		}
	}
	for _, m := range r.byFirst {
		count(m)
	}
	for _, s := range r.streams {
		for _, m := range s.waiting {
			count(m)
		}
	}
	if want := bytes + chunks*chunkCost; r.held.n != want {
		t.Errorf("%d bytes count, want %d: %d of %d chunks", r.held.n, want, bytes, chunks)
	}
	if most := 3*r.window + mostOver; r.held.n > most || len(r.later) > mostSpans+1 {
		t.Errorf("%d bytes and %d spans are held, want at most %d and %d", r.held.n, len(r.later), most, mostSpans+1)
	}
}

// FuzzPackets has packets come one after the other to an association that has just
// begun. Each has its length before it.
func FuzzPackets(f *testing.F) {
	join := func(packets [][]byte) (all []byte) {
		for _, p := range packets {
			all = append(binary.BigEndian.AppendUint16(all, uint16(len(p))), p...)
		}
		return all
	}
	packets := capture()
	for some := range slices.Chunk(packets, 8) {
		f.Add(join(some))
	}
	tg := newTarget(f)
	f.Fuzz(func(t *testing.T, program []byte) {
		a := tg.renew()
		for n := 0; len(program) >= 2 && n < 100; n++ {
			size := min(int(binary.BigEndian.Uint16(program)), len(program)-2)
			b := program[2 : 2+size]
			program = program[2+size:]
			tg.input(b)
			checkBytes(t, a)
		}
	})
}

// A fuzzMessage is a message that a peer sends in chunks, and may give up.
type fuzzMessage struct {
	stream, ssn uint16
	unordered   bool
	chunks      [][]byte
	first       uint32
	isGivenUp   bool
	isCut       bool   // its end is never sent
	was         []byte // what was read of it
	times       int    // how often its end was
}

// FuzzReceive has a peer send messages, whose chunks come in any order and any number
// of times. The first bytes say what messages there are, and those behind zero which
// chunk comes, or what else happens. What was not given up is read once, and in the
// order of its stream.
func FuzzReceive(f *testing.F) {
	f.Add([]byte{1, 9, 33, 0, 1, 2, 3, 4, 5, 6})
	f.Add([]byte{0x10, 0xf8, 0x19, 0xe2, 0, 7, 6, 5, 0xff, 4, 3, 0xf0, 2, 1, 0xf0})
	f.Add([]byte{0xff, 0x1a, 0xfa, 5, 0, 3, 2, 0xf0, 1, 3, 3, 0xf1, 0xff})
	tg := newTarget(f)
	f.Fuzz(func(t *testing.T, program []byte) { receive(t, tg, program) })
}

func receive(t *testing.T, tg *target, program []byte) {
	a := tg.renew()
	var messages []*fuzzMessage
	var chunkOf []*fuzzMessage // by TSN, from peerTSN on
	next := make(map[uint16]uint16)
	for len(program) > 0 && len(messages) < 40 {
		b := program[0]
		if program = program[1:]; b == 0 {
			break
		}
		m := &fuzzMessage{stream: uint16(b & 3), unordered: b&4 != 0, isGivenUp: b>>5 == 7, isCut: b>>4 == 15, first: peerTSN + uint32(len(chunkOf))}
		if !m.unordered {
			m.ssn = next[m.stream]
			next[m.stream]++
		}
		for i := range 1 + b>>3&3 {
			m.chunks = append(m.chunks, fmt.Appendf(nil, "message %d, chunk %d; ", len(messages), i))
			chunkOf = append(chunkOf, m)
		}
		messages = append(messages, m)
	}
	if len(chunkOf) == 0 {
		return
	}
	h := header{7777, targetPort, targetTag}
	send := func(i int) {
		m, tsn := chunkOf[i], peerTSN+uint32(i)
		var flags byte
		if m.unordered {
			flags |= flagUnordered
		}
		if tsn == m.first {
			flags |= flagBegin
		}
		part := int(tsn - m.first)
		if part == len(m.chunks)-1 {
			if m.isCut {
				return
			}
			flags |= flagEnd
		}
		tg.send(newPacket(h).add(ctData, flags, data(tsn, m.stream, m.ssn, string(m.chunks[part]))))
	}
	// forward passes over what was given up and comes next, as a sender does that
	// knows what has come.
	forward := func() {
		a.mu.Lock()
		cum := a.rx.cum
		a.mu.Unlock()
		last := make(map[uint16]uint16)
		for i := int(cum + 1 - peerTSN); i < len(chunkOf) && chunkOf[i].isGivenUp; i++ {
			cum++
			if m := chunkOf[i]; !m.unordered {
				last[m.stream] = m.ssn
			}
		}
		v := binary.BigEndian.AppendUint32(nil, cum)
		for id, ssn := range last {
			v = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(v, id), ssn)
		}
		tg.send(newPacket(h).add(ctForwardTSN, 0, v))
	}
	got := make(map[uint16]int) // the last ordered message of each stream that was read
	var current *fuzzMessage
	read := func() {
		for {
			p := make([]byte, 100)
			n, msg, err := a.recv(p, onePiece, false)
			if err != nil {
				if err != engine.ErrNothing {
					t.Fatal(err)
				}
				return
			}
			i := slices.IndexFunc(messages, func(m *fuzzMessage) bool { return m.first == msg.TSN })
			if i < 0 {
				t.Fatalf("read %q of %+v, which was not sent", p[:n], msg)
			}
			m := messages[i]
			if current != nil && current != m || msg.Stream != m.stream || msg.Unordered != m.unordered || !m.unordered && msg.SSN != m.ssn {
				t.Fatalf("read %q of %+v", p[:n], msg)
			}
			m.was = append(m.was, p[:n]...)
			current = m
			if msg.More {
				continue
			}
			current = nil
			m.times++
			if want := string(slices.Concat(m.chunks...)); string(m.was) != want || m.times > 1 || m.isCut {
				t.Fatalf("read message %d as %q, %d times; want %q", i, m.was, m.times, want)
			}
			if last, ok := got[m.stream]; !m.unordered {
				if ok && last >= i {
					t.Fatalf("read message %d behind %d", i, last)
				}
				got[m.stream] = i
			}
		}
	}
	for _, b := range program[:min(len(program), 500)] {
		switch {
		case b < 0xe0:
			send(int(b) % len(chunkOf))
		case b < 0xf0:
			forward()
		default:
			read()
		}
		checkBytes(t, a)
	}
	for i, m := range chunkOf { // what a sender does at last
		if forward(); !m.isGivenUp {
			send(i)
		}
	}
	forward()
	read()
	for i, m := range messages {
		if m.times == 0 && !m.isGivenUp {
			t.Errorf("message %d was lost: %+v", i, m)
		}
	}
	checkBytes(t, a)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.state != engine.StateEstablished || a.rx.cum != peerTSN+uint32(len(chunkOf))-1 || a.rx.held.n != 0 {
		t.Errorf("state %v, %d of %d chunks, %d bytes", a.state, a.rx.cum+1-peerTSN, len(chunkOf), a.rx.held.n)
	}
}
