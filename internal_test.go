package sctpnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// FuzzResolve resolves an address, without asking anybody for the addresses of
// names. An address of one host means what it means to package net, and what comes
// of any address is written in a way that means the same.
func FuzzResolve(f *testing.F) {
	for _, address := range []string{
		"10.0.0.1/10.0.0.2:3868", "[2001:db8::1]/10.0.0.1/[fe80::1%eth0]:http", ":0", "[::]:1", "10.0.0.1//:1",
		"[::ffff:10.0.0.1]/10.0.0.1:1", "[::10],0.0.0.1:", "[::%0]:", "[]/[]:", "::1/[::1]:65536", "10.0.0.1/name:+5", "[10.0.0.1]/[10.0.0.2]:-1",
	} {
		for _, network := range []string{"sctp", "sctp4", "sctp6"} {
			f.Add(network, address)
		}
	}
	nobody := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("there is no name server")
	}}
	f.Fuzz(func(t *testing.T, network, address string) {
		network, _, err := lookupNetwork(network, "sctp")
		if err != nil {
			return
		}
		addrs, err := resolve(t.Context(), nobody, network, address)
		if err != nil {
			var aerr *net.AddrError
			var derr *net.DNSError
			if len(addrs) > 0 || !errors.As(err, &aerr) && !errors.As(err, &derr) {
				t.Errorf("%v, %T %v", addrs, err, err)
			}
		} else if len(addrs) == 0 {
			t.Error("neither an address nor an error")
		}
		for _, a := range addrs {
			if a.Port < 0 || a.Port > 65535 {
				t.Errorf("port %d", a.Port)
			}
			for i, ip := range a.IPAddrs {
				if err := checkFamily(network, ip); err != nil {
					t.Error(err)
				}
				for _, other := range a.IPAddrs[:i] {
					if other.IP.Equal(ip.IP) && other.Zone == ip.Zone {
						t.Errorf("%v has %v twice", a, ip)
					}
				}
			}
			again, err := resolve(t.Context(), nobody, network, a.String())
			if err != nil || len(again) != 1 || again[0].String() != a.String() {
				t.Errorf("%v means %v, %v", a, again, err)
			}
		}
		if host, _, err := net.SplitHostPort(address); err == nil {
			if _, err := netip.ParseAddr(host); err != nil && host != "" || strings.ContainsAny(host, "/,") {
				return // package net would ask the system for the name
			}
		}
		want, wantErr := net.ResolveTCPAddr("tcp"+strings.TrimPrefix(family(network), "sctp"), address)
		switch {
		case address == "", strings.ContainsAny(address, "/,"): // "" means any to package net, which has no lists
		case (err == nil) != (wantErr == nil):
			t.Errorf("%v, %v; package net has %v, %v", addrs, err, want, wantErr)
		case err == nil && addrs[0].String() != want.String():
			t.Errorf("%v; package net has %v", addrs[0], want)
		}
	})
}

// TestEngineKnowsEveryField checks that each field of Config is one of the
// engine's, by name and with a type that it can be copied to, or is one that this
// package uses itself.
func TestEngineKnowsEveryField(t *testing.T) {
	own := []string{"AcceptStreams", "StreamMemory", "PPID", "OnEvent", "Auth", "KernelDefaults"}
	options := reflect.TypeFor[engine.Options]()
	var compare func(name string, from, to reflect.Type)
	compare = func(name string, from, to reflect.Type) {
		switch {
		case to.Kind() == reflect.Struct:
			for f := range from.Fields() {
				field, ok := to.FieldByName(f.Name)
				if !ok {
					t.Errorf("no engine has a field %s%s", name, f.Name)
					continue
				}
				compare(name+f.Name+".", f.Type, field.Type)
			}
		case !from.ConvertibleTo(to):
			t.Errorf("%s is a %v, and the engine's a %v", name, from, to)
		}
	}
	for f := range reflect.TypeFor[Config]().Fields() {
		field, ok := options.FieldByName(f.Name)
		switch {
		case slices.Contains(own, f.Name):
		case !ok:
			t.Errorf("no engine has a field %s", f.Name)
		default:
			compare(f.Name+".", f.Type, field.Type)
		}
	}
}

// An attempt is how a dial of one address ends, and when.
type attempt struct {
	after time.Duration
	err   error
	deaf  bool // to the end of its context: it came too late
}

// A raceConn is the association of an attempt that succeeded.
type raceConn struct {
	engine.Conn
	abort func()
}

func (raceConn) Adaptation() (local, peer uint32) { return 0, 0 }
func (raceConn) LocalAddr() *engine.Addr          { return new(engine.Addr) }
func (raceConn) RemoteAddr() *engine.Addr         { return new(engine.Addr) }

func (c raceConn) Abort() error {
	c.abort()
	return nil
}

const never = time.Duration(1<<63 - 1)

// TestFallbackRace runs races with what no network does on demand.
func TestFallbackRace(t *testing.T) {
	refused, unreachable := errors.New("refused"), errors.New("unreachable")
	const ms, s = time.Millisecond, time.Second
	for _, tt := range []struct {
		name     string
		delay    time.Duration
		timeout  time.Duration
		attempts []attempt
		starts   []time.Duration // of the attempts that are made
		winner   int             // or -1
		err      error
		aborted  []int
		took     time.Duration
	}{
		{name: "first wins", attempts: []attempt{{after: 299 * ms}, {}},
			starts: []time.Duration{0}, winner: 0, took: 299 * ms},
		{name: "head start", attempts: []attempt{{after: never}, {after: 50 * ms}},
			starts: []time.Duration{0, 300 * ms}, winner: 1, took: 350 * ms},
		{name: "other head start", delay: s, attempts: []attempt{{after: never}, {after: never}, {after: 50 * ms}},
			starts: []time.Duration{0, s, 2 * s}, winner: 2, took: 2050 * ms},
		{name: "failure ends the head start", attempts: []attempt{{after: 10 * ms, err: refused}, {after: 20 * ms, err: refused}, {}},
			starts: []time.Duration{0, 10 * ms, 30 * ms}, winner: 2, took: 30 * ms},
		{name: "the one after a failure has its own", attempts: []attempt{{after: 200 * ms, err: refused}, {after: never}, {}},
			starts: []time.Duration{0, 200 * ms, 500 * ms}, winner: 2, took: 500 * ms},
		{name: "slow first wins", attempts: []attempt{{after: 320 * ms}, {after: s}},
			starts: []time.Duration{0, 300 * ms}, winner: 0, took: 320 * ms},
		{name: "second winner", attempts: []attempt{{after: 400 * ms, deaf: true}, {after: 20 * ms}},
			starts: []time.Duration{0, 300 * ms}, winner: 1, aborted: []int{0}, took: 400 * ms},
		{name: "error of the first", attempts: []attempt{{after: 400 * ms, err: refused}, {err: unreachable}},
			starts: []time.Duration{0, 300 * ms}, winner: -1, err: refused, took: 400 * ms},
		{name: "one at a time", delay: -1, attempts: []attempt{{after: 5 * s, err: refused}, {}},
			starts: []time.Duration{0, 5 * s}, winner: 1, took: 5 * s},
		{name: "parts of the time", delay: -1, timeout: 12 * s, attempts: []attempt{{after: never}, {after: never}, {after: 3 * s}},
			starts: []time.Duration{0, 4 * s, 8 * s}, winner: 2, took: 11 * s},
		{name: "not too small parts", delay: -1, timeout: 3 * s, attempts: []attempt{{after: never}, {after: never}, {}},
			starts: []time.Duration{0, 2 * s}, winner: -1, err: context.DeadlineExceeded, took: 3 * s},
		{name: "timeout", timeout: 400 * ms, attempts: []attempt{{after: never}, {after: never}, {}},
			starts: []time.Duration{0, 300 * ms}, winner: -1, err: context.DeadlineExceeded, took: 400 * ms},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if tt.timeout != 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.timeout)
					defer cancel()
				}
				var (
					mu      sync.Mutex
					starts  []time.Duration
					aborted []int
				)
				begin := time.Now()
				dial := func(ctx context.Context, a *Addr) (*Conn, error) {
					mu.Lock()
					starts = append(starts, time.Since(begin))
					mu.Unlock()
					end := tt.attempts[a.Port]
					done := ctx.Done()
					if end.deaf {
						done = nil
					}
					select {
					case <-time.After(end.after):
					case <-done:
						return nil, ctx.Err()
					}
					if end.err != nil {
						return nil, end.err
					}
					return newConn(raceConn{abort: func() { aborted = append(aborted, a.Port) }}, fmt.Sprint(a.Port), false, new(Config)), nil
				}
				var addrs []*Addr
				for i := range tt.attempts {
					addrs = append(addrs, &Addr{IPAddrs: []net.IPAddr{{IP: net.IPv4(10, 0, 0, byte(i))}}, Port: i})
				}
				d := Dialer{FallbackDelay: tt.delay}
				c, err := d.race(ctx, addrs, dial)
				if took := time.Since(begin); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				if fmt.Sprint(starts) != fmt.Sprint(tt.starts) {
					t.Errorf("attempts began after %v, want %v", starts, tt.starts)
				}
				if fmt.Sprint(aborted) != fmt.Sprint(tt.aborted) {
					t.Errorf("associations %v were aborted, want %v", aborted, tt.aborted)
				}
				switch {
				case tt.winner < 0 && (c != nil || err != tt.err):
					t.Errorf("returned %v, %v; want %v", c, err, tt.err)
				case tt.winner >= 0 && (err != nil || c.network != fmt.Sprint(tt.winner)):
					t.Errorf("returned %v, %v; want that of address %d", c, err, tt.winner)
				}
				// That no attempt is left synctest checks.
			})
		})
	}
}

// TestInterleave checks the order in which a name's addresses are tried.
func TestInterleave(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"4", "4"},
		{"444", "444"},
		{"4466", "4646"},
		{"6644", "6464"},
		{"6444", "6444"},
		{"66664", "64666"},
	} {
		var addrs []*Addr
		next := map[rune]int{}
		for _, f := range tt.in {
			ip := net.IPv4(127, 0, 0, 1)
			if f == '6' {
				ip = net.IPv6loopback
			}
			addrs = append(addrs, &Addr{IPAddrs: []net.IPAddr{{IP: ip}}, Port: next[f]})
			next[f]++
		}
		got := ""
		clear(next)
		for _, a := range interleave(addrs) {
			f := '6'
			if isIPv4(a.IPAddrs[0]) {
				f = '4'
			}
			if a.Port != next[f] {
				t.Errorf("%s: number %d of family %c comes before number %d", tt.in, a.Port, f, next[f])
			}
			next[f]++
			got += string(f)
		}
		if got != tt.want {
			t.Errorf("%s becomes %s, want %s", tt.in, got, tt.want)
		}
	}
}

// TestAssembler has pieces of messages come in every way.
func TestAssembler(t *testing.T) {
	const limit = 200 << 10
	full := strings.Repeat("f", 64<<10)
	timeout := os.ErrDeadlineExceeded
	piece := func(stream, ssn uint16, more bool) engine.Message {
		return engine.Message{Stream: stream, SSN: ssn, More: more, PPID: uint32(stream)}
	}
	sent := func(tsn uint32, m engine.Message) engine.Message {
		m.TSN = tsn
		return m
	}
	numbered := func(tsn uint32, more bool) engine.Message { return engine.Message{TSN: tsn, More: more} }
	numberedUnordered := func(ssn uint16, more bool) engine.Message {
		return engine.Message{Unordered: true, SSN: ssn, More: more}
	}
	unordered := func(more bool) engine.Message { return engine.Message{Unordered: true, More: more} }
	begins := func(more bool) engine.Message { return engine.Message{Unordered: true, More: more, Begins: true} }
	type step struct {
		data string
		msg  engine.Message
		err  error
	}
	for name, tt := range map[string]struct {
		interleaves bool
		come        []step
		want        []string // or an error's text
	}{
		"one piece":            {false, []step{{"a", piece(0, 0, false), nil}, {"b", piece(0, 1, false), nil}}, []string{"a", "b"}},
		"pieces":               {false, []step{{full, piece(1, 0, true), nil}, {full, piece(1, 0, true), nil}, {"x", piece(1, 0, false), nil}}, []string{full + full + "x"}},
		"as large":             {false, []step{{full, piece(1, 0, true), nil}, {full, piece(1, 0, true), nil}, {full, piece(1, 0, true), nil}, {full[:8<<10], piece(1, 0, false), nil}}, []string{full + full + full + full[:8<<10]}},
		"too large":            {false, []step{{full, piece(1, 0, true), nil}, {full, piece(1, 0, true), nil}, {full, piece(1, 0, true), nil}, {full, piece(1, 0, true), nil}, {full, piece(1, 0, true), nil}, {"x", piece(1, 0, false), nil}, {"y", piece(1, 1, false), nil}}, []string{"message too long", "y"}},
		"too large at its end": {false, []step{{full, piece(1, 0, true), nil}, {full, piece(1, 0, true), nil}, {full, piece(1, 0, true), nil}, {full, piece(1, 0, false), nil}, {"y", piece(1, 1, false), nil}}, []string{"message too long", "y"}},
		"deadline":             {false, []step{{"a", piece(1, 0, true), nil}, {"", engine.Message{}, timeout}, {"b", piece(1, 0, false), nil}}, []string{"i/o timeout", "ab"}},
		"deadline, unordered":  {false, []step{{"a", unordered(true), nil}, {"", engine.Message{}, timeout}, {"b", unordered(false), nil}}, []string{"i/o timeout", "ab"}},
		"deadline in what is too large": {false, []step{{full, piece(1, 0, true), nil}, {full, piece(1, 0, true), nil}, {full, piece(1, 0, true), nil}, {full, piece(1, 0, true), nil}, {"", engine.Message{}, timeout}, {full, piece(1, 0, false), nil}, {"y", piece(1, 1, false), nil}},
			[]string{"message too long", "i/o timeout", "y"}},
		"given up":                  {false, []step{{"a", piece(1, 0, true), nil}, {"b", piece(1, 1, false), nil}}, []string{"b"}},
		"given up, unordered":       {false, []step{{"a", unordered(true), nil}, {"b", unordered(false), nil}}, []string{"b"}},
		"given up, the next begins": {false, []step{{full, unordered(true), nil}, {"b", begins(false), nil}, {full, unordered(true), nil}, {full, begins(true), nil}, {"d", unordered(false), nil}}, []string{"b", full + "d"}},
		"given up, another stream":  {false, []step{{"a", piece(1, 0, true), nil}, {"b", piece(2, 0, false), nil}, {"c", piece(1, 0, false), nil}}, []string{"b", "c"}},
		"next life":                 {false, []step{{"a", numbered(7, true), nil}, {"b", numbered(1000, true), nil}, {"c", numbered(1001, false), nil}}, []string{"bc"}},
		"next life, less":           {false, []step{{"a", numbered(7, true), nil}, {"b", numbered(6, false), nil}}, []string{"b"}},
		"chunks":                    {false, []step{{"aaa", numbered(1<<32-1, true), nil}, {"b", numbered(2, true), nil}, {"c", numbered(2, false), nil}}, []string{"aaabc"}},
		"late, another stream":      {false, []step{{"a", sent(7, piece(1, 0, true)), nil}, {"b", sent(6, piece(2, 0, false)), nil}, {"A", sent(8, piece(1, 0, false)), nil}}, []string{"b", "aA"}},
		"late, the same stream":     {false, []step{{"a", sent(7, piece(1, 5, true)), nil}, {full, sent(4, piece(1, 4, true)), nil}, {"b", sent(4, piece(1, 4, false)), nil}, {"A", sent(8, piece(1, 5, false)), nil}}, []string{full + "b", "aA"}},
		"late, unordered":           {false, []step{{"a", sent(7, unordered(true)), nil}, {"b", sent(6, unordered(false)), nil}, {"A", sent(8, unordered(false)), nil}}, []string{"b", "aA"}},
		"late, unordered, longer":   {false, []step{{"a", sent(7, unordered(true)), nil}, {full, sent(4, unordered(true)), nil}, {"b", sent(4, unordered(false)), nil}, {"A", sent(8, unordered(false)), nil}}, []string{full + "b", "aA"}},
		"late, and given up":        {false, []step{{"a", sent(7, piece(1, 0, true)), nil}, {"b", sent(6, piece(2, 0, false)), nil}, {"c", sent(9, piece(2, 1, false)), nil}}, []string{"b", "c"}},
		"interleaved": {true, []step{{"a", piece(1, 0, true), nil}, {"b", piece(2, 0, true), nil}, {"c", unordered(true), nil}, {"A", piece(1, 0, false), nil}, {"C", unordered(false), nil}, {"B", piece(2, 0, false), nil}},
			[]string{"aA", "cC", "bB"}},
		"interleaved, given up": {true, []step{{"a", numberedUnordered(3, true), nil}, {"b", numberedUnordered(4, true), nil}, {"c", numberedUnordered(4, false), nil}}, []string{"bc"}},
	} {
		t.Run(name, func(t *testing.T) {
			var a assembler
			recv := func(p []byte) (int, engine.Message, error) {
				s := tt.come[0]
				tt.come = tt.come[1:]
				return copy(p, s.data), s.msg, s.err
			}
			for _, want := range tt.want {
				b, msg, err := a.read(limit, func() bool { return tt.interleaves }, recv)
				switch {
				case err != nil && !strings.Contains(err.Error(), want):
					t.Errorf("error %v, want %.20q", err, want)
				case err == nil && string(b) != want:
					t.Errorf("read %.20q, of %d bytes, want %.20q of %d", b, len(b), want, len(want))
				case err == nil && (msg.More || msg.PPID != uint32(msg.Stream)):
					t.Errorf("read %+v", msg)
				}
			}
			if len(tt.come) > 0 || len(a.begun) > 0 {
				t.Errorf("%d pieces and %d messages are left", len(tt.come), len(a.begun))
			}
		})
	}
}

// TestReadMessageMax has bad limits.
func TestReadMessageMax(t *testing.T) {
	var a assembler
	for _, limit := range []int{0, -1} {
		if _, _, err := a.read(limit, nil, nil); !errors.Is(err, syscall.EINVAL) || !bytes.Contains([]byte(err.Error()), []byte("1 and more")) {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
}

// TestReadMessageHolds has the deadline pass in the middle of a message. Close must know of
// what was read of it.
func TestReadMessageHolds(t *testing.T) {
	var a assembler
	var next engine.Message
	err := error(nil)
	recv := func(p []byte) (int, engine.Message, error) {
		if !next.More && err != nil {
			return 0, engine.Message{}, err
		}
		msg := next
		next.More, next.Begins, next.TSN, err = false, false, next.TSN+1, os.ErrDeadlineExceeded
		return copy(p, "piece"), msg, nil
	}
	interleaves := func() bool { return false }
	next = engine.Message{More: true, Begins: true, TSN: 7}
	if _, _, err := a.read(100, interleaves, recv); err != os.ErrDeadlineExceeded || !a.holds.Load() {
		t.Errorf("%v, holds %t; want the deadline's error in the middle of a message", err, a.holds.Load())
	}
	err = nil
	if b, _, err := a.read(100, interleaves, recv); string(b) != "piecepiece" || err != nil || a.holds.Load() {
		t.Errorf("%q, %v, holds %t; want the whole message", b, err, a.holds.Load())
	}
}

// An endings is an engine's Conn that tells how it was closed.
type endings struct {
	engine.Conn
	how string
}

func (e *endings) Close() error { e.how = "Close"; return nil }
func (e *endings) Abort() error { e.how = "Abort"; return nil }

// TestCloseInMessage closes a Conn with and without a part of a message.
func TestCloseInMessage(t *testing.T) {
	for holds, want := range map[bool]string{false: "Close", true: "Abort"} {
		var e endings
		c := &Conn{e: &e}
		c.messages.holds.Store(holds)
		if err := c.Close(); err != nil || e.how != want {
			t.Errorf("holds %t: closed by %s, %v; want %s", holds, e.how, err, want)
		}
	}
}

// TestNoEventAfterClose has an event wait for the handler of a PacketConn when that is
// closed.
func TestNoEventAfterClose(t *testing.T) {
	var c PacketConn
	c.inbox.event.what = engine.SenderDryEvent{}
	c.closed.Store(true)
	if e := c.nextEvent(); e.what != nil {
		t.Errorf("%v is told after Close", e.what)
	}
}

// TestReplaceErrorIsNoEOF has an association of a StreamDialer end before a stream of it is
// opened. The error has the reason. The end of the association is none: io.EOF would say
// that something was read to its end.
func TestReplaceErrorIsNoEOF(t *testing.T) {
	if err := replaceError(io.EOF); !errors.Is(err, errReplace) || errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
	if err := replaceError(syscall.ECONNRESET); !errors.Is(err, errReplace) || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after an ABORT: %v", err)
	}
}

// TestOldIdleTimerEndsNothing has the idle timer fire at the same time as a dial comes and
// goes: the association has begun to be idle anew, and the old timer does not end
// it.
func TestOldIdleTimerEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = time.Second
		d := &StreamDialer{IdleTimeout: timeout}
		sc := &sharedConn{state: sharedUsed, ready: make(chan struct{})}
		d.shared = map[streamKey][]*sharedConn{{}: {sc}}
		state := func() sharedState {
			d.mu.Lock()
			defer d.mu.Unlock()
			return sc.state
		}

		d.mu.Lock()
		d.move(sc, sharedIdle)
		time.Sleep(timeout) // now the timer's function waits for the lock
		d.move(sc, sharedUsed)
		d.move(sc, sharedIdle)
		d.mu.Unlock()
		synctest.Wait()
		if state() != sharedIdle {
			t.Fatal("the old timer has ended the association")
		}
		time.Sleep(timeout - time.Nanosecond)
		synctest.Wait()
		if state() != sharedIdle {
			t.Fatal("the association ended too early")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if state() != sharedEnded || len(d.shared) != 0 {
			t.Errorf("the association is in state %d, want it ended and forgotten", state())
		}
	})
}

// arrivals is what a streamWatch counts.
type arrivals uint64

func (a *arrivals) Arrivals() uint64 { return uint64(*a) }

// TestStreamWatchAtClose closes a Stream while a Read waits. That is a sign of a stuck
// association only if the Read has waited for long, for an answer, and nothing has
// arrived meanwhile.
func TestStreamWatchAtClose(t *testing.T) {
	for _, tt := range []struct {
		name           string
		asked, arrives bool
		wait           time.Duration
		want           bool
	}{
		{"an answer is late", true, false, answerPatience, true},
		{"an answer is not late yet", true, false, answerPatience - 1, false},
		{"something arrives", true, true, answerPatience, false},
		{"nothing was asked", false, false, time.Hour, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var n arrivals
				stuck := false
				w := &streamWatch{m: &n, stuck: func() { stuck = true }}
				if tt.asked {
					w.endWrite(w.beginWrite(), nil)
				}
				w.beginRead()
				if tt.arrives {
					n++
				}
				time.Sleep(tt.wait)
				w.close()
				if stuck != tt.want {
					t.Errorf("the association is stuck: %t, want %t", stuck, tt.want)
				}
			})
		})
	}
}

// An onePeer is an engine's PacketConn that has one peer.
type onePeer struct{ engine.PacketConn }

var onlyPeer = netip.MustParseAddrPort("127.0.0.1:9")

func (onePeer) LocalAddr() *engine.Addr { return new(engine.Addr) }

func (onePeer) PeerAddr(engine.AssocID) (*engine.Addr, error) {
	return &engine.Addr{IPAddrs: []net.IPAddr{{IP: onlyPeer.Addr().AsSlice()}}, Port: int(onlyPeer.Port())}, nil
}

// An endlessPacketConn always has a message.
type endlessPacketConn struct {
	onePeer
	d engine.Delivery
}

func (e *endlessPacketConn) Recv(p []byte, patient bool, t engine.Taker) error {
	e.d = engine.Delivery{Assoc: 1, From: onlyPeer, Data: p[:100]}
	t.Take(&e.d)
	return nil
}

// BenchmarkPacketConnRead is what ReadFrom costs beside the engine.
func BenchmarkPacketConnRead(b *testing.B) {
	c := newPacketConn(new(endlessPacketConn), "sctp", new(Config), nil)
	p := make([]byte, 4<<10)
	for b.Loop() {
		if _, _, err := c.ReadFrom(p); err != nil {
			b.Fatal(err)
		}
	}
}

// An unsortedPacketConn always has a message, and the one that was sent before that.
type unsortedPacketConn struct {
	onePeer
	n uint32
}

func (u *unsortedPacketConn) Recv(p []byte, patient bool, t engine.Taker) error {
	for enough := false; !enough; u.n++ {
		m := engine.Message{TSN: u.n ^ 1, PPID: u.n ^ 1}
		enough = t.Take(&engine.Delivery{Assoc: 1, From: onlyPeer, Data: p[:100], Unsorted: true, Message: m})
	}
	return nil
}

// TestReadMsgRestoresOrder has messages come in the wrong order, and without end.
func TestReadMsgRestoresOrder(t *testing.T) {
	c := newPacketConn(new(unsortedPacketConn), "sctp", new(Config), nil)
	p := make([]byte, 4<<10)
	for want := range uint32(1000) {
		if _, info, _, err := c.ReadMsg(p); err != nil || info.PPID != want {
			t.Fatalf("message %d, %v; want %d", info.PPID, err, want)
		}
	}
}

// A scriptedPacketConn has these deliveries, and then nothing.
type scriptedPacketConn struct {
	onePeer
	rest []engine.Delivery
}

func (s *scriptedPacketConn) Recv(p []byte, patient bool, t engine.Taker) error {
	for len(s.rest) > 0 {
		d := s.rest[0]
		s.rest = s.rest[1:]
		d.From = onlyPeer
		if d.Event == nil && !d.Sorted {
			d.Data = p[:100]
		}
		if t.Take(&d) {
			return nil
		}
	}
	return os.ErrDeadlineExceeded
}

// TestReadMsgRestoresOrderOfEachLife has peers restart before the order is right again.
// The numbers of a life say nothing of those of another one, nor of another peer's.
func TestReadMsgRestoresOrderOfEachLife(t *testing.T) {
	message := func(a engine.AssocID, tsn, ppid uint32) engine.Delivery {
		return engine.Delivery{Assoc: a, Unsorted: true, Message: engine.Message{TSN: tsn, PPID: ppid}}
	}
	restart := func(a engine.AssocID) engine.Delivery {
		return engine.Delivery{Assoc: a, Message: engine.Message{Event: engine.AssocEvent{Change: engine.AssocRestarted}}}
	}
	c := newPacketConn(&scriptedPacketConn{rest: []engine.Delivery{
		message(1, 102, 2),
		restart(2),
		message(1, 101, 1),
		restart(1),
		message(1, 51, 4),
		message(1, 50, 3),
		{Sorted: true},
	}}, "sctp", new(Config), nil)
	p := make([]byte, 4<<10)
	for want := uint32(1); want <= 4; want++ {
		if _, info, _, err := c.ReadMsg(p); err != nil || info.PPID != want {
			t.Errorf("message %d, %v; want %d", info.PPID, err, want)
		}
	}
}

// A quietPacketConn never has anything to receive.
type quietPacketConn struct {
	onePeer
	woken  chan struct{}
	meets  func() // is called while an association begins
	recvs  int
	aborts int
}

func (*quietPacketConn) Find(netip.AddrPort) engine.AssocID { return 0 }
func (q *quietPacketConn) Abort(engine.AssocID) error       { q.aborts++; return nil }
func (q *quietPacketConn) Wake()                            { close(q.woken) }

func (q *quietPacketConn) Connect(_ *engine.Addr, begun func(a engine.AssocID, isNew bool)) error {
	if q.meets != nil {
		q.meets()
	}
	begun(1, true)
	return nil
}

func (q *quietPacketConn) Recv(p []byte, patient bool, t engine.Taker) error {
	q.recvs++
	<-q.woken
	return nil
}

// TestConnectDoesNotPoll has Connect wait for an hour. It receives once, and the end of
// its context wakes it.
func TestConnectDoesNotPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &quietPacketConn{woken: make(chan struct{})}
		c := newPacketConn(q, "sctp", new(Config), nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := c.Connect(ctx, onlyPeer.String()); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if q.recvs != 1 {
			t.Errorf("Connect received %d times, want once", q.recvs)
		}
	})
}

// TestConnectAbortsWhatOthersMeet has another call meet the association before Connect
// knows that it has begun it. Connect gives it up all the same.
func TestConnectAbortsWhatOthersMeet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &quietPacketConn{woken: make(chan struct{})}
		c := newPacketConn(q, "sctp", new(Config), nil)
		q.meets = func() { c.meet(1) }
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := c.Connect(ctx, onlyPeer.String()); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if q.aborts != 1 {
			t.Errorf("the association is aborted %d times, want once", q.aborts)
		}
	})
}
