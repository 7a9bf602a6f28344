package sctpnet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"github.com/sctpnet/sctpnet/internal/testnet"
	"golang.org/x/sys/unix"
)

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
	if os.Geteuid() != 0 {
		t.Skip("only root can make networks")
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

// awaitPort waits until no socket is left that has a port.
func (ns *netns) awaitPort(t testing.TB, ip net.IP, port int) {
	t.Helper()
	ns.do(t, func() error {
		deadline := time.Now().Add(10 * time.Second * conformance.Slowness)
		for {
			err := tryPort(ip, port)
			switch {
			case !errors.Is(err, unix.EADDRINUSE):
				return err
			case time.Now().After(deadline):
				return fmt.Errorf("port %d is still in use: the system keeps a socket that was closed", port)
			}
			time.Sleep(10 * ms)
		}
	})
}

// tryPort binds a port that no socket may have.
func tryPort(ip net.IP, port int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte(ip.To4()), Port: port})
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

// getsockopt returns an option that is an int.
func getsockopt(t testing.TB, s socketer, level, opt int) (v int) {
	t.Helper()
	control(t, s, func(fd int) (err error) {
		v, err = unix.GetsockoptInt(fd, level, opt)
		return err
	})
	return v
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
