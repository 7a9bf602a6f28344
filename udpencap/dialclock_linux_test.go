package udpencap

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// dial dials the peer, at a port of its own.
func (c *clocked) dial(o engine.Options) (result chan error) {
	c.from = 7778
	c.port.use()
	a := newAssoc(c.port, peer{loopbackIP, c.from}, o)
	a.setAddrs(loopbackIP)
	result = make(chan error, 1)
	go func() { result <- a.connect(context.Background(), []uint16{fuzzPeer.Port()}) }()
	return result
}

// TestStaleCookieBeginsAnew has the peer leave COOKIE ECHO unanswered and then say that the
// cookie is stale. The INITs that follow have all the attempts and the pauses that the
// first one had.
func TestStaleCookieBeginsAnew(t *testing.T) {
	const attempts = 3
	onClock(t, func(c *clocked) {
		own := initiation{tag: peerTag, window: 1 << 20, out: 10, in: 10, tsn: peerTSN, cookie: []byte("biscuit")}
		inits, cookies := 0, 0
		c.answer = func(k clockedChunk) {
			switch k.typ {
			case ctInit:
				if inits++; inits == 1 {
					var i initiation
					i.parse(k.value)
					c.sendTo(i.tag, ctInitAck, 0, own.value())
				}
			case ctCookieEcho:
				if cookies++; cookies == attempts {
					p := c.port.findPeer(peer{loopbackIP, c.from})
					c.sendTo(p.localTag, ctError, 0, appendCause(nil, causeStaleCookie, make([]byte, 4)))
				}
			}
		}
		result := c.dial(engine.Options{InitAttempts: attempts})
		c.pass(time.Minute)
		at := c.times(ctInit)[1:]
		if len(at) != 1+attempts {
			t.Fatalf("there were %d INITs, want %d", len(at), 1+attempts)
		}
		for i, want := 1, rtoInitial; i < len(at); i++ {
			if got := at[i] - at[i-1]; got != want {
				t.Errorf("pause %d is %v, want %v", i, got, want)
			}
			want *= 2
		}
		select {
		case err := <-result:
			if !errors.Is(err, syscall.ETIMEDOUT) {
				t.Errorf("the dial has ended with %v", err)
			}
		default:
			t.Error("the dial goes on")
		}
	})
}

// TestTieTagsOfCrossingDial has the peer dial while it is dialed. Its cookie has tie tags once
// the other end waits for COOKIE ACK, and not before (RFC 9260 sections 5.2.1 and 5.2.2).
func TestTieTagsOfCrossingDial(t *testing.T) {
	onClock(t, func(c *clocked) {
		own := initiation{tag: peerTag, window: 1 << 20, out: 10, in: 10, tsn: peerTSN}
		result := c.dial(engine.Options{})
		c.pass(2 * clockedDelay)
		a := c.port.findPeer(peer{loopbackIP, c.from})
		ties := func() [2]uint32 {
			c.sendTo(0, ctInit, 0, own.value())
			c.pass(2 * clockedDelay)
			var i initiation
			i.parse(c.all(ctInitAck)[0].value)
			ck, ok := openCookie(i.cookie, cookieFor{peerIP: loopbackIP, src: c.from, dst: targetPort, localTag: a.localTag})
			if !ok {
				t.Error("the cookie is not one for the dial")
			}
			return ck.tieTags
		}
		if got := ties(); got != [2]uint32{} {
			t.Errorf("before INIT ACK there are the tie tags %x", got)
		}
		answer := own
		answer.cookie = []byte("biscuit")
		c.sendTo(a.localTag, ctInitAck, 0, answer.value())
		c.pass(2 * clockedDelay)
		if got := ties(); got != a.tieTags {
			t.Errorf("after INIT ACK there are the tie tags %x, want %x", got, a.tieTags)
		}
		a.Abort()
		<-result
	})
}
