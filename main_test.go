package sctpnet_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"go.uber.org/goleak"
)

// children are what this binary does instead of testing, when a test has
// started it with childEnv set to one of the names.
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

// atOnce is the most that may take what does not wait for anything, on a busy
// machine. What tests tell it from takes 3 s and more.
const atOnce = 2 * time.Second * conformance.Slowness

// listen listens until the test ends.
func listen(t testing.TB, network, address string) *sctpnet.Listener {
	t.Helper()
	needNetwork(t, network)
	ln, err := sctpnet.Listen(network, address)
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
	return client, accept(t, ln)
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

// alive reports whether an association of this system, of either end, lives at
// a port.
func alive(t testing.TB, port int) bool {
	t.Helper()
	b, err := os.ReadFile("/proc/thread-self/net/sctp/assocs")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		const state, local, remote = 4, 11, 12
		f, p := strings.Fields(line), strconv.Itoa(port)
		// One of state 0, CLOSED, waits to be accepted all the same.
		if len(f) > remote && f[state] != "0" && (f[local] == p || f[remote] == p) {
			return true
		}
	}
	return false
}

// associations returns how many ends of associations with a port there are on
// this host: two for each.
func associations(t testing.TB, port int) (n int) {
	t.Helper()
	b, err := os.ReadFile("/proc/thread-self/net/sctp/assocs")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		const localPort, remotePort = 11, 12
		f, p := strings.Fields(line), strconv.Itoa(port)
		if len(f) > remotePort && (f[localPort] == p || f[remotePort] == p) {
			n++
		}
	}
	return n
}

// countAssociations returns how many associations with a peer there are.
func countAssociations(t testing.TB, peer string) int {
	t.Helper()
	b, err := os.ReadFile("/proc/thread-self/net/sctp/assocs")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(b), peer)
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
