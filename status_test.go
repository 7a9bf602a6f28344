package sctpnet_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/engine"
	"github.com/sctpnet/sctpnet/internal/testnet"
)

// send has one end send a message and the other receive it.
func send(t testing.TB, from, to *sctpnet.Conn, info sctpnet.MsgInfo, n int) {
	t.Helper()
	watchdog(t, func() {
		if _, err := from.WriteMsg(make([]byte, n), info); err != nil {
			t.Error(err)
			return
		}
		if k, _, err := to.ReadMsg(make([]byte, n+1)); k != n || err != nil {
			t.Errorf("received %d, %v; want %d", k, err, n)
		}
	})
}

// fillWindow writes to a peer that does not read until it takes no more, and
// some of what was written waits. It returns how much that is.
func fillWindow(t testing.TB, c *sctpnet.Conn) (n int) {
	t.Helper()
	before, err := c.Status()
	if err != nil {
		t.Fatal(err)
	}
	watchdog(t, func() {
		p := make([]byte, 32<<10)
		for {
			c.SetWriteDeadline(time.Now().Add(20 * ms))
			k, err := c.Write(p)
			n += k
			if err == nil {
				continue
			}
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error(err)
				return
			}
			if n > before.PeerWindow+2*len(p) {
				break // a machine that is busy may have let the deadline pass before
			}
		}
		c.SetWriteDeadline(time.Time{})
	})
	return n
}

// TestStatusOfFullWindow checks what counts at an end that has much to send, and
// at the other.
func TestStatusOfFullWindow(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		c, s := configured(t, network, "127.0.0.1:0", sctpnet.Config{WriteBuffer: 256 << 10}, sctpnet.Config{ReadBuffer: 128 << 10})
		fillWindow(t, c)
		for end, conn := range map[string]*sctpnet.Conn{"client": c, "server": s} {
			st, err := conn.Status()
			if err != nil || st.State != sctpnet.StateEstablished || st.Pending != 0 {
				t.Errorf("%s: %+v, %v; nothing is missing", end, st, err)
			}
		}
		c.Abort()
	})
}

// TestStatsBeginAnew checks that the greatest timeout is that of the time since
// it was last asked for.
func TestStatsBeginAnew(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		config := sctpnet.Config{RTO: sctpnet.RTO{Initial: 4 * time.Second, Min: 300 * ms}}
		c, s := configured(t, network, "127.0.0.1:0", config, config)
		works(t, c, s)
		if st, err := c.Stats(); err != nil || st.MaxRTO < 300*ms {
			t.Errorf("MaxRTO is %v, %v", st.MaxRTO, err)
		}
		// Now the round trip is known, which is a short one.
		eventually(t, "a round trip was measured", func() bool {
			st, err := c.Status()
			return err != nil || st.Primary.RTO < time.Second
		})
		c.Stats()
		if st, err := c.Stats(); err != nil || st.MaxRTO < 290*ms || st.MaxRTO > time.Second {
			t.Errorf("MaxRTO of a new period is %v, %v; want RTO.Min, 300 ms", st.MaxRTO, err)
		}
	})
}

func TestStatusOfShutdown(t *testing.T) { eachEngine(t, testStatusOfShutdown) }

func testStatusOfShutdown(t *testing.T, network string) {
	c, s := configured(t, network, "127.0.0.1:0", sctpnet.Config{WriteBuffer: 256 << 10}, sctpnet.Config{ReadBuffer: 128 << 10})
	big := fillWindow(t, c)
	if err := c.Shutdown(); err != nil {
		t.Fatal(err)
	}
	if st, err := c.Status(); err != nil || st.State != sctpnet.StateShutdownPending {
		t.Errorf("got %v, %v; want SHUTDOWN-PENDING", st.State, err)
	}
	watchdog(t, func() {
		buf := make([]byte, 1<<20)
		for n := 0; n < big; {
			k, err := s.Read(buf)
			if err != nil {
				t.Errorf("after %d of %d: %v", n, big, err)
				return
			}
			n += k
		}
	})
	eventually(t, "the end", func() bool {
		_, err := c.Status()
		return errors.Is(err, syscall.ENOTCONN)
	})
	wantEnded(t, network, c)
	c.Close()
	wantClosed(t, c)
}

// inspections are the calls that tell something of an association, or change
// its addresses.
func inspections(c *sctpnet.Conn) map[string]func() error {
	ip := netip.MustParseAddr("127.0.0.1")
	return map[string]func() error{
		"Status":          func() error { _, err := c.Status(); return err },
		"Paths":           func() error { _, err := c.Paths(); return err },
		"Stats":           func() error { _, err := c.Stats(); return err },
		"AddLocalAddr":    func() error { return c.AddLocalAddr(ip) },
		"RemoveLocalAddr": func() error { return c.RemoveLocalAddr(ip) },
		"SetPrimary":      func() error { return c.SetPrimary(ip) },
		"SetPeerPrimary":  func() error { return c.SetPeerPrimary(ip) },
	}
}

// wantEnded checks the calls on an association that has ended.
func wantEnded(t testing.TB, network string, c *sctpnet.Conn) {
	t.Helper()
	for name, f := range inspections(c) {
		var operr *net.OpError
		if _, ok := lacksOf(t, network).Find(engine.LacksCall, "Conn."+name); ok {
			continue // TestEveryCall
		}
		if err := f(); !errors.As(err, &operr) || !errors.Is(err, syscall.ENOTCONN) || !strings.Contains(err.Error(), "ended") {
			t.Errorf("%s after the end: %v", name, err)
		}
	}
	if l, p := c.LocalAddrs(), c.PeerAddrs(); len(l) == 0 || len(p) == 0 {
		t.Errorf("addresses after the end: %v, %v", l, p)
	}
}

// wantClosed checks the calls on a Conn that was closed.
func wantClosed(t testing.TB, c *sctpnet.Conn) {
	t.Helper()
	calls := inspections(c)
	calls["File"] = func() error { _, err := c.File(); return err }
	calls["AddLocalAddr of nothing"] = func() error { return c.AddLocalAddr(netip.Addr{}) }
	for name, f := range calls {
		var operr *net.OpError
		if err := f(); !errors.As(err, &operr) || !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
	if l, p := c.LocalAddrs(), c.PeerAddrs(); len(l) == 0 || len(p) == 0 {
		t.Errorf("addresses after Close: %v, %v", l, p)
	}
}

func TestStatusAfterAbort(t *testing.T) { eachEngine(t, testStatusAfterAbort) }

func testStatusAfterAbort(t *testing.T, network string) {
	c, s := pipe(t, network, "127.0.0.1:0")
	s.Abort()
	wantClosed(t, s)
	eventually(t, "the end", func() bool {
		_, err := c.Status()
		return err != nil
	})
	wantEnded(t, network, c)
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("Read: %v", err)
	}
}

func TestStats(t *testing.T) { eachEngine(t, testStats) }

func testStats(t *testing.T, network string) {
	c, s := pipe(t, network, "127.0.0.1:0")
	before, err := c.Stats()
	if err != nil {
		t.Fatal(err)
	}
	const count = 20
	for i := range count {
		send(t, c, s, sctpnet.MsgInfo{Unordered: i%2 == 0}, 100)
	}
	send(t, s, c, sctpnet.MsgInfo{}, 100)
	var after, peer sctpnet.Stats
	eventually(t, "all acknowledged", func() bool {
		st, err := c.Status()
		if err != nil {
			t.Fatal(err)
		}
		return st.Unacked == 0
	})
	if after, err = c.Stats(); err != nil {
		t.Fatal(err)
	}
	if peer, err = s.Stats(); err != nil {
		t.Fatal(err)
	}
	if n := after.OrderedSent - before.OrderedSent; n != count/2 || peer.OrderedReceived != count/2 {
		t.Errorf("ordered: sent %d, received %d, want %d", n, peer.OrderedReceived, count/2)
	}
	if n := after.UnorderedSent - before.UnorderedSent; n != count/2 || peer.UnorderedReceived != count/2 {
		t.Errorf("unordered: sent %d, received %d, want %d", n, peer.UnorderedReceived, count/2)
	}
	if after.OrderedReceived != 1 || peer.OrderedSent != 1 {
		t.Errorf("back: %d sent, %d received; want 1", peer.OrderedSent, after.OrderedReceived)
	}
	if after.PacketsSent < count || after.PacketsReceived < 2 || after.SACKsReceived == 0 || peer.SACKsSent == 0 ||
		after.ControlSent == 0 || after.ControlReceived == 0 {
		t.Errorf("too few: %+v\nof the peer: %+v", after, peer)
	}
	if after.MaxRTO <= 0 || after.MaxRTOAddr != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("MaxRTO %v of %v", after.MaxRTO, after.MaxRTOAddr)
	}
}

func TestStateStrings(t *testing.T) {
	for s, want := range map[fmt.Stringer]string{
		sctpnet.StateClosed:                "CLOSED",
		sctpnet.StateCookieWait:            "COOKIE-WAIT",
		sctpnet.StateCookieEchoed:          "COOKIE-ECHOED",
		sctpnet.StateEstablished:           "ESTABLISHED",
		sctpnet.StateShutdownPending:       "SHUTDOWN-PENDING",
		sctpnet.StateShutdownSent:          "SHUTDOWN-SENT",
		sctpnet.StateShutdownReceived:      "SHUTDOWN-RECEIVED",
		sctpnet.StateShutdownAckSent:       "SHUTDOWN-ACK-SENT",
		sctpnet.State(0):                   "State(0)",
		sctpnet.State(200):                 "State(200)",
		sctpnet.PathStateActive:            "active",
		sctpnet.PathStateInactive:          "inactive",
		sctpnet.PathStatePotentiallyFailed: "potentially failed",
		sctpnet.PathStateUnconfirmed:       "unconfirmed",
		sctpnet.PathStateUnknown:           "unknown",
		sctpnet.PathState(9):               "PathState(9)",
	} {
		if got := s.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// assocLine returns the columns of /proc/thread-self/net/sctp/assocs of the end of an
// association that has a local port.
func assocLine(t testing.TB, port int) []string {
	t.Helper()
	all := assocs(t)
	i := slices.IndexFunc(all, func(f []string) bool { return f[assocLocalPort] == strconv.Itoa(port) })
	if i < 0 {
		t.Fatalf("no port %d in %q", port, all)
	}
	return all[i]
}

func TestPaths(t *testing.T) {
	c, _ := pipe(t, "sctp", "127.0.0.1/127.0.0.2/127.0.0.3:0")
	if err := c.SetPrimary(netip.MustParseAddr("127.0.0.2")); err != nil {
		t.Fatal(err)
	}
	paths, err := c.Paths()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, p := range paths {
		got = append(got, p.Addr.String())
		if p.State != sctpnet.PathStateActive && p.State != sctpnet.PathStateUnconfirmed || p.Primary != (i == 0) ||
			p.CWND == 0 || p.RTO < 100*time.Millisecond || p.MTU < 1000 {
			t.Errorf("path %+v", p)
		}
	}
	slices.Sort(got[1:])
	if want := []string{"127.0.0.2", "127.0.0.1", "127.0.0.3"}; !slices.Equal(got, want) {
		t.Errorf("paths to %v, want %v", got, want)
	}
	// The kernel's table has RTOs in its own ticks, and the states.
	b, err := os.ReadFile("/proc/thread-self/net/sctp/remaddr")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		want := fmt.Sprint(2) // SCTP_ACTIVE
		if p.State == sctpnet.PathStateUnconfirmed {
			want = fmt.Sprint(3)
		}
		if !slices.ContainsFunc(strings.Split(string(b), "\n"), func(line string) bool {
			f := strings.Fields(line)
			return len(f) >= 8 && f[0] == p.Addr.String() && f[7] == want
		}) {
			t.Errorf("%+v is not in\n%s", p, b)
		}
	}
}

// A path whose address has gone is noticed by what is sent to it: a message, then
// heartbeats.
func TestPathStates(t *testing.T) {
	silentNet(t)
	for _, last := range []string{"11", "12"} {
		if err := ip("address add", "198.51.100."+last+"/24 dev", silentLink); err != nil {
			t.Fatal(err)
		}
	}
	sysctl(t, "path_max_retrans", "2")
	sysctl(t, "hb_interval", "200")
	sysctl(t, "rto_max", "1000")
	for _, expose := range []string{"0", "1", "2"} {
		if _, err := os.Stat("/proc/sys/net/sctp/pf_expose"); err == nil {
			sysctl(t, "pf_expose", expose)
		}
		c, s := pipe(t, "sctp", "198.51.100.11/198.51.100.12:0")
		send(t, c, s, sctpnet.MsgInfo{}, 1)
		second := netip.MustParseAddr("198.51.100.12")
		state := func() sctpnet.PathState {
			paths, err := c.Paths()
			if err != nil || len(paths) != 2 || paths[1].Addr != second {
				t.Fatalf("%+v, %v", paths, err)
			}
			return paths[1].State
		}
		eventually(t, "an active path", func() bool { return state() == sctpnet.PathStateActive })
		if err := ip("address delete 198.51.100.12/24 dev", silentLink); err != nil {
			t.Fatal(err)
		}
		seen := make(map[sctpnet.PathState]bool)
		if _, err := c.WriteMsg([]byte("x"), sctpnet.MsgInfo{To: second}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "an inactive path", func() bool {
			seen[state()] = true
			return seen[sctpnet.PathStateInactive]
		})
		if !seen[sctpnet.PathStatePotentiallyFailed] {
			t.Errorf("states seen: %v", seen)
		}
		if err := ip("address add 198.51.100.12/24 dev", silentLink); err != nil {
			t.Fatal(err)
		}
		c.Abort()
	}
}

// The kernel gives a round-trip time and the greatest timeout in ticks.
func TestPathTimes(t *testing.T) {
	needSCTP(t)
	needRoot(t)
	const delay = 100 * time.Millisecond
	if err := testnet.Own().Netem("lo", "delay 100ms"); err != nil {
		t.Skip("this kernel cannot delay packets: ", err)
	}
	defer testnet.Own().Heal("lo")
	d := &sctpnet.Dialer{Config: sctpnet.Config{KernelDefaults: true}} // RTO.Initial of 3 s
	ln := listen(t, "sctp", "127.0.0.1:0")
	c := dial(t, d, "sctp", ln.Addr().String())
	s := accept(t, ln)
	if st, err := c.Stats(); err != nil || st.MaxRTO < time.Second {
		t.Errorf("%+v, %v", st, err)
	}
	for range 3 {
		send(t, c, s, sctpnet.MsgInfo{}, 100)
		time.Sleep(3 * delay)
	}
	st, err := c.Status()
	if err != nil {
		t.Fatal(err)
	}
	// The delay, there and back; the acknowledgement may wait for 10 ms too, and
	// a busy machine makes it more.
	if got := st.Primary.SRTT; got < 2*delay-20*time.Millisecond || got > 50*delay {
		t.Errorf("a smoothed round-trip time of %v, want about %v", got, 2*delay)
	}
	if got := st.Primary.RTO; got < time.Second || got > 20*time.Second {
		t.Errorf("a retransmission timeout of %v", got)
	}
	c.Stats()
	stats, err := c.Stats()
	if err != nil || stats.MaxRTO < time.Second || stats.MaxRTO > max(time.Second, st.Primary.RTO) || stats.MaxRTOAddr != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("%+v, %v; want the least of 1 s", stats, err)
	}
}

// TestStatusCountsMissingChunks counts what is missing where a packet was lost.
func TestStatusCountsMissingChunks(t *testing.T) {
	const data = 0
	watchdog(t, func() {
		c, s, _, _, w := eventWire(t, sctpnet.Config{}, sctpnet.Config{})
		if err := c.Set(sctpnet.Config{RTO: sctpnet.RTO{Initial: time.Hour, Min: time.Hour, Max: time.Hour}}); err != nil {
			t.Fatal(err)
		}
		lost := make(map[uint32]bool) // by TSN
		w.setLoss(func(p []byte, toServer bool) bool {
			if !toServer || chunkType(p) != data || len(p) < 20 {
				return false
			}
			tsn := binary.BigEndian.Uint32(p[16:])
			if len(lost) < 2 {
				lost[tsn] = true
			}
			return lost[tsn]
		})
		for i := range 2 { // each in a packet of its own
			if _, err := c.Write([]byte("lost")); err != nil {
				t.Fatal(err)
			}
			eventually(t, "a loss", func() bool {
				w.mu.Lock()
				defer w.mu.Unlock()
				return len(lost) == i+1
			})
		}
		if _, err := c.Write([]byte("arrives")); err != nil {
			t.Fatal(err)
		}
		eventually(t, "two chunks that are missing", func() bool {
			st, err := s.Status()
			return err == nil && st.Pending == 2
		})
		if st, err := s.Stats(); err != nil || st.OutOfOrder != 1 {
			t.Errorf("%+v, %v; want one chunk out of order", st, err)
		}
		c.Abort()
	})
}
