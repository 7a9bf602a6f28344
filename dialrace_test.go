package sctpnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

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

// TestRace runs races with what no network does on demand.
func TestRace(t *testing.T) {
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
