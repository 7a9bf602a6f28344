package udpencap

import (
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/sctpnet/sctpnet"
)

// restart has the peer forget the association and make another from the same ports.
func (r *rawPeer) restart() {
	r.t.Helper()
	r.own.tag, r.own.tsn = r.own.tag+1, r.own.tsn+5000
	r.handshake()
}

// TestRestartKeepsLivesApart has a peer crash in the middle of a message and come
// back. What it said before is read from the old association and then that this has
// failed; the new one has what it says after, and gives it nothing of what was for the
// old one.
func TestRestartKeepsLivesApart(t *testing.T) {
	for _, tt := range []struct {
		name   string
		isRead bool // the old association, while the peer restarts
	}{{"Unread", false}, {"Read", true}} {
		t.Run(tt.name, func(t *testing.T) {
			r, old, ln := rawPair(t, sctpnet.Config{})
			type result struct {
				data string
				err  error
			}
			read := make(chan result, 1)
			readAll := func() {
				b, err := io.ReadAll(old)
				read <- result{string(b), err}
			}
			if tt.isRead {
				go readAll()
			}
			if _, err := old.Write([]byte("for the old life")); err != nil {
				t.Fatal(err)
			}
			r.awaitData(r.theirs.tsn)
			r.write(0, "one ")
			r.write(1, "two")
			r.sendChunk(ctData, flagBegin, data(r.own.tsn+2, 0, 2, " half of"))
			r.ping()
			r.restart()
			// The other half is of the old life, and so is its tag.
			r.write(0, "a new life")
			r.ping()
			watchdog(t, func() {
				c := accept(t, ln)
				wantRead(t, c, "a new life")
				if !tt.isRead {
					readAll()
				}
				if got := <-read; got.data != "one two" || !errors.Is(got.err, syscall.ECONNRESET) {
					t.Errorf("the old association reads %q, %v", got.data, got.err)
				}
				for range 3 {
					if n, err := old.Read(make([]byte, 10)); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
						t.Errorf("and then %d bytes, %v", n, err)
					}
					if _, err := old.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
						t.Errorf("Write to it: %v", err)
					}
				}
				if _, err := c.Write([]byte("for the new life")); err != nil {
					t.Fatal(err)
				}
				if d := r.next(ctData); !strings.HasSuffix(string(d.value), "for the new life") {
					t.Errorf("the new peer gets %q first", d.value)
				}
			})
		})
	}
}

// TestRestartWithStreams is the same where streams are in use: their numbers belong to
// one life.
func TestRestartWithStreams(t *testing.T) {
	r, old, ln := rawPair(t, sctpnet.Config{})
	send := func(id uint16, n uint32, s string) {
		t.Helper()
		r.sendChunk(ctData, flagBegin|flagEnd, data(r.own.tsn+n, id, 0, s))
	}
	wantStream := func(c *sctpnet.Conn, want string) *sctpnet.Stream {
		t.Helper()
		s, err := c.AcceptStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		if n, err := s.Read(b); string(b[:n]) != want || err != nil {
			t.Fatalf("the stream reads %q, %v; want %q", b[:n], err, want)
		}
		return s
	}
	watchdog(t, func() {
		send(2, 0, "of the old life")
		s := wantStream(old, "of the old life")
		send(4, 1, "not accepted yet")
		r.ping()
		waiting := make(chan error)
		go func() {
			_, err := s.Read(make([]byte, 100))
			waiting <- err
		}()
		r.restart()
		send(2, 0, "of the new life")
		if err := <-waiting; !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("Read of a stream: %v", err)
		}
		wantStream(old, "not accepted yet")
		if s, err := old.AcceptStream(t.Context()); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("AcceptStream: %v, %v", s, err)
		}
		if s, err := old.OpenStream(); err == nil {
			if _, err = s.Write([]byte("x")); err == nil {
				t.Error("a stream can be opened, and written to")
			}
		}
		wantStream(accept(t, ln), "of the new life")
	})
}

// TestRestartOfDialed has the peer that was dialed restart. That is the end of the
// association, and nobody is there for the new one.
func TestRestartOfDialed(t *testing.T) {
	r, c := dialRaw(t, sctpnet.Config{})
	r.write(0, "before")
	r.ping()
	r.own.tag, r.own.tsn = r.own.tag+1, r.own.tsn+5000
	r.sendChunk(ctCookieEcho, 0, r.init())
	if _, a := r.await(ctAbort); a.flags != flagReflected {
		t.Errorf("the new life is answered by ABORT with flags %d", a.flags)
	}
	watchdog(t, func() {
		b, err := io.ReadAll(c)
		if string(b) != "before" || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read %q, %v", b, err)
		}
	})
}

// TestRestartWhileShuttingDown has a peer begin anew by a cookie that it got before its
// SHUTDOWN. It gets no new association until the old one is over (RFC 9260 section 5.2.4,
// action A).
func TestRestartWhileShuttingDown(t *testing.T) {
	r, c, ln := rawPair(t, sctpnet.Config{})
	old, oldTag, cum := r.tag, r.own.tag, r.theirs.tsn-1
	r.own.tag++
	cookie := r.init()
	r.send(newPacket(header{r.src, r.dst, old}).add(ctShutdown, 0, binary.BigEndian.AppendUint32(nil, cum)))
	if h, _ := r.await(ctShutdownAck); h.tag != oldTag {
		t.Errorf("SHUTDOWN ACK has the tag %x, want %x", h.tag, oldTag)
	}
	r.sendChunk(ctCookieEcho, 0, cookie)
	if h, _ := r.await(ctShutdownAck); h.tag != oldTag {
		t.Errorf("SHUTDOWN ACK has the tag %x, want %x", h.tag, oldTag)
	}
	h, k := r.await(ctError)
	if cause, _, _ := nextParam(k.value); cause.typ != causeCookieInShutdown || h.tag != r.own.tag {
		t.Errorf("ERROR has the cause %d and the tag %x, want %d and %x", cause.typ, h.tag, causeCookieInShutdown, r.own.tag)
	}
	r.send(newPacket(header{r.src, r.dst, old}).add(ctShutdownComplete, 0, nil))
	if _, err := io.ReadAll(c); err != nil {
		t.Errorf("the old association ends with %v", err)
	}
	r.sendChunk(ctCookieEcho, 0, cookie)
	r.await(ctCookieAck)
	accept(t, ln)
}
