package conformance

import (
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// ballast is more than the buffers on any way hold: a Write of it waits as long
// as nobody reads.
var ballast = make([]byte, 12<<20)

// A direction is Read or Write, with the deadline that belongs to it.
type direction struct {
	op  string
	do  func(net.Conn) func([]byte) (int, error)
	buf func() []byte // with which the call waits
	set func(net.Conn) func(time.Time) error
}

var directions = []direction{
	{
		"read",
		func(c net.Conn) func([]byte) (int, error) { return c.Read },
		func() []byte { return make([]byte, 100) },
		func(c net.Conn) func(time.Time) error { return c.SetReadDeadline },
	},
	{
		"write",
		func(c net.Conn) func([]byte) (int, error) { return c.Write },
		func() []byte { return ballast },
		func(c net.Conn) func(time.Time) error { return c.SetWriteDeadline },
	},
}

// eachDirection runs f as a subtest for Read and one for Write.
func (p *pair) eachDirection(f func(p *pair, d direction)) {
	for _, d := range directions {
		p.run(d.op, func(p *pair) { f(p, d) })
	}
}

func (p *pair) setDeadline(set func(time.Time) error, t time.Time) {
	p.Helper()
	if err := set(t); err != nil {
		p.Errorf("setting a deadline: %v", err)
	}
}

// wantTimeout checks the error of a call whose deadline passed.
func (p *pair) wantTimeout(c net.Conn, op string, err error) {
	p.Helper()
	p.wantError(c, op, err, os.ErrDeadlineExceeded)
	var nerr net.Error
	if !errors.As(err, &nerr) || !nerr.Timeout() {
		p.Errorf("%v: Timeout() is false", err)
	}
}

var past = time.Unix(1, 0)

// testPastDeadline checks that a call fails at once, every time and even if it
// would not have to wait, until the deadline is lifted.
func testPastDeadline(p *pair) {
	for _, both := range []bool{false, true} {
		p.eachDirection(func(p *pair, d direction) {
			c1, c2, _ := p.pipe()
			p.write(c2, "x")
			p.write(c1, "x")
			set := d.set(c1)
			if both {
				set = c1.SetDeadline
			}
			p.setDeadline(set, past)
			start := time.Now()
			for range often {
				n, err := d.do(c1)([]byte("y"))
				if n != 0 {
					p.Errorf("%s returned %d, want 0", d.op, n)
				}
				p.wantTimeout(c1, d.op, err)
			}
			p.since(start, d.op+" after its deadline")
			p.setDeadline(set, time.Time{})
			p.read(c1, "x")
			p.write(c1, "y")
			p.read(c2, "xy")
		})
	}
}

// testFutureDeadline checks that a waiting call ends with its deadline, not
// before and not much later, and that a Read so ended has lost nothing.
func testFutureDeadline(p *pair) {
	p.eachDirection(func(p *pair, d direction) {
		const wait = 20 * time.Millisecond * Slowness
		c1, c2, _ := p.pipe()
		start := time.Now()
		p.setDeadline(d.set(c1), start.Add(wait))
		_, err := d.do(c1)(d.buf())
		p.wantTimeout(c1, d.op, err)
		if got := time.Since(start); got < wait {
			p.Errorf("%s ended after %v, before its deadline", d.op, got)
		}
		p.since(start, d.op)
		if d.op == "read" {
			p.setDeadline(d.set(c1), time.Time{})
			p.write(c2, "x")
			p.read(c1, "x")
		}
	})
}

// testDeadlineMovedEarlier wakes a waiting call by a deadline in the past.
func testDeadlineMovedEarlier(p *pair) {
	p.eachDirection(func(p *pair, d direction) {
		for _, before := range []time.Time{{}, time.Now().Add(time.Hour)} {
			c1, _, _ := p.pipe()
			p.setDeadline(d.set(c1), before)
			call := p.start(d.do(c1), d.buf())
			call.waits()
			start := time.Now()
			p.setDeadline(d.set(c1), past)
			_, err := call.result()
			p.wantTimeout(c1, d.op, err)
			p.since(start, "waking a "+d.op)
		}
	})
}

// testDeadlineMovedLater has a waiting call outlive the deadline it began with.
func testDeadlineMovedLater(p *pair) {
	p.eachDirection(func(p *pair, d direction) {
		for _, later := range []time.Time{{}, time.Now().Add(time.Hour)} {
			c2, call := p.movedLater(d, later)
			if d.op == "read" {
				p.write(c2, "x")
			} else {
				go io.Copy(io.Discard, c2)
			}
			if n, err := call.result(); err != nil {
				p.Errorf("%s returned %d, %v; want it to go on", d.op, n, err)
			}
		}
	})
}

// movedLater starts a call with a deadline, and moves that. It returns when the time at
// which the call would have ended is over.
func (p *pair) movedLater(d direction, later time.Time) (peer net.Conn, c *call) {
	p.Helper()
	for {
		const wait = 50 * time.Millisecond
		c1, c2, stop := p.pipe()
		start := time.Now()
		p.setDeadline(d.set(c1), start.Add(wait))
		call := p.start(d.do(c1), d.buf())
		p.setDeadline(d.set(c1), later)
		if time.Since(start) >= wait {
			stop() // a busy machine was late, and the call has ended
			call.result()
			continue
		}
		time.Sleep(2 * wait) // there is nothing else to wait for
		call.waits()
		return c2, call
	}
}

// testPartialWrite checks that the count of a Write that the deadline ended is
// true: the peer can read so many bytes, and no more.
func testPartialWrite(p *pair) {
	c1, c2, _ := p.pipe()
	b := random(len(ballast))
	p.setDeadline(c1.SetWriteDeadline, time.Now().Add(100*time.Millisecond*Slowness))
	n, err := c1.Write(b)
	p.wantTimeout(c1, "write", err)
	if n <= 0 || n >= len(b) {
		p.Errorf("Write returned %d of %d, want a part", n, len(b))
	}
	// A later Write goes on after it.
	p.setDeadline(c1.SetWriteDeadline, time.Time{})
	w := p.start(func(b []byte) (int, error) {
		defer p.close(c1)
		return c1.Write(b)
	}, []byte("end"))
	hash := sha256.New()
	got, err := io.Copy(hash, c2)
	want := sha256.Sum256(append(b[:n:n], "end"...))
	if err != nil || got != int64(n+3) || [32]byte(hash.Sum(nil)) != want {
		p.Errorf("read %d bytes, %v, hash %x; want %d, nil, %x", got, err, hash.Sum(nil), n+3, want)
	}
	if n, err := w.result(); n != 3 || err != nil {
		p.Errorf("Write returned %d, %v; want 3, nil", n, err)
	}
}
