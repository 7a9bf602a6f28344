package sender

import (
	"bytes"
	"container/heap"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// A sim is a sender, a path and a receiver, on a clock of their own.
type sim struct {
	t      *testing.T
	s      Sender
	rtt    RTT
	now    time.Duration
	events events
	count  int

	delay   time.Duration // each way
	rate    int           // bytes in a second, 0 for no limit
	queue   int           // bytes that wait for that at most
	free    time.Duration // when the path is free
	drop    func(packet int, b []byte) bool
	late    func(packet int) time.Duration // by which a packet comes later or earlier
	packets int
	turn    time.Duration // if not 0, each end does something only once in this time

	r        receiver
	timeouts int
	asked    int      // times that the peer was asked whether it has room
	forwards [][]byte // FORWARD TSN chunks that have come
	failed   []string // messages that were given up, "+" after one that was sent
}

// An event is something that happens later.
type event struct {
	at time.Duration
	n  int
	f  func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].n < e[j].n
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(v any)   { *e = append(*e, v.(event)) }
func (e *events) Pop() any {
	v := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return v
}

// A receiver takes chunks in and acknowledges them.
type receiver struct {
	cum      uint32
	later    map[uint32][]byte
	dups     []uint32
	window   int
	got      map[uint16][]byte // of each stream
	parts    map[uint16]int    // of messages that are not complete
	messages int
	packets  int // that were not acknowledged
	due      bool
	deaf     bool // it reads nothing
	unread   int  // bytes, which are held
	held     int
}

const (
	simRoom = 1472 - commonHeader
	simTSN  = 1<<32 - 100 // wraps soon
)

func newSim(t *testing.T, delay time.Duration) *sim {
	m := &sim{t: t, delay: delay, now: time.Second}
	m.rtt = RTT{Initial: time.Second, Min: time.Second, Max: 60 * time.Second}
	m.rtt.Update()
	m.r = receiver{cum: simTSN - 1, later: make(map[uint32][]byte), window: 1 << 20, got: make(map[uint16][]byte), parts: make(map[uint16]int)}
	m.s.Init(Config{TSN: simTSN, Window: uint32(m.r.window), Room: simRoom, RTT: &m.rtt, Failed: func(_ Message, data []byte, sent bool) {
		text := string(data)
		if sent {
			text += "+"
		}
		m.failed = append(m.failed, text)
	}})
	return m
}

func (m *sim) after(d time.Duration, f func()) {
	m.count++
	heap.Push(&m.events, event{m.now + d, m.count, f})
}

// pump sends what may be sent.
func (m *sim) pump() {
	for m.s.Next(m.now) > 0 {
		b := m.s.Append(nil, simRoom, m.now)
		if len(b) == 0 || len(b) > simRoom {
			m.t.Fatalf("a packet has %d bytes", len(b))
		}
		m.packets++
		if m.drop != nil && m.drop(m.packets, b) {
			continue
		}
		d := m.delay
		if m.rate > 0 {
			m.free = max(m.free, m.now)
			if m.queue > 0 && int((m.free-m.now).Seconds()*float64(m.rate)) > m.queue {
				continue
			}
			m.free += time.Duration(float64(len(b)+40) / float64(m.rate) * float64(time.Second))
			d += m.free - m.now
		}
		if m.late != nil {
			d += m.late(m.packets)
		}
		m.after(m.untilTurn(max(d, 0), 0), func() { m.receive(b) })
	}
}

// untilTurn is a time from now until an end has its turn, which begins a phase after a
// multiple of turn.
func (m *sim) untilTurn(d, phase time.Duration) time.Duration {
	if m.turn == 0 {
		return d
	}
	at := m.now + d - phase
	return (at+m.turn-1)/m.turn*m.turn + phase - m.now
}

// run lets time pass until there is nothing to do, or until cond is true.
func (m *sim) run(limit time.Duration, cond func() bool) bool {
	end := m.now + limit
	for {
		if cond() {
			return true
		}
		m.pump()
		next := m.s.Deadline()
		if next != 0 {
			next = max(next, m.now)
			next = m.now + m.untilTurn(next-m.now, m.turn/2)
		}
		if len(m.events) > 0 && (next == 0 || m.events[0].at <= next) {
			e := heap.Pop(&m.events).(event)
			if e.at > end {
				return false
			}
			m.now = max(m.now, e.at)
			e.f()
			continue
		}
		if next == 0 || next > end {
			return false
		}
		m.now = next
		if m.s.Expire(m.now) {
			if m.s.Refused() {
				m.asked++
			} else {
				m.timeouts++
				m.rtt.Double()
			}
			m.s.Timeout(m.now)
		}
	}
}

// isDone reports whether all was acknowledged.
func (m *sim) isDone() bool {
	n, _ := m.s.Held()
	return n == 0
}

func (m *sim) receive(b []byte) {
	r := &m.r
	now := false
	for len(b) > 0 {
		n := int(binary.BigEndian.Uint16(b[2:]))
		c := b[:n]
		b = b[padded(n):]
		tsn := binary.BigEndian.Uint32(c[4:])
		switch {
		case c[0] == chunkForward:
			now = true
			m.forwards = append(m.forwards, c)
			r.pass(tsn)
		case !before(r.cum, tsn) || r.later[tsn] != nil:
			r.dups = append(r.dups, tsn)
			now = true
		case r.held+n-dataHeader > r.window && (tsn != r.cum+1 || r.deaf):
			now = true
		default:
			r.later[tsn] = c
			r.held += n - dataHeader
			now = now || tsn != r.cum+1 || c[1]&flagImmediate != 0 || len(r.later) > 1
			r.take()
		}
	}
	if r.packets++; now || r.packets >= 2 {
		m.ack()
	} else if !r.due {
		r.due = true
		m.after(200*time.Millisecond, func() {
			if r.due {
				m.ack()
			}
		})
	}
}

// pass takes note that what is up to a TSN will not come.
func (r *receiver) pass(tsn uint32) {
	for before(r.cum, tsn) {
		r.cum++
		if c := r.later[r.cum]; c != nil {
			r.held -= len(c) - dataHeader
			delete(r.later, r.cum)
		}
	}
	r.take()
}

// take hands over what comes next.
func (r *receiver) take() {
	for c := r.later[r.cum+1]; c != nil; c = r.later[r.cum+1] {
		r.cum++
		delete(r.later, r.cum)
		stream := binary.BigEndian.Uint16(c[8:])
		if r.deaf {
			r.unread += len(c) - dataHeader
		} else {
			r.held -= len(c) - dataHeader
		}
		r.got[stream] = append(r.got[stream], c[dataHeader:]...)
		if c[1]&flagEnd != 0 {
			r.messages++
		}
	}
}

func (m *sim) ack() {
	v := m.r.sack()
	m.r.packets, m.r.due = 0, false
	m.after(m.untilTurn(m.delay, m.turn/2), func() { m.acknowledge(v) })
}

// read reads so many bytes, and tells the sender.
func (m *sim) read(n int) {
	n = min(n, m.r.unread)
	m.r.unread -= n
	m.r.held -= n
	m.ack()
}

func (m *sim) acknowledge(v []byte) {
	if m.s.Accepts(v) {
		m.s.SACK(v, m.now)
	}
}

// sack is the value of a SACK chunk of what has come.
func (r *receiver) sack() []byte {
	var tsns []uint32
	for tsn := range r.later {
		tsns = append(tsns, tsn-r.cum)
	}
	slices.Sort(tsns)
	var blocks [][2]uint32
	for _, n := range tsns {
		if k := len(blocks) - 1; k >= 0 && blocks[k][1]+1 == n {
			blocks[k][1] = n
		} else {
			blocks = append(blocks, [2]uint32{n, n})
		}
	}
	dups := r.dups[:min(len(r.dups), 16)]
	r.dups = nil
	return sackOf(r.cum, max(0, r.window-r.held), blocks, dups)
}

func sackOf(cum uint32, window int, blocks [][2]uint32, dups []uint32) []byte {
	v := binary.BigEndian.AppendUint32(nil, cum)
	v = binary.BigEndian.AppendUint32(v, uint32(window))
	v = binary.BigEndian.AppendUint16(v, uint16(len(blocks)))
	v = binary.BigEndian.AppendUint16(v, uint16(len(dups)))
	for _, b := range blocks {
		v = binary.BigEndian.AppendUint16(v, uint16(b[0]))
		v = binary.BigEndian.AppendUint16(v, uint16(b[1]))
	}
	for _, d := range dups {
		v = binary.BigEndian.AppendUint32(v, d)
	}
	return v
}

// feed keeps the sender's buffer full with messages of a size until so many bytes are
// delivered, and returns how long that takes.
func (m *sim) feed(total, size int, limit time.Duration) time.Duration {
	m.t.Helper()
	rnd := rand.New(rand.NewPCG(1, 2))
	var want []byte
	start := m.now
	done := m.run(limit, func() bool {
		for len(want) < total {
			if n, held := m.s.Held(); held+n*256 > 8<<20 {
				break
			}
			for range size / 8 {
				want = binary.BigEndian.AppendUint64(want, rnd.Uint64())
			}
			want = append(want, make([]byte, size%8)...)
			m.s.Queue(want[len(want)-size:], Message{Stream: 1})
		}
		return len(want) >= total && m.isDone()
	})
	if !done {
		m.t.Fatalf("after %v %d of %d bytes have arrived", limit, len(m.r.got[1]), total)
	}
	if !bytes.Equal(m.r.got[1], want) {
		m.t.Fatal("other bytes have arrived than were sent")
	}
	if n, held := m.s.Held(); n != 0 || held != 0 || m.s.board.bytes != 0 || m.s.board.cost != 0 || m.s.board.acked != 0 {
		m.t.Fatalf("in the end %d messages of %d bytes are held, and %d bytes in flight", n, held, m.s.board.bytes)
	}
	return m.now - start
}

// rateOf is in bytes in a second.
func rateOf(n int, d time.Duration) float64 { return float64(n) / d.Seconds() }

func TestPaths(t *testing.T) {
	lossy := func(percent float64) func(int, []byte) bool {
		rnd := rand.New(rand.NewPCG(3, 4))
		return func(int, []byte) bool { return rnd.Float64()*100 < percent }
	}
	for _, tt := range []struct {
		name  string
		delay time.Duration // each way
		rate  int           // Mbit/s
		drop  func(int, []byte) bool
		late  func() func(int) time.Duration
		total int
		size  int
		least float64 // MB/s
	}{
		{name: "20 ms, 20 Mbit/s", delay: 10 * time.Millisecond, rate: 20, total: 8 << 20, size: 64 << 10, least: 2.2},
		{name: "20 ms, 20 Mbit/s, 0.1 %", delay: 10 * time.Millisecond, rate: 20, drop: lossy(0.1), total: 8 << 20, size: 64 << 10, least: 2.1},
		{name: "20 ms, 20 Mbit/s, 1 %", delay: 10 * time.Millisecond, rate: 20, drop: lossy(1), total: 4 << 20, size: 64 << 10, least: 0.7},
		{name: "100 ms, 20 Mbit/s", delay: 50 * time.Millisecond, rate: 20, total: 8 << 20, size: 64 << 10, least: 2},
		{name: "100 ms, no limit", delay: 50 * time.Millisecond, total: 16 << 20, size: 64 << 10, least: 8},
		{name: "100 ms, jitter", delay: 50 * time.Millisecond, late: func() func(int) time.Duration {
			rnd := rand.New(rand.NewPCG(5, 6))
			return func(int) time.Duration { return time.Duration(rnd.IntN(2000)-1000) * time.Microsecond }
		}, total: 16 << 20, size: 64 << 10, least: 7},
		{name: "100 ms, 2 % early", delay: 50 * time.Millisecond, late: func() func(int) time.Duration {
			rnd := rand.New(rand.NewPCG(7, 8))
			return func(int) time.Duration {
				if rnd.IntN(100) < 2 {
					return -50 * time.Millisecond
				}
				return 0
			}
		}, total: 16 << 20, size: 64 << 10, least: 6},
		{name: "20 ms, small messages, 1 %", delay: 10 * time.Millisecond, drop: lossy(1), total: 1 << 18, size: 20, least: 0.1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newSim(t, tt.delay)
			m.r.window = 4 << 20
			m.s.peerWindow = m.r.window
			m.rate = tt.rate * 1_000_000 / 8
			m.queue = 100 << 10
			m.drop = tt.drop
			if tt.late != nil {
				m.late = tt.late()
			}
			took := m.feed(tt.total, tt.size, 5*time.Minute)
			got := rateOf(tt.total, took) / 1e6
			t.Logf("%.2f MB/s; %d timeouts, %d of %d chunks sent again", got, m.timeouts, m.s.Counts.Retransmitted, m.s.Counts.Ordered)
			if got < tt.least {
				t.Errorf("%.2f MB/s, want %.2f", got, tt.least)
			}
		})
	}
}
