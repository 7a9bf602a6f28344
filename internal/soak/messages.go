package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/sctpnet/sctpnet"
)

// messages is messages on several streams of one Conn, both ways, some of them
// unordered.
type messages struct {
	p      *plan
	r      *rand.Rand
	ways   [2]*way // by the end that writes
	moves  bool
	polite int

	writers sync.WaitGroup
	readers [2]sync.WaitGroup
}

// A way is the messages of one end.
type way struct {
	flows map[uint16]*flow // by stream
	bag   *bag             // those unordered
	count int              // of all messages
	// byStream has the reader use ReadStream, which tells nothing but the stream.
	// There are no unordered messages then.
	byStream bool
}

func newMessages(p *plan, r *rand.Rand) *messages {
	m := &messages{p: p, r: r, moves: r.IntN(3) == 0}
	for i, c := range p.conns {
		w := &way{flows: make(map[uint16]*flow), count: 10 + r.IntN(100), byStream: r.IntN(4) == 0}
		out, _ := c.NumStreams()
		for range 1 + r.IntN(8) {
			id := uint16(r.IntN(int(out)))
			w.flows[id] = &flow{id: r.Uint64(), name: fmt.Sprintf("%s, what end %d sends on stream %d", p.name, i, id)}
		}
		w.bag = &bag{id: r.Uint64(), name: fmt.Sprintf("%s, what end %d sends", p.name, i)}
		m.ways[i] = w
	}
	return m
}

func (m *messages) start(polite int) {
	m.polite = polite
	for i, c := range m.p.conns {
		wr, rr := fork(m.r), fork(m.r)
		x := &exchange{s: m.p.s, name: m.p.name, assoc: &m.p.did, moves: m.moves}
		stop := x.moveDeadlines(i, c, fork(m.r))
		m.writers.Go(func() { m.write(i, c, wr) })
		m.readers[i].Go(func() {
			defer stop()
			o := m.read(i, c, rr, i == polite)
			m.p.checkEvents(i, o, i == polite)
		})
	}
}

func (m *messages) settle(a *actor) {
	a.do("waiting for the writers", m.writers.Wait)
	a.do("waiting for the reader that will close", m.readers[m.polite].Wait)
}

func (m *messages) finish(a *actor) {
	a.do("waiting for the writers", m.writers.Wait)
	for i := range m.readers {
		a.do("waiting for the readers", m.readers[i].Wait)
	}
	for _, w := range m.ways {
		if err := w.verdict(); err != nil {
			m.p.s.fail(fmt.Errorf("%w; the ends have done %v", err, &m.p.did))
		}
	}
}

func (w *way) verdict() error {
	for _, f := range w.flows {
		if err := f.verdict(); err != nil {
			return err
		}
	}
	return w.bag.verdict()
}

// A draft is a message to be sent.
type draft struct {
	data []byte
	info sctpnet.MsgInfo
	flow *flow // nil if it is unordered
}

// write sends the messages of end i, by WriteMsg, WriteStream and WriteMsgs.
func (m *messages) write(i int, c *sctpnet.Conn, r *rand.Rand) {
	w := m.ways[i]
	a := m.p.s.watch.actor(fmt.Sprintf("%s, writing messages at end %d", m.p.name, i))
	defer a.leave()
	ids := slices.Sorted(maps.Keys(w.flows))
	for left := w.count; left > 0; {
		var batch []draft
		for range 1 + r.IntN(min(left, 12)) {
			n := min(size(r), size(r), maxMessage)
			id := ids[r.IntN(len(ids))]
			d := draft{info: sctpnet.MsgInfo{Stream: id}}
			if !w.byStream && r.IntN(5) == 0 {
				d.data, d.info.PPID = w.bag.message(n)
				d.info.Unordered = true
			} else {
				d.flow = w.flows[id]
				d.data, d.info.PPID = d.flow.message(n)
			}
			batch = append(batch, d)
		}
		sent, err := 0, error(nil)
		if len(batch) == 1 {
			d := batch[0]
			if w.byStream {
				a.do("WriteStream", func() { sent, err = c.WriteStream(d.data, d.info.Stream) })
			} else {
				a.do("WriteMsg", func() { sent, err = c.WriteMsg(d.data, d.info) })
			}
			if err == nil && sent != len(d.data) || err != nil && sent != 0 {
				m.p.s.fail(fmt.Errorf("%s: WriteMsg of %d bytes gives %d, %v", m.p.name, len(d.data), sent, err))
			}
			sent = min(sent, 1)
		} else {
			msgs := make([]sctpnet.Message, len(batch))
			for k, d := range batch {
				msgs[k] = sctpnet.Message{Data: d.data, Info: d.info}
			}
			a.do("WriteMsgs", func() { sent, err = c.WriteMsgs(msgs) })
			if err == nil && sent != len(batch) || sent > len(batch) {
				m.p.s.fail(fmt.Errorf("%s: WriteMsgs of %d messages gives %d, %v", m.p.name, len(batch), sent, err))
			}
		}
		accepted := make(map[*flow]int)
		for k, d := range batch {
			switch {
			case d.flow == nil && k < sent:
				w.bag.wrote(d.info.PPID)
			case d.flow != nil && k < sent:
				accepted[d.flow] += len(d.data)
			case d.flow != nil:
				accepted[d.flow] += 0
			}
		}
		for f, n := range accepted {
			if err := f.wrote(n); err != nil {
				m.p.s.fail(err)
			}
		}
		left -= sent
		switch {
		case err == nil:
		case isTimeout(err) && m.moves:
			time.Sleep(time.Millisecond)
		default:
			if err := m.p.did.writeEnd(i, err); err != nil {
				m.p.s.fail(fmt.Errorf("%s: %w", m.p.name, err))
			}
			return
		}
	}
}

// read reads what the other end than i sends, until the end, or if it is to close
// politely until it has all.
func (m *messages) read(i int, c *sctpnet.Conn, r *rand.Rand, polite bool) outcome {
	s, w := m.p.s, m.ways[1-i]
	a := s.watch.actor(fmt.Sprintf("%s, reading messages at end %d", m.p.name, i))
	defer a.leave()
	in := assembler{w: w}
	var err error
	for !polite || in.count < w.count {
		switch {
		case w.byStream:
			p := make([]byte, size(r))
			var n int
			var id uint16
			a.do("ReadStream", func() { n, id, err = c.ReadStream(p) })
			if n > 0 {
				if e := w.readStream(p[:n], id); e != nil {
					s.fail(e)
				}
				in.count = w.messages()
			}
		case r.IntN(2) == 0:
			p := make([]byte, size(r))
			var n int
			var info sctpnet.MsgInfo
			a.do("ReadMsg", func() { n, info, err = c.ReadMsg(p) })
			if e := in.add(p[:n], info, err); e != nil {
				s.fail(fmt.Errorf("%s: %w", m.p.name, e))
			}
		default:
			msgs := make([]sctpnet.Message, 1+r.IntN(10))
			for k := range msgs {
				msgs[k].Data = make([]byte, min(size(r), 20_000))
			}
			var n int
			a.do("ReadMsgs", func() { n, err = c.ReadMsgs(msgs) })
			for _, msg := range msgs[:n] {
				if e := in.add(msg.Data[:msg.N], msg.Info, nil); e != nil {
					s.fail(fmt.Errorf("%s: %w", m.p.name, e))
				}
			}
		}
		switch {
		case err == nil:
		case isTimeout(err) && m.moves:
			time.Sleep(time.Millisecond)
		default:
			o, bad := m.p.did.readEnd(i, err)
			if bad == nil && o == cut {
				bad = in.cut()
			}
			if bad == nil && o == whole && in.begun {
				bad = fmt.Errorf("%d bytes of a message, and then %w", len(in.data), err)
			}
			if bad != nil {
				s.fail(fmt.Errorf("%s: %w", m.p.name, bad))
			}
			w.end(o)
			s.stays(m.p.name, a, c, err)
			return o
		}
	}
	w.end(whole)
	return whole
}

func (w *way) end(o outcome) {
	for _, f := range w.flows {
		f.end(o)
	}
	w.bag.end(o)
}

// readStream checks bytes that came on a stream.
func (w *way) readStream(p []byte, id uint16) error {
	f := w.flows[id]
	if f == nil {
		return fmt.Errorf("%s: %d bytes on stream %d, on which nothing is sent", w.bag.name, len(p), id)
	}
	if err := f.read(p); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.ends) > 0 && f.ends[0] <= f.received {
		f.ends = f.ends[1:]
		f.messages++
	}
	return nil
}

// messages is how many messages have come.
func (w *way) messages() (n int) {
	for _, f := range w.flows {
		n += f.messages
	}
	return n
}

// An assembler puts messages together of their pieces.
type assembler struct {
	w     *way
	begun bool
	data  []byte
	info  sctpnet.MsgInfo
	count int // of whole messages
}

// add adds what ReadMsg has returned.
func (in *assembler) add(p []byte, info sctpnet.MsgInfo, err error) error {
	if len(p) == 0 {
		if err == nil {
			return fmt.Errorf("a piece of no bytes, and no error")
		}
		return nil
	}
	if in.begun && (info.Stream != in.info.Stream || info.PPID != in.info.PPID || info.Unordered != in.info.Unordered) {
		return fmt.Errorf("%d bytes of stream %d, PPID %#x, and then a piece of stream %d, PPID %#x", len(in.data), in.info.Stream, in.info.PPID, info.Stream, info.PPID)
	}
	in.begun, in.info = true, info
	in.data = append(in.data, p...)
	if info.More {
		return nil
	}
	in.count++
	return in.deliver(true)
}

// cut checks a message whose rest is lost.
func (in *assembler) cut() error {
	if !in.begun {
		return nil
	}
	return in.deliver(false)
}

func (in *assembler) deliver(isWhole bool) error {
	data, info := in.data, in.info
	in.begun, in.data = false, in.data[:0]
	if info.Unordered {
		return in.w.bag.readMessage(data, info.PPID, isWhole)
	}
	f := in.w.flows[info.Stream]
	if f == nil {
		return fmt.Errorf("a message on stream %d, on which nothing is sent", info.Stream)
	}
	return f.readMessage(data, info.PPID, isWhole)
}
