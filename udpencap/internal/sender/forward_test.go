package sender

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// hasTSN reports whether a packet has a DATA chunk with a TSN.
func hasTSN(b []byte, tsn uint32) bool {
	for len(b) > 0 {
		if b[0] != chunkForward && binary.BigEndian.Uint32(b[4:]) == tsn {
			return true
		}
		b = b[padded(int(binary.BigEndian.Uint16(b[2:]))):]
	}
	return false
}

// skipsOf is what a FORWARD TSN chunk says: the TSN since the first one, and streams with
// their numbers.
func skipsOf(c []byte) string {
	s := fmt.Sprint(binary.BigEndian.Uint32(c[4:]) - simTSN)
	for c = c[forwardHeader:]; len(c) > 0; c = c[skipSize:] {
		s += fmt.Sprintf(" %d:%d", binary.BigEndian.Uint16(c), binary.BigEndian.Uint16(c[2:]))
	}
	return s
}

func (m *sim) wantForwards(want ...string) {
	m.t.Helper()
	var got []string
	for _, c := range m.forwards {
		got = append(got, skipsOf(c))
	}
	if !slices.Equal(got, want) {
		m.t.Errorf("FORWARD TSNs %q, want %q", got, want)
	}
}

func (m *sim) wantFailed(want ...string) {
	m.t.Helper()
	if !slices.Equal(m.failed, want) {
		m.t.Errorf("given up were %.50q, want %.50q", m.failed, want)
	}
}

func (m *sim) finish() {
	m.t.Helper()
	if !m.run(10*time.Minute, func() bool { return m.isDone() && m.s.IsIdle() }) {
		m.t.Fatal("not all is over")
	}
	m.s.board.check(m.t)
	if n, held := m.s.Held(); n != 0 || held != 0 || m.s.lesser != 0 || m.s.AnyUnsent() || m.s.Deadline() != 0 {
		m.t.Errorf("in the end %d messages of %d bytes are held, something unsent: %t, deadline %v", n, held, m.s.AnyUnsent(), m.s.Deadline())
	}
}

// TestExpiresUnsent has messages wait for too long. They are never sent, and take neither
// a TSN nor a number of their stream.
func TestExpiresUnsent(t *testing.T) {
	m := newSim(t, 10*time.Millisecond)
	m.s.board.bytes = 1 << 30 // as if cwnd were full
	at := m.now + time.Second
	m.s.Queue([]byte("expires"), Message{Policy: Timed, Expires: at})
	m.s.Queue([]byte("lasts"), Message{Policy: Timed, Expires: at + 1})
	m.s.Queue([]byte("expires too"), Message{Policy: Timed, Expires: at})
	m.s.Queue([]byte("stays"), Message{})
	if m.s.Next(at-1) != 0 || len(m.failed) > 0 {
		t.Errorf("before their time %q were given up", m.failed)
	}
	m.now = at
	m.s.Next(m.now)
	m.wantFailed("expires")
	m.s.board.bytes = 0
	m.now++
	m.finish()
	m.wantFailed("expires", "lasts", "expires too")
	m.wantForwards()
	if got := string(m.r.got[0]); got != "stays" || m.s.Last() != simTSN {
		t.Errorf("%q has arrived, and %d chunks were sent", got, m.s.Last()+1-simTSN)
	}
}

// TestExpiresUnsentNumbers looks at the numbers of what is sent beside what is not.
func TestExpiresUnsentNumbers(t *testing.T) {
	m := newSim(t, 10*time.Millisecond)
	m.s.Queue([]byte("a"), Message{Stream: 1})
	m.s.Queue([]byte("b"), Message{Stream: 1, Policy: Timed, Expires: m.now})
	m.s.Queue([]byte("c"), Message{Stream: 1, Unordered: true})
	m.s.Queue([]byte("d"), Message{Stream: 1})
	b := m.packet()
	for i, want := range []struct {
		text string
		ssn  uint16
	}{{"a", 0}, {"c", 0}, {"d", 1}} {
		if tsn, ssn, text := binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint16(b[10:]), string(b[16:17]); tsn != simTSN+uint32(i) || text != want.text || !(text == "c") && ssn != want.ssn {
			t.Errorf("chunk %d is %q with the number %d, want %q with %d", tsn-simTSN, text, ssn, want.text, want.ssn)
		}
		b = b[padded(17):]
	}
	if len(b) > 0 {
		t.Errorf("there is more: %x", b)
	}
}

// TestExpiresSent loses a message until it is too old. The peer is told to go on without
// it.
func TestExpiresSent(t *testing.T) {
	for _, tt := range []struct {
		name string
		m    Message
		want string // what FORWARD TSN says
	}{
		{name: "ordered", m: Message{Stream: 3}, want: "0 3:0"},
		{name: "unordered", m: Message{Stream: 3, Unordered: true}, want: "0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newSim(t, 10*time.Millisecond)
			m.drop = func(_ int, b []byte) bool { return hasTSN(b, simTSN) }
			tt.m.Policy, tt.m.Expires = Timed, m.now+1500*time.Millisecond
			m.s.Queue([]byte("lost"), tt.m)
			m.run(time.Second/2, func() bool { return false })
			m.s.Queue([]byte("arrives"), Message{Stream: 3})
			m.finish()
			m.wantFailed("lost+")
			m.wantForwards(tt.want)
			if got := string(m.r.got[3]); got != "arrives" {
				t.Errorf("%q has arrived", got)
			}
			if m.s.Counts.Retransmitted == 0 {
				t.Error("it was not sent again while it was not too old")
			}
		})
	}
}

// TestLimited loses all that is sent of a message. It is sent again as often as it may be.
func TestLimited(t *testing.T) {
	for _, n := range []uint32{0, 1, 2, 5} {
		for _, more := range []bool{false, true} { // something else is sent, too
			m := newSim(t, 10*time.Millisecond)
			m.feed(10_000, 1000, time.Minute) // there has been a round trip
			tsn := m.s.Last() + 1
			sent := uint32(0)
			m.drop = func(_ int, b []byte) bool {
				if !hasTSN(b, tsn) {
					return false
				}
				sent++
				return true
			}
			m.s.Queue([]byte("lost"), Message{Stream: 3, Policy: Limited, Number: n})
			if more {
				for range 20 {
					m.run(30*time.Millisecond, func() bool { return false })
					m.s.Queue([]byte("."), Message{})
				}
			}
			m.finish()
			if sent != n+1 {
				t.Errorf("with %d times it is sent %d times", n, sent)
			}
			m.wantFailed("lost+")
			if got := len(m.r.got[0]); more && got != 20 {
				t.Errorf("%d others have arrived", got)
			}
		}
	}
}

// TestGivenUpPartly gives up a message of which a part was sent, and a part not. The
// message after it must not seem to be its end.
func TestGivenUpPartly(t *testing.T) {
	m := newSim(t, 10*time.Millisecond)
	m.drop = func(int, []byte) bool { return true }
	large := strings.Repeat("x", 20*simRoom)
	m.s.Queue([]byte(large), Message{Stream: 1, Policy: Timed, Expires: m.now + 500*time.Millisecond})
	m.s.Queue([]byte("next"), Message{Stream: 1})
	m.run(time.Millisecond, func() bool { return false })
	parts := m.s.Last() + 1 - simTSN
	if parts < 2 || parts > 10 || !m.s.IsUnsent(1) {
		t.Fatalf("%d chunks were sent", parts)
	}
	m.run(600*time.Millisecond, func() bool { return m.timeouts > 0 })
	m.drop = nil
	m.finish()
	m.wantFailed(large + "+")
	m.wantForwards(fmt.Sprintf("%d 1:0", parts))
	if got := string(m.r.got[1]); got != "next" || m.s.Last() != simTSN+parts+1 {
		t.Errorf("%.50q has arrived; the last TSN is %d", got, m.s.Last()-simTSN)
	}
}

// TestForwardLost loses FORWARD TSNs. They come again: by what else is acknowledged, and
// where there is nothing by T3-rtx.
func TestForwardLost(t *testing.T) {
	for _, more := range []bool{true, false} {
		m := newSim(t, 10*time.Millisecond)
		m.feed(100_000, 1000, time.Minute)
		lost, tsn := 0, m.s.Last()+1
		m.drop = func(_ int, b []byte) bool {
			if b[0] == chunkForward && lost < 3 {
				lost++
				return true
			}
			return hasTSN(b, tsn)
		}
		m.s.Queue([]byte("lost"), Message{Policy: Limited})
		start := m.now
		if more {
			for range 300 {
				m.s.Queue(make([]byte, 1000), Message{Stream: 2})
				m.run(time.Millisecond, func() bool { return false })
			}
		}
		m.finish()
		if lost != 3 || len(m.forwards) != 1 {
			t.Errorf("%d were lost, and %d have come", lost, len(m.forwards))
		}
		if more && (m.timeouts > 0 || m.now-start > 400*time.Millisecond) {
			t.Errorf("T3-rtx has expired %d times, in %v", m.timeouts, m.now-start)
		}
		if !more && m.timeouts < 3 {
			t.Errorf("T3-rtx has expired %d times", m.timeouts)
		}
	}
}

// TestForwardManyStreams gives up messages of more streams than a packet can name.
func TestForwardManyStreams(t *testing.T) {
	const streams = 1000
	m := newSim(t, 10*time.Millisecond)
	m.feed(10_000, 1000, time.Minute)
	m.s.cubic.cwnd = 1 << 20
	m.drop = func(_ int, b []byte) bool { return b[0] != chunkForward }
	for range 2 {
		for i := range streams {
			m.s.Queue([]byte("lost"), Message{Stream: 100 + uint16(i), Policy: Limited})
		}
	}
	m.finish()
	got := make(map[uint16]uint16)
	for _, c := range m.forwards {
		for e := c[forwardHeader:]; len(e) > 0; e = e[skipSize:] {
			got[binary.BigEndian.Uint16(e)] = binary.BigEndian.Uint16(e[2:])
		}
	}
	for i := range uint16(streams) {
		if got[100+i] != 1 {
			t.Fatalf("stream %d is passed over up to number %d, want 1", 100+i, got[100+i])
		}
	}
	if len(m.failed) != 2*streams || len(m.forwards) < 3 || len(m.forwards) > 10 {
		t.Errorf("%d were given up, by %d FORWARD TSNs", len(m.failed), len(m.forwards))
	}
	if m.timeouts > 1 {
		t.Errorf("T3-rtx has expired %d times: what a FORWARD TSN had no room for does not go at once", m.timeouts)
	}
}

// TestForwardNamesLast gives up several messages of streams. Of each the last one is named.
func TestForwardNamesLast(t *testing.T) {
	m := newSim(t, 10*time.Millisecond)
	m.s.cubic.cwnd = 1 << 20
	m.drop = func(_ int, b []byte) bool { return b[0] != chunkForward }
	for _, id := range []uint16{3, 4, 3, 3, 5} {
		m.s.Queue([]byte("lost"), Message{Stream: id, Policy: Limited, Unordered: id == 5})
	}
	m.finish()
	m.wantForwards("4 3:2 4:0")
}

// TestForwardTooLate has an acknowledgement come before the FORWARD TSN is sent, which
// then has nothing to say.
func TestForwardTooLate(t *testing.T) {
	m := newSim(t, 10*time.Millisecond)
	m.s.Queue([]byte("a"), Message{Policy: Priority, Number: 2})
	m.packet()
	m.s.MakeRoom(1, func() bool { return false })
	if !m.s.forward.due {
		t.Fatal("no FORWARD TSN is due")
	}
	m.s.SACK(sackOf(simTSN, 1<<20, nil, nil), m.now)
	if b := m.packet(); b != nil {
		t.Errorf("%x is sent", b)
	}
	if m.rtt.SRTT != 0 {
		t.Error("a chunk that may have been passed over was measured")
	}
	m.finish()
}

// TestGivenUpAcked has some chunks of a message be in gap blocks when it is given up. That
// they are, or are not any more, makes no difference then.
func TestGivenUpAcked(t *testing.T) {
	m := newSim(t, 10*time.Millisecond)
	m.s.cubic.cwnd = 1 << 20
	m.s.Queue(make([]byte, 5*m.s.most()), Message{Stream: 1, Policy: Limited})
	m.s.Queue([]byte("next"), Message{Stream: 1})
	for m.packet() != nil {
	}
	sack := func(cum int, blocks ...[2]uint32) {
		t.Helper()
		m.now += time.Millisecond
		v := sackOf(simTSN-1+uint32(cum), 1<<20, blocks, nil)
		if !m.s.Accepts(v) {
			t.Fatal("not accepted")
		}
		m.s.SACK(v, m.now)
		m.s.board.check(t)
	}
	sack(0, [2]uint32{2, 2}, [2]uint32{4, 6})
	m.now += 10 * time.Millisecond
	m.s.Expire(m.now)
	b := m.packet()
	m.s.board.check(t)
	if len(b) == 0 || b[0] != chunkForward || skipsOf(b) != "4 1:0" {
		t.Fatalf("sent %x", b)
	}
	sack(0, [2]uint32{2, 6}) // what was late
	sack(0, [2]uint32{6, 6}) // what was dropped again
	if m.s.Unacked() != 0 {
		t.Errorf("%d chunks are not acknowledged", m.s.Unacked())
	}
	sack(5)
	sack(6)
	m.finish()
}

// TestMakeRoom gives up what is less important, and of that first what was not sent.
func TestMakeRoom(t *testing.T) {
	m := newSim(t, 10*time.Millisecond)
	m.s.cubic.cwnd = 2000
	m.s.peerWindow = 2000
	pad := strings.Repeat(".", 900)
	for i, p := range []uint32{9, 1, 9, 1, 9, 5, 9} {
		m.s.Queue([]byte(fmt.Sprint(i)+pad), Message{Stream: 1, Policy: Priority, Number: p})
		if i == 1 {
			for m.packet() != nil {
			}
		}
	}
	m.s.Queue([]byte("reliable"+pad), Message{})
	n, _ := m.s.Held()
	room := func(want int) func() bool {
		return func() bool { now, _ := m.s.Held(); return n-now >= want }
	}
	m.s.MakeRoom(5, room(2))
	m.wantFailed("2"+pad, "4"+pad)
	m.s.MakeRoom(5, room(3))
	m.s.MakeRoom(5, room(9))
	m.wantFailed("2"+pad, "4"+pad, "6"+pad, "0"+pad+"+")
	m.s.MakeRoom(0, room(9))
	m.wantFailed("2"+pad, "4"+pad, "6"+pad, "0"+pad+"+", "3"+pad, "5"+pad, "1"+pad+"+")
	m.s.peerWindow = 1 << 20
	m.finish()
}

// TestFail asks for all that was not acknowledged.
func TestFail(t *testing.T) {
	m := newSim(t, 10*time.Millisecond)
	m.s.Queue([]byte("acknowledged"), Message{})
	m.packet()
	m.s.SACK(sackOf(simTSN, 1<<20, nil, nil), m.now)
	m.s.Queue([]byte("given up"), Message{Policy: Priority, Number: 1})
	m.s.Queue([]byte("sent"), Message{Context: 7})
	m.packet()
	m.s.MakeRoom(0, func() bool { return false })
	m.s.Queue([]byte(strings.Repeat("x", 50*simRoom)), Message{Context: 8})
	for m.packet() != nil {
	}
	m.s.Queue([]byte("not sent"), Message{Context: 9})
	var got []string
	m.s.Fail(func(m Message, data []byte, sent bool) {
		got = append(got, fmt.Sprintf("%.10s %d %t", data, m.Context, sent))
	})
	if want := []string{"sent 7 true", "xxxxxxxxxx 8 true", "not sent 9 false"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestGivingUpAtRandom has paths lose packets both ways, and messages of all policies. What
// is reliable arrives, and of the others each arrives or is reported.
func TestGivingUpAtRandom(t *testing.T) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		m := newSim(t, 5*time.Millisecond)
		m.r.window = 100_000
		m.s.peerWindow = m.r.window
		m.drop = func(int, []byte) bool { return rnd.IntN(10) == 0 }
		m.late = func(int) time.Duration { return time.Duration(rnd.IntN(5_000)) * time.Microsecond }
		want := make(map[string]bool) // reliable ones
		others := make(map[string]bool)
		ordered := make(map[string]bool)
		for i := range 400 {
			text := fmt.Sprintf("<%d%s>", i, strings.Repeat(".", rnd.IntN(8000)*rnd.IntN(2)))
			o := Message{Stream: uint16(rnd.IntN(4)), Unordered: rnd.IntN(4) == 0}
			switch o.Policy = Policy(rnd.IntN(4)); o.Policy {
			case Timed:
				o.Expires = m.now + time.Duration(rnd.IntN(50))*time.Millisecond
			case Limited:
				o.Number = uint32(rnd.IntN(3))
			case Priority:
				o.Number = uint32(rnd.IntN(5))
				m.s.MakeRoom(o.Number, func() bool { _, held := m.s.Held(); return held < 100_000 })
			}
			if o.Policy == Reliable {
				want[text] = true
			} else {
				others[text] = true
			}
			m.s.Queue([]byte(text), o)
			if i == 100 && seed%2 == 0 {
				m.s.SetTurns()
			}
			if !o.Unordered {
				ordered[text] = true
			}
			m.run(time.Duration(rnd.IntN(5))*time.Millisecond, func() bool { m.s.board.check(t); return false })
		}
		m.finish()
		var all string
		for _, b := range m.r.got {
			all += string(b) + "\n"
			last := -1
			for text := range strings.SplitSeq(string(b), "<") {
				var i int
				if fmt.Sscanf(text, "%d", &i); ordered["<"+text] {
					if i < last {
						t.Errorf("seed %d: message %d was sent after %d", seed, i, last)
					}
					last = i
				}
			}
		}
		for text := range want {
			if !strings.Contains(all, text) {
				t.Errorf("seed %d: %.10s has not arrived", seed, text)
			}
		}
		for text := range others {
			if !strings.Contains(all, text) && !slices.Contains(m.failed, text) && !slices.Contains(m.failed, text+"+") {
				t.Errorf("seed %d: %.10s has neither arrived nor failed", seed, text)
			}
		}
		for _, text := range m.failed {
			if want[strings.TrimSuffix(text, "+")] {
				t.Errorf("seed %d: the reliable %.10s was given up", seed, text)
			}
		}
	}
}

// TestForwardIsRepeated gives the rest of a message up when all that was sent of it has
// arrived, and loses what tells the peer. It is told again.
func TestForwardIsRepeated(t *testing.T) {
	m := newSim(t, 10*time.Millisecond)
	m.s.Queue(make([]byte, 100*simRoom), Message{Policy: Timed, Expires: m.now + time.Second})
	for m.packet() != nil {
	}
	m.now += time.Second
	m.s.SACK(sackOf(m.s.Last(), 1<<20, nil, nil), m.now)
	if b := m.packet(); len(b) == 0 || b[0] != chunkForward {
		t.Fatalf("sent %x", b)
	}
	if at := m.s.Deadline(); at != m.now+m.rtt.RTO {
		t.Errorf("the timer expires at %v, want %v", at, m.now+m.rtt.RTO)
	}
	m.r.cum = m.s.Last() - 1
	m.finish()
}

// TestForwardAfterReset restarts a stream before the peer has acknowledged what was given up
// of it. The peer is not told the number of before, as the stream has begun anew.
func TestForwardAfterReset(t *testing.T) {
	for _, tt := range []struct {
		streams []uint16
		want    string
	}{
		{[]uint16{3}, "2 5:0 3:0"},
		{nil, "2 3:0"}, // all
	} {
		m := newSim(t, 10*time.Millisecond)
		for _, stream := range []uint16{3, 5} {
			m.s.Queue([]byte("x"), Message{Stream: stream, Policy: Limited})
		}
		m.packet()
		m.s.Restart(tt.streams)
		m.s.Queue([]byte("y"), Message{Stream: 3, Policy: Limited})
		m.packet()
		m.now += time.Second
		m.s.Timeout(m.now)
		if got := skipsOf(m.packet()); got != tt.want {
			t.Errorf("after a reset of %v: %q, want %q", tt.streams, got, tt.want)
		}
	}
}
