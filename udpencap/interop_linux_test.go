package udpencap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"github.com/sctpnet/sctpnet/internal/testnet"
)

// These tests are against the kernel's own SCTP, in networks of their own: this
// package's end is at ours, the kernel's at theirs.
const (
	ours   = "10.88.0.1"
	theirs = "10.88.0.2"
)

// A netns is a network of its own, in which functions run.
type netns struct{ *testnet.Network }

func newNetns(t testing.TB) *netns {
	t.Helper()
	conformance.NeedKernel(t, sctpnet.Available("sctp"))
	if os.Geteuid() != 0 {
		t.Skip("only root can make networks")
	}
	n, err := testnet.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return &netns{n}
}

// do runs f in the network. The sockets that it makes stay there.
func (ns *netns) do(t testing.TB, f func() error) {
	t.Helper()
	if err := ns.Do(f); err != nil {
		t.Fatal(err)
	}
}

// ip runs a command of ip in the network.
func (ns *netns) ip(t testing.TB, command string) {
	t.Helper()
	if err := ns.IP(command); err != nil {
		t.Fatal(err)
	}
}

// netem has the link treat what this end sends as options of tc netem say.
func (ns *netns) netem(t testing.TB, options string) {
	t.Helper()
	if err := ns.Netem("wire", options); err != nil {
		t.Fatal(err)
	}
}

// heal ends what netem has set.
func (ns *netns) heal(t testing.TB) {
	t.Helper()
	if err := ns.Heal("wire"); err != nil {
		t.Fatal(err)
	}
}

// sysctl sets a variable of the kernel's SCTP in the network.
func (ns *netns) sysctl(t testing.TB, name string, value int) {
	t.Helper()
	if err := ns.Sysctl("sctp/"+name, strconv.Itoa(value)); err != nil {
		t.Fatal(err)
	}
}

func (ns *netns) listen(t testing.TB, network, address string, config sctpnet.Config) (ln net.Listener) {
	t.Helper()
	ns.do(t, func() (err error) {
		lc := sctpnet.ListenConfig{Config: config}
		ln, err = lc.Listen(context.Background(), network, address)
		return err
	})
	t.Cleanup(func() { ln.Close() })
	return ln
}

func (ns *netns) dial(t testing.TB, network, address string, config sctpnet.Config) (c *sctpnet.Conn, err error) {
	t.Helper()
	ns.do(t, func() error {
		d := sctpnet.Dialer{Config: config}
		var conn net.Conn
		if conn, err = d.Dial(network, address); err == nil {
			c = conn.(*sctpnet.Conn)
			t.Cleanup(func() { c.Close() })
		}
		return nil
	})
	return c, err
}

// newNetworks makes two networks with a link between them, in the second of
// which the kernel's SCTP is encapsulated.
func newNetworks(t testing.TB) (a, b *netns) {
	t.Helper()
	a, b = newNetns(t), newNetns(t)
	if err := testnet.Link(a.Network, b.Network, "wire", "10.88.0"); err != nil {
		t.Fatal(err)
	}
	// Linux divides what it encapsulates wrongly.
	b.ip(t, "link set dev wire gso_max_segs 1 gso_max_size 1500")
	b.sysctl(t, "udp_port", UDPPort)
	b.sysctl(t, "encap_port", UDPPort)
	t.Cleanup(func() {
		// What was closed ends while there is a network.
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		Wait(ctx)
	})
	return a, b
}

// interop runs a test on associations with the kernel, either side of which
// dials.
func interop(t *testing.T, f func(t *testing.T, us, kernel *sctpnet.Conn, a, b *netns)) {
	for _, tt := range []struct {
		name       string
		kernelDial bool
	}{{"KernelDials", true}, {"KernelAccepts", false}} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := newNetworks(t)
			us, kernel := connect(t, a, b, tt.kernelDial, sctpnet.Config{OutStreams: 64, MaxInStreams: 65535})
			watchdog(t, func() { f(t, us, kernel, a, b) })
		})
	}
}

func connect(t *testing.T, a, b *netns, kernelDials bool, config sctpnet.Config) (us, kernel *sctpnet.Conn) {
	t.Helper()
	from, to, fromNetwork, toNetwork, address := a, b, "sctp+udp", "sctp", theirs
	if kernelDials {
		from, to, fromNetwork, toNetwork, address = b, a, "sctp", "sctp+udp", ours
	}
	ln := to.listen(t, toNetwork, address+":4000", config)
	defer ln.Close()
	client, err := from.dial(t, fromNetwork, address+":4000", config)
	if err != nil {
		t.Fatal(err)
	}
	server := accept(t, ln)
	if kernelDials {
		return server, client
	}
	return client, server
}

func TestKernelMessages(t *testing.T) {
	interop(t, func(t *testing.T, us, kernel *sctpnet.Conn, _, _ *netns) {
		for name, pair := range map[string][2]*sctpnet.Conn{"ToKernel": {us, kernel}, "FromKernel": {kernel, us}} {
			from, to := pair[0], pair[1]
			var sent [][]byte
			var infos []sctpnet.MsgInfo
			for i, size := range []int{1, 2, 3, 100, 1000, 1400, 1500, 4096, 9000, 20_000, 65_535, 65_536, 200_000, 7} {
				b := make([]byte, size)
				rand.NewChaCha8([32]byte{byte(i)}).Read(b)
				sent = append(sent, b)
				infos = append(infos, sctpnet.MsgInfo{Stream: uint16(i % 5), PPID: uint32(46 + i), Unordered: i%3 == 2})
			}
			done := make(chan error, 1)
			go func() {
				for i, b := range sent {
					if _, err := from.WriteMsg(b, infos[i]); err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
			seen := make(map[int]bool)
			last := make(map[uint16]int)
			for range sent {
				b, info, err := to.ReadMessage(1 << 18)
				if err != nil {
					t.Fatal(name, err)
				}
				i := int(info.PPID) - 46
				if i < 0 || i >= len(sent) || seen[i] || !bytes.Equal(b, sent[i]) || info.Stream != infos[i].Stream || info.Unordered != infos[i].Unordered {
					t.Fatalf("%s: got %d bytes, %+v", name, len(b), info)
				}
				if !info.Unordered {
					if last[info.Stream] > i {
						t.Errorf("%s: message %d of stream %d came after %d", name, i, info.Stream, last[info.Stream])
					}
					last[info.Stream] = i
				}
				seen[i] = true
			}
			if err := <-done; err != nil {
				t.Fatal(name, err)
			}
		}
	})
}

func TestKernelBulk(t *testing.T) {
	interop(t, func(t *testing.T, us, kernel *sctpnet.Conn, _, b *netns) {
		testBulk(t, us, kernel, 8<<20)
	})
}

func testBulk(t *testing.T, us, kernel *sctpnet.Conn, size int) {
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{1}).Read(data)
	for name, pair := range map[string][2]*sctpnet.Conn{"ToKernel": {us, kernel}, "FromKernel": {kernel, us}} {
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := pair[0].Write(data); err != nil {
				t.Error(name, err)
			}
		})
		got := make([]byte, len(data))
		if _, err := io.ReadFull(pair[1], got); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %v, or the bytes differ", name, err)
		}
		wg.Wait()
		took := time.Since(start)
		st, _ := us.Stats()
		t.Logf("%s: %d bytes in %v, %.1f MB/s; %d chunks sent again", name, size, took, float64(size)/took.Seconds()/1e6, st.Retransmitted)
	}
}

func TestKernelLoss(t *testing.T) {
	for _, kernelDials := range []bool{false, true} {
		a, b := newNetworks(t)
		us, kernel := connect(t, a, b, kernelDials, sctpnet.Config{})
		for _, ns := range []*netns{a, b} {
			ns.netem(t, "delay 2ms loss 5%")
		}
		watchdog(t, func() { testBulk(t, us, kernel, 2<<20) })
	}
}

func TestKernelEnds(t *testing.T) {
	for name, end := range map[string]func(c *sctpnet.Conn) error{
		"Close": (*sctpnet.Conn).Close, "Shutdown": (*sctpnet.Conn).Shutdown, "Abort": (*sctpnet.Conn).Abort,
	} {
		for _, byKernel := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/byKernel=%t", name, byKernel), func(t *testing.T) {
				interop(t, func(t *testing.T, us, kernel *sctpnet.Conn, _, _ *netns) {
					ending, other := us, kernel
					if byKernel {
						ending, other = kernel, us
					}
					if _, err := ending.Write([]byte("last words")); err != nil {
						t.Fatal(err)
					}
					buf := make([]byte, 100)
					if name == "Abort" {
						other.Read(buf)
					}
					if err := end(ending); err != nil {
						t.Fatal(err)
					}
					if name == "Abort" {
						if n, err := other.Read(buf); !errors.Is(err, syscall.ECONNRESET) {
							t.Errorf("Read returned %d, %v; want ECONNRESET", n, err)
						}
						return
					}
					got, err := io.ReadAll(other)
					if string(got) != "last words" || err != nil {
						t.Errorf("read %q, %v", got, err)
					}
					if name == "Shutdown" {
						if n, err := ending.Read(buf); n != 0 || err != io.EOF {
							t.Errorf("Read returned %d, %v; want EOF", n, err)
						}
					}
				})
			})
		}
	}
}

func TestKernelStreams(t *testing.T) {
	interop(t, func(t *testing.T, us, kernel *sctpnet.Conn, _, _ *netns) {
		for name, pair := range map[string][2]*sctpnet.Conn{"ToKernel": {us, kernel}, "FromKernel": {kernel, us}} {
			// More often than there are streams, so that numbers are used again.
			for i := range 100 {
				s, err := pair[0].OpenStream()
				if err != nil {
					t.Fatal(name, i, err)
				}
				question := fmt.Sprint("question ", i)
				if _, err := s.Write([]byte(question)); err != nil {
					t.Fatal(name, i, err)
				}
				if err := s.CloseWrite(); err != nil {
					t.Fatal(name, i, err)
				}
				r, err := pair[1].AcceptStream(t.Context())
				if err != nil {
					t.Fatal(name, i, err)
				}
				if got, err := io.ReadAll(r); string(got) != question || err != nil {
					t.Fatalf("%s %d: read %q, %v", name, i, got, err)
				}
				if _, err := r.Write([]byte("answer")); err != nil {
					t.Fatal(name, i, err)
				}
				r.Close()
				if got, err := io.ReadAll(s); string(got) != "answer" || err != nil {
					t.Fatalf("%s %d: read %q, %v", name, i, got, err)
				}
				s.Close()
			}
		}
	})
}

func TestKernelHTTP(t *testing.T) {
	interop(t, func(t *testing.T, us, kernel *sctpnet.Conn, a, b *netns) {
		ln := a.listen(t, "sctp+udp", ours+":8080", sctpnet.Config{})
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.Write(body)
		})}
		go srv.Serve(ln)
		defer srv.Close()
		c, err := b.dial(t, "sctp", ours+":8080", sctpnet.Config{})
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return c, nil }}}
		defer client.CloseIdleConnections()
		body := strings.Repeat("echo ", 100_000)
		resp, err := client.Post("http://"+ours+":8080/", "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if got, err := io.ReadAll(resp.Body); string(got) != body || err != nil {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
	})
}

func TestKernelRefused(t *testing.T) {
	a, b := newNetworks(t)
	ln := a.listen(t, "sctp+udp", ours+":4000", sctpnet.Config{}) // so that there is somebody
	defer ln.Close()
	for _, tt := range []struct {
		from             *netns
		network, address string
	}{{a, "sctp+udp", theirs + ":4001"}, {b, "sctp", ours + ":4001"}} {
		start := time.Now()
		config := sctpnet.Config{PathParams: sctpnet.PathParams{UDPPort: UDPPort}}
		_, err := tt.from.dial(t, tt.network, tt.address, config)
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: %v, want ECONNREFUSED", tt.network, err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("%s: that took %v", tt.network, took)
		}
	}
}

// TestKernelIdle waits for heartbeats of both sides, each answered.
func TestKernelIdle(t *testing.T) {
	for _, kernelDials := range []bool{false, true} {
		a, b := newNetworks(t)
		config := sctpnet.Config{
			RTO:         sctpnet.RTO{Initial: 50 * time.Millisecond, Min: 50 * time.Millisecond, Max: 100 * time.Millisecond},
			AssocParams: sctpnet.AssocParams{MaxRetransmissions: 2},
			PathParams:  sctpnet.PathParams{HeartbeatInterval: 50 * time.Millisecond},
		}
		us, kernel := connect(t, a, b, kernelDials, config)
		watchdog(t, func() {
			for _, c := range []*sctpnet.Conn{us, kernel} {
				s, err := c.Stats()
				if err != nil {
					t.Fatal(err)
				}
				conformance.WaitFor(t, "heartbeats", func() bool {
					now, err := c.Stats()
					if err != nil {
						t.Fatal(err)
					}
					return now.ControlSent > s.ControlSent+20 && now.ControlReceived > s.ControlReceived+20
				})
			}
			exchange(t, us, kernel)
			exchange(t, kernel, us)
		})
	}
}

// TestKernelNAT has an address translator between, which forgets its mapping
// and makes another: the peer's UDP port is a new one then.
func TestKernelNAT(t *testing.T) {
	a, b := newNetworks(t)
	ln := a.listen(t, "sctp+udp", ours+":4000", sctpnet.Config{})
	nat := startNAT(t, b, theirs+":7000", ours+":9899")
	// To the kernel the peer is its own address, at the translator's port.
	config := sctpnet.Config{PathParams: sctpnet.PathParams{UDPPort: 7000}}
	kernel, err := b.dial(t, "sctp", theirs+":4000", config)
	if err != nil {
		t.Fatal(err)
	}
	us := accept(t, ln)
	watchdog(t, func() {
		for range 3 {
			exchange(t, kernel, us)
			nat.rebind(t, b)
		}
		exchange(t, kernel, us)
	})
}

// A nat forwards UDP packets, and the answers back.
type nat struct {
	inside  *net.UDPConn
	outside atomic.Pointer[net.UDPConn]
	client  atomic.Pointer[net.UDPAddr]
	to      *net.UDPAddr
}

func startNAT(t *testing.T, ns *netns, inside, to string) *nat {
	n := &nat{}
	n.to, _ = net.ResolveUDPAddr("udp4", to)
	ns.do(t, func() error {
		addr, err := net.ResolveUDPAddr("udp4", inside)
		if err != nil {
			return err
		}
		n.inside, err = net.ListenUDP("udp4", addr)
		return err
	})
	n.rebind(t, ns)
	go func() {
		buf := make([]byte, 1<<16)
		for {
			k, from, err := n.inside.ReadFromUDP(buf)
			if err != nil {
				return
			}
			n.client.Store(from)
			n.outside.Load().WriteToUDP(buf[:k], n.to)
		}
	}()
	t.Cleanup(func() {
		n.inside.Close()
		n.outside.Load().Close()
	})
	return n
}

func (n *nat) rebind(t *testing.T, ns *netns) {
	var c *net.UDPConn
	ns.do(t, func() (err error) {
		c, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(theirs)})
		return err
	})
	if old := n.outside.Swap(c); old != nil {
		old.Close()
	}
	go func() {
		buf := make([]byte, 1<<16)
		for {
			k, _, err := c.ReadFromUDP(buf)
			if err != nil {
				return
			}
			n.inside.WriteToUDP(buf[:k], n.client.Load())
		}
	}()
}

// TestKernelLoopback has both ends on one host, and UDP port 9899 the kernel's.
func TestKernelLoopback(t *testing.T) {
	ns := newNetns(t)
	ns.ip(t, "link set dev lo gso_max_segs 1 gso_max_size 1500")
	ns.sysctl(t, "udp_port", UDPPort)
	for _, kernelDials := range []bool{false, true} {
		// The kernel's peer has the UDP port that is numbered as its SCTP port.
		config := sctpnet.Config{}
		network, other := "sctp", "sctp+udp"
		if kernelDials {
			network, other = other, network
			config.PathParams.UDPPort = 4000
		}
		ln := ns.listen(t, network, "127.0.0.1:4000", sctpnet.Config{})
		client, err := ns.dial(t, other, "127.0.0.1:4000", config)
		if err != nil {
			t.Fatal(err)
		}
		server := accept(t, ln)
		ln.Close()
		us, kernel := client, server
		if kernelDials {
			us, kernel = server, client
		}
		watchdog(t, func() {
			exchange(t, us, kernel)
			testBulk(t, us, kernel, 4<<20)
		})
		client.Abort()
		server.Abort()
	}
	lc := sctpnet.ListenConfig{Config: sctpnet.Config{LocalUDPPort: UDPPort}}
	ns.do(t, func() error {
		_, err := lc.Listen(context.Background(), "sctp+udp", "127.0.0.1:4001")
		if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "net.sctp.udp_port") {
			t.Errorf("listening at the kernel's UDP port: %v", err)
		}
		return nil
	})
}

func TestKernelAddStreams(t *testing.T) {
	interop(t, func(t *testing.T, us, kernel *sctpnet.Conn, _, _ *netns) {
		testAddStreams(t, us, kernel)
		testAddStreams(t, kernel, us)
	})
}

// TestKernelResetAssociation has the kernel ask for what there is not. It stays
// of use after the answer.
func TestKernelResetAssociation(t *testing.T) {
	interop(t, func(t *testing.T, us, kernel *sctpnet.Conn, _, _ *netns) {
		if err := kernel.ResetAssoc(); err != nil {
			t.Fatal(err)
		}
		exchange(t, us, kernel)
		exchange(t, kernel, us)
	})
}
