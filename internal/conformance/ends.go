package conformance

import (
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// rounds is how often a race between an end and a call is run.
const rounds = 40

// A state is what goes on at one end of a connection while it ends.
type state struct {
	name        string
	read, write bool // a call is waiting, or about to
}

var states = []state{
	{"idle", false, false},
	{"reading", true, false},
	{"writing", false, true},
	{"both", true, true},
}

// calls are those of a state that are under way, nil where it has none.
type calls struct{ read, write *call }

// enter begins the calls of a state. Where sure is true they are waiting when
// it returns, and otherwise may only be about to.
func (p *pair) enter(s state, c net.Conn, sure bool) (cs calls) {
	p.Helper()
	if s.read {
		cs.read = p.start(c.Read, make([]byte, 100))
	}
	if s.write {
		cs.write = p.start(c.Write, ballast)
	}
	if sure && s.read {
		cs.read.waits()
	}
	if sure && s.write {
		cs.write.waits()
	}
	return cs
}

// Fill writes the beginning of b until nothing more is taken, because nobody reads it, and
// returns how much that is.
func Fill(t testing.TB, c net.Conn, b []byte) (n int) {
	t.Helper()
	// Longer than the retransmission timeout, after which a chunk that was dropped at a
	// full window makes room once more.
	const wait = 700 * time.Millisecond
	for last := time.Now(); time.Since(last) < wait; {
		c.SetWriteDeadline(time.Now().Add(wait / 7))
		k, err := c.Write(b[n:])
		n += k
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("filling the buffers: %v after %d bytes", err, n)
		}
		if k > 0 {
			last = time.Now()
		}
	}
	c.SetWriteDeadline(time.Time{})
	return n
}

// wantAll checks that the rest of what c reads is b, then EOF every time.
func (p *pair) wantAll(c net.Conn, b []byte) {
	p.Helper()
	hash := sha256.New()
	got, err := io.Copy(hash, c)
	if want := sha256.Sum256(b); err != nil || got != int64(len(b)) || [32]byte(hash.Sum(nil)) != want {
		p.Errorf("read %d bytes, %v, hash %x; want %d, nil, %x", got, err, hash.Sum(nil), len(b), want)
	}
	p.wantEOF(c)
}

// testCloseThenEOF closes while the peer reads, or before: what was written
// arrives, then EOF.
func testCloseThenEOF(p *pair) {
	p.rounds(rounds/10, func(i int, c1, c2 net.Conn) {
		read := p.start(c2.Read, make([]byte, 100))
		if i%2 == 0 {
			read.waits()
		}
		if i%3 == 0 {
			p.close(c1)
			if n, err := read.result(); n != 0 || err != io.EOF {
				p.Errorf("waiting Read returned %d, %v; want 0, EOF", n, err)
			}
		} else {
			p.write(c1, "first")
			if n, err := read.result(); n != 5 || err != nil {
				p.Errorf("waiting Read returned %d, %v; want 5, nil", n, err)
			}
			p.write(c1, "last")
			p.close(c1)
			p.read(c2, "last")
		}
		p.wantEOF(c2)
		p.close(c2)
	})
}

// testCloseDelivers closes with data on the way: as much as fits into the
// buffers, and nobody reads yet. Close must neither wait nor lose any.
func testCloseDelivers(p *pair) {
	for _, n := range []int{1, 100 << 10, len(ballast)} {
		p.run(size(n), func(p *pair) {
			c1, c2, _ := p.pipe()
			b := random(n)
			if n < len(ballast) {
				p.write(c1, string(b))
			} else {
				b = b[:Fill(p, c1, b)]
			}
			start := time.Now()
			p.close(c1)
			p.since(start, "Close")
			p.wantAll(c2, b)
		})
	}
}

// testCloseWakes closes while the same Conn's calls wait.
func testCloseWakes(p *pair) {
	for _, s := range states[1:] {
		p.run(s.name, func(p *pair) {
			p.rounds(rounds/10, func(i int, c1, _ net.Conn) {
				cs := p.enter(s, c1, i%2 == 0)
				start := time.Now()
				p.close(c1)
				if s.read {
					_, err := cs.read.result()
					p.wantError(c1, "read", err, net.ErrClosed)
				}
				if s.write {
					_, err := cs.write.result()
					p.wantError(c1, "write", err, net.ErrClosed)
				}
				p.since(start, "Close")
			})
		})
	}
}

// testCloseCutsWrite checks that the count of a Write that Close ended is true,
// and that so much still arrives.
func testCloseCutsWrite(p *pair) {
	c1, c2, _ := p.pipe()
	b := random(len(ballast))
	w := p.start(c1.Write, b)
	w.waits()
	p.close(c1)
	n, err := w.result()
	p.wantError(c1, "write", err, net.ErrClosed)
	p.wantAll(c2, b[:n])
}

// testCloseUnread closes with something left to read: the peer must not take
// that for a graceful end.
func testCloseUnread(p *pair) {
	p.rounds(rounds/10, func(i int, c1, c2 net.Conn) {
		if _, ok := c1.(aborter); !ok {
			p.Skipf("%T has no Abort, which this would be", c1)
		}
		p.write(c2, "xy")
		p.read(c1, "x") // and "y" has come too, being of the same message
		read := p.enter(state{read: true}, c2, i%2 == 0).read
		p.close(c1)
		_, err := read.result()
		p.wantError(c2, "read", err, syscall.ECONNRESET)
		p.wantReset(c2)
	})
}

// testUseAfterClose checks that everything fails after Close, and with what.
func testUseAfterClose(p *pair) {
	c1, _, _ := p.pipe()
	p.close(c1)
	for range often {
		p.wantUnusable(c1)
	}
}

// wantUnusable checks the errors of a Conn that was closed.
func (p *pair) wantUnusable(c net.Conn) {
	p.Helper()
	for _, b := range [][]byte{nil, {1}} {
		n, err := c.Read(b)
		p.wantError(c, "read", err, net.ErrClosed)
		if n != 0 {
			p.Errorf("Read returned %d", n)
		}
		n, err = c.Write(b)
		p.wantError(c, "write", err, net.ErrClosed)
		if n != 0 {
			p.Errorf("Write returned %d", n)
		}
	}
	p.wantError(c, "set", c.SetDeadline(time.Time{}), net.ErrClosed)
	p.wantError(c, "set", c.SetReadDeadline(past), net.ErrClosed)
	p.wantError(c, "set", c.SetWriteDeadline(time.Now().Add(time.Hour)), net.ErrClosed)
	p.wantError(c, "close", c.Close(), net.ErrClosed)
	if a, ok := c.(aborter); ok {
		p.wantError(c, "abort", a.Abort(), net.ErrClosed)
	}
	if s, ok := c.(shutdowner); ok {
		p.wantError(c, "shutdown", s.Shutdown(), net.ErrClosed)
	}
}

// wantWriteFails checks that Writes on a connection that has ended gracefully
// fail, every time.
func (p *pair) wantWriteFails(c net.Conn) {
	p.Helper()
	for range often {
		n, err := c.Write([]byte("x"))
		if n != 0 {
			p.Errorf("Write accepted %d bytes after the end", n)
		}
		p.wantError(c, "write", err, syscall.EPIPE, syscall.ESHUTDOWN, syscall.ECONNRESET)
	}
}

// testWriteAfterPeersClose checks that a Write that finds the peer gone does
// not spoil the EOF.
func testWriteAfterPeersClose(p *pair) {
	p.rounds(rounds/4, func(i int, c1, c2 net.Conn) {
		p.close(c1)
		// Where there is a half-close, EOF alone does not end writing.
		if _, half := c2.(closeWriter); i%2 == 0 && !half {
			p.wantEOF(c2)
		} else {
			// The Write meets it first. What it can still send before then
			// reaches a closed socket, which answers with an ABORT.
			sent := 0
			WaitFor(p, "Write to fail", func() bool {
				n, err := c2.Write([]byte("x"))
				sent += n
				return err != nil
			})
			if sent > 0 {
				return
			}
		}
		p.wantWriteFails(c2)
		p.wantEOF(c2)
	})
}

type closeWriter interface{ CloseWrite() error }

type aborter interface{ Abort() error }

// aborting runs f on n pairs whose c1 can abort. It skips the test where c1 cannot.
func (p *pair) aborting(n int, f func(i int, c1, c2 net.Conn, abort func())) {
	p.Helper()
	p.rounds(n, func(i int, c1, c2 net.Conn) {
		a, ok := c1.(aborter)
		if !ok {
			p.Skipf("%T has no Abort", c1)
		}
		f(i, c1, c2, func() {
			p.Helper()
			if err := a.Abort(); err != nil {
				p.Errorf("Abort: %v", err)
			}
		})
	})
}

// testAbort checks that whatever the peer was doing, all of it fails with
// ECONNRESET, and everything after it too. The kernel tells only one of
// several calls, and for good.
func testAbort(p *pair) {
	for _, s := range states {
		p.run(s.name, func(p *pair) {
			p.aborting(rounds, func(i int, _, c2 net.Conn, abort func()) {
				cs := p.enter(s, c2, i%2 == 0)
				if i%4 == 1 {
					time.Sleep(time.Duration(i) * 10 * time.Microsecond)
				}
				abort()
				if s.read {
					n, err := cs.read.result()
					if n != 0 {
						p.Errorf("Read returned %d bytes", n)
					}
					p.wantError(c2, "read", err, syscall.ECONNRESET)
				}
				if s.write {
					n, err := cs.write.result()
					if n == len(ballast) {
						p.Errorf("Write returned %d, all of it", n)
					}
					p.wantError(c2, "write", err, syscall.ECONNRESET, syscall.EPIPE)
				}
				p.wantReset(c2)
				p.close(c2)
			})
		})
	}
}

// testAbortFoundByWrite has a Write, and no Read, find out first.
func testAbortFoundByWrite(p *pair) {
	p.aborting(rounds, func(_ int, _, c2 net.Conn, abort func()) {
		abort()
		WaitFor(p, "Write to fail", func() bool {
			_, err := c2.Write([]byte("x"))
			if err != nil {
				p.wantError(c2, "write", err, syscall.ECONNRESET, syscall.EPIPE)
			}
			return err != nil
		})
		p.wantReset(c2)
	})
}

// testAbortAfterData aborts with something left to read, which may then be read
// or not.
func testAbortAfterData(p *pair) {
	p.aborting(rounds/4, func(_ int, c1, c2 net.Conn, abort func()) {
		p.write(c1, "xy")
		p.read(c2, "x")
		abort()
		b := make([]byte, 100)
		n, err := c2.Read(b)
		if err == nil && string(b[:n]) != "y" {
			p.Errorf("Read returned %q, want y", b[:n])
		}
		p.wantReset(c2)
	})
}

// testOwnAbort checks that Abort closes the Conn that it is called on, whatever
// that is doing.
func testOwnAbort(p *pair) {
	for _, s := range states {
		p.run(s.name, func(p *pair) {
			p.aborting(rounds/10, func(i int, c1, _ net.Conn, abort func()) {
				cs := p.enter(s, c1, i%2 == 0)
				start := time.Now()
				abort()
				if s.read {
					_, err := cs.read.result()
					p.wantError(c1, "read", err, net.ErrClosed)
				}
				if s.write {
					_, err := cs.write.result()
					p.wantError(c1, "write", err, net.ErrClosed)
				}
				p.since(start, "Abort")
				p.wantUnusable(c1)
			})
		})
	}
}

type shutdowner interface{ Shutdown() error }

// shutdown calls c's Shutdown. The test is skipped where it has none.
func (p *pair) shutdown(c net.Conn) {
	p.Helper()
	s, ok := c.(shutdowner)
	if !ok {
		p.Skipf("%T has no Shutdown", c)
	}
	start := time.Now()
	if err := s.Shutdown(); err != nil {
		p.Errorf("Shutdown: %v", err)
	}
	p.since(start, "Shutdown")
}

// testShutdown checks that after one side's Shutdown both read what the other
// has written, then EOF, and that neither can write.
func testShutdown(p *pair) {
	p.rounds(rounds/4, func(_ int, c1, c2 net.Conn) {
		b := random(50 << 10)
		p.write(c1, string(b))
		p.write(c2, string(b))
		p.shutdown(c1)
		n, err := c1.Write([]byte("x"))
		if n != 0 {
			p.Errorf("Write accepted %d bytes after Shutdown", n)
		}
		p.wantError(c1, "write", err, syscall.ESHUTDOWN, syscall.EPIPE)
		p.wantAll(c2, b)
		p.wantAll(c1, b)
		p.wantWriteFails(c1)
		p.wantWriteFails(c2)
		p.wantEOF(c1)
		p.wantEOF(c2)
		p.close(c1)
		p.close(c2)
	})
}

// testShutdownWakes has a Read wait on either side when one shuts down.
func testShutdownWakes(p *pair) {
	p.rounds(rounds, func(i int, c1, c2 net.Conn) {
		reading := state{read: true}
		own, peers := p.enter(reading, c1, i%2 == 0), p.enter(reading, c2, i%3 == 0)
		p.shutdown(c1)
		for _, c := range []*call{own.read, peers.read} {
			if n, err := c.result(); n != 0 || err != io.EOF {
				p.Errorf("waiting Read returned %d, %v; want 0, EOF", n, err)
			}
		}
		p.wantEOF(c1)
		p.wantEOF(c2)
	})
}

// testShutdownPending shuts down with more on the way than the peer takes
// unread. Until it has read that the association lives, and the peer can write.
func testShutdownPending(p *pair) {
	c1, c2, _ := p.pipe()
	b := random(len(ballast))
	b = b[:Fill(p, c1, b)]
	p.shutdown(c1)
	read := p.start(c1.Read, make([]byte, 100))
	read.waits()
	p.write(c2, "late")
	if n, err := read.result(); n != 4 || err != nil {
		p.Errorf("Read returned %d, %v; want 4, nil", n, err)
	}
	p.write(c2, "later")
	p.read(c1, "later")
	read = p.start(c1.Read, make([]byte, 100))
	read.waits()
	p.wantAll(c2, b)
	if n, err := read.result(); n != 0 || err != io.EOF {
		p.Errorf("Read returned %d, %v; want 0, EOF", n, err)
	}
	p.wantEOF(c1)
}

// testShutdownByBoth has both sides shut down at the same time.
func testShutdownByBoth(p *pair) {
	p.rounds(rounds/2, func(i int, c1, c2 net.Conn) {
		p.write(c1, "from 1")
		p.write(c2, "from 2")
		other := p.start(func([]byte) (int, error) {
			p.shutdown(c2)
			return 0, nil
		}, nil)
		p.shutdown(c1)
		p.wantAll(c1, []byte("from 2"))
		p.wantAll(c2, []byte("from 1"))
		other.result()
	})
}

// testUseAfterShutdown checks that Close, Abort and another Shutdown are not
// disturbed by a Shutdown, and do not wait.
func testUseAfterShutdown(p *pair) {
	p.rounds(rounds/10, func(i int, c1, c2 net.Conn) {
		p.write(c1, "x")
		p.shutdown(c1)
		p.read(c2, "x")
		p.wantEOF(c2)
		if i%2 == 0 {
			p.wantEOF(c1)
		}
		p.shutdown(c1)
		p.shutdown(c2)
		p.close(c1)
		p.wantUnusable(c1)
		if a, ok := c2.(aborter); ok {
			if err := a.Abort(); err != nil {
				p.Errorf("Abort: %v", err)
			}
			p.wantUnusable(c2)
		}
	})
}

// testCloseWrite checks that CloseWrite, where there is one, is a half-close.
func testCloseWrite(p *pair) {
	p.rounds(rounds/10, func(_ int, c1, c2 net.Conn) {
		cw, ok := c1.(closeWriter)
		if !ok {
			p.Skipf("%T has no CloseWrite", c1)
		}
		p.write(c1, "question")
		if err := cw.CloseWrite(); err != nil {
			p.Fatalf("CloseWrite: %v", err)
		}
		p.wantWriteFails(c1)
		p.read(c2, "question")
		p.wantEOF(c2)
		read := p.start(c1.Read, make([]byte, 100))
		read.waits()
		p.write(c2, "answer")
		if n, err := read.result(); n != len("answer") || err != nil {
			p.Errorf("Read returned %d, %v; want %d, nil", n, err, len("answer"))
		}
		p.close(c2)
		p.wantEOF(c1)
		p.close(c1)
		if err := cw.CloseWrite(); !errors.Is(err, net.ErrClosed) {
			p.Errorf("CloseWrite after Close: %v, want ErrClosed", err)
		}
	})
}

// testAddresses checks that both addresses are there and stay, whatever
// happens.
func testAddresses(p *pair) {
	c1, c2, _ := p.pipe()
	type addrs struct {
		local, remote net.Addr
		ls, rs        string
	}
	get := func(c net.Conn) addrs {
		a := addrs{local: c.LocalAddr(), remote: c.RemoteAddr()}
		if a.local == nil || a.remote == nil || a.local.String() == "" || a.remote.String() == "" {
			p.Fatalf("addresses are %v and %v", a.local, a.remote)
		}
		a.ls, a.rs = a.local.String(), a.remote.String()
		return a
	}
	before1, before2 := get(c1), get(c2)
	check := func(when string) {
		p.Helper()
		if got := get(c1); got != before1 {
			p.Errorf("%s: addresses are %v, were %v", when, got, before1)
		}
		if got := get(c2); got != before2 {
			p.Errorf("%s: addresses are %v, were %v", when, got, before2)
		}
	}
	p.close(c1)
	check("after Close")
	p.wantEOF(c2)
	check("after the peer's Close")
	p.close(c2)
	check("after both")
}
