// Package foreign tests sctpnet against programs in other languages. Each language has
// its own binding to the kernel's SCTP. Over UDP the kernel encapsulates what they send.
package foreign

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"github.com/sctpnet/sctpnet/internal/testnet"
	"github.com/sctpnet/sctpnet/udpencap"
)

const (
	ours   = "10.89.0.1"
	theirs = "10.89.0.2"
)

// A language has a peer in it. The package comment of testdata/peer.py says what all of
// them do.
type language struct {
	name    string
	command func(t *testing.T) []string
	// Its one-to-one sockets have no accept and no shutdown, and it does not say where a
	// message ends that came in pieces.
	noAccept, noShutdown, oneByOne bool
	// With a one-to-many socket it dials by a message, which is "hello". It cannot abort
	// one association of it.
	greets bool
}

var languages = []language{
	{name: "Python", command: func(t *testing.T) []string {
		need(t, "python3")
		return []string{"python3", "testdata/peer.py"}
	}},
	{name: "Erlang", noAccept: true, noShutdown: true, oneByOne: true, command: func(t *testing.T) []string {
		need(t, "escript")
		return []string{"escript", "testdata/peer.erl"}
	}},
	{name: "Java", greets: true, command: func(t *testing.T) []string {
		need(t, "javac")
		compiled := t.TempDir()
		if out, err := exec.Command("javac", "-d", compiled, "testdata/Peer.java").CombinedOutput(); err != nil {
			t.Fatalf("javac: %v\n%s", err, out)
		}
		return []string{"java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", compiled, "Peer"}
	}},
}

func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skip(err)
	}
}

// networks are two networks with a link between: ours and the peers'.
type networks struct {
	a, b     *testnet.Network
	name     string // what sctpnet is asked for
	program  []string
	language language
}

// each runs a test with each language over both engines.
func each(t *testing.T, f func(t *testing.T, n *networks)) {
	conformance.NeedKernel(t, sctpnet.Available("sctp"))
	if os.Geteuid() != 0 {
		t.Skip("only root can make networks")
	}
	for _, l := range languages {
		t.Run(l.name, func(t *testing.T) {
			program := l.command(t)
			for _, network := range []string{"sctp4", "sctp4+udp"} {
				t.Run(network, func(t *testing.T) {
					n := &networks{name: network, program: program, language: l}
					n.make(t)
					conformance.Watchdog(t, func() { f(t, n) })
				})
			}
		})
	}
}

// eachWay is each with a peer that is dialed and one that dials, with a one-to-one socket
// and a one-to-many one.
func eachWay(t *testing.T, f func(t *testing.T, n *networks, dials bool, style string)) {
	each(t, func(t *testing.T, n *networks) {
		for _, style := range []string{"stream", "seqpacket"} {
			for _, dials := range []bool{false, true} {
				if n.language.noAccept && style == "stream" && !dials {
					continue
				}
				t.Run(fmt.Sprintf("%s/dials=%t", style, dials), func(t *testing.T) {
					f(t, n, dials, style)
				})
			}
		}
	})
}

func (n *networks) make(t *testing.T) {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	n.a, err = testnet.New()
	must(err)
	t.Cleanup(func() { n.a.Close() })
	n.b, err = testnet.New()
	must(err)
	t.Cleanup(func() { n.b.Close() })
	must(testnet.Link(n.a, n.b, "wire", "10.89.0"))
	if n.name == "sctp4+udp" {
		// Linux divides what it encapsulates wrongly.
		must(n.b.IP("link set dev wire gso_max_segs 1 gso_max_size 1500"))
		must(n.b.Sysctl("sctp/udp_port", strconv.Itoa(udpencap.UDPPort)))
		must(n.b.Sysctl("sctp/encap_port", strconv.Itoa(udpencap.UDPPort)))
	}
	t.Cleanup(func() { n.noAssociations(t) })
}

// noAssociations waits until neither network has an association left.
func (n *networks) noAssociations(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := udpencap.Wait(ctx); err != nil {
		t.Error(err)
	}
	for _, network := range []*testnet.Network{n.a, n.b} {
		none(t, network)
	}
}

// none waits until a network has no association.
func none(t *testing.T, network *testnet.Network) {
	t.Helper()
	var list string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		list = associations(network)
		if strings.Count(list, "\n") == 1 {
			return
		}
	}
	t.Errorf("associations are left:\n%s", list)
}

// associations is the kernel's list of a network, with a line above it.
func associations(network *testnet.Network) (list string) {
	network.Do(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/sctp/assocs")
		list = string(b)
		return err
	})
	return list
}

// A peer is a program in another language.
type peer struct {
	cmd  *exec.Cmd
	port int
	said chan string
	all  []string
	language
}

func (n *networks) start(t *testing.T, args ...string) *peer {
	t.Helper()
	args = append(append([]string{}, n.program...), args...)
	p := &peer{cmd: exec.Command(args[0], args[1:]...), said: make(chan string, 100_000), language: n.language}
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.b.Do(p.cmd.Start); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.said <- s.Text()
		}
		close(p.said)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-over
		p.cmd.Wait()
		if t.Failed() {
			for line := range p.said {
				p.all = append(p.all, line)
			}
			t.Logf("the peer said %q", p.all)
		}
	})
	return p
}

// await waits for the peer to say something, and returns what follows in that line.
func (p *peer) await(t *testing.T, what string) string {
	t.Helper()
	for line := range p.said {
		p.all = append(p.all, line)
		if rest, ok := strings.CutPrefix(line, what); ok {
			return strings.TrimSpace(rest)
		}
	}
	t.Fatalf("the peer has ended, and did not say %q but %q", what, p.all)
	return ""
}

// listening starts a peer that listens.
func (n *networks) listening(t *testing.T, args ...string) *peer {
	t.Helper()
	p := n.start(t, append([]string{"listen", theirs}, args...)...)
	p.port, _ = strconv.Atoi(p.await(t, "listening"))
	return p
}

// dialing starts a peer that dials.
func (n *networks) dialing(t *testing.T, ln interface{ Addr() net.Addr }, args ...string) *peer {
	t.Helper()
	port := strconv.Itoa(ln.Addr().(*sctpnet.Addr).Port)
	return n.start(t, append([]string{"dial", ours, port}, args...)...)
}

func (p *peer) address() string { return fmt.Sprint(theirs, ":", p.port) }

func (n *networks) dial(t *testing.T, address string) *sctpnet.Conn {
	t.Helper()
	var c net.Conn
	if err := n.a.Do(func() (err error) {
		d := sctpnet.Dialer{Timeout: 30 * time.Second}
		c, err = d.Dial(n.name, address)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*sctpnet.Conn)
}

func (n *networks) listen(t *testing.T) (ln net.Listener) {
	t.Helper()
	if err := n.a.Do(func() (err error) {
		ln, err = sctpnet.Listen(n.name, ours+":0")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func (n *networks) associate(t *testing.T, dials bool, args ...string) (*sctpnet.Conn, *peer) {
	t.Helper()
	if !dials {
		p := n.listening(t, args...)
		return n.dial(t, p.address()), p
	}
	return n.accept(t, n.listen(t), args...)
}

// accept has a peer dial.
func (n *networks) accept(t *testing.T, ln net.Listener, args ...string) (*sctpnet.Conn, *peer) {
	t.Helper()
	p := n.dialing(t, ln, args...)
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if n.language.greets && args[0] == "seqpacket" {
		// A message makes the association.
		if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
	}
	return c.(*sctpnet.Conn), p
}

// content is what message i of a test holds.
func content(i, size int) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(i), byte(i >> 8)}).Read(b)
	return b
}

// echo has messages of all kinds sent back.
func (p *peer) echo(t *testing.T, c *sctpnet.Conn, streams int) {
	t.Helper()
	sizes := []int{1, 2, 9, 100, 1000, 1400, 1500, 4096, 9000, 20_000, 65_535, 65_536, 100_000, 200_000, 1}
	kind := func(i int) sctpnet.MsgInfo {
		return sctpnet.MsgInfo{Stream: uint16(i % streams), PPID: uint32(i) | 0x12340000, Unordered: i%3 == 2}
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	if p.oneByOne {
		sizes = sizes[:12]
	}
	turns := make(chan struct{}, len(sizes))
	turns <- struct{}{}
	for !p.oneByOne && len(turns) < cap(turns) {
		turns <- struct{}{}
	}
	wg.Go(func() {
		for i := range 2 * len(sizes) {
			<-turns
			if _, err := c.WriteMsg(content(i, sizes[i%len(sizes)]), kind(i)); err != nil {
				t.Errorf("message %d: %v", i, err)
				c.Abort()
				return
			}
		}
	})
	seen := make(map[int]bool)
	last := make(map[uint16]int)
	for range 2 * len(sizes) {
		got, info, err := c.ReadMessage(1 << 19)
		if err != nil {
			c.Abort()
			t.Fatal(err)
		}
		i := int(info.PPID & 0xffff)
		want := kind(i)
		if seen[i] || !bytes.Equal(got, content(i, sizes[i%len(sizes)])) ||
			info.Stream != want.Stream || info.PPID != want.PPID || info.Unordered != want.Unordered {
			c.Abort()
			t.Fatalf("got %d bytes, %+v; want %+v", len(got), info, want)
		}
		seen[i] = true
		turns <- struct{}{}
		if !info.Unordered {
			if last[info.Stream] > i {
				t.Errorf("message %d of stream %d came after %d", i, info.Stream, last[info.Stream])
			}
			last[info.Stream] = i
		}
	}
}

// TestEcho has messages of all kinds sent back.
func TestEcho(t *testing.T) {
	eachWay(t, func(t *testing.T, n *networks, dials bool, style string) {
		c, p := n.associate(t, dials, style, "10")
		if out, in := c.NumStreams(); out != 10 || in != 10 {
			t.Errorf("%d and %d streams, want 10", out, in)
		}
		p.await(t, "event assoc 0")
		p.echo(t, c, 10)
		c.Close()
	})
}

// TestEnds ends associations from either side, and looks at what the other one learns.
func TestEnds(t *testing.T) {
	ends := []string{"close", "abort", "shutdown", "kill", "Close", "Abort", "Shutdown", "linger", "unread"}
	eachWay(t, func(t *testing.T, n *networks, dials bool, style string) {
		for _, end := range ends {
			one := style == "stream" && !n.language.noShutdown
			if end == "shutdown" && !one || end == "abort" && style == "seqpacket" && n.language.greets {
				continue // there is no such call
			}
			c, p := n.associate(t, dials, style, "10")
			t.Log(end)
			testEnd(t, c, p, end, style)
			p.cmd.Process.Kill()
		}
	})
}

func testEnd(t *testing.T, c *sctpnet.Conn, p *peer, end, style string) {
	t.Helper()
	if _, err := c.Write([]byte("some words")); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 10)); err != nil {
		t.Error(err)
	}
	want := net.ErrClosed
	says := "event assoc 1" // SCTP_COMM_LOST
	var err error
	switch end {
	case "close", "abort", "shutdown":
		want, says = io.EOF, ""
		if end == "abort" {
			want = syscall.ECONNRESET
		}
		_, err = c.Write([]byte(end))
	case "kill":
		want, says = io.EOF, ""
		err = p.cmd.Process.Kill()
	case "Close":
		says = "event assoc 3" // SCTP_SHUTDOWN_COMP
		err = c.Close()
	case "Shutdown":
		want, says = io.EOF, "event assoc 3"
		err = c.Shutdown()
	case "Abort":
		err = c.Abort()
	case "linger":
		c.SetLinger(0)
		err = c.Close()
	case "unread":
		if _, err := c.Write([]byte("some words")); err != nil {
			t.Error(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Error(err)
		}
		err = c.Close()
	}
	if err != nil {
		t.Error(err)
	}
	for range 2 {
		if n, err := c.Read(make([]byte, 10)); n != 0 || !errors.Is(err, want) {
			t.Errorf("Read returned %d, %v; want %v", n, err, want)
		}
	}
	if n, err := c.Write([]byte("x")); err == nil {
		t.Errorf("Write returned %d, nil", n)
	}
	if says == "event assoc 3" && style == "stream" && !p.noShutdown {
		says = "end"
	}
	if says != "" {
		p.await(t, says)
	}
	c.Close()
}

// TestFewStreams has peers with one or two streams, that cannot reset them.
func TestFewStreams(t *testing.T) {
	each(t, func(t *testing.T, n *networks) {
		for streams := 1; streams <= 2; streams++ {
			for _, dials := range []bool{false, true} {
				c, p := n.associate(t, dials, "seqpacket", strconv.Itoa(streams))
				if out, in := c.NumStreams(); int(out) != streams || int(in) != streams {
					t.Errorf("%d and %d streams, want %d", out, in, streams)
				}
				p.echo(t, c, streams)
				if _, err := c.WriteStream([]byte("x"), uint16(streams)); err == nil {
					t.Error("a message on a stream that there is not")
				}
				var opened []*sctpnet.Stream
				for {
					s, err := c.OpenStream()
					if err != nil {
						if !errors.Is(err, sctpnet.ErrNoFreeStream) {
							t.Error(err)
						}
						break
					}
					opened = append(opened, s)
				}
				for _, s := range opened {
					if _, err := s.Write([]byte("on a stream")); err != nil {
						t.Error(err)
					}
					if _, err := io.ReadFull(s, make([]byte, 11)); err != nil {
						t.Error(err)
					}
					if err := s.CloseWrite(); !errors.Is(err, errors.ErrUnsupported) {
						t.Errorf("CloseWrite: %v", err)
					}
					if err := s.Close(); err != nil {
						t.Error(err)
					}
				}
				if s, err := c.OpenStream(); !errors.Is(err, sctpnet.ErrNoFreeStream) {
					t.Errorf("OpenStream: %v, %v", s, err)
				}
				c.Close()
				p.await(t, "event assoc 3")
			}
		}
	})
}
