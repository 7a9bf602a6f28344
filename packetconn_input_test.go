package sctpnet_test

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
)

// TestPacketConnBadInput gives a PacketConn what cannot be. Each error says so, in
// net's shape, and the association there is goes on.
func TestPacketConnBadInput(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		c := listenPacket(t, &sctpnet.ListenConfig{Config: sctpnet.Config{WriteBuffer: 64 << 10}}, network, "127.0.0.1:0")
		other := listenPacket(t, nil, network, "127.0.0.1:0")
		peer := packetConnect(t, c, other.LocalAddr())
		nobody := oneAddr("127.0.0.9", 9)
		gone := listenPacket(t, nil, network, "127.0.0.1:0")
		ended := packetConnect(t, c, gone.LocalAddr())
		if err := c.Shutdown(ended); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the association has ended", func() bool { _, err := c.Status(ended); return err != nil })
		off := listenPacket(t, nil, network, "127.0.0.1:0")
		away := packetConnect(t, c, off.LocalAddr())
		conn, err := c.PeelOff(away)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()

		write := func(p string, to net.Addr) error { return first(c.WriteTo([]byte(p), to)) }
		msg := func(p []byte, info sctpnet.MsgInfo) error { return first(c.WriteMsg(p, info, peer)) }
		dials := func(address string) error { return first(c.Connect(t.Context(), address)) }
		watchdog(t, func() {
			for _, tt := range []struct {
				name string
				err  error
				is   error
				says string
			}{
				{"nil address", write("x", nil), nil, "missing address"},
				{"nil *Addr", write("x", (*sctpnet.Addr)(nil)), nil, "missing address"},
				{"nil *Addr of WriteMsg", first(c.WriteMsg([]byte("x"), sctpnet.MsgInfo{}, nil)), nil, "missing address"},
				{"another type", write("x", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9}), nil, "*net.UDPAddr"},
				{"no port", write("x", oneAddr("127.0.0.1", 0)), nil, "port"},
				{"a port too large", write("x", oneAddr("127.0.0.1", 70_000)), nil, "65535"},
				{"no IP address", write("x", &sctpnet.Addr{Port: 9}), nil, "no address"},
				{"any address", write("x", oneAddr("0.0.0.0", 9)), syscall.EINVAL, "means any"},
				{"multicast", write("x", oneAddr("224.0.0.1", 9)), syscall.EINVAL, "one host"},
				{"IPv6", write("x", oneAddr("::1", 9)), nil, "IPv6"},
				{"a link's address without zone", write("x", oneAddr("fe80::1", 9)), nil, "zone"},
				{"empty", write("", peer), nil, "empty"},
				{"too long", write(strings.Repeat("x", 1<<20), peer), syscall.EMSGSIZE, "1048576"},
				{"no such stream", msg([]byte("x"), sctpnet.MsgInfo{Stream: 60_000}), syscall.EINVAL, "60000"},
				{"TTL", msg([]byte("x"), sctpnet.MsgInfo{TTL: -1}), nil, "TTL"},
				{"To that is not the peer's", msg([]byte("x"), sctpnet.MsgInfo{To: netip.MustParseAddr("127.0.0.9")}), syscall.EADDRNOTAVAIL, "127.0.0.9"},
				{"to a peer that has shut down", write("x", ended), syscall.EPIPE, ended.String()},
				{"to one that was peeled off", write("x", away), syscall.ENOTCONN, "peeled off"},

				{"PeelOff twice", first(c.PeelOff(away)), syscall.ENOTCONN, "peeled off"},
				{"PeelOff of nobody", first(c.PeelOff(nobody)), syscall.ENOTCONN, "no association"},
				{"PeelOff of nil", first(c.PeelOff(nil)), nil, "missing address"},
				{"PeelOff of one that has ended", first(c.PeelOff(ended)), syscall.EPIPE, ended.String()},
				{"Shutdown of nobody", c.Shutdown(nobody), syscall.ENOTCONN, "no association"},
				{"Abort of nobody", c.Abort(nobody), syscall.ENOTCONN, "no association"},
				{"Status of nobody", first(c.Status(nobody)), syscall.ENOTCONN, "no association"},
				{"Paths of nobody", first(c.Paths(nobody)), syscall.ENOTCONN, "no association"},
				{"Stats of nobody", first(c.Stats(nobody)), syscall.ENOTCONN, "no association"},
				{"Set of a buffer", c.Set(peer, sctpnet.Config{ReadBuffer: 1 << 20}), errors.ErrUnsupported, "ReadBuffer"},
				{"Set of streams", c.Set(peer, sctpnet.Config{OutStreams: 3}), errors.ErrUnsupported, "OutStreams"},
				{"Set out of range", c.Set(peer, sctpnet.Config{RTO: sctpnet.RTO{Min: -1}}), nil, "RTO.Min"},

				{"Connect to nothing", dials(""), nil, "missing address"},
				{"Connect without port", dials("127.0.0.1"), nil, "port"},
				{"Connect to port 0", dials("127.0.0.1:0"), nil, "port"},
				{"Connect to IPv6", dials("[::1]:9"), nil, "IPv6"},
				{"Connect to multicast", dials("224.0.0.1:9"), syscall.EINVAL, "one host"},
			} {
				var op *net.OpError
				if !errors.As(tt.err, &op) || op.Net != network || !strings.Contains(tt.err.Error(), tt.says) {
					t.Errorf("%s: %v, want a *net.OpError with %q", tt.name, tt.err, tt.says)
				} else if tt.is != nil && !errors.Is(tt.err, tt.is) {
					t.Errorf("%s: %v, want %v", tt.name, tt.err, tt.is)
				}
			}
			if _, err := c.WriteTo([]byte("still here"), peer); err != nil {
				t.Error(err)
			}
			if got := packetNext(t, other); got != "still here" {
				t.Errorf("%q", got)
			}
		})
	})
}

// TestListenPacketBadInput listens where that is not possible.
func TestListenPacketBadInput(t *testing.T) {
	eachPacketEngine(t, func(t *testing.T, network string) {
		taken := listenPacket(t, nil, network, "127.0.0.1:0")
		for _, tt := range []struct {
			network, address string
			lc               sctpnet.ListenConfig
			is               error
			says             string
		}{
			{network, taken.LocalAddr().String(), sctpnet.ListenConfig{}, syscall.EADDRINUSE, "bind"},
			{network, "127.0.0.1", sctpnet.ListenConfig{}, nil, "missing port"},
			{network, "203.0.113.9:0", sctpnet.ListenConfig{}, syscall.EADDRNOTAVAIL, "203.0.113.9"},
			{"sctp9", "127.0.0.1:0", sctpnet.ListenConfig{}, nil, "unknown network"},
			{network, "127.0.0.1:0", sctpnet.ListenConfig{AutoClose: time.Millisecond}, nil, "AutoClose"},
			{network, "127.0.0.1:0", sctpnet.ListenConfig{Config: sctpnet.Config{OutStreams: -1}}, nil, "OutStreams"},
		} {
			c, err := tt.lc.ListenPacket(t.Context(), tt.network, tt.address)
			var op *net.OpError
			if c != nil || !errors.As(err, &op) || op.Op != "listen" || !strings.Contains(err.Error(), tt.says) || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("%s %s: %v, %v; want %q", tt.network, tt.address, c, err, tt.says)
			}
		}
		var none *sctpnet.PacketConn
		if _, _, err := none.ReadFrom(nil); err != syscall.EINVAL {
			t.Error(err)
		}
		if _, err := none.WriteTo(nil, nil); err != syscall.EINVAL || none.LocalAddr() != nil || none.Close() != syscall.EINVAL {
			t.Error(err)
		}
	})
}

// oneAddr is an endpoint with one address.
func oneAddr(ip string, port int) *sctpnet.Addr {
	return &sctpnet.Addr{IPAddrs: []net.IPAddr{{IP: net.ParseIP(ip)}}, Port: port}
}
