package main

import (
	"encoding/binary"
	"fmt"
	"sync"
)

// A flow is the model of all bytes that one end writes for the other to read, in
// order. Each byte follows from the flow's number and the byte's offset, so the
// reader knows what it must be. The first headerLen bytes are the number itself.
type flow struct {
	id   uint64
	name string // for errors

	mu       sync.Mutex
	offered  int   // what Writes under way and before were given
	accepted int   // what Writes have accepted
	received int   // what Reads have returned
	ends     []int // the offsets at which messages end, those not yet received
	messages int   // those received, if they were not read as messages
	outcome  outcome
}

const headerLen = 8

// An outcome is how the reading of a flow ended.
type outcome int

const (
	unread  outcome = iota // nobody has read to an end
	whole                  // by io.EOF, or at the last byte: everything must have come
	cut                    // by ECONNRESET: what came last may be missing
	stopped                // by the reader's own choice
)

func (o outcome) String() string { return [...]string{"unread", "whole", "cut", "stopped"}[o] }

// fill sets p to the bytes of flow id at an offset.
func fill(p []byte, id uint64, offset int) {
	var word [8]byte
	for len(p) > 0 {
		if offset < headerLen {
			binary.BigEndian.PutUint64(word[:], id)
		} else {
			binary.BigEndian.PutUint64(word[:], mix(id+uint64(offset/8)))
		}
		n := copy(p, word[offset%8:])
		p, offset = p[n:], offset+n
	}
}

// mix is the output function of SplitMix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// next returns the next n bytes to write. What Write does not accept of them
// next returns again.
func (f *flow) next(n int) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := make([]byte, n)
	fill(p, f.id, f.offered)
	f.offered += n
	return p
}

// message is next for a message whose end the reader must find. Its payload
// protocol identifier follows from its place.
func (f *flow) message(n int) (p []byte, ppid uint32) {
	p = f.next(n)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ends = append(f.ends, f.offered)
	return p, f.ppid(f.offered - n)
}

func (f *flow) ppid(offset int) uint32 { return uint32(mix(f.id ^ uint64(offset))) }

// wrote notes how much was accepted of what next and message have returned since
// the last wrote.
func (f *flow) wrote(n int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n < 0 || f.accepted+n > f.offered {
		return fmt.Errorf("%s: a Write of %d bytes accepted %d", f.name, f.offered-f.accepted, n)
	}
	f.accepted += n
	f.offered = f.accepted
	// A message that was not accepted is to come again.
	for len(f.ends) > 0 && f.ends[len(f.ends)-1] > f.accepted {
		f.ends = f.ends[:len(f.ends)-1]
	}
	return nil
}

// read checks bytes that a Read has returned.
func (f *flow) read(p []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.received+len(p) > f.offered {
		return fmt.Errorf("%s: %d bytes came, %d were written: %s", f.name, f.received+len(p), f.offered, f.origin(p))
	}
	want := make([]byte, len(p))
	fill(want, f.id, f.received)
	for i := range p {
		if p[i] != want[i] {
			return fmt.Errorf("%s: byte %d is %#02x, not %#02x: %s", f.name, f.received+i, p[i], want[i], f.origin(p[i:]))
		}
	}
	f.received += len(p)
	return nil
}

// origin says where bytes are from that should not have come here, if they are of
// the same flow.
func (f *flow) origin(p []byte) string {
	if len(p) < 8 {
		return fmt.Sprintf("%x", p)
	}
	known := make([]byte, f.offered)
	fill(known, f.id, 0)
	for i := 0; i+8 <= len(known); i++ {
		if string(known[i:i+8]) == string(p[:8]) {
			return fmt.Sprintf("it is byte %d of the same flow", i)
		}
	}
	return fmt.Sprintf("%x is not of this flow", p[:8])
}

// readMessage checks a message, or the beginning of one.
func (f *flow) readMessage(p []byte, ppid uint32, isWhole bool) error {
	f.mu.Lock()
	want, start := f.ppid(f.received), f.received
	var end int
	if len(f.ends) > 0 {
		end = f.ends[0]
		if isWhole {
			f.ends = f.ends[1:]
		}
	}
	f.mu.Unlock()
	if err := f.read(p); err != nil {
		return err
	}
	switch n := end - start; {
	case ppid != want:
		return fmt.Errorf("%s: the message at byte %d has PPID %#x, not %#x", f.name, start, ppid, want)
	case isWhole && len(p) != n || len(p) > n:
		return fmt.Errorf("%s: the message at byte %d has %d bytes, not %d", f.name, start, len(p), n)
	}
	return nil
}

// got reports how many bytes have come.
func (f *flow) got() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.received
}

// end notes how the reading has ended.
func (f *flow) end(o outcome) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.outcome = o
}

// verdict is what the end of reading says of the bytes. It is called when neither
// end writes or reads any more.
func (f *flow) verdict() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.received > f.accepted:
		return fmt.Errorf("%s: %d bytes came, though Write has accepted %d", f.name, f.received, f.accepted)
	case f.outcome == whole && f.received != f.accepted:
		return fmt.Errorf("%s: %d of %d bytes came, and then the end as if that were all", f.name, f.received, f.accepted)
	}
	return nil
}

// A bag is the model of the unordered messages that one end sends. Each is known
// by its PPID, which is its index.
type bag struct {
	id   uint64
	name string

	mu      sync.Mutex
	sizes   []int // of those that were offered
	sent    []bool
	came    []bool
	outcome outcome
}

// message returns the next message to send.
func (b *bag) message(n int) (p []byte, ppid uint32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p, ppid = b.content(len(b.sizes), n), uint32(len(b.sizes))
	b.sizes = append(b.sizes, n)
	b.sent = append(b.sent, false)
	b.came = append(b.came, false)
	return p, ppid
}

func (b *bag) content(i, n int) []byte {
	p := make([]byte, n)
	fill(p, mix(b.id^uint64(i)), 0)
	return p
}

// wrote notes that a message was accepted. One that was not must never come.
func (b *bag) wrote(ppid uint32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent[ppid] = true
}

// readMessage checks a message, or the beginning of one that was cut off.
func (b *bag) readMessage(p []byte, ppid uint32, isWhole bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := int(ppid)
	switch {
	case i >= len(b.sizes):
		return fmt.Errorf("%s: unordered message %d came, and there are %d", b.name, ppid, len(b.sizes))
	case b.came[i]:
		return fmt.Errorf("%s: unordered message %d came twice", b.name, i)
	case isWhole && len(p) != b.sizes[i] || len(p) > b.sizes[i]:
		return fmt.Errorf("%s: unordered message %d has %d bytes, not %d", b.name, i, len(p), b.sizes[i])
	case string(p) != string(b.content(i, len(p))):
		return fmt.Errorf("%s: unordered message %d has other bytes", b.name, i)
	}
	b.came[i] = isWhole
	return nil
}

func (b *bag) end(o outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.outcome = o
}

// verdict is that of [flow.verdict].
func (b *bag) verdict() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.sizes {
		switch {
		case b.came[i] && !b.sent[i]:
			return fmt.Errorf("%s: unordered message %d came, though WriteMsg has not accepted it", b.name, i)
		case b.sent[i] && !b.came[i] && b.outcome == whole:
			return fmt.Errorf("%s: unordered message %d is missing at the end", b.name, i)
		}
	}
	return nil
}
