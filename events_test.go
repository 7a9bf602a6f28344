package sctpnet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"github.com/sctpnet/sctpnet/internal/engine"
)

// A recorder is a handler of events.
type recorder struct {
	mu     sync.Mutex
	events []sctpnet.Event
	seen   int // by await
	more   chan struct{}
	conn   *sctpnet.Conn

	network string // one of engines
}

func newRecorder(network string) *recorder {
	return &recorder{more: make(chan struct{}, 1), network: network}
}

func (r *recorder) handle(c *sctpnet.Conn, e sctpnet.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	r.conn = c
	sightings.add(r.network, e)
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

func awaitPath(t testing.TB, r *recorder, addr string, change sctpnet.PathChange) {
	t.Helper()
	await(t, r, func(e sctpnet.PathEvent) bool { return e.Addr.Addr().String() == addr && e.Change == change })
}

// sightings are the events that recorders have seen, of each of engines.
var sightings = eventSightings{seen: make(map[string]map[string]bool)}

type eventSightings struct {
	mu   sync.Mutex
	seen map[string]map[string]bool
}

func (s *eventSightings) add(network string, e sctpnet.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen[network] == nil {
		s.seen[network] = make(map[string]bool)
	}
	s.seen[network][eventName(e)] = true
}

// check returns an error if an event has come that is in an engine's table, or
// another one has not come.
func (s *eventSightings) check(network string) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := engine.Lookup(network)
	for _, name := range eventNames() {
		lack, never := e.Lacks().Find(engine.LacksEvent, name)
		switch seen := s.seen[network][name]; {
		case never && seen:
			err = errors.Join(err, fmt.Errorf("%s: %s has come, though there it is: %s", network, name, lack.Why))
		case !never && !seen:
			err = errors.Join(err, fmt.Errorf("%s: no test has seen a %s", network, name))
		}
	}
	return err
}

// eventNames are the names of all events, as an engine's table has them.
func eventNames() (names []string) {
	for c := sctpnet.AssocUp; c <= sctpnet.AssocEnded; c++ {
		names = append(names, eventName(sctpnet.AssocEvent{Change: c}))
	}
	for c := sctpnet.PathReachable; c <= sctpnet.PathPotentiallyFailed; c++ {
		names = append(names, eventName(sctpnet.PathEvent{Change: c}))
	}
	for c := sctpnet.AuthNewKey; c <= sctpnet.AuthNone; c++ {
		names = append(names, eventName(sctpnet.AuthEvent{Change: c}))
	}
	for _, e := range []sctpnet.Event{
		sctpnet.SendFailedEvent{}, sctpnet.RemoteErrorEvent{}, sctpnet.ShutdownEvent{}, sctpnet.PartialDeliveryEvent{},
		sctpnet.AdaptationEvent{}, sctpnet.SenderDryEvent{}, sctpnet.StreamResetEvent{}, sctpnet.StreamsAddedEvent{},
		sctpnet.AssocResetEvent{},
	} {
		names = append(names, eventName(e))
	}
	return names
}

// eventName is the name of an event in an engine's table.
func eventName(e sctpnet.Event) string {
	name := reflect.TypeOf(e).Name()
	switch e := e.(type) {
	case sctpnet.AssocEvent:
		return name + " " + e.Change.String()
	case sctpnet.PathEvent:
		return name + " " + e.Change.String()
	case sctpnet.AuthEvent:
		return name + " " + e.Change.String()
	}
	return name
}

// TestEventNames checks that the tables have no event that there is not.
func TestEventNames(t *testing.T) {
	for _, network := range engines {
		for _, lack := range lacksOf(t, network) {
			if lack.Kind == engine.LacksEvent && !slices.Contains(eventNames(), lack.Name) {
				t.Errorf("%s: there is no event %s", network, lack.Name)
			}
		}
	}
}

func awaitAssociation(t testing.TB, r *recorder, change sctpnet.AssocChange) sctpnet.AssocEvent {
	t.Helper()
	return await(t, r, func(e sctpnet.AssocEvent) bool { return e.Change == change })
}

// TestEvents goes through the life of an association on one host.
func TestEvents(t *testing.T) { eachEngine(t, testEvents) }

func testEvents(t *testing.T, network string) {
	watchdog(t, func() {
		ce, se := newRecorder(network), newRecorder(network)
		const messages = 100
		read := make(chan error, 1)
		sc := sctpnet.Config{OnEvent: func(c *sctpnet.Conn, e sctpnet.Event) {
			if e == (sctpnet.ShutdownEvent{}) {
				// All that was sent before is there, and nobody else reads.
				c.SetReadDeadline(time.Now().Add(20 * time.Second * conformance.Slowness))
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
		ln := listenWith(t, network, "127.0.0.1:0", sctpnet.ListenConfig{Config: sc})
		cc := ce.config()
		cc.SenderDry = true
		client := dial(t, &sctpnet.Dialer{Config: cc}, network, ln.Addr().String())
		server := accept(t, ln)

		out, in := client.NumStreams()
		for name, r := range map[string]*recorder{"client": ce, "server": se} {
			up := awaitAssociation(t, r, sctpnet.AssocUp)
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
		awaitAssociation(t, ce, sctpnet.AssocEnded)
		awaitAssociation(t, se, sctpnet.AssocEnded)
		for _, c := range []*sctpnet.Conn{client, server} {
			if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("read %d, %v; want EOF", n, err)
			}
		}
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

// TestEventsSlowHandler blocks a handler while much happens that nobody reads
// either: nothing is lost, and everything comes in order.
func TestEventsSlowHandler(t *testing.T) { eachEngine(t, testEventsSlowHandler) }

func testEventsSlowHandler(t *testing.T, network string) {
	watchdog(t, func() {
		se := newRecorder(network)
		begun, proceed := make(chan bool), make(chan bool)
		var once sync.Once
		sc := sctpnet.Config{ReadBuffer: 128 << 10, OnEvent: func(c *sctpnet.Conn, e sctpnet.Event) {
			once.Do(func() { close(begun); <-proceed })
			se.handle(c, e)
		}}
		ln := listenWith(t, network, "127.0.0.1:0", sctpnet.ListenConfig{Config: sc})
		client := dial(t, nil, network, ln.Addr().String())
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
		// the same when it is read. It is more than the Conn keeps and the
		// buffers hold.
		big := eventData(2 << 20)
		full, err := client.Status()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			client.Write(big)
			client.Shutdown()
		}()
		eventually(t, "a full window", func() bool {
			st, err := client.Status()
			return err != nil || st.PeerWindow < full.PeerWindow/2
		})
		for _, e := range se.all() {
			if e, ok := e.(sctpnet.AssocEvent); ok && e.Change == sctpnet.AssocEnded {
				t.Errorf("%v, before the data in front of it was read", e)
			}
		}
		if b, err := io.ReadAll(server); err != nil || len(b) < len(big) {
			t.Errorf("read %d bytes, %v", len(b), err)
		}
		awaitAssociation(t, se, sctpnet.AssocEnded)
	})
}

// eventConns makes an association with handlers at both ends.
func eventConns(t testing.TB, network string, client, server sctpnet.Config) (c, s *sctpnet.Conn, ce, se *recorder) {
	t.Helper()
	ce, se = newRecorder(network), newRecorder(network)
	client.OnEvent, server.OnEvent = ce.handle, se.handle
	c, s = configured(t, network, "127.0.0.1:0", client, server)
	return c, s, ce, se
}

// TestEventsAborted has a peer abort.
func TestEventsAborted(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		watchdog(t, func() {
			client, server, ce, se := eventConns(t, network, sctpnet.Config{}, sctpnet.Config{})
			exchange(t, client, server)
			if err := client.Abort(); err != nil {
				t.Fatal(err)
			}
			if e := awaitAssociation(t, se, sctpnet.AssocLost); e.Cause != sctpnet.CauseUserAbort || len(e.Causes) != 4 {
				t.Errorf("%#v; want an abort by the user", e)
			}
			if _, err := server.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("read %v; want ECONNRESET", err)
			}
			for _, e := range ce.all() {
				if e, ok := e.(sctpnet.AssocEvent); ok && e.Change != sctpnet.AssocUp {
					t.Errorf("%v after the Conn's own Abort", e)
				}
			}
		})
	})
}

// TestEventsAdaptation has the peers indicate layers.
func TestEventsAdaptation(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		watchdog(t, func() {
			_, _, ce, se := eventConns(t, network, sctpnet.Config{Adaptation: 0xcafe}, sctpnet.Config{Adaptation: 0x17})
			if e := await[sctpnet.AdaptationEvent](t, ce, nil); e.Indication != 0x17 {
				t.Errorf("%v; want 0x17", e)
			}
			if e := await[sctpnet.AdaptationEvent](t, se, nil); e.Indication != 0xcafe {
				t.Errorf("%v; want 0xcafe", e)
			}
		})
	})
}

// TestEventsStreams adds streams, of each direction.
func TestEventsStreams(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		watchdog(t, func() {
			client, server, ce, se := eventConns(t, network, sctpnet.Config{OutStreams: 10, MaxInStreams: 20}, sctpnet.Config{OutStreams: 20, MaxInStreams: 65535})
			for _, add := range []struct{ out, in uint16 }{{2, 0}, {0, 3}} {
				if err := client.AddStreams(int(add.out), int(add.in)); err != nil {
					t.Fatal(err)
				}
				if e, want := await[sctpnet.StreamsAddedEvent](t, ce, nil), (sctpnet.StreamsAddedEvent{Out: add.out, In: add.in}); e != want {
					t.Errorf("%v; want %v", e, want)
				}
				if e, want := await[sctpnet.StreamsAddedEvent](t, se, nil), (sctpnet.StreamsAddedEvent{Out: add.in, In: add.out}); e != want {
					t.Errorf("the peer: %v; want %v", e, want)
				}
				exchange(t, client, server)
			}
		})
	})
}

// TestEventsCallsFromHandler uses the Conn in its handler.
func TestEventsCallsFromHandler(t *testing.T) { eachEngine(t, testEventsCallsFromHandler) }

func testEventsCallsFromHandler(t *testing.T, network string) {
	watchdog(t, func() {
		ln := listen(t, network, "127.0.0.1:0")
		errs := make(chan error, 1)
		d := sctpnet.Dialer{Config: sctpnet.Config{OnEvent: func(c *sctpnet.Conn, e sctpnet.Event) {
			if e, ok := e.(sctpnet.AssocEvent); ok && e.Change == sctpnet.AssocUp {
				_, err := c.Write([]byte("up"))
				errs <- errors.Join(err, c.Close())
			}
		}}}
		client := dial(t, &d, network, ln.Addr().String())
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
		{sctpnet.AssocEvent{Change: sctpnet.AssocUp, OutStreams: 10, InStreams: 20},
			"association up, 10 streams out, 20 in", "e.type=association e.change=up e.out=10 e.in=20"},
		{sctpnet.AssocEvent{Change: sctpnet.AssocLost, Cause: sctpnet.CauseUserAbort, Causes: []byte{0, 12, 0, 7, 'b', 'y', 'e', 0}},
			`association lost: abort by the user "bye"`, `e.type=association e.change=lost e.cause="abort by the user"`},
		{sctpnet.AssocEvent{Change: sctpnet.AssocLost, Cause: sctpnet.CauseUserAbort, Causes: []byte{0, 12, 0, 70, 'b', 'y', 'e', 0}},
			"association lost: abort by the user", `e.type=association e.change=lost e.cause="abort by the user"`},
		{sctpnet.AssocEvent{Change: sctpnet.AssocEnded}, "association ended", "e.type=association e.change=ended"},
		{sctpnet.AssocEvent{Change: 9, Cause: 999}, "association AssocChange(9): Cause(999)", `e.type=association e.change=AssocChange(9) e.cause=Cause(999)`},
		{sctpnet.PathEvent{Addr: addr, Change: sctpnet.PathPotentiallyFailed},
			"path [2001:db8::1]:3868 potentially failed", `e.type=path e.addr=[2001:db8::1]:3868 e.change="potentially failed"`},
		{sctpnet.SendFailedEvent{Info: sctpnet.MsgInfo{Stream: 3, PPID: 46, Context: 7}, Data: []byte("four"), Sent: true, Cause: sctpnet.CauseUserAbort},
			"sending failed of 4 bytes on stream 3, PPID 46, context 7, which may have arrived: abort by the user",
			`e.type="send failed" e.bytes=4 e.stream=3 e.ppid=46 e.context=7 e.sent=true e.cause="abort by the user"`},
		{sctpnet.SendFailedEvent{Data: []byte("four")}, "sending failed of 4 bytes on stream 0",
			`e.type="send failed" e.bytes=4 e.stream=0 e.ppid=0 e.context=0 e.sent=false`},
		{sctpnet.RemoteErrorEvent{Cause: sctpnet.CauseUnrecognizedChunk, Data: []byte{0x7f, 1}},
			"the peer reports: unrecognized chunk (7f01)", `e.type="remote error" e.data=7f01 e.cause="unrecognized chunk"`},
		{sctpnet.RemoteErrorEvent{}, "the peer reports: no cause", `e.type="remote error" e.data=""`},
		{sctpnet.ShutdownEvent{}, "the peer shuts down", "e.type=shutdown"},
		{sctpnet.PartialDeliveryEvent{Stream: 2, Seq: 3}, "partial delivery aborted of message 3 on stream 2",
			`e.type="partial delivery aborted" e.stream=2 e.seq=3`},
		{sctpnet.AdaptationEvent{Indication: 0x17}, "adaptation layer 0x17", "e.type=adaptation e.indication=23"},
		{sctpnet.AuthEvent{Change: sctpnet.AuthNewKey, Key: 2}, "authentication: new key 2", `e.type=authentication e.change="new key" e.key=2`},
		{sctpnet.AuthEvent{Change: sctpnet.AuthNone}, "authentication: the peer has none", "e.type=authentication e.change=none e.key=0"},
		{sctpnet.SenderDryEvent{}, "sender dry", `e.type="sender dry"`},
		{sctpnet.StreamResetEvent{Incoming: true, Streams: []uint16{3, 4}}, "incoming streams 3 4 reset",
			`e.type="stream reset" e.incoming=true e.streams="[3 4]" e.denied=false e.failed=false`},
		{sctpnet.StreamResetEvent{Denied: true}, "all outgoing streams reset: denied",
			`e.type="stream reset" e.incoming=false e.streams=[] e.denied=true e.failed=false`},
		{sctpnet.StreamsAddedEvent{Out: 2, In: 3}, "streams added: 2 out, 3 in", `e.type="streams added" e.out=2 e.in=3 e.denied=false e.failed=false`},
		{sctpnet.AssocResetEvent{LocalTSN: 5, RemoteTSN: 6, Failed: true}, "association reset: next TSN 5, the peer's 6: failed",
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

// TestEndWhileOnEventRuns has the peer end the association while OnEvent does not
// return. Waiting calls learn of it all the same.
func TestEndWhileOnEventRuns(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		for _, tt := range []struct {
			name string
			end  func(c *sctpnet.Conn) error
			want error
		}{
			{"Close", (*sctpnet.Conn).Close, io.EOF},
			{"Abort", (*sctpnet.Conn).Abort, syscall.ECONNRESET},
		} {
			t.Run(tt.name, func(t *testing.T) {
				needNetwork(t, network)
				running, hold := make(chan struct{}, 100), make(chan struct{})
				lc := sctpnet.ListenConfig{Config: sctpnet.Config{OnEvent: func(*sctpnet.Conn, sctpnet.Event) {
					running <- struct{}{}
					<-hold
				}}}
				ln := listenWith(t, network, "127.0.0.1:0", lc)
				client := dial(t, nil, network, ln.Addr().String())
				server := accept(t, ln)
				watchdog(t, func() {
					defer close(hold)
					s := claim(t, server, 3)
					<-running
					calls := map[string]*conformance.Call{
						"Conn.Read":   conformance.Start(t, func() (int, error) { return server.Read(make([]byte, 10)) }),
						"Stream.Read": conformance.Start(t, func() (int, error) { return s.Read(make([]byte, 10)) }),
						"AcceptStream": conformance.Start(t, func() (int, error) {
							_, err := server.AcceptStream(context.Background())
							return 0, err
						}),
					}
					for _, call := range calls {
						call.Waits()
					}
					if err := tt.end(client); err != nil {
						t.Fatal(err)
					}
					for name, call := range calls {
						_, err := call.Result()
						if !errors.Is(err, tt.want) {
							t.Errorf("%s: %v, want %v", name, err, tt.want)
						}
					}
				})
			})
		}
	})
}

// What follows is what comes to OnEvent over UDP only.

const udp4 = "sctp4+udp"

// eventWire makes an association with handlers at both ends, over a wire.
func eventWire(t testing.TB, client, server sctpnet.Config) (c, s *sctpnet.Conn, ce, se *recorder, w *wire) {
	t.Helper()
	ce, se = newRecorder(udp4), newRecorder(udp4)
	client.OnEvent, server.OnEvent = ce.handle, se.handle
	ln := listenWith(t, udp4, "127.0.0.1:0", sctpnet.ListenConfig{Config: server})
	w = newWire(t, ln)
	local := &sctpnet.Addr{IPAddrs: []net.IPAddr{{IP: net.IPv4(127, 0, 0, 1)}}, Port: freeUDPPort(t)}
	c = dial(t, &sctpnet.Dialer{LocalAddr: local, Config: w.config(client)}, udp4, ln.Addr().String())
	return c, accept(t, ln), ce, se, w
}

// TestEventsOverUDPPaths has a wire lose everything for a while, and then for
// good.
func TestEventsOverUDPPaths(t *testing.T) {
	watchdog(t, func() {
		quick := sctpnet.Config{
			RTO:         sctpnet.RTO{Initial: 50 * ms, Min: 50 * ms, Max: 100 * ms},
			PathParams:  sctpnet.PathParams{HeartbeatInterval: 20 * ms, MaxRetransmissions: 2},
			AssocParams: sctpnet.AssocParams{MaxRetransmissions: 1000},
		}
		c, s, ce, _, w := eventWire(t, quick, sctpnet.Config{})
		exchange(t, c, s)
		w.setLoss(all)
		awaitPath(t, ce, "127.0.0.1", sctpnet.PathUnreachable)
		if paths, err := c.Paths(); err != nil || paths[0].State != sctpnet.PathStateInactive {
			t.Errorf("%+v, %v; want an inactive path", paths, err)
		}
		w.setLoss(nil)
		awaitPath(t, ce, "127.0.0.1", sctpnet.PathReachable)
		if paths, err := c.Paths(); err != nil || paths[0].State != sctpnet.PathStateActive {
			t.Errorf("%+v, %v; want an active path", paths, err)
		}
		exchange(t, c, s)
		if err := c.Set(sctpnet.Config{AssocParams: sctpnet.AssocParams{MaxRetransmissions: 4}}); err != nil {
			t.Fatal(err)
		}
		w.setLoss(all)
		if e := awaitAssociation(t, ce, sctpnet.AssocLost); e.Cause != 0 || e.Causes != nil {
			t.Errorf("%#v; want no cause", e)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("read %v; want ETIMEDOUT", err)
		}
	})
}

// TestEventsOverUDPRestart has a peer lose the association and make it anew.
func TestEventsOverUDPRestart(t *testing.T) {
	const abort = 6
	watchdog(t, func() {
		c, s, _, se, w := eventWire(t, sctpnet.Config{}, sctpnet.Config{})
		exchange(t, c, s)
		w.setLoss(func(p []byte, toServer bool) bool { return toServer && chunkType(p) == abort })
		local, remote := *c.LocalAddr().(*sctpnet.Addr), c.RemoteAddr().String()
		if err := c.Abort(); err != nil {
			t.Fatal(err)
		}
		d := sctpnet.Dialer{LocalAddr: &local, Config: w.config(sctpnet.Config{})}
		dial(t, &d, udp4, remote)
		awaitAssociation(t, se, sctpnet.AssocRestarted)
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read %v; want ECONNRESET", err)
		}
	})
}

// TestEventsOverUDPRemoteError has an ERROR come from the peer.
func TestEventsOverUDPRemoteError(t *testing.T) {
	watchdog(t, func() {
		c, s, ce, _, w := eventWire(t, sctpnet.Config{}, sctpnet.Config{})
		exchange(t, c, s)
		for _, cause := range []struct {
			chunk []byte
			want  sctpnet.RemoteErrorEvent
		}{
			{[]byte{9, 0, 0, 12, 0, 6, 0, 8, 0x7f, 1, 2, 3}, sctpnet.RemoteErrorEvent{Cause: sctpnet.CauseUnrecognizedChunk, Data: []byte{0x7f, 1, 2, 3}}},
			{[]byte{9, 0, 0, 8, 0, 13, 0, 4}, sctpnet.RemoteErrorEvent{Cause: sctpnet.CauseProtocolViolation}},
		} {
			if err := w.send(cause.chunk); err != nil {
				t.Fatal(err)
			}
			if e := await[sctpnet.RemoteErrorEvent](t, ce, nil); !reflect.DeepEqual(e, cause.want) {
				t.Errorf("%#v; want %#v", e, cause.want)
			}
		}
		exchange(t, c, s)
	})
}

// TestEventsOverUDPExpired has messages expire on a wire that loses them, and then the
// association fail. Each message comes back once, as it was written.
func TestEventsOverUDPExpired(t *testing.T) {
	watchdog(t, func() {
		quick := sctpnet.Config{RTO: sctpnet.RTO{Initial: 50 * ms, Min: 50 * ms, Max: 100 * ms}}
		c, s, ce, _, w := eventWire(t, quick, quick)
		exchange(t, c, s)
		w.setLoss(func(p []byte, toServer bool) bool { return toServer && chunkType(p) == 0 })
		info := sctpnet.MsgInfo{Stream: 5, PPID: 1 << 24, Context: 7, Unordered: true}
		long := eventData(100_000) // more than is sent before it expires
		for _, b := range [][]byte{[]byte("expires"), long, []byte("is not sent")} {
			info.TTL = 500 * ms // before the association fails
			if info.Context == 9 {
				info.TTL = 50 * ms // over when the long one makes room
			}
			if _, err := c.WriteMsg(b, info); err != nil {
				t.Fatal(err)
			}
			info.Context++
		}
		info.TTL = 0
		want := map[uint32][]byte{7: []byte("expires"), 8: long, 9: []byte("is not sent")}
		for len(want) > 0 {
			e := await[sctpnet.SendFailedEvent](t, ce, nil)
			b := want[e.Info.Context]
			info.Context = e.Info.Context
			if b == nil || e.Info != info || !bytes.Equal(e.Data, b) || e.Sent != (info.Context < 9) || e.Cause != 0 {
				t.Fatalf("%v; want %d bytes of %+v", e, len(b), info)
			}
			delete(want, info.Context)
		}
		w.setLoss(nil)
		exchange(t, c, s)
		arrived(t, c)

		w.setLoss(all)
		if _, err := c.WriteMsg([]byte("never arrives"), sctpnet.MsgInfo{Context: 9, TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
		if err := c.Set(sctpnet.Config{AssocParams: sctpnet.AssocParams{MaxRetransmissions: 2}}); err != nil {
			t.Fatal(err)
		}
		e := await[sctpnet.SendFailedEvent](t, ce, nil)
		if string(e.Data) != "never arrives" || e.Info.Context != 9 || !e.Sent || e.Cause != 0 {
			t.Errorf("%#v; want what was sent", e)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Errorf("read %v; want ETIMEDOUT", err)
		}
	})
}

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
