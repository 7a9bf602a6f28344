package sctpnet_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"

	"github.com/sctpnet/sctpnet"
)

var (
	lo1 = netip.MustParseAddr("127.0.0.1")
	lo2 = netip.MustParseAddr("127.0.0.2")
	lo3 = netip.MustParseAddr("127.0.0.3")
	lo6 = netip.MustParseAddr("::1")
)

// sorted returns a sorted copy.
func sorted(ips []netip.Addr) []netip.Addr {
	return slices.SortedFunc(slices.Values(ips), netip.Addr.Compare)
}

// wantAddrs checks a list, in any order.
func wantAddrs(t testing.TB, what string, got []netip.Addr, want ...netip.Addr) {
	t.Helper()
	if !slices.Equal(sorted(got), sorted(want)) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// On an association that has ended the destination does not hide how.
func TestWriteMsgToEnded(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, abort := range []bool{false, true} {
			c, s := pipe(t, network, "127.0.0.1:0")
			if abort {
				s.Abort()
			} else {
				s.Close()
			}
			eventually(t, "the end", func() bool {
				_, err := c.Status()
				return err != nil
			})
			wantRead := error(io.EOF)
			if abort {
				wantRead = syscall.ECONNRESET
			}
			for range 2 {
				_, err := c.WriteMsg([]byte("x"), sctpnet.MsgInfo{To: lo1})
				if !errors.Is(err, syscall.EPIPE) && !(abort && errors.Is(err, syscall.ECONNRESET)) {
					t.Errorf("abort %v: WriteMsg: %v", abort, err)
				}
			}
			watchdog(t, func() {
				if _, err := c.Read(make([]byte, 1)); !errors.Is(err, wantRead) {
					t.Errorf("abort %v: Read: %v, want %v", abort, err, wantRead)
				}
			})
			c.Close()
			if _, err := c.WriteMsg([]byte("x"), sctpnet.MsgInfo{To: lo1}); !errors.Is(err, net.ErrClosed) {
				t.Errorf("WriteMsg after Close: %v", err)
			}
		}
	})
}

// TestWriteMsgToOthers writes to addresses that are not the peer's.
func TestWriteMsgToOthers(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		c, s := pipe(t, network, "127.0.0.1:0")
		for _, to := range []netip.Addr{lo2, lo6} {
			var op *net.OpError
			if _, err := c.WriteMsg([]byte("x"), sctpnet.MsgInfo{To: to}); !errors.Is(err, syscall.EADDRNOTAVAIL) || !errors.As(err, &op) {
				t.Errorf("to %v: %v, want EADDRNOTAVAIL in a *net.OpError", to, err)
			}
		}
		send(t, c, s, sctpnet.MsgInfo{To: lo1}, 100)
	})
}

// TestAddrsOfOne checks the addresses of ends that have one each.
func TestAddrsOfOne(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		ln := listen(t, network, "127.0.0.1:0")
		local := &sctpnet.Addr{IPAddrs: []net.IPAddr{{IP: net.IPv4(127, 0, 0, 1)}}}
		c := dial(t, &sctpnet.Dialer{LocalAddr: local}, network, ln.Addr().String())
		s := accept(t, ln)
		for _, conn := range []*sctpnet.Conn{c, s} {
			wantAddrs(t, "LocalAddrs", conn.LocalAddrs(), lo1)
			wantAddrs(t, "PeerAddrs", conn.PeerAddrs(), lo1)
			conn.LocalAddrs()[0], conn.PeerAddrs()[0] = lo2, lo2 // they are copies
			wantAddrs(t, "LocalAddrs again", conn.LocalAddrs(), lo1)
			wantAddrs(t, "PeerAddrs again", conn.PeerAddrs(), lo1)
		}
		c.Close()
		wantAddrs(t, "LocalAddrs after Close", c.LocalAddrs(), lo1)
		wantAddrs(t, "PeerAddrs after Close", c.PeerAddrs(), lo1)
	})
}

func TestNilConnAddrs(t *testing.T) {
	for _, c := range []*sctpnet.Conn{nil, {}} {
		if c.LocalAddrs() != nil || c.PeerAddrs() != nil {
			t.Error("addresses of no Conn")
		}
		for name, f := range inspections(c) {
			if err := f(); err != syscall.EINVAL {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := c.File(); err != syscall.EINVAL {
			t.Errorf("File: %v", err)
		}
	}
	if _, err := (*sctpnet.Listener)(nil).File(); err != syscall.EINVAL {
		t.Errorf("File of no Listener: %v", err)
	}
}
