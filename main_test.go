package sctpnet_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"github.com/sctpnet/sctpnet/internal/engine"
	"github.com/sctpnet/sctpnet/internal/testnet"
	_ "github.com/sctpnet/sctpnet/udpencap"
	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"
)

// children are what this binary does instead of testing, if a test has started it
// with childEnv set to one of their names.
var children = map[string]func() error{}

const (
	childEnv  = "SCTPNET_TEST_CHILD"
	eventsEnv = "SCTPNET_TEST_EVENTS" // a network: its events must all come, though not all tests run
)

// kernelExamples are the examples that need SCTP in the kernel.
const kernelExamples = "^Example(" +
	"_http|_multihoming|_severalAddresses|Available|Conn_OpenStream|Conn_Paths|Conn_Set|Conn_Shutdown|Conn_WriteMsg|" +
	"Dial|Dialer|FileListener|Listen|ListenConfig|StreamDialer)$"

func TestMain(m *testing.M) {
	if name := os.Getenv(childEnv); name != "" {
		if err := children[name](); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Parse()
	events := os.Getenv(eventsEnv)
	os.Unsetenv(eventsEnv) // of no concern to a test that runs this binary again
	everything := flag.Lookup("test.run").Value.String() == "" && flag.Lookup("test.skip").Value.String() == ""
	required := os.Getenv(conformance.NoKernelEnv)
	if sctpnet.Available("sctp") != nil && required != "0" {
		skip := flag.Lookup("test.skip").Value // an example cannot skip itself
		skip.Set(strings.TrimPrefix(skip.String()+"|"+kernelExamples, "|"))
		if required == "" {
			fmt.Println(conformance.HowToRunAll)
		}
	}
	// No test asks the machine's name servers.
	net.DefaultResolver = fakeDNS("")
	before := openFiles()
	status := m.Run()
	for _, network := range engines {
		if status == 0 && (everything || events == network) && (sctpnet.Available(network) == nil && os.Geteuid() == 0 || overUDP(network)) {
			if err := sightings.check(network); err != nil {
				fmt.Println(err)
				status = 1
			}
		}
	}
	if status == 0 {
		if err := leaks(before); err != nil {
			fmt.Println(err)
			status = 1
		}
	}
	os.Exit(status)
}

// leaks reports goroutines that still run after all tests, and descriptors that
// were not open before them. An association over UDP ends in the background.
func leaks(before map[string]bool) (err error) {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if err = goleak.Find(); err == nil {
			break
		}
	}
	if err != nil {
		return err
	}
	var left []string
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		left = nil
		for _, f := range slices.Sorted(maps.Keys(openFiles())) {
			if !before[f] {
				left = append(left, f)
			}
		}
		if left == nil {
			return nil
		}
	}
	return fmt.Errorf("descriptors are left open: %s", strings.Join(left, ", "))
}

// openFiles lists the descriptors that are open, other than the runtime's.
func openFiles() map[string]bool {
	open := make(map[string]bool)
	fds, _ := filepath.Glob("/proc/self/fd/*")
	for _, fd := range fds {
		f, err := os.Readlink(fd)
		if err != nil || strings.HasPrefix(f, "anon_inode:") {
			continue // the list's own, or the poller's
		}
		open[filepath.Base(fd)+" "+f] = true
	}
	return open
}

// needSCTP ends a test that needs SCTP where the kernel has none.
func needSCTP(t testing.TB) {
	t.Helper()
	conformance.NeedKernel(t, sctpnet.Available("sctp"))
}

// watchdog fails the test, with all stacks, if f does not return in time.
func watchdog(t testing.TB, f func()) {
	t.Helper()
	conformance.Watchdog(t, f)
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	conformance.WaitFor(t, what, ok)
}

// atOnce is the most that may take what does not wait for anything, on a busy
// machine. What tests tell it from takes 3 s and more.
const atOnce = 2 * time.Second * conformance.Slowness

// listen listens until the test ends.
func listen(t testing.TB, network, address string) *sctpnet.Listener {
	t.Helper()
	return listenWith(t, network, address, sctpnet.ListenConfig{})
}

// listenWith is listen with a ListenConfig.
func listenWith(t testing.TB, network, address string, lc sctpnet.ListenConfig) *sctpnet.Listener {
	t.Helper()
	needNetwork(t, network)
	ln, err := lc.Listen(context.Background(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln.(*sctpnet.Listener)
}

// port returns the port of an address.
func port(a net.Addr) int { return a.(*sctpnet.Addr).Port }

// accept accepts one association, which lives until the test ends.
func accept(t testing.TB, ln net.Listener) *sctpnet.Conn {
	t.Helper()
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*sctpnet.Conn)
}

// acceptFrom accepts the other end of client. Where packets are lost a dial may begin
// anew, and what its first attempt left is accepted before.
func acceptFrom(t testing.TB, ln net.Listener, client *sctpnet.Conn) *sctpnet.Conn {
	t.Helper()
	for want := client.LocalAddr().(*sctpnet.Addr).Port; ; {
		c := accept(t, ln)
		if c.RemoteAddr().(*sctpnet.Addr).Port == want {
			return c
		}
		c.Abort()
	}
}

// dial dials with a Dialer, nil for the zero one; the association lives until
// the test ends.
func dial(t testing.TB, d *sctpnet.Dialer, network, address string) *sctpnet.Conn {
	t.Helper()
	if d == nil {
		d = &sctpnet.Dialer{}
	}
	c, err := d.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*sctpnet.Conn)
}

// inTurn is a Dialer that asks one address after the other. The loser of a race
// may be accepted.
func inTurn() *sctpnet.Dialer { return &sctpnet.Dialer{FallbackDelay: -1} }

// pipe makes an association with itself, over addresses as Listen takes them.
func pipe(t testing.TB, network, address string) (client, server *sctpnet.Conn) {
	t.Helper()
	ln := listen(t, network, address)
	client = dial(t, nil, network, ln.Addr().String())
	return client, acceptFrom(t, ln, client)
}

// serve runs a function for each that ln accepts, and closes it after, until ln is
// closed. wait waits until all are closed.
func serve(ln net.Listener, each func(c net.Conn)) (wait func()) {
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				each(c)
			})
		}
	})
	return running.Wait
}

// arrived waits until all that was written is at the other end.
func arrived(t testing.TB, c *sctpnet.Conn) {
	t.Helper()
	eventually(t, "everything is acknowledged", func() bool {
		st, err := c.Status()
		if err != nil {
			t.Fatal(err)
		}
		return st.Unacked == 0
	})
}

// The columns of /proc/net/sctp/assocs.
const (
	assocState      = 4
	assocLocalPort  = 11
	assocRemotePort = 12
	assocAddrs      = 13 // and after it: those of this end, "<->", and the peer's
)

// assocs returns the columns of each association that the kernel lists for the
// thread's network: two for one of the system with itself.
func assocs(t testing.TB) (lines [][]string) {
	t.Helper()
	b, err := os.ReadFile("/proc/thread-self/net/sctp/assocs")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > assocAddrs {
			lines = append(lines, f)
		}
	}
	return lines
}

// associations returns how many ends of associations with a port there are on
// this host: two for each.
func associations(t testing.TB, port int) (n int) {
	t.Helper()
	p := strconv.Itoa(port)
	for _, f := range assocs(t) {
		if f[assocLocalPort] == p || f[assocRemotePort] == p {
			n++
		}
	}
	return n
}

// alive reports whether an association of this system, of either end, lives at
// a port.
func alive(t testing.TB, port int) bool {
	t.Helper()
	p := strconv.Itoa(port)
	return slices.ContainsFunc(assocs(t), func(f []string) bool {
		// One of state 0, CLOSED, waits to be accepted all the same.
		return f[assocState] != "0" && (f[assocLocalPort] == p || f[assocRemotePort] == p)
	})
}

// countAssociations returns how many associations there are with peers in a network,
// as "198.51.100.0/24", or with an address.
func countAssociations(t testing.TB, peer string) (n int) {
	t.Helper()
	if !strings.Contains(peer, "/") {
		a := netip.MustParseAddr(peer)
		peer = netip.PrefixFrom(a, a.BitLen()).String()
	}
	network := netip.MustParsePrefix(peer)
	for _, f := range assocs(t) {
		peers := f[slices.Index(f, "<->")+1:]
		if slices.ContainsFunc(peers, func(s string) bool {
			a, err := netip.ParseAddr(strings.TrimPrefix(s, "*"))
			return err == nil && network.Contains(a.Unmap())
		}) {
			n++
		}
	}
	return n
}

// dialFails dials and returns the time that took and the error, which must be
// an OpError of a dial. The watchdog waits.
func dialFails(t testing.TB, dial func() (net.Conn, error)) (took time.Duration, err error) {
	t.Helper()
	var c net.Conn
	start := time.Now()
	watchdog(t, func() { c, err = dial() })
	took = time.Since(start)
	if err == nil {
		c.Close()
		t.Fatal("the dial succeeded")
	}
	if c != nil {
		t.Errorf("a dial that failed returned %v", c)
	}
	var e *net.OpError
	if !errors.As(err, &e) || e.Op != "dial" {
		t.Errorf("error is %T (%v), want a *net.OpError of dial", err, err)
	}
	return took, err
}

// engines has one network of each engine.
var engines = []string{"sctp4", "sctp4+udp"}

// eachEngine runs a test on each engine, as a subtest with the network's name.
func eachEngine(t *testing.T, f func(t *testing.T, network string)) {
	for _, network := range engines {
		t.Run(network, func(t *testing.T) {
			needNetwork(t, network)
			f(t, network)
		})
	}
}

// needNetwork is needSCTP for a network that the kernel serves.
func needNetwork(t testing.TB, network string) {
	t.Helper()
	if !overUDP(network) {
		needSCTP(t)
	}
}

// overUDP reports whether SCTP over UDP serves a network.
func overUDP(network string) bool { return strings.HasSuffix(network, "+udp") }

// ofEngine is the network of a family, like "sctp6", of the engine that serves
// network.
func ofEngine(network, family string) string {
	if overUDP(network) {
		return family + "+udp"
	}
	return family
}

// onlyTo is what a dial to a port is told so that it asks nobody else: over UDP it
// asks at the UDP port 9899, too, which may be anybody's.
func onlyTo(network string, port int) sctpnet.Config {
	if !overUDP(network) {
		return sctpnet.Config{}
	}
	return sctpnet.Config{PathParams: sctpnet.PathParams{UDPPort: port}}
}

// lacking reports whether an engine lacks a call, by its table. If so, try must
// say so.
func lacking(t testing.TB, network, call string, try func() error) bool {
	t.Helper()
	lack, ok := lacksOf(t, network).Find(engine.LacksCall, call)
	if ok {
		wantUnsupported(t, call, network, try(), lack)
	}
	return ok
}

// What calls other than methods are in the tables.
const (
	severalAddresses = "Dial and Listen with several addresses of an endpoint"
	lifetime         = "MsgInfo.TTL"
)

// noList is lacking of an address that is a list, as multi-homing has them.
func noList(t testing.TB, network, address string) bool {
	t.Helper()
	return strings.Contains(address, "/") && lacking(t, network, severalAddresses, func() error {
		_, err := sctpnet.Listen(network, address)
		return err
	})
}

// A wire is between two ends of SCTP over UDP: packets are seen on it, lost, and
// put on it.
type wire struct {
	client, server *net.UDPConn // where the client sends to, and the server

	mu       sync.Mutex
	lose     func(packet []byte, toServer bool) bool // nil for none
	toClient *net.UDPAddr
	header   []byte // of the last packet to the client
}

// newWire makes a wire to a listener.
func newWire(t testing.TB, ln net.Listener) *wire {
	t.Helper()
	loopback := net.IPv4(127, 0, 0, 1)
	client, err := net.ListenUDP("udp4", &net.UDPAddr{IP: loopback})
	if err != nil {
		t.Fatal(err)
	}
	server, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: loopback, Port: port(ln.Addr())})
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{client: client, server: server}
	var carrying sync.WaitGroup
	carrying.Go(func() {
		p := make([]byte, 64<<10)
		for {
			n, from, err := client.ReadFromUDP(p)
			if err != nil {
				return
			}
			w.mu.Lock()
			w.toClient = from
			if w.lose == nil || !w.lose(p[:n], true) {
				server.Write(p[:n])
			}
			w.mu.Unlock()
		}
	})
	carrying.Go(func() {
		p := make([]byte, 64<<10)
		for {
			n, err := server.Read(p)
			if n == 0 && err != nil {
				if w.isClosed() {
					return
				}
				continue // nobody was there just then
			}
			w.mu.Lock()
			if n >= 12 {
				w.header = append(w.header[:0], p[:12]...)
			}
			if w.lose == nil || !w.lose(p[:n], false) {
				client.WriteToUDP(p[:n], w.toClient)
			}
			w.mu.Unlock()
		}
	})
	t.Cleanup(func() {
		client.Close()
		server.Close()
		carrying.Wait()
	})
	return w
}

func (w *wire) isClosed() bool {
	_, err := w.server.SyscallConn()
	if err != nil {
		return true
	}
	raw, _ := w.server.SyscallConn()
	return raw.Control(func(uintptr) {}) != nil
}

// config is the Config of the end that dials over the wire.
func (w *wire) config(c sctpnet.Config) sctpnet.Config {
	c.PathParams.UDPPort = w.client.LocalAddr().(*net.UDPAddr).Port
	return c
}

// setLoss sets which packets are lost from now on, nil for none.
func (w *wire) setLoss(lose func(packet []byte, toServer bool) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lose = lose
}

// send has the server's end seem to send a chunk.
func (w *wire) send(chunk []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.header) < 12 || w.toClient == nil {
		return fmt.Errorf("nothing was sent before")
	}
	p := slices.Concat(w.header[:8], []byte{0, 0, 0, 0}, chunk)
	binary.LittleEndian.PutUint32(p[8:], crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli)))
	_, err := w.client.WriteToUDP(p, w.toClient)
	return err
}

// all loses every packet.
func all([]byte, bool) bool { return true }

// chunkType is the type of a packet's first chunk.
func chunkType(p []byte) byte {
	if len(p) < 13 {
		return 255
	}
	return p[12]
}

// fakeDNS returns a resolver that knows one name, and in what order its
// addresses come.
func fakeDNS(name string, addrs ...string) *net.Resolver {
	return &net.Resolver{
		PreferGo: true,
		Dial: func(context.Context, string, string) (net.Conn, error) {
			// Anything but a net.PacketConn is spoken to as over TCP.
			c, s := net.Pipe()
			go func() {
				defer s.Close()
				for serveDNS(s, name, addrs) == nil {
				}
			}()
			return c, nil
		},
	}
}

// serveDNS answers one question: messages have their length before them.
func serveDNS(c net.Conn, name string, addrs []string) error {
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return err
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	var m dnsmessage.Message
	if err := m.Unpack(b); err != nil {
		return err
	}
	q := m.Questions[0]
	m = dnsmessage.Message{
		Header:    dnsmessage.Header{ID: m.ID, Response: true, Authoritative: true},
		Questions: m.Questions,
	}
	if q.Name.String() != name {
		m.RCode = dnsmessage.RCodeNameError
		addrs = nil
	}
	for _, s := range addrs {
		r := dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}}
		switch a := netip.MustParseAddr(s); {
		case a.Is4() && q.Type == dnsmessage.TypeA:
			r.Body = &dnsmessage.AResource{A: a.As4()}
		case a.Is6() && q.Type == dnsmessage.TypeAAAA:
			r.Body = &dnsmessage.AAAAResource{AAAA: a.As16()}
		default:
			continue
		}
		m.Answers = append(m.Answers, r)
	}
	b, err := m.AppendPack(make([]byte, 2))
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint16(b, uint16(len(b)-2))
	_, err = c.Write(b)
	return err
}

// A netns is a network of its own, in which functions run.
type netns struct{ *testnet.Network }

func newNetns(t testing.TB) *netns {
	t.Helper()
	needSCTP(t)
	needRoot(t)
	n, err := testnet.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return &netns{n}
}

// needRoot ends a test that makes networks, which only root can.
func needRoot(t testing.TB) {
	t.Helper()
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("only root can make networks, and only on Linux")
	}
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

// netem has a device of the network treat what it sends as options of tc netem say.
func (ns *netns) netem(t testing.TB, device, options string) {
	t.Helper()
	if err := ns.Netem(device, options); err != nil {
		t.Fatal(err)
	}
}

// heal ends what netem has set.
func (ns *netns) heal(t testing.TB, device string) {
	t.Helper()
	if err := ns.Heal(device); err != nil {
		t.Fatal(err)
	}
}

// sysctl sets a variable of the network.
func (ns *netns) sysctl(t testing.TB, name, value string) {
	t.Helper()
	if err := ns.Sysctl(name, value); err != nil {
		t.Fatal(err)
	}
}

func (ns *netns) listen(t testing.TB, lc sctpnet.ListenConfig, address string) net.Listener {
	t.Helper()
	return ns.listenOn(t, "sctp", lc, address)
}

func (ns *netns) listenOn(t testing.TB, network string, lc sctpnet.ListenConfig, address string) (ln net.Listener) {
	t.Helper()
	ns.do(t, func() (err error) {
		ln, err = lc.Listen(context.Background(), network, address)
		return err
	})
	t.Cleanup(func() { ln.Close() })
	return ln
}

func (ns *netns) dial(t testing.TB, d sctpnet.Dialer, address string) *sctpnet.Conn {
	t.Helper()
	return ns.dialOn(t, "sctp", d, address)
}

func (ns *netns) dialOn(t testing.TB, network string, d sctpnet.Dialer, address string) *sctpnet.Conn {
	t.Helper()
	var c net.Conn
	ns.do(t, func() (err error) {
		c, err = d.Dial(network, address)
		return err
	})
	t.Cleanup(func() { c.Close() })
	return c.(*sctpnet.Conn)
}

// Two networks with two links between them: link 1 joins 10.77.1.1 and
// 10.77.1.2, link 2 10.77.2.1 and 10.77.2.2.
const (
	bothLocal  = "10.77.1.1/10.77.2.1"
	bothRemote = "10.77.1.2/10.77.2.2"
)

// newLinks makes these networks. In a process that inOwnNetwork has started, a is
// its own.
func newLinks(t testing.TB) (a, b *netns) {
	t.Helper()
	if testnet.IsAgain() {
		a = &netns{testnet.Own()}
		t.Cleanup(func() {
			for _, link := range []string{"link1", "link2"} {
				a.IP("link del " + link) // unless it went with the other network
			}
		})
	} else {
		a = newNetns(t)
	}
	b = newNetns(t)
	for device, subnet := range map[string]string{"link1": "10.77.1", "link2": "10.77.2"} {
		if err := testnet.Link(a.Network, b.Network, device, subnet); err != nil {
			t.Fatal(err)
		}
	}
	for _, ns := range []*netns{a, b} {
		ns.sysctl(t, "sctp/addip_enable", "1")
		ns.sysctl(t, "sctp/addip_noauth_enable", "1")
	}
	return a, b
}

// linksFor is newLinks for associations of a network. Over UDP the links stay until
// all have ended: those that have lost their peer would live on for a while.
func linksFor(t testing.TB, network string) (a, b *netns) {
	t.Helper()
	a, b = newLinks(t)
	if overUDP(network) {
		t.Cleanup(func() {
			for _, ns := range []*netns{a, b} {
				eventually(t, "UDP sockets are closed", func() bool {
					var list []byte
					ns.do(t, func() (err error) {
						list, err = os.ReadFile("/proc/thread-self/net/udp")
						return err
					})
					return bytes.Count(list, []byte("\n")) == 1 // the header
				})
			}
		})
	}
	return a, b
}

// linkAddr is an end of link 1.
func linkAddr(end byte, port int) *sctpnet.Addr {
	return &sctpnet.Addr{IPAddrs: []net.IPAddr{{IP: net.IP{10, 77, 1, end}}}, Port: port}
}

// inOwnNetwork runs the test in a process that has a network of its own, with a loopback
// interface. It reports whether this is that process. A test needs one if goroutines
// make sockets that it does not start: those of a netns are in the network of the
// process.
func inOwnNetwork(t *testing.T) bool {
	t.Helper()
	needRoot(t)
	if testnet.IsAgain() {
		if err := ip("link set lo up"); err != nil {
			t.Fatal(err)
		}
		return true
	}
	pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(t.Name()), "/", "$/^") + "$"
	out, err := testnet.Again("-test.run="+pattern, "-test.v", "-test.timeout=10m").CombinedOutput()
	switch {
	case err != nil:
		t.Errorf("in a network of its own: %v\n%s", err, out)
	case bytes.Contains(out, []byte("--- SKIP: "+t.Name()+" ")):
		t.Skipf("in a network of its own:\n%s", out)
	}
	return false
}

// A network with this host alone: the addresses that end in 1 are its own, and at the
// others there is silence. The prefixes are those for documentation. RFC 6724 chooses
// private6 after IPv4, and public6 before it.
const (
	silentLink = "sctpnetsilent"

	own4, silent4 = "198.51.100.1", "198.51.100.2"
	ownPublic6    = "2001:db8:5c79::1"
	silentPublic6 = "2001:db8:5c79::2"
	ownPrivate6   = "fd00:5c79::1"
)

// silentNet sets that network up until the test ends: what dials from no
// address in particular tells the peer those of this network too.
func silentNet(t testing.TB) {
	t.Helper()
	needSCTP(t)
	if os.Geteuid() != 0 {
		t.Skip("only root can set up a network where nobody answers")
	}
	t.Cleanup(func() { ip("link delete", silentLink) })
	err := errors.Join(
		ip("link add", silentLink, "type dummy"),
		ip("link set", silentLink, "up"),
		ip("address add", own4+"/24 dev", silentLink),
		ip("address add", ownPublic6+"/64 dev", silentLink, "nodad"),
		ip("address add", ownPrivate6+"/64 dev", silentLink, "nodad"),
	)
	if err != nil {
		t.Fatal(err)
	}
}

// ip runs a command of ip.
func ip(words ...string) error { return testnet.Own().IP(strings.Join(words, " ")) }

// sysctl sets a variable of net.sctp until the test ends.
func sysctl(t testing.TB, name, value string) {
	t.Helper()
	file := "/proc/sys/net/sctp/" + name
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(string(old)) == value {
		return
	}
	if os.Geteuid() != 0 {
		t.Skipf("only root can set net.sctp.%s", name)
	}
	if err := os.WriteFile(file, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.WriteFile(file, old, 0) })
}

// awaitState waits until an association with a local port has a state, by its
// number in /proc/net/sctp/assocs.
func (ns *netns) awaitState(t testing.TB, port int, want string) {
	t.Helper()
	ns.do(t, func() error {
		eventually(t, "the association is in state "+want, func() bool {
			return slices.ContainsFunc(assocs(t), func(f []string) bool {
				return f[assocLocalPort] == strconv.Itoa(port) && f[assocState] == want
			})
		})
		return nil
	})
}

// A socketer is a Conn or a Listener.
type socketer interface {
	SyscallConn() (syscall.RawConn, error)
}

// control runs f on a descriptor.
func control(t testing.TB, s socketer, f func(fd int) error) {
	t.Helper()
	raw, err := s.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var ferr error
	if err := raw.Control(func(fd uintptr) { ferr = f(int(fd)) }); err != nil {
		t.Fatal(err)
	}
	if ferr != nil {
		t.Fatal(ferr)
	}
}

// status returns what SCTP_STATUS says.
func status(t testing.TB, s socketer) (st *sctp.Status) {
	t.Helper()
	control(t, s, func(fd int) (err error) {
		st, err = sctp.NewSCTPConn(fd, nil).GetStatus()
		return err
	})
	return st
}
