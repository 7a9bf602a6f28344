package udpencap

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/engine"
)

// TestKilledPeer has a peer's UDP port be closed without a word, as when its
// process is killed.
func TestKilledPeer(t *testing.T) {
	const ms = time.Millisecond
	for name, tt := range map[string]struct {
		config sctpnet.Config
		do     func(c *sctpnet.Conn) error
	}{
		"writing": {do: func(c *sctpnet.Conn) error {
			if _, err := c.Write([]byte("hello")); err != nil {
				return err
			}
			_, err := c.Read(make([]byte, 1))
			return err
		}},
		// A second HEARTBEAT comes soon where the port is closed.
		"idle": {config: sctpnet.Config{PathParams: sctpnet.PathParams{HeartbeatInterval: flushLimit / 6}}, do: func(c *sctpnet.Conn) error {
			_, err := c.Read(make([]byte, 1))
			return err
		}},
		"closing": {do: func(c *sctpnet.Conn) error {
			c.SetLinger(1000)
			c.Write([]byte("hello"))
			c.Close()
			return syscall.ECONNRESET
		}},
		"shut down": {do: func(c *sctpnet.Conn) error {
			c.Shutdown()
			_, err := c.Read(make([]byte, 1))
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.config.RTO = sctpnet.RTO{Initial: 100 * ms, Min: 50 * ms}
			r, c, ln := rawPair(t, tt.config)
			a := assocOf(t, ln, r.tag)
			r.conn.Close()
			start := time.Now()
			watchdog(t, func() {
				if err := tt.do(c); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("the peer's end is %v, want ECONNRESET", err)
				}
			})
			if took := time.Since(start); took > flushLimit/2 {
				t.Errorf("it was noticed after %v", took)
			}
			a.mu.Lock()
			defer a.mu.Unlock()
			if a.state != engine.StateClosed {
				t.Errorf("the association is in state %v", a.state)
			}
		})
	}
}

// TestKilledPeerIPv6 is the same between two of our own, over IPv6.
func TestKilledPeerIPv6(t *testing.T) {
	ln := listen(t, "sctp6+udp", "[::1]:0")
	const ms = time.Millisecond
	c := dial(t, &sctpnet.Dialer{Config: sctpnet.Config{RTO: sctpnet.RTO{Initial: 100 * ms, Min: 50 * ms}}}, ln.Addr().String())
	accept(t, ln)
	for _, s := range socketOf(ln).port(uint16(ln.Addr().(*sctpnet.Addr).Port)).sockets {
		s.conn.Close()
	}
	watchdog(t, func() {
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("Read: %v, want ECONNRESET", err)
		}
	})
}

// TestForgedUnreachable tells of closed ports what cannot be, or is not to count.
func TestForgedUnreachable(t *testing.T) {
	r, c, ln := rawPair(t, sctpnet.Config{})
	s, a := socketOf(ln), assocOf(t, ln, r.tag)
	to := a.path.to
	good := header{a.port.num, a.peer.port, a.peerTag}
	silent := func(n int) {
		a.mu.Lock()
		a.retry.errors = n
		a.mu.Unlock()
	}
	forge := func(h header) { s.onPortUnreachable(newPacket(h).add(ctData, 0, nil).seal(), to) }
	forge(good) // it has not been silent
	silent(100)
	s.onPortUnreachable(nil, to)
	s.onPortUnreachable(newPacket(good)[:7], to)
	forge(header{good.src, good.dst, good.tag + 1})
	forge(header{good.src, good.dst, 0})
	forge(header{good.src + 1, good.dst, good.tag})
	forge(header{good.src, good.dst + 1, good.tag})
	s.onPortUnreachable(newPacket(good).seal(), netip.AddrPortFrom(to.Addr(), to.Port()+1))
	silent(0)
	r.write(0, "still here")
	wantRead(t, c, "still here")

	silent(enoughSilence)
	forge(good)
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("Read: %v, want ECONNRESET", err)
	}
}

// TestTooBig tells of routers that pass less than is sent. What cannot be the answer to a
// packet of the association does not count, and no router has packets be smaller than
// each path passes.
func TestTooBig(t *testing.T) {
	r, c, ln := rawPair(t, sctpnet.Config{PathParams: sctpnet.PathParams{DiscoverMTU: true}})
	s, a := socketOf(ln), assocOf(t, ln, r.tag)
	to := a.path.to
	good := header{a.port.num, a.peer.port, a.peerTag}
	tell := func(h header, from netip.AddrPort, n int) {
		s.onTooBig(newPacket(h).add(ctData, 0, nil).seal(), from, n)
	}
	want := func(what string, n int) {
		t.Helper()
		st, err := c.Status()
		if err != nil || st.Primary.MTU != n {
			t.Errorf("%s: the MTU is %d, %v; want %d", what, st.Primary.MTU, err, n)
		}
	}
	want("at first", baseMTU+ipv4Overhead)
	s.onTooBig(nil, to, 1000)
	s.onTooBig(newPacket(good)[:7], to, 1000)
	tell(header{good.src, good.dst, good.tag + 1}, to, 1000)
	tell(header{good.src + 1, good.dst, good.tag}, to, 1000)
	tell(header{good.src, good.dst + 1, good.tag}, to, 1000)
	tell(good, netip.AddrPortFrom(to.Addr(), to.Port()+1), 1000)
	want("told by others", baseMTU+ipv4Overhead)
	tell(good, to, 1400)
	want("of a larger one", baseMTU+ipv4Overhead)
	tell(good, to, 1000)
	want("of a smaller one", 1000)
	tell(good, to, 68)
	want("of one that is too small", leastMTU4+ipv4Overhead)
}

// TestEarlierError sends to a closed port and then to an open one. The system tells
// of the first where it is asked to send the second, which must be sent all the
// same.
func TestEarlierError(t *testing.T) {
	ln := listen(t, "sctp4+udp", "127.0.0.1:0")
	s := socketOf(ln)
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	live, err := net.ListenUDP("udp4", &net.UDPAddr{IP: loopbackAddr[0].IP})
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	live.SetReadDeadline(time.Now().Add(10 * time.Second))
	closed := netip.AddrPortFrom(loopback, uint16(freeUDPPort(t)))
	b := make([]byte, 10)
	for i := range 1000 {
		path{socket: s, to: closed}.send([]byte("lost"), 4)
		path{socket: s, to: live.LocalAddr().(*net.UDPAddr).AddrPort()}.send([]byte("kept"), 4)
		if n, err := live.Read(b); string(b[:n]) != "kept" || err != nil {
			t.Fatalf("packet %d: read %q, %v", i, b[:n], err)
		}
	}
}
