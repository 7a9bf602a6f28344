package sctpnet_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"golang.org/x/sys/unix"
)

// A recorder is a handler of events.
type recorder struct {
	mu     sync.Mutex
	events []sctpnet.Event
	seen   int // by await
	more   chan struct{}
	conn   *sctpnet.Conn
}

func newRecorder() *recorder { return &recorder{more: make(chan struct{}, 1)} }

func (r *recorder) handle(c *sctpnet.Conn, e sctpnet.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	r.conn = c
	select {
	case r.more <- struct{}{}:
	default:
	}
}

func (r *recorder) config() sctpnet.Config { return sctpnet.Config{OnEvent: r.handle} }

// all returns the events so far.
func (r *recorder) all() []sctpnet.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// of returns the Conn that the last event was of.
func (r *recorder) of() *sctpnet.Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.conn
}

// await returns the next event of a type for which ok, nil for any, is true. It
// passes over others.
func await[E sctpnet.Event](t testing.TB, r *recorder, ok func(E) bool) E {
	t.Helper()
	timeout := time.After(20 * time.Second * conformance.Slowness)
	for {
		r.mu.Lock()
		for r.seen < len(r.events) {
			e, is := r.events[r.seen].(E)
			r.seen++
			if is && (ok == nil || ok(e)) {
				r.mu.Unlock()
				return e
			}
		}
		r.mu.Unlock()
		select {
		case <-r.more:
		case <-timeout:
			var e E
			t.Fatalf("no such %T in %v", e, r.all())
		}
	}
}

func awaitAssociation(t testing.TB, r *recorder, change sctpnet.AssociationChange) sctpnet.AssociationEvent {
	t.Helper()
	return await(t, r, func(e sctpnet.AssociationEvent) bool { return e.Change == change })
}

func awaitPath(t testing.TB, r *recorder, addr string, change sctpnet.PathChange) {
	t.Helper()
	await(t, r, func(e sctpnet.PathEvent) bool { return e.Addr.Addr().String() == addr && e.Change == change })
}

// The main goroutine keeps the main thread, so that no netns has it: /proc/self
// shows that thread's network.
func init() { runtime.LockOSThread() }

// A netns is a network of its own, in which functions run.
type netns struct {
	tid  int
	work chan func()
}

func newNetns(t testing.TB) *netns {
	t.Helper()
	needSCTP(t)
	if os.Geteuid() != 0 {
		t.Skip("only root can make networks")
	}
	ns := &netns{work: make(chan func())}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends too
		ns.tid = unix.Gettid()
		made <- unix.Unshare(unix.CLONE_NEWNET)
		for f := range ns.work {
			f()
		}
	}()
	t.Cleanup(func() { close(ns.work) })
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	ns.ip(t, "link set lo up")
	return ns
}

// do runs f in the network. What sockets it makes stay there.
func (ns *netns) do(t testing.TB, f func() error) {
	t.Helper()
	done := make(chan error)
	ns.work <- func() { done <- f() }
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func (ns *netns) ip(t testing.TB, args ...string) {
	t.Helper()
	ns.do(t, func() error { return ip(args...) })
}

func (ns *netns) sysctl(t testing.TB, name string, value int) {
	t.Helper()
	ns.do(t, func() error {
		return os.WriteFile("/proc/sys/net/sctp/"+name, []byte(strconv.Itoa(value)), 0)
	})
}

func (ns *netns) listen(t testing.TB, lc sctpnet.ListenConfig, address string) (ln net.Listener) {
	t.Helper()
	ns.do(t, func() (err error) {
		ln, err = lc.Listen(context.Background(), "sctp", address)
		return err
	})
	t.Cleanup(func() { ln.Close() })
	return ln
}

func (ns *netns) dial(t testing.TB, d sctpnet.Dialer, address string) *sctpnet.Conn {
	t.Helper()
	var c net.Conn
	ns.do(t, func() (err error) {
		c, err = d.Dial("sctp", address)
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

func newLinks(t testing.TB) (a, b *netns) {
	t.Helper()
	a, b = newNetns(t), newNetns(t)
	for link := 1; link <= 2; link++ {
		a.ip(t, fmt.Sprintf("link add link%d type veth peer name link%d netns %d", link, link, b.tid))
		for i, ns := range []*netns{a, b} {
			ns.ip(t, fmt.Sprintf("address add 10.77.%d.%d/24 dev link%d", link, i+1, link))
			ns.ip(t, fmt.Sprintf("link set link%d up", link))
		}
	}
	for _, ns := range []*netns{a, b} {
		ns.sysctl(t, "addip_enable", 1)
		ns.sysctl(t, "addip_noauth_enable", 1)
	}
	return a, b
}

// eventPair makes an association with handlers at both ends, which may be
// configured and are bound to 10.77.1.x and 10.77.2.x.
func eventPair(t testing.TB, configure func(client, server *sctpnet.Config)) (client, server *sctpnet.Conn, ce, se *recorder, a, b *netns) {
	t.Helper()
	a, b = newLinks(t)
	ce, se = newRecorder(), newRecorder()
	cc, sc := ce.config(), se.config()
	if configure != nil {
		configure(&cc, &sc)
	}
	ln := b.listen(t, sctpnet.ListenConfig{Config: sc}, bothRemote+":0")
	local := &sctpnet.Addr{IPAddrs: []net.IPAddr{{IP: net.IP{10, 77, 1, 1}}, {IP: net.IP{10, 77, 2, 1}}}}
	client = a.dial(t, sctpnet.Dialer{LocalAddr: local, Config: cc}, fmt.Sprintf("%s:%d", bothRemote, port(ln.Addr())))
	return client, accept(t, ln), ce, se, a, b
}

// TestEvents goes through the life of an association on one host.
func TestEvents(t *testing.T) {
	watchdog(t, func() {
		needSCTP(t)
		ce, se := newRecorder(), newRecorder()
		const messages = 100
		read := make(chan error, 1)
		sc := sctpnet.Config{OnEvent: func(c *sctpnet.Conn, e sctpnet.Event) {
			if e == (sctpnet.ShutdownEvent{}) {
				// All that was sent before is there, and nobody else reads.
				c.SetReadDeadline(time.Now().Add(time.Second))
				for i := range messages {
					var b [64]byte
					if n, _, err := c.ReadStream(b[:]); err != nil || string(b[:n]) != fmt.Sprint(i) {
						read <- fmt.Errorf("message %d: %q, %v", i, b[:n], err)
						return
					}
				}
				read <- nil
			}
			se.handle(c, e)
		}}
		ln, err := (&sctpnet.ListenConfig{Config: sc}).Listen(context.Background(), "sctp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		cc := ce.config()
		cc.SenderDry = true
		client := dial(t, &sctpnet.Dialer{Config: cc}, "sctp", ln.Addr().String())
		server := accept(t, ln)

		out, in := client.NumStreams()
		for name, r := range map[string]*recorder{"client": ce, "server": se} {
			up := awaitAssociation(t, r, sctpnet.AssociationUp)
			if !reflect.DeepEqual(r.all()[0], sctpnet.Event(up)) {
				t.Errorf("%s: the first event is not %v: %v", name, up, r.all())
			}
			if up.OutStreams != out || up.InStreams != in {
				t.Errorf("%s: %v; want %d and %d streams", name, up, out, in)
			}
		}
		if ce.of() != client || se.of() != server {
			t.Error("the handlers were given another Conn")
		}

		for i := range messages {
			if _, err := client.WriteStream([]byte(fmt.Sprint(i)), 0); err != nil {
				t.Fatal(err)
			}
		}
		await[sctpnet.SenderDryEvent](t, ce, nil)

		// A stream's reset comes to both.
		s, err := client.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for r, incoming := range map[*recorder]bool{ce: false, se: true} {
			e := await[sctpnet.StreamResetEvent](t, r, nil)
			if want := (sctpnet.StreamResetEvent{Incoming: incoming, Streams: []uint16{s.ID()}}); !reflect.DeepEqual(e, want) {
				t.Errorf("%v; want %v", e, want)
			}
		}

		if err := client.Shutdown(); err != nil {
			t.Fatal(err)
		}
		await[sctpnet.ShutdownEvent](t, se, nil)
		if err := <-read; err != nil {
			t.Error(err)
		}
		awaitAssociation(t, ce, sctpnet.AssociationEnded)
		awaitAssociation(t, se, sctpnet.AssociationEnded)
		for _, c := range []*sctpnet.Conn{client, server} {
			if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("read %d, %v; want EOF", n, err)
			}
		}
	})
}

// TestEventsLost has a peer abort with messages under way both ways.
func TestEventsLost(t *testing.T) {
	watchdog(t, func() {
		client, server, ce, se, _, _ := eventPair(t, nil)
		awaitAssociation(t, se, sctpnet.AssociationUp)
		// Fill what the client, which does not read, takes.
		info := sctpnet.MsgInfo{Stream: 3, PPID: 46, Context: 47}
		message := eventData(40000)
		server.SetWriteDeadline(time.Now().Add(500 * time.Millisecond * conformance.Slowness))
		for {
			if _, err := server.WriteMsg(message, info); errors.Is(err, os.ErrDeadlineExceeded) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if err := client.Abort(); err != nil {
			t.Fatal(err)
		}
		if e := awaitAssociation(t, se, sctpnet.AssociationLost); e.Cause != sctpnet.CauseUserAbort || len(e.Causes) != 4 {
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
			if e, ok := e.(sctpnet.AssociationEvent); ok && e.Change != sctpnet.AssociationUp {
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
		// What was dialled counts as confirmed; the server learns of link 2.
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
		if err := server.BindAdd(netip.MustParseAddr("10.77.2.3")); err != nil {
			t.Fatal(err)
		}
		awaitPath(t, ce, "10.77.2.3", sctpnet.PathAdded)
		awaitPath(t, ce, "10.77.2.3", sctpnet.PathConfirmed)
		if err := server.SetPeerPrimary(netip.MustParseAddr("10.77.2.3")); err != nil {
			t.Fatal(err)
		}
		awaitPath(t, ce, "10.77.2.3", sctpnet.PathMadePrimary)
		if err := server.BindRemove(netip.MustParseAddr("10.77.2.3")); err != nil {
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
		if e := awaitAssociation(t, ce, sctpnet.AssociationLost); e.Cause != 0 || e.Causes != nil {
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
		client, server, _, se, a, _ := eventPair(t, nil)
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
		e := awaitAssociation(t, se, sctpnet.AssociationRestarted)
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
		client, server, ce, _, _, _ := eventPair(t, nil)
		const ttl = 20 * time.Millisecond * conformance.Slowness
		filler := eventData(16 << 10)
		for more := 2; more > 0; { // two more than the window holds
			st, err := client.Status()
			if err != nil {
				t.Fatal(err)
			}
			if st.PeerWindow < len(filler) {
				if more == 2 {
					time.Sleep(ttl) // for the peer, which still takes some
				}
				if st, _ = client.Status(); st.PeerWindow < len(filler) {
					more--
				}
			}
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

// eventData makes data to send.
func eventData(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8)
	}
	return b
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
		awaitAssociation(t, se, sctpnet.AssociationLost)
	})
}

// TestEventsAdaptation has one peer indicate a layer.
func TestEventsAdaptation(t *testing.T) {
	watchdog(t, func() {
		_, _, ce, se, _, _ := eventPair(t, func(client, server *sctpnet.Config) {
			client.Adaptation = 0xcafe
			server.Adaptation = 0x17
		})
		if e := await[sctpnet.AdaptationEvent](t, ce, nil); e.Indication != 0x17 {
			t.Errorf("%v; want 0x17", e)
		}
		if e := await[sctpnet.AdaptationEvent](t, se, nil); e.Indication != 0xcafe {
			t.Errorf("%v; want 0xcafe", e)
		}
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
		if e := await(t, se, func(e sctpnet.AuthenticationEvent) bool { return e.Key == 2 }); e.Change != sctpnet.AuthenticationNewKey {
			t.Errorf("%v; want a new key", e)
		}
		if err := client.DeactivateAuthKey(1); err != nil {
			t.Fatal(err)
		}
		if e := await[sctpnet.AuthenticationEvent](t, ce, nil); e.Change != sctpnet.AuthenticationFreeKey || e.Key != 1 {
			t.Errorf("%v; want key 1 free", e)
		}

		_, _, ce, _, _, _ = eventPair(t, func(client, server *sctpnet.Config) { client.Auth = &sctpnet.Auth{} })
		if e := await[sctpnet.AuthenticationEvent](t, ce, nil); e.Change != sctpnet.AuthenticationNone {
			t.Errorf("%v; want none", e)
		}
	})
}

// TestEventsStreams adds streams and resets the association.
func TestEventsStreams(t *testing.T) {
	watchdog(t, func() {
		client, server, ce, se, _, _ := eventPair(t, func(client, server *sctpnet.Config) {
			client.OutStreams, client.MaxInStreams = 10, 20
			server.OutStreams, server.MaxInStreams = 20, 65535
		})
		if err := client.AddStreams(2, 0); err != nil {
			t.Fatal(err)
		}
		if e := await[sctpnet.StreamsAddedEvent](t, ce, nil); e != (sctpnet.StreamsAddedEvent{Out: 2}) {
			t.Errorf("%v; want 2 out", e)
		}
		if e := await[sctpnet.StreamsAddedEvent](t, se, nil); e != (sctpnet.StreamsAddedEvent{In: 2}) {
			t.Errorf("%v; want 2 in", e)
		}
		exchange(t, client, server)
		for client.ResetAssociation() != nil {
			time.Sleep(time.Millisecond) // for the acknowledgement of the rest
		}
		e := await[sctpnet.AssociationResetEvent](t, ce, nil)
		f := await[sctpnet.AssociationResetEvent](t, se, nil)
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
			{[]byte{9, 0, 0, 12, 0, 6, 0, 8, 0x7f, 1, 2, 3}, sctpnet.RemoteErrorEvent{Cause: sctpnet.CauseUnrecognisedChunk, Data: []byte{0x7f, 1, 2, 3}}},
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

// TestEventsSlowHandler blocks a handler while much happens that nobody reads
// either: nothing is lost, and everything comes in order.
func TestEventsSlowHandler(t *testing.T) {
	watchdog(t, func() {
		needSCTP(t)
		se := newRecorder()
		begun, proceed := make(chan bool), make(chan bool)
		var once sync.Once
		sc := sctpnet.Config{OnEvent: func(c *sctpnet.Conn, e sctpnet.Event) {
			once.Do(func() { close(begun); <-proceed })
			se.handle(c, e)
		}}
		ln, err := (&sctpnet.ListenConfig{Config: sc}).Listen(context.Background(), "sctp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		client := dial(t, nil, "sctp", ln.Addr().String())
		server := accept(t, ln)
		<-begun
		const rounds = 25
		var want []uint16
		for range rounds {
			s, err := client.OpenStream()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			want = append(want, s.ID())
		}
		if n := len(se.all()); n != 0 {
			t.Errorf("%d events while the handler was busy", n)
		}
		close(proceed)
		var got []uint16
		for len(got) < rounds {
			got = append(got, await[sctpnet.StreamResetEvent](t, se, nil).Streams...)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("resets of %v; want %v", got, want)
		}
		// What nobody reads holds back the events behind it, which come all
		// the same when it is read.
		big := eventData(600 << 10)
		go func() {
			client.Write(big)
			client.Shutdown()
		}()
		time.Sleep(300 * time.Millisecond * conformance.Slowness)
		for _, e := range se.all() {
			if e, ok := e.(sctpnet.AssociationEvent); ok && e.Change == sctpnet.AssociationEnded {
				t.Errorf("%v, before the data in front of it was read", e)
			}
		}
		if b, err := io.ReadAll(server); err != nil || len(b) < len(big) {
			t.Errorf("read %d bytes, %v", len(b), err)
		}
		awaitAssociation(t, se, sctpnet.AssociationEnded)
	})
}

// TestEventsCallsFromHandler uses the Conn in its handler.
func TestEventsCallsFromHandler(t *testing.T) {
	watchdog(t, func() {
		needSCTP(t)
		ln := listen(t, "sctp", "127.0.0.1:0")
		errs := make(chan error, 1)
		d := sctpnet.Dialer{Config: sctpnet.Config{OnEvent: func(c *sctpnet.Conn, e sctpnet.Event) {
			if e, ok := e.(sctpnet.AssociationEvent); ok && e.Change == sctpnet.AssociationUp {
				_, err := c.Write([]byte("up"))
				errs <- errors.Join(err, c.Close())
			}
		}}}
		client := dial(t, &d, "sctp", ln.Addr().String())
		server := accept(t, ln)
		if err := <-errs; err != nil {
			t.Error(err)
		}
		if b, err := io.ReadAll(server); string(b) != "up" || err != nil {
			t.Errorf("read %q, %v", b, err)
		}
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read %v; want net.ErrClosed", err)
		}
	})
}

// TestEventStrings shows how events look in a log.
func TestEventStrings(t *testing.T) {
	addr := netip.MustParseAddrPort("[2001:db8::1]:3868")
	for _, test := range []struct {
		e         sctpnet.Event
		str, slog string
	}{
		{sctpnet.AssociationEvent{Change: sctpnet.AssociationUp, OutStreams: 10, InStreams: 20},
			"association up, 10 streams out, 20 in", "e.type=association e.change=up e.out=10 e.in=20"},
		{sctpnet.AssociationEvent{Change: sctpnet.AssociationLost, Cause: sctpnet.CauseUserAbort, Causes: []byte{0, 12, 0, 7, 'b', 'y', 'e', 0}},
			`association lost: abort by the user "bye"`, `e.type=association e.change=lost e.cause="abort by the user"`},
		{sctpnet.AssociationEvent{Change: sctpnet.AssociationLost, Cause: sctpnet.CauseUserAbort, Causes: []byte{0, 12, 0, 70, 'b', 'y', 'e', 0}},
			"association lost: abort by the user", `e.type=association e.change=lost e.cause="abort by the user"`},
		{sctpnet.AssociationEvent{Change: sctpnet.AssociationEnded}, "association ended", "e.type=association e.change=ended"},
		{sctpnet.AssociationEvent{Change: sctpnet.AssociationCannotStart}, "association cannot start", `e.type=association e.change="cannot start"`},
		{sctpnet.AssociationEvent{Change: 9, Cause: 999}, "association 9: cause 999", `e.type=association e.change=9 e.cause="cause 999"`},
		{sctpnet.PathEvent{Addr: addr, Change: sctpnet.PathPotentiallyFailed},
			"path [2001:db8::1]:3868 potentially failed", `e.type=path e.addr=[2001:db8::1]:3868 e.change="potentially failed"`},
		{sctpnet.SendFailedEvent{Info: sctpnet.MsgInfo{Stream: 3, PPID: 46, Context: 7}, Data: []byte("four"), Sent: true, Cause: sctpnet.CauseUserAbort},
			"sending failed of 4 bytes on stream 3, PPID 46, context 7, which may have arrived: abort by the user",
			`e.type="send failed" e.bytes=4 e.stream=3 e.ppid=46 e.context=7 e.sent=true e.cause="abort by the user"`},
		{sctpnet.SendFailedEvent{Data: []byte("four")}, "sending failed of 4 bytes on stream 0",
			`e.type="send failed" e.bytes=4 e.stream=0 e.ppid=0 e.context=0 e.sent=false`},
		{sctpnet.RemoteErrorEvent{Cause: sctpnet.CauseUnrecognisedChunk, Data: []byte{0x7f, 1}},
			"the peer reports: unrecognised chunk (7f01)", `e.type="remote error" e.data=7f01 e.cause="unrecognised chunk"`},
		{sctpnet.RemoteErrorEvent{}, "the peer reports: no cause", `e.type="remote error" e.data=""`},
		{sctpnet.ShutdownEvent{}, "the peer shuts down", "e.type=shutdown"},
		{sctpnet.PartialDeliveryEvent{Stream: 2, Seq: 3}, "partial delivery aborted of message 3 on stream 2",
			`e.type="partial delivery aborted" e.stream=2 e.seq=3`},
		{sctpnet.AdaptationEvent{Indication: 0x17}, "adaptation layer 0x17", "e.type=adaptation e.indication=23"},
		{sctpnet.AuthenticationEvent{Change: sctpnet.AuthenticationNewKey, Key: 2}, "authentication: new key 2", `e.type=authentication e.change="new key" e.key=2`},
		{sctpnet.AuthenticationEvent{Change: sctpnet.AuthenticationNone}, "authentication: the peer has none", "e.type=authentication e.change=none e.key=0"},
		{sctpnet.SenderDryEvent{}, "sender dry", `e.type="sender dry"`},
		{sctpnet.StreamResetEvent{Incoming: true, Streams: []uint16{3, 4}}, "incoming streams 3 4 reset",
			`e.type="stream reset" e.incoming=true e.streams="[3 4]" e.denied=false e.failed=false`},
		{sctpnet.StreamResetEvent{Denied: true}, "all outgoing streams reset: denied",
			`e.type="stream reset" e.incoming=false e.streams=[] e.denied=true e.failed=false`},
		{sctpnet.StreamsAddedEvent{Out: 2, In: 3}, "streams added: 2 out, 3 in", `e.type="streams added" e.out=2 e.in=3 e.denied=false e.failed=false`},
		{sctpnet.AssociationResetEvent{LocalTSN: 5, RemoteTSN: 6, Failed: true}, "association reset: next TSN 5, the peer's 6: failed",
			`e.type="association reset" e.local=5 e.remote=6 e.denied=false e.failed=true`},
	} {
		if got := test.e.String(); got != test.str {
			t.Errorf("%#v:\n got %s\nwant %s", test.e, got, test.str)
		}
		var out strings.Builder
		slog.New(slog.NewTextHandler(&out, nil)).Info("", "e", test.e)
		if _, got, _ := strings.Cut(out.String(), `msg="" `); strings.TrimSpace(got) != test.slog {
			t.Errorf("%v for slog:\n got %s\nwant %s", test.e, got, test.slog)
		}
	}
}
