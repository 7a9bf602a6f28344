package foreign

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/testnet"
)

// onePort has the peers' system choose the same port each time, and soon repeat an INIT
// that was lost.
func (n *networks) onePort(t *testing.T) {
	t.Helper()
	for _, v := range [][2]string{{"ipv4/ip_local_port_range", "6000 6000"}, {"sctp/rto_min", "100"}, {"sctp/rto_initial", "200"}} {
		if err := n.b.Sysctl(v[0], v[1]); err != nil {
			t.Fatal(err)
		}
	}
}

// kill kills a peer that has something to read: its system aborts, once. If that is to
// be lost, all is, until heal.
func (n *networks) kill(t *testing.T, p *peer, isLost bool, write func(b []byte) error, status func() (sctpnet.Status, error)) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(p.cmd.Process.Signal(syscall.SIGSTOP))
	for !p.isStopped(t) {
		time.Sleep(time.Millisecond)
	}
	must(write([]byte("unread")))
	for {
		st, err := status()
		must(err)
		if st.Unacked == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if isLost {
		must(n.a.Netem("wire", "loss 100%"))
		must(n.b.Netem("wire", "loss 100%"))
	}
	must(p.cmd.Process.Kill())
	p.cmd.Wait()
	none(t, n.b)
}

// isStopped reports whether a peer runs no more, with all its threads.
func (p *peer) isStopped(t *testing.T) bool {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.cmd.Process.Pid))
	if err != nil || len(files) == 0 {
		t.Fatal("no threads", err)
	}
	for _, file := range files {
		if b, err := os.ReadFile(file); err != nil || !strings.Contains(string(b), ") T ") {
			return false
		}
	}
	return true
}

// heal ends the loss when a new peer dials. Before that it would be told what it is to
// learn from the peer.
func (n *networks) heal(t *testing.T) {
	t.Helper()
	for strings.Count(associations(n.b), "\n") == 1 {
		time.Sleep(time.Millisecond)
	}
	n.healAll(t)
}

func (n *networks) healAll(t *testing.T) {
	t.Helper()
	for _, network := range []*testnet.Network{n.a, n.b} {
		if err := network.Heal("wire"); err != nil {
			t.Fatal(err)
		}
	}
}

func (n *networks) killConn(t *testing.T, p *peer, isLost bool, c *sctpnet.Conn) {
	t.Helper()
	n.kill(t, p, isLost, func(b []byte) error {
		_, err := c.Write(b)
		return err
	}, c.Status)
}

func (n *networks) killAt(t *testing.T, p *peer, isLost bool, b *postbox, addr *sctpnet.Addr) {
	t.Helper()
	n.kill(t, p, isLost, func(m []byte) error {
		_, err := b.WriteTo(m, addr)
		return err
	}, func() (sctpnet.Status, error) { return b.Status(addr) })
}

// styles are those of the peers that dial.
var styles = []string{"stream", "seqpacket"}

// TestPeerDialsAgain has a peer die that has dialed, and a new one dial from the same
// port. The first one vanishes, aborts and shuts down. The last one has another address.
func TestPeerDialsAgain(t *testing.T) {
	each(t, func(t *testing.T, n *networks) {
		n.onePort(t)
		for _, style := range styles {
			ln := n.listen(t)
			c, p := n.accept(t, ln, style, "10")
			for i, how := range []string{"vanishes", "aborts", "shuts down", "vanishes", "moves"} {
				t.Log(style, how)
				p.echo(t, c, 3)
				read := make(chan error, 1)
				go func() {
					_, err := c.Read(make([]byte, 10))
					read <- err
				}()
				want := error(syscall.ECONNRESET)
				switch how {
				case "vanishes", "aborts":
					n.killConn(t, p, how == "vanishes", c)
				case "shuts down":
					want = io.EOF
					p.cmd.Process.Kill()
					p.cmd.Wait()
				case "moves":
					want = net.ErrClosed
					n.killConn(t, p, true, c)
					n.move(t, "10.89.0.3")
				}
				streams := 9 - i
				healed := make(chan bool)
				go func() {
					defer close(healed)
					if how == "vanishes" || how == "moves" {
						n.heal(t)
					}
				}()
				again, q := n.accept(t, ln, style, strconv.Itoa(streams))
				<-healed
				if how == "moves" {
					c.Abort() // the first one does not know
				}
				if err := <-read; !errors.Is(err, want) {
					t.Errorf("the first life reads %v; want %v", err, want)
				}
				c.Close()
				if out, in := again.NumStreams(); int(out) != streams || int(in) != streams {
					t.Errorf("%d and %d streams, want %d", out, in, streams)
				}
				c, p = again, q
			}
			p.echo(t, c, 3)
			c.Close()
			p.cmd.Process.Kill()
			p.cmd.Wait()
			none(t, n.b)
			n.move(t, theirs)
		}
	})
}

// move gives the peers' system another address.
func (n *networks) move(t *testing.T, address string) {
	t.Helper()
	if err := n.b.IP("address flush dev wire", "address add "+address+"/24 dev wire"); err != nil {
		t.Fatal(err)
	}
}

// TestPeerRestartsAtPacketConn has a peer of a PacketConn vanish, and a new one dial from
// the same port. That is a restart, and what is sent to the peer goes to the new one.
func TestPeerRestartsAtPacketConn(t *testing.T) {
	each(t, func(t *testing.T, n *networks) {
		n.onePort(t)
		for _, style := range styles {
			b := n.listenPacket(t)
			p, addr := n.meet(t, b, true, style)
			for range 2 {
				b.echo(t, addr)
				n.killAt(t, p, true, b, addr)
				p = n.dialing(t, b, style, "10")
				n.heal(t)
				b.await(t, addr, "restarted")
			}
			b.echo(t, addr)
			n.killAt(t, p, false, b, addr)
			b.await(t, addr, "lost")
			p, addr = n.meet(t, b, true, style)
			b.echo(t, addr)
			b.Close()
			p.cmd.Process.Kill()
			p.cmd.Wait()
			none(t, n.b)
		}
	})
}

// TestListeningPeerStartsAgain has a peer vanish that listens, and a new one listen on the
// same port. It knows nothing of the association, and a new one can be made.
func TestListeningPeerStartsAgain(t *testing.T) {
	each(t, func(t *testing.T, n *networks) {
		n.onePort(t)
		for _, style := range styles {
			if n.language.noAccept && style == "stream" {
				continue
			}
			p := n.listening(t, style, "10")
			c := n.dial(t, p.address())
			p.echo(t, c, 3)
			n.killConn(t, p, true, c)
			p = n.listening(t, style, "10")
			n.healAll(t)
			if _, err := c.Write([]byte("for the first")); err != nil {
				t.Error(err)
			}
			if k, err := c.Read(make([]byte, 10)); k > 0 || !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("read %d bytes, %v; want ECONNRESET", k, err)
			}
			c = n.dial(t, p.address())
			p.echo(t, c, 3)
			n.killConn(t, p, false, c)

			b := n.listenPacket(t)
			p, addr := n.meet(t, b, false, style)
			b.echo(t, addr)
			n.killAt(t, p, true, b, addr)
			p = n.listening(t, style, "10")
			n.healAll(t)
			if _, err := b.WriteTo([]byte("for the first"), addr); err != nil {
				t.Error(err)
			}
			b.await(t, addr, "lost")
			addr = b.await(t, n.connect(t, b, p), "up")
			b.echo(t, addr)
			b.Close()
			p.cmd.Process.Kill()
			p.cmd.Wait()
			none(t, n.b)
		}
	})
}
