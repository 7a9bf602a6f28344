package sctpnet_test

import (
	"errors"
	"fmt"
	"math"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
)

// TestMessageLimits sends what cannot be sent. Nothing of it arrives, and the
// association goes on.
func TestMessageLimits(t *testing.T) {
	onMessengers(t, func(t *testing.T, network string, c *sctpnet.Conn, m1, m2 messenger) {
		_, isStream := m1.(*sctpnet.Stream)
		most := c.MaxMessageSize()
		for _, tt := range []struct {
			name  string
			size  int
			info  sctpnet.MsgInfo
			cause error    // nil for any
			words []string // of the error
		}{
			{name: "too large", size: most + 1, cause: syscall.EMSGSIZE, words: []string{fmt.Sprint(most + 1), fmt.Sprint(most)}},
			{name: "much too large", size: 8 << 20, cause: syscall.EMSGSIZE, words: []string{fmt.Sprint(most)}},
			{name: "empty", words: []string{"empty"}},
			{name: "negative TTL", size: 1, info: sctpnet.MsgInfo{TTL: -1}, words: []string{"TTL", "-1ns"}},
			{name: "long TTL", size: 1, info: sctpnet.MsgInfo{TTL: math.MaxUint32*time.Millisecond + 1}, words: []string{"TTL", "1193h2m47.295000001s"}},
			{name: "longest TTL", size: 1, info: sctpnet.MsgInfo{TTL: math.MaxInt64}, words: []string{"TTL"}},
			{name: "stream", size: 1, info: sctpnet.MsgInfo{Stream: 64}, cause: syscall.EINVAL, words: []string{"64 of 64"}},
			{name: "last stream", size: 1, info: sctpnet.MsgInfo{Stream: 65535}, cause: syscall.EINVAL, words: []string{"65535", "64"}},
		} {
			if isStream && tt.info.Stream != 0 {
				continue // a Stream ignores it
			}
			n, err := m1.WriteMsg(ballast()[:tt.size], tt.info)
			var e *net.OpError
			if n != 0 || !errors.As(err, &e) || e.Op != "write" {
				t.Errorf("%s: %d, %v", tt.name, n, err)
				continue
			}
			if tt.cause != nil && !errors.Is(err, tt.cause) {
				t.Errorf("%s: %v, want %v", tt.name, err, tt.cause)
			}
			for _, word := range tt.words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%s: %v: does not say %q", tt.name, err, word)
				}
			}
			exchange(t, m1, m2)
		}
		if n, err := m1.Write(nil); n != 0 || err != nil {
			t.Errorf("empty Write returned %d, %v; want 0, nil", n, err)
		}
		for _, info := range []sctpnet.MsgInfo{{TTL: 1}, {TTL: math.MaxUint32 * time.Millisecond}} {
			if lacking(t, network, lifetime, func() error { _, err := m1.WriteMsg([]byte("x"), info); return err }) {
				continue
			}
			if _, err := m1.WriteMsg([]byte("x"), info); err != nil {
				t.Errorf("%+v: %v", info, err)
			}
			wantBytes(t, m2, []byte("x"))
		}
	})
}

// TestLargestMessage sends a message of MaxMessageSize, also after that was
// changed.
func TestLargestMessage(t *testing.T) {
	onMessengers(t, func(t *testing.T, _ string, c *sctpnet.Conn, m1, m2 messenger) {
		send := func() {
			t.Helper()
			want := ballast()[:c.MaxMessageSize()]
			written := make(chan error, 1)
			go func() {
				n, err := m1.WriteMsg(want, sctpnet.MsgInfo{})
				if n != len(want) && err == nil {
					err = fmt.Errorf("WriteMsg returned %d, want %d", n, len(want))
				}
				written <- err
			}()
			got := make([]byte, len(want)+1)
			n, info, err := m2.ReadMsg(got)
			if err != nil || n != len(want) || info.More {
				t.Errorf("read %d bytes of %d, More %t, %v", n, len(want), info.More, err)
			}
			if err := <-written; err != nil {
				t.Error(err)
			}
		}
		send()
		before := c.MaxMessageSize()
		if err := c.SetWriteBuffer(20_000); err != nil {
			t.Fatal(err)
		}
		if after := c.MaxMessageSize(); after >= before {
			t.Errorf("MaxMessageSize is %d with a smaller buffer, and was %d", after, before)
		}
		send()
	})
}

// TestClaimLimits claims what cannot be claimed.
func TestClaimLimits(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		c, s := pipeOf(t, network, 10)
		watchdog(t, func() {
			for _, end := range []*sctpnet.Conn{c, s} {
				claim(t, end, 0)
				claim(t, end, 9)
				for _, tt := range []struct {
					id    uint16
					words string
				}{
					{10, "10 of 10"},
					{65535, "65535 of 10"},
					{9, "stream 9 is in use"},
					{0, "stream 0 is in use"},
				} {
					got, err := end.Stream(tt.id)
					var e *net.OpError
					if got != nil || !errors.As(err, &e) || !strings.Contains(err.Error(), tt.words) {
						t.Errorf("claiming stream %d: %v", tt.id, err)
					}
				}
			}
			// Those that OpenStream and AcceptStream have claimed are in use too.
			opened, err := c.OpenStream()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Stream(opened.ID()); err == nil {
				t.Errorf("stream %d can be claimed though OpenStream gave it", opened.ID())
			}
			write(t, opened, "x")
			accepted := acceptStream(t, s)
			if _, err := s.Stream(accepted.ID()); err == nil {
				t.Errorf("stream %d can be claimed though AcceptStream gave it", accepted.ID())
			}
		})
	})
}

// TestUnevenStreamsEnd closes streams that there are in one direction only, next to
// others: all end, and their numbers can be used again.
func TestUnevenStreamsEnd(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		ln := listen(t, network, "127.0.0.1:0")
		d := &sctpnet.Dialer{Config: sctpnet.Config{OutStreams: 4, MaxInStreams: 16}}
		few := dial(t, d, network, ln.Addr().String())
		many := accept(t, ln)
		watchdog(t, func() {
			for i := range 6 {
				receives, sends := claim(t, few, 10), claim(t, many, 10)
				other1, other2 := streamPair(t, few, many)
				exchange(t, other1, other2)
				write(t, sends, "one way")
				wantBytes(t, receives, []byte("one way"))
				closeBoth := func(s1, s2 *sctpnet.Stream) {
					if err := s1.Close(); err != nil {
						t.Fatal(err)
					}
					wantEOF(t, s2)
					if err := s2.Close(); err != nil {
						t.Fatal(err)
					}
				}
				if i%2 == 0 {
					receives.Close() // the sender hears nothing of it
					closeBoth(other1, other2)
					sends.Close()
				} else {
					closeBoth(sends, receives)
					closeBoth(other1, other2)
				}
			}
		})
	})
}

// TestUnevenStreams uses an association with more streams one way than the
// other.
func TestUnevenStreams(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		ln := listen(t, network, "127.0.0.1:0")
		d := &sctpnet.Dialer{Config: sctpnet.Config{OutStreams: 3, MaxInStreams: 8}}
		c := dial(t, d, network, ln.Addr().String())
		s := accept(t, ln)
		watchdog(t, func() {
			c7, s7 := claim(t, c, 7), claim(t, s, 7)
			write(t, s7, "one way")
			wantBytes(t, c7, []byte("one way"))
			_, err := c7.Write([]byte("x"))
			wantError(t, "Write on a stream that there is only for reading", err, syscall.EINVAL)
			_, err = c7.WriteMsg([]byte("x"), sctpnet.MsgInfo{})
			wantError(t, "WriteMsg on a stream that there is only for reading", err, syscall.EINVAL)
			c2, s2 := claim(t, c, 2), claim(t, s, 2)
			exchange(t, c2, s2)
			// Only streams that there are both ways can be opened.
			for _, end := range []*sctpnet.Conn{c, s} {
				for {
					s, err := end.OpenStream()
					if errors.Is(err, sctpnet.ErrNoFreeStream) {
						break
					}
					if err != nil || s.ID() > 2 {
						t.Fatalf("OpenStream returned stream %d, %v", s.ID(), err)
					}
				}
			}
		})
	})
}
