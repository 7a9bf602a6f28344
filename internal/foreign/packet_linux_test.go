package foreign

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
)

// A postbox is a PacketConn that is always read.
type postbox struct {
	*sctpnet.PacketConn
	came chan letter
}

// A letter is a message, or the name of what has happened to an association.
type letter struct {
	peer *sctpnet.Addr
	data []byte
	info sctpnet.MsgInfo
	what string
}

func (b *postbox) Addr() net.Addr { return b.LocalAddr() }

// listenPacket makes a PacketConn that is always read.
func (n *networks) listenPacket(t *testing.T) *postbox {
	t.Helper()
	b := &postbox{came: make(chan letter, 100_000)}
	lc := sctpnet.ListenConfig{OnEvent: func(_ *sctpnet.PacketConn, peer *sctpnet.Addr, e sctpnet.Event) {
		if e, ok := e.(sctpnet.AssocEvent); ok {
			b.came <- letter{peer: peer, what: e.Change.String()}
		}
	}}
	err := n.a.Do(func() error {
		pc, err := lc.ListenPacket(t.Context(), n.name, ours+":0")
		if err == nil {
			b.PacketConn = pc.(*sctpnet.PacketConn)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		p := make([]byte, 1<<19)
		for {
			k, info, peer, err := b.ReadMsg(p)
			if err != nil {
				return
			}
			b.came <- letter{peer, bytes.Clone(p[:k]), info, ""}
		}
	}()
	t.Cleanup(func() { b.Close(); <-over })
	return b
}

// await waits until something has happened to an association, and passes over messages
// that say hello. A peer that is nil is any.
func (b *postbox) await(t *testing.T, peer *sctpnet.Addr, what string) *sctpnet.Addr {
	t.Helper()
	for {
		l := <-b.came
		switch {
		case l.what == what && (peer == nil || l.peer.String() == peer.String()):
			return l.peer
		case string(l.data) != "hello":
			t.Fatalf("%v: %s, %.100q; want that it is %s", l.peer, l.what, l.data, what)
		}
	}
}

// meet has a peer dial a PacketConn, or be dialed.
func (n *networks) meet(t *testing.T, b *postbox, dials bool, style string) (*peer, *sctpnet.Addr) {
	t.Helper()
	if dials {
		p := n.dialing(t, b, style, "10")
		return p, b.await(t, nil, "up")
	}
	p := n.listening(t, style, "10")
	return p, b.await(t, n.connect(t, b, p), "up")
}

func (n *networks) connect(t *testing.T, b *postbox, p *peer) (addr *sctpnet.Addr) {
	t.Helper()
	if err := n.a.Do(func() (err error) {
		addr, err = b.Connect(t.Context(), p.address())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return addr
}

// echo has messages of all kinds sent back by several peers.
func (b *postbox) echo(t *testing.T, peers ...*sctpnet.Addr) {
	t.Helper()
	for i, size := range []int{1, 100, 1400, 1500, 9000, 65_536, 2} {
		want := sctpnet.MsgInfo{Stream: uint16(i), PPID: uint32(i) | 0x12340000, Unordered: i%3 == 2}
		left := make(map[string]bool)
		for _, peer := range peers {
			if _, err := b.WriteMsg(content(i, size), want, peer); err != nil {
				t.Fatal(err)
			}
			left[peer.String()] = true
		}
		for len(left) > 0 {
			l := <-b.came
			if string(l.data) == "hello" {
				continue
			}
			if !left[l.peer.String()] || !bytes.Equal(l.data, content(i, size)) ||
				l.info.Stream != want.Stream || l.info.PPID != want.PPID || l.info.Unordered != want.Unordered || l.info.More {
				t.Fatalf("%v: %s, %d bytes, %+v; want %+v", l.peer, l.what, len(l.data), l.info, want)
			}
			delete(left, l.peer.String())
		}
	}
}

// TestPacketConn has several peers at one PacketConn, which end one after the other.
func TestPacketConn(t *testing.T) {
	each(t, func(t *testing.T, n *networks) {
		b := n.listenPacket(t)
		type party struct {
			*peer
			addr *sctpnet.Addr
		}
		var all []party
		var addrs []*sctpnet.Addr
		for i := range 6 {
			dials, style := i%2 == 0, []string{"seqpacket", "stream"}[i/2%2]
			if n.language.noAccept && style == "stream" {
				dials = true
			}
			p, addr := n.meet(t, b, dials, style)
			all = append(all, party{p, addr})
			addrs = append(addrs, addr)
		}
		for i, end := range []string{"close", "abort", "kill", "Shutdown", "Abort", ""} {
			b.echo(t, addrs[i:]...)
			p, want := all[i], "ended"
			var err error
			switch end {
			case "abort":
				want = "lost"
				fallthrough
			case "close":
				_, err = b.WriteTo([]byte(end), p.addr)
			case "kill":
				err = p.cmd.Process.Kill()
			case "Shutdown":
				err = b.Shutdown(p.addr)
			case "Abort":
				want = "lost"
				err = b.Abort(p.addr)
			case "":
				err = b.Shutdown(p.addr)
			}
			if err != nil {
				t.Errorf("%s: %v", end, err)
			}
			b.await(t, p.addr, want)
			p.cmd.Process.Kill()
		}
	})
}

// TestPeersThatPeelOff has a peer give an association a socket of its own, while messages
// come, and end it in each way.
func TestPeersThatPeelOff(t *testing.T) {
	each(t, func(t *testing.T, n *networks) {
		for i, end := range []string{"close", "abort", "kill", "Close", "Abort"} {
			c, p := n.associate(t, i%2 == 0, "seqpacket", "10")
			t.Log(end)
			write := func(message string) {
				if _, err := c.WriteMsg([]byte(message), sctpnet.MsgInfo{}); err != nil {
					t.Error(err)
				}
			}
			write("before")
			write("peeloff")
			for k := range 20 {
				write(fmt.Sprint("message ", k))
			}
			wantMessage(t, c, "before")
			for k := range 20 {
				wantMessage(t, c, fmt.Sprint("message ", k))
			}
			p.await(t, "peeled off")
			p.echo(t, c, 10)
			testEnd(t, c, p, end, "seqpacket")
			p.cmd.Process.Kill()
		}
	})
}

func wantMessage(t *testing.T, c *sctpnet.Conn, want string) {
	t.Helper()
	if got, _, err := c.ReadMessage(1 << 19); string(got) != want || err != nil {
		c.Abort()
		t.Fatalf("read %.100q, %v; want %q", got, err, want)
	}
}

// TestEndsInFlight has a one-to-many peer end an association by SHUTDOWN and by ABORT while
// messages are under way in both directions. What was sent back before a SHUTDOWN comes.
func TestEndsInFlight(t *testing.T) {
	const before, all = 50, 400
	message := func(i int) []byte { return []byte(strconv.Itoa(i) + strings.Repeat(".", 2000)) }
	ends := func(n *networks) []string {
		if n.language.greets {
			return []string{"close"}
		}
		return []string{"close", "abort"}
	}
	each(t, func(t *testing.T, n *networks) {
		for i, end := range ends(n) {
			for _, dials := range []bool{false, true} {
				t.Log("Conn", end, dials)
				c, p := n.associate(t, dials, "seqpacket", "10")
				written := make(chan error, 1)
				go func() {
					for i := range all {
						m := message(i)
						if i == before {
							m = []byte(end)
						}
						if _, err := c.WriteMsg(m, sctpnet.MsgInfo{}); err != nil {
							written <- err
							return
						}
					}
					written <- nil
				}()
				want := []error{io.EOF, syscall.ECONNRESET}[i]
				for k := 0; ; k++ {
					got, _, err := c.ReadMessage(1 << 19)
					if err != nil {
						if !errors.Is(err, want) || end == "close" && k != before || k > before {
							t.Errorf("after %d messages: %v; want %v", k, err, want)
						}
						break
					}
					if !bytes.Equal(got, message(k)) {
						t.Fatalf("message %d: %.20q", k, got)
					}
				}
				for _, err := range []error{<-written, failingWrite(c)} {
					if err != nil && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
						t.Errorf("Write: %v; want ECONNRESET or EPIPE", err)
					}
				}
				c.Close()
				p.cmd.Process.Kill()

				t.Log("PacketConn", end, dials)
				b := n.listenPacket(t)
				p, addr := n.meet(t, b, dials, "seqpacket")
				go func() {
					for i := range all {
						m := message(i)
						if i == before {
							m = []byte(end)
						}
						if _, err := b.WriteMsg(m, sctpnet.MsgInfo{}, addr); err != nil {
							written <- err
							return
						}
					}
					written <- nil
				}()
				what := []string{"ended", "lost"}[i]
				k := 0
				for l := range b.came {
					if string(l.data) == "hello" {
						continue
					}
					if l.what != "" {
						if l.what != what || end == "close" && k != before || k > before {
							t.Errorf("after %d messages: it is %s; want %s", k, l.what, what)
						}
						break
					}
					if !bytes.Equal(l.data, message(k)) {
						t.Fatalf("message %d: %.20q", k, l.data)
					}
					k++
				}
				if err := <-written; err != nil && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
					t.Errorf("WriteMsg: %v", err)
				}
				p.cmd.Process.Kill()
				b.Close()
			}
		}
	})
}

// failingWrite writes until that fails.
func failingWrite(c net.Conn) error {
	for range 1000 {
		if _, err := c.Write([]byte("x")); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return errors.New("writes after the end")
}
