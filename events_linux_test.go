package sctpnet_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"golang.org/x/sys/unix"
)

// eventPair makes an association with handlers at both ends, which may be
// configured and are bound to 10.77.1.x and 10.77.2.x.
func eventPair(t testing.TB, configure func(client, server *sctpnet.Config)) (client, server *sctpnet.Conn, ce, se *recorder, a, b *netns) {
	t.Helper()
	a, b = newLinks(t)
	ce, se = newRecorder("sctp4"), newRecorder("sctp4")
	cc, sc := ce.config(), se.config()
	if configure != nil {
		configure(&cc, &sc)
	}
	ln := b.listen(t, sctpnet.ListenConfig{Config: sc}, bothRemote+":0")
	local := &sctpnet.Addr{IPAddrs: []net.IPAddr{{IP: net.IP{10, 77, 1, 1}}, {IP: net.IP{10, 77, 2, 1}}}}
	client = a.dial(t, sctpnet.Dialer{LocalAddr: local, Config: cc}, fmt.Sprintf("%s:%d", bothRemote, port(ln.Addr())))
	return client, accept(t, ln), ce, se, a, b
}

// TestEventsLost has a peer abort with messages under way both ways.
func TestEventsLost(t *testing.T) {
	watchdog(t, func() {
		aborted := make(chan struct{})
		client, server, ce, se, _, _ := eventPair(t, func(client, server *sctpnet.Config) {
			client.ReadBuffer, server.WriteBuffer = 128<<10, 256<<10
			record := client.OnEvent
			client.OnEvent = func(c *sctpnet.Conn, e sctpnet.Event) {
				record(c, e)
				<-aborted // nothing is received until then
			}
		})
		awaitAssociation(t, se, sctpnet.AssocUp)
		// Fill what the client's system takes.
		info := sctpnet.MsgInfo{Stream: 3, PPID: 46, Context: 47}
		message := eventData(40000)
		const most = 300 << 10 // that it takes
		for n := 0; ; {
			server.SetWriteDeadline(time.Now().Add(20 * ms))
			k, err := server.WriteMsg(message, info)
			n += k
			if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
			if err != nil && n > most {
				break
			}
		}
		if err := client.Abort(); err != nil {
			t.Fatal(err)
		}
		close(aborted)
		if e := awaitAssociation(t, se, sctpnet.AssocLost); e.Cause != sctpnet.CauseUserAbort || len(e.Causes) != 4 {
			t.Errorf("%#v; want an abort by the user", e)
		}
		// The message that was under way is handed back whole.
		e := await[sctpnet.SendFailedEvent](t, se, nil)
		if e.Info != info || !bytes.Equal(e.Data, message) || e.Cause != sctpnet.CauseUserAbort {
			t.Errorf("%v; want all of the message", e)
		}
		if _, err := io.Copy(io.Discard, server); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read %v; want ECONNRESET", err)
		}
		for _, e := range ce.all() {
			if e, ok := e.(sctpnet.AssocEvent); ok && e.Change != sctpnet.AssocUp {
				t.Errorf("%v after the Conn's own Abort", e)
			}
		}
	})
}

// TestEventsPaths takes links down and up, and adds and removes addresses.
func TestEventsPaths(t *testing.T) {
	watchdog(t, func() {
		quick := func(client, server *sctpnet.Config) {
			client.RTO = sctpnet.RTO{Initial: 100 * time.Millisecond, Min: 100 * time.Millisecond, Max: 200 * time.Millisecond}
			client.PathParams = sctpnet.PathParams{HeartbeatInterval: 100 * time.Millisecond, MaxRetransmissions: 2}
			server.AddressReconfig = true
			client.AddressReconfig = true
		}
		client, server, ce, se, a, b := eventPair(t, quick)
		// What was dialed counts as confirmed; the server learns of link 2.
		awaitPath(t, se, "10.77.2.1", sctpnet.PathConfirmed)
		for _, e := range se.all() {
			if e, ok := e.(sctpnet.PathEvent); ok && e.Addr != netip.AddrPortFrom(netip.MustParseAddr("10.77.2.1"), uint16(port(client.LocalAddr()))) {
				t.Errorf("%v of another address", e)
			}
		}
		a.ip(t, "link set link1 down")
		awaitPath(t, ce, "10.77.1.2", sctpnet.PathPotentiallyFailed)
		awaitPath(t, ce, "10.77.1.2", sctpnet.PathUnreachable)
		a.ip(t, "link set link1 up")
		awaitPath(t, ce, "10.77.1.2", sctpnet.PathReachable)

		if err := client.SetPrimary(netip.MustParseAddr("10.77.2.2")); err != nil {
			t.Fatal(err)
		}
		awaitPath(t, ce, "10.77.2.2", sctpnet.PathMadePrimary)

		b.ip(t, "address add 10.77.2.3/24 dev link2")
		if err := server.AddLocalAddr(netip.MustParseAddr("10.77.2.3")); err != nil {
			t.Fatal(err)
		}
		awaitPath(t, ce, "10.77.2.3", sctpnet.PathAdded)
		awaitPath(t, ce, "10.77.2.3", sctpnet.PathConfirmed)
		if err := server.SetPeerPrimary(netip.MustParseAddr("10.77.2.3")); err != nil {
			t.Fatal(err)
		}
		awaitPath(t, ce, "10.77.2.3", sctpnet.PathMadePrimary)
		if err := server.RemoveLocalAddr(netip.MustParseAddr("10.77.2.3")); err != nil {
			t.Fatal(err)
		}
		awaitPath(t, ce, "10.77.2.3", sctpnet.PathRemoved)
		exchange(t, client, server)

		// Both links: the association is lost, and the cause is nobody's.
		a.ip(t, "link set link1 down")
		a.ip(t, "link set link2 down")
		if _, err := client.Write([]byte("never arrives")); err != nil {
			t.Fatal(err)
		}
		if e := awaitAssociation(t, ce, sctpnet.AssocLost); e.Cause != 0 || e.Causes != nil {
			t.Errorf("%#v; want no cause", e)
		}
		e := await[sctpnet.SendFailedEvent](t, ce, nil)
		if string(e.Data) != "never arrives" || !e.Sent {
			t.Errorf("%#v; want what was sent", e)
		}
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("read %v; want ETIMEDOUT", err)
		}
	})
}

// TestEventsRestart has a peer lose the association and make it anew.
func TestEventsRestart(t *testing.T) {
	watchdog(t, func() {
		client, server, _, se, a, _ := eventPair(t, func(client, server *sctpnet.Config) { server.KeepRestarted = true })
		exchange(t, client, server)
		local := *client.LocalAddr().(*sctpnet.Addr)
		remote := client.RemoteAddr().String()
		// The client goes and cannot tell.
		a.ip(t, "link set link1 down")
		a.ip(t, "link set link2 down")
		if err := client.Abort(); err != nil {
			t.Fatal(err)
		}
		a.ip(t, "link set link1 up")
		a.ip(t, "link set link2 up")
		again := a.dial(t, sctpnet.Dialer{LocalAddr: &local}, remote)
		e := awaitAssociation(t, se, sctpnet.AssocRestarted)
		if out, in := again.NumStreams(); e.OutStreams != in || e.InStreams != out {
			t.Errorf("%v; want %d and %d streams", e, in, out)
		}
		exchange(t, again, server)
	})
}

// TestEventsExpired has messages expire that wait for a peer which does not
// read.
func TestEventsExpired(t *testing.T) {
	watchdog(t, func() {
		client, server, ce, _, _, _ := eventPair(t, func(client, server *sctpnet.Config) {
			client.WriteBuffer, server.ReadBuffer = 512<<10, 128<<10
			server.OnEvent = nil // for which it would receive without being read
		})
		const ttl = 20 * time.Millisecond * conformance.Slowness
		filler := eventData(16 << 10)
		st, err := client.Status()
		if err != nil {
			t.Fatal(err)
		}
		for n := 0; n < st.PeerWindow+2*len(filler); n += len(filler) {
			if _, err := client.Write(filler); err != nil {
				t.Fatal(err)
			}
		}
		info := sctpnet.MsgInfo{Stream: 5, PPID: 1 << 24, Context: 7, Unordered: true, TTL: ttl}
		long := eventData(20000) // in several packets
		for _, b := range [][]byte{[]byte("expires"), long} {
			if _, err := client.WriteMsg(b, info); err != nil {
				t.Fatal(err)
			}
			info.Context++
		}
		time.Sleep(2 * ttl)
		go io.Copy(io.Discard, server)
		info.TTL = 0
		info.Context = 7
		for _, b := range [][]byte{[]byte("expires"), long} {
			e := await[sctpnet.SendFailedEvent](t, ce, nil)
			if e.Info != info || !bytes.Equal(e.Data, b) || e.Sent || e.Cause != 0 {
				t.Errorf("%v; want %d bytes of %+v", e, len(b), info)
			}
			info.Context++
		}
		write(t, client, "more")
	})
}

// TestEventsPartialDelivery has a peer abort in the middle of a message of
// which a part was received.
func TestEventsPartialDelivery(t *testing.T) {
	watchdog(t, func() {
		client, server, _, se, _, _ := eventPair(t, func(client, server *sctpnet.Config) {
			server.ReadBuffer = 4096
		})
		// More than the Conn keeps for a reader, and the window.
		if _, err := client.WriteMsg(eventData(380<<10), sctpnet.MsgInfo{Stream: 2}); err != nil {
			t.Fatal(err)
		}
		if n, info, err := server.ReadMsg(make([]byte, 10)); n != 10 || !info.More || err != nil {
			t.Fatalf("read %d, %+v, %v", n, info, err)
		}
		client.Abort()
		e := await[sctpnet.PartialDeliveryEvent](t, se, nil)
		t.Log(e)
		awaitAssociation(t, se, sctpnet.AssocLost)
	})
}

// TestEventsAuthentication changes keys, and has a peer without any.
func TestEventsAuthentication(t *testing.T) {
	watchdog(t, func() {
		auth := func(client, server *sctpnet.Config) {
			keys := []sctpnet.AuthKey{{ID: 1, Secret: []byte("one")}, {ID: 2, Secret: []byte("two")}}
			client.Auth = &sctpnet.Auth{Keys: keys, Active: 1}
			server.Auth = &sctpnet.Auth{Keys: keys, Active: 1, Chunks: []uint8{0}}
		}
		client, server, ce, se, _, _ := eventPair(t, auth)
		exchange(t, client, server)
		if err := client.ActivateAuthKey(2); err != nil {
			t.Fatal(err)
		}
		exchange(t, client, server)
		if e := await(t, se, func(e sctpnet.AuthEvent) bool { return e.Key == 2 }); e.Change != sctpnet.AuthNewKey {
			t.Errorf("%v; want a new key", e)
		}
		if err := client.DeactivateAuthKey(1); err != nil {
			t.Fatal(err)
		}
		if e := await[sctpnet.AuthEvent](t, ce, nil); e.Change != sctpnet.AuthFreeKey || e.Key != 1 {
			t.Errorf("%v; want key 1 free", e)
		}

		_, _, ce, _, _, _ = eventPair(t, func(client, server *sctpnet.Config) { client.Auth = &sctpnet.Auth{} })
		if e := await[sctpnet.AuthEvent](t, ce, nil); e.Change != sctpnet.AuthNone {
			t.Errorf("%v; want none", e)
		}
	})
}

// TestEventsReset resets the association.
func TestEventsReset(t *testing.T) {
	watchdog(t, func() {
		client, server, ce, se, _, _ := eventPair(t, nil)
		exchange(t, client, server)
		for client.ResetAssoc() != nil {
			time.Sleep(time.Millisecond) // for the acknowledgement of the rest
		}
		e := await[sctpnet.AssocResetEvent](t, ce, nil)
		f := await[sctpnet.AssocResetEvent](t, se, nil)
		if e.LocalTSN == 0 || e.LocalTSN != f.RemoteTSN || e.RemoteTSN != f.LocalTSN || e.Denied || e.Failed {
			t.Errorf("%v and %v", e, f)
		}
		exchange(t, client, server)
	})
}

// TestEventsRemoteError has an ERROR come from the peer, by way of a raw socket
// at its address.
func TestEventsRemoteError(t *testing.T) {
	watchdog(t, func() {
		client, server, ce, _, _, b := eventPair(t, nil)
		var raw int
		b.do(t, func() (err error) {
			raw, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
			return err
		})
		defer unix.Close(raw)
		// The answer of an acknowledgement brings the verification tag that
		// the client expects: of the packets that go to it. Here they are
		// seen by a tap.
		var tap int
		b.do(t, func() (err error) {
			const all = 3 << 8 // ETH_P_ALL in network order
			tap, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, all)
			return err
		})
		defer unix.Close(tap)
		exchange(t, client, server)
		var header []byte // SCTP's, of a packet to the client
		for header == nil {
			p := make([]byte, 64<<10)
			n, _, err := unix.Recvfrom(tap, p, 0)
			if err != nil {
				t.Fatal(err)
			}
			if p := p[:n]; n > 32 && p[0] == 0x45 && p[9] == unix.IPPROTO_SCTP && bytes.Equal(p[16:20], []byte{10, 77, 1, 1}) {
				header = p[20:28]
			}
		}
		for _, cause := range []struct {
			chunk []byte
			want  sctpnet.RemoteErrorEvent
		}{
			{[]byte{9, 0, 0, 12, 0, 6, 0, 8, 0x7f, 1, 2, 3}, sctpnet.RemoteErrorEvent{Cause: sctpnet.CauseUnrecognizedChunk, Data: []byte{0x7f, 1, 2, 3}}},
			{[]byte{9, 0, 0, 8, 0, 13, 0, 4}, sctpnet.RemoteErrorEvent{Cause: sctpnet.CauseProtocolViolation}},
		} {
			packet := slices.Concat(header, []byte{0, 0, 0, 0}, cause.chunk)
			binary.LittleEndian.PutUint32(packet[8:], crc32.Checksum(packet, crc32.MakeTable(crc32.Castagnoli)))
			if err := unix.Sendto(raw, packet, 0, &unix.SockaddrInet4{Addr: [4]byte{10, 77, 1, 1}}); err != nil {
				t.Fatal(err)
			}
			if e := await[sctpnet.RemoteErrorEvent](t, ce, nil); !reflect.DeepEqual(e, cause.want) {
				t.Errorf("%#v; want %#v", e, cause.want)
			}
		}
		exchange(t, client, server)
	})
}

// TestNoEventOfAuthUnasked looks for events of authentication at ends that have nothing
// to do with it.
func TestNoEventOfAuthUnasked(t *testing.T) {
	needSCTP(t)
	watchdog(t, func() {
		config := sctpnet.Config{OnEvent: func(c *sctpnet.Conn, e sctpnet.Event) {
			if e, ok := e.(sctpnet.AuthEvent); ok {
				t.Errorf("received %v", e)
			}
		}}
		lc := sctpnet.ListenConfig{Config: config}
		ln, err := lc.Listen(t.Context(), "sctp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		d := sctpnet.Dialer{Config: config}
		client, err := d.Dial("sctp4", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		server, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		// All events come before the end of the association is read.
		if err := server.(*sctpnet.Conn).Shutdown(); err != nil {
			t.Fatal(err)
		}
		for _, c := range []io.ReadCloser{client, server} {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("Read: %v", err)
			}
			c.Close()
		}
	})
}
