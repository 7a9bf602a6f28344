package sctpnet_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"golang.org/x/sys/unix"
)

// procAddrs returns both lists of addresses that /proc/thread-self/net/sctp/assocs has of
// the end with a local port.
func procAddrs(t testing.TB, port int) (local, peer []netip.Addr) {
	t.Helper()
	list := &local
	for _, f := range assocLine(t, port)[assocAddrs:] {
		if f == "<->" {
			list = &peer
			continue
		}
		ip, err := netip.ParseAddr(strings.TrimPrefix(f, "*"))
		if err != nil {
			break
		}
		*list = append(*list, ip.Unmap())
	}
	return local, peer
}

// wantSame checks that all that tell the addresses of an end agree.
func wantSame(t testing.TB, c *sctpnet.Conn) {
	t.Helper()
	local, peer := procAddrs(t, port(c.LocalAddr()))
	wantAddrs(t, "LocalAddrs against /proc/thread-self/net/sctp/assocs", c.LocalAddrs(), local...)
	wantAddrs(t, "PeerAddrs against /proc/thread-self/net/sctp/assocs", c.PeerAddrs(), peer...)
	raw := second(t, c)
	primary, err := raw.SCTPGetPrimaryPeerAddr()
	if err != nil {
		t.Fatal(err)
	}
	ip, _ := netip.AddrFromSlice(primary.IPAddrs[0].IP)
	if got := c.PeerAddrs()[0]; got.WithZone("") != ip.Unmap() {
		t.Errorf("PeerAddrs begins with %v, the primary address is %v", got, ip)
	}
}

func TestAddrs(t *testing.T) {
	for _, tt := range []struct {
		listen, dialFrom, dial string // with a port of 0 in dial
		local, peer            []netip.Addr
	}{
		{"127.0.0.1:0", "127.0.0.1", "127.0.0.1", []netip.Addr{lo1}, []netip.Addr{lo1}},
		{"127.0.0.1/127.0.0.2:0", "127.0.0.3", "127.0.0.1", []netip.Addr{lo3}, []netip.Addr{lo1, lo2}},
		{"127.0.0.1/127.0.0.2:0", "127.0.0.3/127.0.0.1", "127.0.0.2", []netip.Addr{lo1, lo3}, []netip.Addr{lo2, lo1}},
		{"127.0.0.1:0", "127.0.0.1", "127.0.0.1/127.0.0.2", []netip.Addr{lo1}, []netip.Addr{lo1}},
		{"127.0.0.1/[::1]:0", "127.0.0.2/[::1]", "127.0.0.1/[::1]", []netip.Addr{lo2, lo6}, []netip.Addr{lo1, lo6}},
		{"[::1]:0", "[::1]", "[::1]", []netip.Addr{lo6}, []netip.Addr{lo6}},
	} {
		t.Run(tt.listen+" from "+tt.dialFrom+" to "+tt.dial, func(t *testing.T) {
			ln := listen(t, "sctp", tt.listen)
			from := &sctpnet.Addr{}
			for host := range strings.SplitSeq(tt.dialFrom, "/") {
				from.IPAddrs = append(from.IPAddrs, net.IPAddr{IP: net.ParseIP(strings.Trim(host, "[]"))})
			}
			c := dial(t, &sctpnet.Dialer{LocalAddr: from}, "sctp", fmt.Sprintf("%s:%d", tt.dial, port(ln.Addr())))
			s := accept(t, ln)
			wantAddrs(t, "LocalAddrs", c.LocalAddrs(), tt.local...)
			wantAddrs(t, "PeerAddrs", c.PeerAddrs(), tt.peer...)
			if got := c.PeerAddrs()[0]; got != tt.peer[0] {
				t.Errorf("PeerAddrs begins with %v, want the primary one of %v", got, tt.peer[0])
			}
			wantAddrs(t, "LocalAddrs of the peer", s.LocalAddrs(), tt.peer...)
			wantAddrs(t, "PeerAddrs of the peer", s.PeerAddrs(), tt.local...)
			wantSame(t, c)
			wantSame(t, s)

			local, peer := c.LocalAddrs(), c.PeerAddrs()
			c.LocalAddrs()[0] = netip.Addr{} // a copy
			c.Close()
			if got := c.LocalAddrs(); !slices.Equal(got, local) {
				t.Errorf("LocalAddrs after Close: %v, want %v", got, local)
			}
			if got := c.PeerAddrs(); !slices.Equal(got, peer) {
				t.Errorf("PeerAddrs after Close: %v, want %v", got, peer)
			}
		})
	}
}

// What is bound to nothing has all addresses that are fit.
func TestAddrsOfUnbound(t *testing.T) {
	silentNet(t)
	ln := listen(t, "sctp", "0.0.0.0:0")
	c := dial(t, nil, "sctp", fmt.Sprintf("%s:%d", own4, port(ln.Addr())))
	s := accept(t, ln)
	wantSame(t, c)
	wantSame(t, s)
	own := netip.MustParseAddr(own4)
	for _, list := range [][]netip.Addr{c.LocalAddrs(), c.PeerAddrs(), s.LocalAddrs(), s.PeerAddrs()} {
		if !slices.Contains(list, own) || slices.Contains(list, lo1) {
			t.Errorf("got %v, want %v and no loopback address", list, own)
		}
	}
}

func TestAddrsAfterClose(t *testing.T) {
	c, s := pipe(t, "sctp", "127.0.0.1/127.0.0.2:0")
	c.Close()
	wantAddrs(t, "PeerAddrs asked for after Close", c.PeerAddrs(), lo1, lo2)
	if len(c.LocalAddrs()) == 0 {
		t.Error("no LocalAddrs after Close")
	}
	watchdog(t, func() { io.ReadAll(s) })
	wantEnded(t, "sctp", s)
}

func TestAddrsHaveZones(t *testing.T) {
	silentNet(t)
	if err := ip("address add fe80::5c79/64 dev", silentLink, "nodad"); err != nil {
		t.Fatal(err)
	}
	local := netip.MustParseAddr("fe80::5c79%" + silentLink)
	c, s := pipe(t, "sctp", "["+local.String()+"]:0")
	wantAddrs(t, "PeerAddrs", c.PeerAddrs(), local)
	wantAddrs(t, "LocalAddrs of the peer", s.LocalAddrs(), local)
	ifi, err := net.InterfaceByName(silentLink)
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []netip.Addr{local, local.WithZone(fmt.Sprint(ifi.Index))} {
		send(t, c, s, sctpnet.MsgInfo{To: to}, 10)
		if err := c.SetPrimary(to); err != nil {
			t.Error(err)
		}
	}
	for _, to := range []netip.Addr{local.WithZone("nonesuch"), local.WithZone("")} {
		if _, err := c.WriteMsg([]byte("x"), sctpnet.MsgInfo{To: to}); err == nil || !strings.Contains(err.Error(), "zone") {
			t.Errorf("WriteMsg to %v: %v", to, err)
		}
	}
	send(t, c, s, sctpnet.MsgInfo{}, 10)
	if paths, err := c.Paths(); err != nil || len(paths) != 1 || paths[0].Addr != local || !paths[0].Primary {
		t.Errorf("Paths: %+v, %v", paths, err)
	}
}

// reconfigurable makes an association whose addresses can be changed.
func reconfigurable(t *testing.T, from, to string) (c, s *sctpnet.Conn, ln *sctpnet.Listener) {
	t.Helper()
	needSCTP(t)
	sysctl(t, "addip_noauth_enable", "1") // first: the other alone refuses INIT
	sysctl(t, "addip_enable", "1")
	ln = listen(t, "sctp", to)
	local := &sctpnet.Addr{}
	for host := range strings.SplitSeq(from, "/") {
		local.IPAddrs = append(local.IPAddrs, net.IPAddr{IP: net.ParseIP(host)})
	}
	c = dial(t, &sctpnet.Dialer{LocalAddr: local}, "sctp", ln.Addr().String())
	return c, accept(t, ln), ln
}

func TestBindAddRemove(t *testing.T) {
	c, s, ln := reconfigurable(t, "127.0.0.1", "127.0.0.1/[::1]:0")
	for _, tt := range []struct {
		what        string
		do          func(netip.Addr) error
		ip          netip.Addr
		end, other  *sctpnet.Conn
		local, peer []netip.Addr // of end, then
	}{
		{"add by the accepting end", s.AddLocalAddr, lo2, s, c, []netip.Addr{lo1, lo2, lo6}, []netip.Addr{lo1}},
		{"add by the dialing end", c.AddLocalAddr, lo3, c, s, []netip.Addr{lo1, lo3}, []netip.Addr{lo1, lo2, lo6}},
		{"remove", s.RemoveLocalAddr, lo1, s, c, []netip.Addr{lo2, lo6}, []netip.Addr{lo1, lo3}},
		{"remove IPv6", s.RemoveLocalAddr, lo6, s, c, []netip.Addr{lo2}, []netip.Addr{lo1, lo3}},
		{"remove, mapped", c.RemoveLocalAddr, netip.AddrFrom16(lo1.As16()), c, s, []netip.Addr{lo3}, []netip.Addr{lo2}},
		{"add again", s.AddLocalAddr, lo1, s, c, []netip.Addr{lo1, lo2}, []netip.Addr{lo3}},
	} {
		if tt.what == "add again" {
			// A listener keeps its address.
			if err := tt.do(tt.ip); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "listens") {
				t.Errorf("an address of the listener: %v", err)
			}
			ln.Close()
		}
		if err := tt.do(tt.ip); err != nil {
			t.Fatalf("%s: %v", tt.what, err)
		}
		eventually(t, tt.what, func() bool {
			return slices.Equal(sorted(tt.end.LocalAddrs()), sorted(tt.local)) &&
				slices.Equal(sorted(tt.other.PeerAddrs()), sorted(tt.local))
		})
		wantAddrs(t, tt.what+": PeerAddrs", tt.end.PeerAddrs(), tt.peer...)
		for _, to := range tt.other.PeerAddrs() {
			send(t, tt.other, tt.end, sctpnet.MsgInfo{To: to}, 100)
		}
		send(t, tt.end, tt.other, sctpnet.MsgInfo{}, 100)
		wantSame(t, c)
		wantSame(t, s)
	}
}

func TestSetPeerPrimary(t *testing.T) {
	c, s, _ := reconfigurable(t, "127.0.0.1", "127.0.0.1/127.0.0.2:0")
	for _, ip := range []netip.Addr{lo2, lo1, lo2} {
		if err := s.SetPeerPrimary(ip); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the primary path of the peer", func() bool {
			st, err := c.Status()
			if err != nil {
				t.Fatal(err)
			}
			return st.Primary.Addr == ip
		})
		wantSame(t, c)
		send(t, c, s, sctpnet.MsgInfo{}, 100)
	}
}

func TestSetPrimary(t *testing.T) {
	for _, tt := range []struct{ listen, first, then string }{
		{"127.0.0.1/127.0.0.2:0", "127.0.0.1", "127.0.0.2"},
		{"127.0.0.1/[::1]:0", "127.0.0.1", "::1"},
	} {
		c, s := pipe(t, "sctp", tt.listen)
		wire := capture(t)
		for _, ip := range []netip.Addr{netip.MustParseAddr(tt.then), netip.MustParseAddr(tt.first)} {
			if err := c.SetPrimary(ip); err != nil {
				t.Fatal(err)
			}
			wantSame(t, c)
			mark := "primary " + ip.String()
			if _, err := c.Write([]byte(mark)); err != nil {
				t.Fatal(err)
			}
			wire.want(t, mark, ip)
			watchdog(t, func() { s.Read(make([]byte, 100)) })
		}
	}
}

// capture receives the packets of the interface lo.
func capture(t testing.TB) *wiretap {
	t.Helper()
	const all = unix.ETH_P_ALL
	var proto [2]byte
	binary.BigEndian.PutUint16(proto[:], all)
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, int(binary.NativeEndian.Uint16(proto[:])))
	if err != nil {
		t.Skip("only root can look at packets:", err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return &wiretap{fd}
}

type wiretap struct{ fd int }

// want waits for an SCTP packet with some data in it, and checks where it goes.
func (w *wiretap) want(t testing.TB, data string, to netip.Addr) {
	t.Helper()
	buf := make([]byte, 1<<17)
	eventually(t, "a packet with "+data, func() bool {
		n, _, err := unix.Recvfrom(w.fd, buf, 0)
		if err != nil || !strings.Contains(string(buf[:n]), data) {
			return false
		}
		var got netip.Addr
		if buf[0]>>4 == 4 {
			got, _ = netip.AddrFromSlice(buf[16:20])
		} else {
			got, _ = netip.AddrFromSlice(buf[24:40])
		}
		if got != to {
			t.Errorf("%q went to %v, want %v", data, got, to)
		}
		return true
	})
}

func TestWriteMsgTo(t *testing.T) {
	for _, list := range []string{"127.0.0.1/127.0.0.2:0", "127.0.0.1/[::1]:0"} {
		c, s := pipe(t, "sctp", list)
		wire := capture(t)
		stream, err := c.Stream(5) // with which the Conn has a mux
		if err != nil {
			t.Fatal(err)
		}
		for i, to := range slices.Concat(c.PeerAddrs(), []netip.Addr{{}}, c.PeerAddrs()) {
			info := sctpnet.MsgInfo{Stream: 3, PPID: 46, Unordered: i%2 == 0, TTL: time.Minute, To: to}
			mark := fmt.Sprintf("message %d", i)
			write, stream3 := c.WriteMsg, uint16(3)
			if i%3 == 2 {
				write, stream3 = stream.WriteMsg, 5
			}
			if _, err := write([]byte(mark), info); err != nil {
				t.Fatal(err)
			}
			if !to.IsValid() {
				to = c.PeerAddrs()[0]
			}
			wire.want(t, mark, to)
			buf := make([]byte, 100)
			watchdog(t, func() {
				n, got, err := s.ReadMsg(buf)
				if err != nil || string(buf[:n]) != mark || got.Stream != stream3 || got.PPID != 46 || got.Unordered != info.Unordered || got.To.IsValid() {
					t.Errorf("got %q, %+v, %v", buf[:n], got, err)
				}
			})
		}
	}
}

func TestWriteMsgToAllocations(t *testing.T) {
	if conformance.Slowness > 1 {
		t.Skip("the race detector allocates")
	}
	c, s := pipe(t, "sctp", "127.0.0.1/[::1]:0")
	buf := make([]byte, 100)
	for _, to := range []netip.Addr{lo1, lo6} {
		if n := testing.AllocsPerRun(100, func() {
			c.WriteMsg(buf, sctpnet.MsgInfo{To: to, PPID: 1})
			s.ReadMsg(buf)
		}); n > 0 {
			t.Errorf("%v allocations for a message to %v", n, to)
		}
	}
}

// After a refusal everything is as it was.
func TestAddrsRefused(t *testing.T) {
	notOurs := netip.MustParseAddr("203.0.113.77")
	type call struct {
		name string
		do   func(*sctpnet.Conn, netip.Addr) error
		ip   netip.Addr
		want error
		says string
	}
	add, remove := (*sctpnet.Conn).AddLocalAddr, (*sctpnet.Conn).RemoveLocalAddr
	primary, peerPrimary := (*sctpnet.Conn).SetPrimary, (*sctpnet.Conn).SetPeerPrimary
	write := func(c *sctpnet.Conn, to netip.Addr) error {
		_, err := c.WriteMsg([]byte("x"), sctpnet.MsgInfo{To: to})
		return err
	}
	try := func(t *testing.T, c, other *sctpnet.Conn, calls []call) {
		for _, tt := range calls {
			local, peer := c.LocalAddrs(), c.PeerAddrs()
			err := tt.do(c, tt.ip)
			var operr *net.OpError
			if !errors.As(err, &operr) || !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%s %v: got %v, want %v that says %q", tt.name, tt.ip, err, tt.want, tt.says)
			}
			time.Sleep(10 * time.Millisecond)
			wantAddrs(t, tt.name+": LocalAddrs", c.LocalAddrs(), local...)
			wantAddrs(t, tt.name+": PeerAddrs", c.PeerAddrs(), peer...)
			wantAddrs(t, tt.name+": PeerAddrs of the other", other.PeerAddrs(), local...)
			send(t, c, other, sctpnet.MsgInfo{}, 100)
			send(t, other, c, sctpnet.MsgInfo{}, 100)
		}
	}
	linkLocal := netip.MustParseAddr("fe80::1")
	never := []netip.Addr{
		{}, netip.IPv4Unspecified(), netip.IPv6Unspecified(), netip.MustParseAddr("::ffff:0.0.0.0"),
		netip.MustParseAddr("224.0.0.1"), netip.MustParseAddr("ff02::1"), netip.MustParseAddr("255.255.255.255"),
	}
	t.Run("by nature", func(t *testing.T) {
		c, s, _ := reconfigurable(t, "127.0.0.1", "127.0.0.1/127.0.0.2:0")
		for _, ip := range never {
			calls := []call{
				{"AddLocalAddr", add, ip, syscall.EINVAL, ""},
				{"RemoveLocalAddr", remove, ip, syscall.EINVAL, ""},
				{"SetPrimary", primary, ip, syscall.EINVAL, ""},
				{"SetPeerPrimary", peerPrimary, ip, syscall.EINVAL, ""},
			}
			if ip.IsValid() {
				calls = append(calls, call{"WriteMsg", write, ip, syscall.EINVAL, ""})
			}
			try(t, c, s, calls)
		}
	})
	t.Run("IPv4", func(t *testing.T) {
		c, s, _ := reconfigurable(t, "127.0.0.1", "127.0.0.1/127.0.0.2:0")
		try(t, s, c, []call{
			{"AddLocalAddr", add, lo2, syscall.EADDRINUSE, "already"},
			{"AddLocalAddr", add, notOurs, syscall.EADDRNOTAVAIL, "not an address of this host"},
			{"AddLocalAddr", add, lo6, syscall.EAFNOSUPPORT, "IPv6"},
			{"AddLocalAddr", add, linkLocal, syscall.EINVAL, "zone"},
			{"RemoveLocalAddr", remove, lo3, syscall.EADDRNOTAVAIL, "not a local address"},
			{"RemoveLocalAddr", remove, lo6, syscall.EADDRNOTAVAIL, "not a local address"},
			{"SetPrimary", primary, lo2, syscall.EADDRNOTAVAIL, "not an address of the peer"},
			{"SetPrimary", primary, lo6, syscall.EADDRNOTAVAIL, "not an address of the peer"},
			{"SetPeerPrimary", peerPrimary, lo3, syscall.EADDRNOTAVAIL, "not a local address"},
			{"WriteMsg", write, lo2, syscall.EADDRNOTAVAIL, "not an address of the peer"},
			{"WriteMsg", write, lo6, syscall.EADDRNOTAVAIL, "not an address of the peer"},
			{"WriteMsg", write, notOurs, syscall.EADDRNOTAVAIL, "not an address of the peer"},
		})
		try(t, c, s, []call{{"RemoveLocalAddr", remove, lo1, syscall.EBUSY, "only address"}})
	})
	t.Run("IPv6", func(t *testing.T) {
		c, s, _ := reconfigurable(t, "::1", "[::1]:0")
		try(t, c, s, []call{
			{"AddLocalAddr", add, lo1, syscall.EAFNOSUPPORT, "IPv4"},
			{"RemoveLocalAddr", remove, lo6, syscall.EBUSY, "only address"},
			{"WriteMsg", write, lo1, syscall.EADDRNOTAVAIL, "not an address of the peer"},
		})
	})
	t.Run("unbound", func(t *testing.T) {
		silentNet(t)
		sysctl(t, "addip_noauth_enable", "1")
		sysctl(t, "addip_enable", "1")
		if err := ip("address add 198.51.100.7/24 dev", silentLink); err != nil {
			t.Fatal(err)
		}
		ln := listen(t, "sctp4", ":0")
		c := dial(t, nil, "sctp", fmt.Sprintf("%s:%d", own4, port(ln.Addr())))
		s := accept(t, ln)
		if err := ip("address add 198.51.100.8/24 dev", silentLink); err != nil {
			t.Fatal(err)
		}
		for _, end := range []*sctpnet.Conn{c, s} {
			other := map[*sctpnet.Conn]*sctpnet.Conn{c: s, s: c}[end]
			try(t, end, other, []call{
				{"AddLocalAddr", add, netip.MustParseAddr("198.51.100.8"), syscall.EINVAL, "bound to no address"},
				{"RemoveLocalAddr", remove, netip.MustParseAddr("198.51.100.7"), syscall.EINVAL, "bound to no address"},
			})
		}
	})
	t.Run("not agreed on", func(t *testing.T) {
		c, s := pipe(t, "sctp", "127.0.0.1/127.0.0.2:0")
		for _, says := range []string{"net.sctp.addip_enable=1", "net.sctp.addip_noauth_enable=1", "net.sctp.auth_enable=1"} {
			try(t, s, c, []call{
				{"AddLocalAddr", add, lo3, errors.ErrUnsupported, says},
				{"RemoveLocalAddr", remove, lo2, errors.ErrUnsupported, says},
				{"SetPeerPrimary", peerPrimary, lo2, errors.ErrUnsupported, says},
			})
		}
		// Nor can a listener where the peer cannot.
		ln := listen(t, "sctp", "127.0.0.1/127.0.0.2:0")
		sysctl(t, "addip_noauth_enable", "1")
		sysctl(t, "addip_enable", "1")
		c = dial(t, nil, "sctp", ln.Addr().String())
		s = accept(t, ln)
		try(t, c, s, []call{{"AddLocalAddr", add, lo3, errors.ErrUnsupported, "both"}})
	})
}

// Addresses can change while others use the association.
func TestAddrsConcurrently(t *testing.T) {
	c, s, _ := reconfigurable(t, "127.0.0.1", "127.0.0.1/127.0.0.2:0")
	ctx, cancel := context.WithTimeout(context.Background(), atOnce)
	defer cancel()
	done := make(chan struct{}, 4)
	loop := func(f func()) {
		go func() {
			for ctx.Err() == nil {
				f()
			}
			done <- struct{}{}
		}()
	}
	loop(func() {
		s.AddLocalAddr(lo3)
		s.RemoveLocalAddr(lo3)
	})
	loop(func() {
		c.SetPrimary(lo2)
		c.SetPrimary(lo1)
	})
	loop(func() {
		for _, to := range c.PeerAddrs() {
			c.WriteMsg([]byte("x"), sctpnet.MsgInfo{To: to})
		}
		c.Status()
		c.Paths()
		c.Stats()
	})
	loop(func() {
		s.SetReadDeadline(time.Now().Add(atOnce))
		if _, err := s.Read(make([]byte, 10)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	})
	watchdog(t, func() {
		for range cap(done) {
			<-done
		}
	})
	s.SetReadDeadline(time.Time{})
	if _, err := c.Status(); err != nil {
		t.Error(err)
	}
}

// Config has it without sysctl, and with authentication.
func TestBindAddByConfig(t *testing.T) {
	config := sctpnet.Config{AddressReconfig: true}
	c, s := configured(t, "sctp", "127.0.0.1:0", config, config)
	if err := s.AddLocalAddr(lo2); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the address of the accepting end", func() bool { return slices.Contains(c.PeerAddrs(), lo2) })
	if err := c.AddLocalAddr(lo3); err == nil {
		t.Error("an address was added to an association that is bound to none")
	}
	send(t, c, s, sctpnet.MsgInfo{To: lo2}, 100)
	if err := s.SetPeerPrimary(lo2); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the primary path", func() bool { return c.PeerAddrs()[0] == lo2 })
	if err := s.RemoveLocalAddr(lo1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the removal", func() bool { return !slices.Contains(c.PeerAddrs(), lo1) })
	wantSame(t, c)
	wantSame(t, s)

	// The other way round.
	ln := listenWith(t, "sctp", "127.0.0.1:0", sctpnet.ListenConfig{Config: config})
	local := &sctpnet.Addr{IPAddrs: []net.IPAddr{{IP: lo1.AsSlice()}}}
	c = dial(t, &sctpnet.Dialer{Config: config, LocalAddr: local}, "sctp", ln.Addr().String())
	s = accept(t, ln)
	if err := c.AddLocalAddr(lo3); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the address of the dialing end", func() bool { return slices.Contains(s.PeerAddrs(), lo3) })
	send(t, s, c, sctpnet.MsgInfo{To: lo3}, 100)
}
