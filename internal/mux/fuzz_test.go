package mux

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// FuzzMux has an association do what a string of bytes says, with streams of both
// ends, and compares that with a model.
func FuzzMux(f *testing.F) {
	for _, seed := range muxSeeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		if len(program) > 2+2*300 {
			return
		}
		bubble(t, func(t *testing.T) { runMux(t, program) })
	})
}

// TestModel runs random programs.
func TestModel(t *testing.T) {
	for range 200 {
		program := make([]byte, 2+2*rand.IntN(150))
		for i := range program {
			program[i] = byte(rand.Uint32())
		}
		bubble(t, func(t *testing.T) {
			runMux(t, program)
			if t.Failed() {
				t.Logf("go test fuzz v1\n[]byte(%q)", program)
			}
		})
	}
}

// muxSeeds are programs that do much of what there is to do, and some of what
// seldom happens.
var muxSeeds = [][]byte{
	{0x40, 0xff, 0, 0, 5, 0x13, 0x83, 0, 0x89, 0x7f, 14, 0, 0x8e, 0, 0, 0, 5, 0, 0x83, 0},
	{0x40, 0x1f, 18, 7, 0, 0, 8, 0x13, 12, 0, 0x83, 0, 0x8b, 0, 14, 0, 0x8e, 0, 19, 0, 20, 9, 0, 0},
	{0x4b, 0x44, 1, 1, 0x81, 1, 5, 1, 0x85, 2, 16, 0, 14, 0, 0x8e, 0, 17, 0, 2, 0, 4, 0},
	{0x42, 0x80, 0, 0, 22, 0, 0x84, 0, 20, 0x40, 0x85, 9, 24, 5, 0x99, 5, 26, 0},
	// The answer to a reset comes when the number is in use again.
	{0x42, 0xf0, 18, 6, 0x80, 0, 0x85, 5, 3, 0, 10, 0, 31, 0, 0x80, 0, 0x80, 0, 0x85, 1, 27, 0, 19, 0, 5, 0},
	// The request to stop comes when the number is in use again.
	{0x42, 0xf0, 0x80, 0, 0x85, 0, 3, 0, 10, 0, 14, 0, 16, 0, 0x85, 0, 20, 8, 0x85, 0, 0x8e, 0, 0x80, 0, 0x80, 0, 0x85, 1, 17, 0, 0x85, 1},
	// A queue that is full is dropped.
	{0x42, 0xf0, 0x80, 0, 0x85, 0, 3, 0, 0x88, 0xfe, 0x88, 0xfe, 0x80, 0, 0x85, 1, 13, 0},
	// A reset is denied when both ends have closed a stream before.
	{0x42, 0xf0, 0x80, 0, 0x85, 0, 3, 0, 12, 0, 0x8e, 0, 18, 8, 0, 0, 14, 1, 0x81, 0, 0x85, 0, 10, 0, 14, 0},
}

// runMux runs a program. Its first two bytes are settings; then each two are a
// step, of the end that the first bit says.
func runMux(t *testing.T, program []byte) {
	at := 0
	next := func() int {
		if at++; at > len(program) {
			return 0
		}
		return int(program[at-1])
	}
	settings, sizes := next(), next()
	has := func(bit int) bool { return settings>>bit&1 != 0 }
	limits := [2]int{1 + settings>>4&1, 1 + settings>>5&1}
	if has(6) {
		limits = [2]int{DefaultLimits().AcceptStreams, DefaultLimits().AcceptStreams}
	}
	md := newModel(t, (1+sizes>>4)*8<<10, sizes&15*100, has(0), !has(1), limits)
	for i, e := range md.ends {
		if !has(2 + i) {
			md.acceptAll(e) // from now on the Conn reads stream 0 alone
		}
	}
	for at < len(program) && len(md.faults) == 0 {
		op, arg := next(), next()
		md.step(md.ends[op>>7], op&31, arg)
		md.settle()
	}
	md.finish()
	for i, fault := range md.faults {
		if i < 5 {
			t.Error(fault)
		}
	}
}

// step makes one step of a program.
func (md *model) step(e *end, op, arg int) {
	var h *half
	if open := md.open(e); len(open) > 0 {
		h = open[arg%len(open)]
	}
	how := min(Mode(arg>>4&3), Filled)
	switch op {
	case 0:
		s, err := e.m.TryOpen()
		if s != nil && !md.hasEnded {
			if n, _, err := tryRecv(s, make([]byte, 1), Piece); err != engine.ErrNothing {
				md.fault("%s has opened stream %d, and read %d bytes, %v", e.name, s.ID(), n, err)
			}
		}
		md.addIf(e, s, err)
	case 1:
		md.claim(e, uint16(1+arg%3))
	case 2:
		md.openStream(e)
	case 3:
		e.readsAll = false
		if s := e.m.TryAccept(); s != nil {
			md.addIf(e, s, nil)
		}
	case 4:
		md.accept(e)
	case 16:
		e.hold()
	case 17:
		e.release()
	case 18:
		answers := [...]answer{grant, fail, busy, unsent, later, later, granted, granted, deny, refuse}
		a := answers[arg%len(answers)]
		e.do(func() { e.answers = append(e.answers, a) })
		md.hasSpent = md.hasSpent || a == deny || a == refuse
	case 19:
		if arg%2 == 0 {
			e.answerPending(grant)
		} else {
			e.answerPending(fail)
		}
	case 20:
		time.Sleep(time.Millisecond << (arg % 13))
	case 21:
		e.do(func() { e.stuck = arg%2 == 0 })
	case 26:
		md.mu.Lock()
		md.hasEnded = true
		md.mu.Unlock()
		switch arg % 3 {
		case 0:
			e.end(errRefused)
		case 1:
			e.m.Close(e.Close)
		case 2:
			e.m.Close(e.Abort)
		}
	case 27:
		md.acceptAll(e)
	case 28:
		e.do(func() { e.room = (1 + arg) << 10 })
	case 29:
		for _, e := range md.ends {
			e.do(func() { e.out, e.in = min(e.out+1, 10), min(e.in+1, 10) })
		}
	}
	if h == nil {
		return
	}
	switch op {
	case 5, 6, 7:
		md.write(h, 1+arg, arg&1 == 0)
	case 8:
		md.write(h, 1+arg<<7, false)
	case 9:
		md.readSome(h, 1+arg<<2, how)
	case 10:
		for md.readSome(h, 32<<10, how) {
		}
	case 11:
		md.readOn(h, 1+arg<<4, how)
	case 12:
		md.closeWrite(h)
	case 13:
		md.closeRead(h)
	case 14, 15:
		md.close(h)
	case 30:
		for _, h := range md.open(e) {
			md.close(h)
		}
	case 31: // at both ends
		for _, e := range md.ends {
			for _, p := range md.open(e) {
				if p.id == h.id {
					md.close(p)
				}
			}
		}
	case 22:
		md.announce(h)
	case 23:
		md.setDeadline(h, arg&1 == 0, time.Now().Add(time.Duration(arg)<<(arg%24)))
	case 24:
		if e.conn != nil {
			md.write(e.conn, 1+arg, arg&1 == 0)
		}
	case 25:
		if e.conn != nil {
			md.readSome(e.conn, 1+arg<<4, how)
		}
	}
}
