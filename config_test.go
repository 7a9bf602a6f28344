package sctpnet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/conformance"
)

// configured makes an association between ends with these Configs.
func configured(t testing.TB, network, address string, client, server sctpnet.Config) (c, s *sctpnet.Conn) {
	t.Helper()
	ln := listenWith(t, network, address, sctpnet.ListenConfig{Config: server})
	defer ln.Close()
	c = dial(t, &sctpnet.Dialer{Config: client}, network, ln.Addr().String())
	return c, acceptFrom(t, ln, c)
}

func TestConfigStreams(t *testing.T) { eachEngine(t, testConfigStreams) }

func testConfigStreams(t *testing.T, network string) {
	type streams struct{ out, in int }
	for _, tt := range []struct {
		client, server sctpnet.Config
		want           streams // of the client
	}{
		{want: streams{64, 64}},
		{client: sctpnet.Config{OutStreams: 1}, want: streams{1, 64}},
		{client: sctpnet.Config{MaxInStreams: 1}, want: streams{64, 1}},
		{client: sctpnet.Config{OutStreams: 3000, MaxInStreams: 2000}, want: streams{256, 256}},
		{client: sctpnet.Config{OutStreams: 65535, MaxInStreams: 65535}, want: streams{256, 256}},
		{server: sctpnet.Config{OutStreams: 5}, want: streams{5, 5}},
		{server: sctpnet.Config{MaxInStreams: 5}, want: streams{5, 64}},
		{
			client: sctpnet.Config{OutStreams: 1000, MaxInStreams: 1000},
			server: sctpnet.Config{MaxInStreams: 500},
			want:   streams{500, 500},
		},
		{
			client: sctpnet.Config{OutStreams: 20, MaxInStreams: 30},
			server: sctpnet.Config{OutStreams: 25, MaxInStreams: 15},
			want:   streams{15, 25},
		},
	} {
		c, s := configured(t, network, "127.0.0.1:0", tt.client, tt.server)
		out, in := c.NumStreams()
		if got := (streams{int(out), int(in)}); got != tt.want {
			t.Errorf("client %+v, server %+v: %+v, want %+v", tt.client, tt.server, got, tt.want)
		}
		out, in = s.NumStreams()
		if got := (streams{int(in), int(out)}); got != tt.want {
			t.Errorf("client %+v, server %+v: the server's are %+v, want %+v", tt.client, tt.server, got, tt.want)
		}
	}
}

// TestConfigInit checks that a silent peer is given up when the Config says.
func TestConfigInit(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		d := sctpnet.Dialer{Config: sctpnet.Config{InitAttempts: 1, InitTimeout: 200 * ms}}
		address := joinPort(silent4, 9)
		if overUDP(network) {
			silent, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				t.Fatal(err)
			}
			defer silent.Close()
			address = silent.LocalAddr().String()
			d.Config.PathParams.UDPPort = silent.LocalAddr().(*net.UDPAddr).Port
		} else {
			silentNet(t)
		}
		took, err := dialFails(t, func() (net.Conn, error) { return d.Dial(network, address) })
		var nerr net.Error
		if !errors.Is(err, syscall.ETIMEDOUT) || !errors.As(err, &nerr) || !nerr.Timeout() {
			t.Errorf("%v, want ETIMEDOUT and Timeout()", err)
		}
		// Two waits of 200 ms. Linux makes the first one 1 s. By default all
		// would take half a minute.
		if took < 400*ms || took > 25*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestConfigOutOfRange(t *testing.T) { eachEngine(t, testConfigOutOfRange) }

func testConfigOutOfRange(t *testing.T, network string) {
	for _, tt := range []struct {
		config sctpnet.Config
		names  []string // what the error names: field, value and range
	}{
		{sctpnet.Config{OutStreams: -1}, []string{"OutStreams", "-1", "65535"}},
		{sctpnet.Config{OutStreams: 65536}, []string{"OutStreams", "65536", "65535"}},
		{sctpnet.Config{MaxInStreams: -7}, []string{"MaxInStreams", "-7", "65535"}},
		{sctpnet.Config{MaxInStreams: 1 << 30}, []string{"MaxInStreams", "1073741824", "65535"}},
		{sctpnet.Config{AcceptStreams: -1}, []string{"AcceptStreams", "-1", "65535"}},
		{sctpnet.Config{StreamMemory: 65535}, []string{"StreamMemory", "65535", "65536"}},
		{sctpnet.Config{StreamMemory: -1}, []string{"StreamMemory", "-1", "65536"}},
		{sctpnet.Config{AcceptStreams: 65536}, []string{"AcceptStreams", "65536", "65535"}},
		{sctpnet.Config{InitAttempts: -1}, []string{"InitAttempts", "-1", "65535"}},
		{sctpnet.Config{InitAttempts: 65536}, []string{"InitAttempts", "65536", "65535"}},
		{sctpnet.Config{InitTimeout: -1}, []string{"InitTimeout", "-1ns", "1ms", "65.535s"}},
		{sctpnet.Config{InitTimeout: time.Microsecond}, []string{"InitTimeout", "1µs", "1ms", "65.535s"}},
		{sctpnet.Config{InitTimeout: 66 * time.Second}, []string{"InitTimeout", "1m6s", "1ms", "65.535s"}},
		{sctpnet.Config{OutStreams: -1, KernelDefaults: true}, []string{"OutStreams", "-1", "65535"}},
	} {
		d := sctpnet.Dialer{Config: tt.config}
		_, derr := d.Dial(network, "127.0.0.1:9")
		lc := sctpnet.ListenConfig{Config: tt.config}
		_, lerr := lc.Listen(context.Background(), network, "127.0.0.1:0")
		for op, err := range map[string]error{"dial": derr, "listen": lerr} {
			var e *net.OpError
			if !errors.As(err, &e) || e.Op != op {
				t.Errorf("%s with %+v: %v, want a *net.OpError", op, tt.config, err)
				continue
			}
			for _, name := range tt.names {
				if !strings.Contains(err.Error(), name) {
					t.Errorf("%s: %v does not say %s", op, err, name)
				}
			}
		}
	}
}

const ms = time.Millisecond

// must returns a getter's value.
func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
		return v
	}
}

var allPaths netip.Addr

// works sends a message each way, of more than one packet where that is
// small.
func works(t testing.TB, a, b *sctpnet.Conn) {
	t.Helper()
	watchdog(t, func() {
		for _, p := range [][2]*sctpnet.Conn{{a, b}, {b, a}} {
			want := bytes.Repeat([]byte("0123456789"), 300)
			if _, err := p[0].Write(want); err != nil {
				t.Error(err)
				return
			}
			got := make([]byte, len(want))
			if _, err := io.ReadFull(p[1], got); err != nil || !bytes.Equal(got, want) {
				t.Errorf("read %d bytes, %v", len(got), err)
			}
		}
	})
}

// TestOptionsOutOfRange checks what is refused before any system call.
func TestOptionsOutOfRange(t *testing.T) { eachEngine(t, testOptionsOutOfRange) }

func testOptionsOutOfRange(t *testing.T, network string) {
	c, s := pipe(t, network, "127.0.0.1:0")
	type path = sctpnet.PathParams
	var large int64 = math.MaxInt32 + 1
	for _, tt := range []struct {
		names  []string        // what the error names: option, value and range
		config *sctpnet.Config // nil: there is none
		set    func() error    // nil: that of Config alone
	}{
		{[]string{"RTO.Initial", "-1s", "1ms", "24h"}, &sctpnet.Config{RTO: sctpnet.RTO{Initial: -time.Second}}, nil},
		{[]string{"RTO.Min", "1µs", "1ms", "24h"}, &sctpnet.Config{RTO: sctpnet.RTO{Min: time.Microsecond}}, nil},
		{[]string{"RTO.Max", "25h", "1ms", "24h"}, &sctpnet.Config{RTO: sctpnet.RTO{Max: 25 * time.Hour}}, nil},
		{[]string{"RTO.Min", "2s", "1s", "RTO.Max"}, &sctpnet.Config{RTO: sctpnet.RTO{Min: 2 * time.Second, Max: time.Second}}, nil},
		{[]string{"RTO.Min", "2m", "1m", "RTO.Max"}, &sctpnet.Config{RTO: sctpnet.RTO{Min: 2 * time.Minute}}, nil},
		{[]string{"RTO.Min", "20ms", "RTO.Max"}, nil, func() error { return c.Set(sctpnet.Config{RTO: sctpnet.RTO{Max: 20 * ms}}) }},
		{[]string{"MaxRetransmissions", "65536", "1 to 65535"}, &sctpnet.Config{AssocParams: sctpnet.AssocParams{MaxRetransmissions: 65536}}, nil},
		{[]string{"CookieLife", "-1ns", "1ms"}, &sctpnet.Config{AssocParams: sctpnet.AssocParams{CookieLife: -1}}, nil},
		{[]string{"HeartbeatInterval", "-1s", "1ms", "24h"}, &sctpnet.Config{PathParams: path{HeartbeatInterval: -time.Second}},
			func() error { return c.SetPathParams(allPaths, path{HeartbeatInterval: -time.Second}) }},
		{[]string{"PathParams.MaxRetransmissions", "-2", "65535"}, &sctpnet.Config{PathParams: path{MaxRetransmissions: -2}},
			func() error { return c.SetPathParams(allPaths, path{MaxRetransmissions: -2}) }},
		{[]string{"PotentiallyFailedThreshold", "70000", "65535"}, &sctpnet.Config{PathParams: path{PotentiallyFailedThreshold: 70000}},
			func() error { return c.SetPathParams(allPaths, path{PotentiallyFailedThreshold: 70000}) }},
		{[]string{"PrimarySwitchoverThreshold", "-1", "65535"}, &sctpnet.Config{PathParams: path{PrimarySwitchoverThreshold: -1}},
			func() error { return c.SetPathParams(allPaths, path{PrimarySwitchoverThreshold: -1}) }},
		{[]string{"PotentiallyFailedThreshold", "5", "PrimarySwitchoverThreshold, 4"}, &sctpnet.Config{PathParams: path{PotentiallyFailedThreshold: 5, PrimarySwitchoverThreshold: 4}},
			func() error {
				return c.SetPathParams(allPaths, path{PotentiallyFailedThreshold: 5, PrimarySwitchoverThreshold: 4})
			}},
		{[]string{"MTU", "511", "512 to 65535"}, &sctpnet.Config{PathParams: path{MTU: 511}},
			func() error { return c.SetPathParams(allPaths, path{MTU: 511}) }},
		{[]string{"DSCP", "64", "63"}, &sctpnet.Config{PathParams: path{DSCP: 64}},
			func() error { return c.SetPathParams(allPaths, path{DSCP: 64}) }},
		{[]string{"FlowLabel", "1048576", "1048575"}, &sctpnet.Config{PathParams: path{FlowLabel: 1 << 20}},
			func() error { return c.SetPathParams(allPaths, path{FlowLabel: 1 << 20}) }},
		{[]string{"UDPPort", "65536", "65535"}, &sctpnet.Config{PathParams: path{UDPPort: 65536}},
			func() error { return c.SetPathParams(allPaths, path{UDPPort: 65536}) }},
		{[]string{"SACK.Delay", "501ms", "1ms to 500ms"}, &sctpnet.Config{SACK: sctpnet.SACK{Delay: 501 * ms}}, nil},
		{[]string{"SACK.Frequency", "-1", "1 to 65535"}, &sctpnet.Config{SACK: sctpnet.SACK{Frequency: -1}}, nil},
		{[]string{"MaxSegment", "439", "440 to 65516"}, &sctpnet.Config{MaxSegment: 439}, nil},
		{[]string{"MaxBurst", "65536", "65535"}, &sctpnet.Config{MaxBurst: 65536}, nil},
		{[]string{"ReadBuffer", "-1", "2147483647"}, &sctpnet.Config{ReadBuffer: -1}, nil},
		{[]string{"WriteBuffer", "-1", "2147483647"}, &sctpnet.Config{WriteBuffer: -1}, nil},
		{[]string{"buffer", "-1", "0 to 2147483647"}, nil, func() error { return c.SetReadBuffer(-1) }},
		{[]string{"buffer", "-1", "0 to 2147483647"}, nil, func() error { return c.SetWriteBuffer(-1) }},
		{[]string{"PartialReliability.TTL", "0s", "1ms"}, &sctpnet.Config{PartialReliability: sctpnet.PartialReliability{Policy: sctpnet.ReliabilityTimed}}, nil},
		{[]string{"PartialReliability.Policy", "9", "0 to 3"}, &sctpnet.Config{PartialReliability: sctpnet.PartialReliability{Policy: 9}}, nil},
		{[]string{"Scheduler", "5", "0 to 4"}, &sctpnet.Config{Scheduler: 5}, nil},
		{[]string{"FragmentInterleave", "3", "0 to 2"}, &sctpnet.Config{FragmentInterleave: 3}, nil},
		{[]string{"PartialDeliveryPoint", "2147483648", "2147483647"}, &sctpnet.Config{PartialDeliveryPoint: int(large)}, nil},
		{[]string{"stream 64", "0 to 63"}, nil, func() error { return c.SetStreamValue(64, 1) }},
		{[]string{"stream 64", "0 to 63"}, nil, func() error { _, err := c.StreamValue(64); return err }},
		{[]string{"outgoing streams", "-1", "0 to 65471"}, nil, func() error { return c.AddStreams(-1, 0) }},
		{[]string{"incoming streams", "65472", "0 to 65471"}, nil, func() error { return c.AddStreams(0, 65472) }},
		{[]string{"Config.Auth.Keys[0].Secret", "0 bytes", "1 to 65535"}, &sctpnet.Config{Auth: &sctpnet.Auth{Keys: []sctpnet.AuthKey{{ID: 1}}}}, nil},
		{[]string{"AuthKey.Secret", "0 bytes", "1 to 65535"}, nil, func() error { return c.SetAuthKey(sctpnet.AuthKey{ID: 1}) }},
		{[]string{"SetLinger", fmt.Sprint(large), "2147483647"}, nil, func() error { return c.SetLinger(int(large)) }},
		{[]string{"Auth.Chunks", "is 1;", "INIT"}, &sctpnet.Config{Auth: &sctpnet.Auth{Chunks: []uint8{0, 1}}}, nil},
		{[]string{"Auth.Chunks", "21 types", "20"}, &sctpnet.Config{Auth: &sctpnet.Auth{Chunks: make([]uint8, 21)}}, nil},
		{[]string{"Auth.HMACs", "2", "1 (SHA-1)"}, &sctpnet.Config{Auth: &sctpnet.Auth{HMACs: []uint16{2}}}, nil},
		{[]string{"Auth.HMACs", "[3]", "1 (SHA-1), which must be there"}, &sctpnet.Config{Auth: &sctpnet.Auth{HMACs: []uint16{3}}}, nil},
		{[]string{"Auth.Active", "7", "Keys"}, &sctpnet.Config{Auth: &sctpnet.Auth{Active: 7}}, nil},
	} {
		errs := make(map[string]error)
		if tt.set != nil {
			errs["set"] = tt.set()
		}
		if tt.config != nil {
			_, errs["Config"] = (&sctpnet.Dialer{Config: *tt.config}).Dial(network, s.LocalAddr().String())
			// With something that is possible, and must not happen.
			before, some := inForce(t, c), *tt.config
			some.AcceptStreams, some.PPID = 9, 9
			errs["Set"] = c.Set(some)
			if now := inForce(t, c); !reflect.DeepEqual(now, before) {
				t.Errorf("Set of %v has changed %+v to %+v", tt.names, before, now)
			}
		}
		for what, err := range errs {
			var op *net.OpError
			if !errors.Is(err, syscall.EINVAL) || !errors.As(err, &op) {
				t.Errorf("%s of %v: %v, want a *net.OpError around EINVAL", what, tt.names, err)
				continue
			}
			for _, name := range tt.names {
				if !strings.Contains(err.Error(), name) {
					t.Errorf("%s: %q does not say %q", what, err, name)
				}
			}
		}
	}
	works(t, c, s)
}

// setters are all of a Conn's setters and getters here.
func setters(c *sctpnet.Conn) map[string]func() error {
	m := map[string]func() error{
		"SetPathParams":     func() error { return c.SetPathParams(allPaths, sctpnet.PathParams{MTU: 1000}) },
		"Heartbeat":         func() error { return c.Heartbeat(allPaths) },
		"SetStreamValue":    func() error { return c.SetStreamValue(1, 2) },
		"AddStreams":        func() error { return c.AddStreams(1, 1) },
		"ResetAssoc":        func() error { return c.ResetAssoc() },
		"SetAuthKey":        func() error { return c.SetAuthKey(sctpnet.AuthKey{ID: 1, Secret: []byte("x")}) },
		"ActivateAuthKey":   func() error { return c.ActivateAuthKey(1) },
		"DeactivateAuthKey": func() error { return c.DeactivateAuthKey(1) },
		"DeleteAuthKey":     func() error { return c.DeleteAuthKey(1) },
		"SetNoDelay":        func() error { return c.SetNoDelay(true) },
		"SetReadBuffer":     func() error { return c.SetReadBuffer(10000) },
		"SetWriteBuffer":    func() error { return c.SetWriteBuffer(10000) },
		"SetLinger":         func() error { return c.SetLinger(1) },
	}
	for name, config := range map[string]sctpnet.Config{
		"nothing":              {},
		"AcceptStreams":        {AcceptStreams: 1},
		"PPID":                 {PPID: 1},
		"RTO":                  {RTO: sctpnet.RTO{Min: time.Second}},
		"AssocParams":          {AssocParams: sctpnet.AssocParams{MaxRetransmissions: 3}},
		"PathParams":           {PathParams: sctpnet.PathParams{MTU: 1000}},
		"SACK":                 {SACK: sctpnet.SACK{Frequency: 1}},
		"Nagle":                {Nagle: true},
		"ReadBuffer":           {ReadBuffer: 10000},
		"WriteBuffer":          {WriteBuffer: 10000},
		"MaxSegment":           {MaxSegment: 1000},
		"MaxBurst":             {MaxBurst: 7},
		"PartialReliability":   {PartialReliability: sctpnet.PartialReliability{Policy: -1}},
		"Scheduler":            {Scheduler: sctpnet.SchedulerPriority},
		"FragmentInterleave":   {FragmentInterleave: 1},
		"PartialDeliveryPoint": {PartialDeliveryPoint: 1000},
		"what is settled":      {OutStreams: 3},
		"what is out of range": {MaxBurst: 1 << 20},
	} {
		m["Set of "+name] = func() error { return c.Set(config) }
	}
	getter(m, "Config", c.Config)
	getter(m, "PathParams", func() (sctpnet.PathParams, error) { return c.PathParams(allPaths) })
	getter(m, "PathParams of one", func() (sctpnet.PathParams, error) { return c.PathParams(netip.MustParseAddr("127.0.0.1")) })
	getter(m, "StreamValue", func() (uint16, error) { return c.StreamValue(1) })
	getter(m, "Features", c.Features)
	getter(m, "AuthState", c.AuthState)
	return m
}

func getter[T any](m map[string]func() error, name string, get func() (T, error)) {
	m[name] = func() error { _, err := get(); return err }
}

func TestOptionsAfterClose(t *testing.T) { eachEngine(t, testOptionsAfterClose) }

func testOptionsAfterClose(t *testing.T, network string) {
	c, _ := pipe(t, network, "127.0.0.1:0")
	c.Close()
	for name, f := range setters(c) {
		err := f()
		var op *net.OpError
		if !errors.As(err, &op) || !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: %v, want net.ErrClosed in a *net.OpError", name, err)
		} else if strings.HasPrefix(name, "Set") && op.Op != "set" {
			t.Errorf("%s: Op is %q", name, op.Op)
		}
	}
	for name, f := range setters(nil) {
		if err := f(); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%s of a nil Conn: %v, want EINVAL", name, err)
		}
	}
}

// TestOptionsAfterEnd checks that nothing panics or hangs once the peer is gone.
func TestOptionsAfterEnd(t *testing.T) { eachEngine(t, testOptionsAfterEnd) }

func testOptionsAfterEnd(t *testing.T, network string) {
	c, s := pipe(t, network, "127.0.0.1:0")
	s.Abort()
	watchdog(t, func() {
		c.Read(make([]byte, 1))
		for name, f := range setters(c) {
			if err := f(); errors.Is(err, net.ErrClosed) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestAddStreams(t *testing.T) { eachEngine(t, testAddStreams) }

func testAddStreams(t *testing.T, network string) {
	c, s := configured(t, network, "127.0.0.1:0", sctpnet.Config{}, sctpnet.Config{OutStreams: 64, MaxInStreams: 65535})
	streams := func(conn *sctpnet.Conn) [2]int {
		out, in := conn.NumStreams()
		return [2]int{int(out), int(in)}
	}
	if _, err := c.WriteStream([]byte("x"), 64); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("stream 64 before: %v", err)
	}
	if err := c.AddStreams(10, 0); err != nil {
		t.Fatal(err)
	}
	added := func() error {
		if got := streams(c); got != [2]int{74, 64} {
			return fmt.Errorf("%v streams, want 74 outgoing", got)
		}
		return nil
	}
	if overUDP(network) {
		soon(t, added) // once the peer has agreed
	} else if err := added(); err != nil {
		t.Error(err)
	}
	watchdog(t, func() {
		if _, err := c.WriteStream([]byte("new"), 73); err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 10)
		if n, stream, err := s.ReadStream(p); err != nil || stream != 73 || string(p[:n]) != "new" {
			t.Fatalf("%q on stream %d, %v", p[:n], stream, err)
		}
	})
	if got := streams(s); got != [2]int{64, 74} {
		t.Errorf("the peer has %v streams", got)
	}
	// Incoming ones are made by the peer.
	soon(t, func() error { return c.AddStreams(0, 6) })
	soon(t, func() error {
		if a, b := streams(c), streams(s); a != [2]int{74, 70} || b != [2]int{70, 74} {
			return fmt.Errorf("%v and %v streams", a, b)
		}
		return nil
	})
	watchdog(t, func() {
		if _, err := s.WriteStream([]byte("back"), 69); err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 10)
		if n, stream, err := c.ReadStream(p); err != nil || stream != 69 || string(p[:n]) != "back" {
			t.Fatalf("%q on stream %d, %v", p[:n], stream, err)
		}
	})
	if err := c.AddStreams(0, 0); err != nil {
		t.Errorf("none: %v", err)
	}
	s.Close()
	c.Close()
	if got := streams(c); got != [2]int{74, 70} {
		t.Errorf("%v streams after Close", got)
	}

}

// soon tries for a while.
func soon(t testing.TB, f func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(20 * time.Second * conformance.Slowness); time.Now().Before(deadline); time.Sleep(10 * ms) {
		if err = f(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// TestConfigLimits checks defaults that give way to limits which were set.
func TestConfigLimits(t *testing.T) { eachEngine(t, testConfigLimits) }

func testConfigLimits(t *testing.T, network string) {
	for _, tt := range []struct{ set, want sctpnet.RTO }{
		{sctpnet.RTO{}, sctpnet.RTO{Initial: time.Second, Min: 250 * ms, Max: time.Minute}},
		{sctpnet.RTO{Max: 200 * ms}, sctpnet.RTO{Initial: 200 * ms, Min: 200 * ms, Max: 200 * ms}},
		{sctpnet.RTO{Min: 2 * time.Second}, sctpnet.RTO{Initial: 2 * time.Second, Min: 2 * time.Second, Max: time.Minute}},
		{sctpnet.RTO{Initial: 500 * ms}, sctpnet.RTO{Initial: 500 * ms, Min: 250 * ms, Max: time.Minute}},
	} {
		config := sctpnet.Config{RTO: tt.set}
		c, s := configured(t, network, "127.0.0.1:0", config, config)
		for _, conn := range []*sctpnet.Conn{c, s} {
			got := inForce(t, conn).RTO
			got.Min = got.Min.Round(10 * ms) // the kernel counts in ticks
			if got != tt.want {
				t.Errorf("RTO %+v gives %+v, want %+v", tt.set, got, tt.want)
			}
		}
	}
}

// TestAddStreamsDenied has a peer ask for more streams than it was granted, both
// ways and at both ends.
func TestAddStreamsDenied(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		added := make(chan sctpnet.StreamsAddedEvent, 10)
		onEvent := func(_ *sctpnet.Conn, e sctpnet.Event) {
			if e, ok := e.(sctpnet.StreamsAddedEvent); ok {
				added <- e
			}
		}
		c, s := configured(t, network, "127.0.0.1:0", sctpnet.Config{OnEvent: onEvent}, sctpnet.Config{OnEvent: onEvent})
		for _, tt := range []struct {
			name    string
			of      *sctpnet.Conn
			out, in int
		}{
			{"outgoing ones of the dialed end", c, 10, 0},
			{"incoming ones of the dialed end", c, 0, 10},
		} {
			t.Run(tt.name, func(t *testing.T) {
				soon(t, func() error { return tt.of.AddStreams(tt.out, tt.in) })
				watchdog(t, func() {
					if e := <-added; !e.Denied {
						t.Errorf("the event is %v, want a denial", e)
					}
				})
				soon(t, func() error {
					for _, conn := range []*sctpnet.Conn{c, s} {
						if out, in := conn.NumStreams(); out != 64 || in != 64 {
							return fmt.Errorf("there are %d and %d streams, want 64", out, in)
						}
					}
					return nil
				})
			})
		}
	})
}

// TestConfigKernelDefaults checks that what a Config sets counts even so, and
// that the rest is the system's.
func TestConfigKernelDefaults(t *testing.T) {
	kernel := sctpnet.Config{KernelDefaults: true}
	c, _ := configured(t, "sctp", "127.0.0.1:0", kernel, kernel)
	st := status(t, c)
	if st.Ostreams != 10 || st.Instreams != 10 {
		t.Errorf("%d and %d streams, want Linux's 10", st.Ostreams, st.Instreams)
	}
	if st.PrimaryPeerAddr.MTU < 65532 {
		t.Errorf("path MTU is %d, want that of the interface lo", st.PrimaryPeerAddr.MTU)
	}
	c, _ = configured(t, "sctp", "127.0.0.1:0", sctpnet.Config{KernelDefaults: true, OutStreams: 7}, kernel)
	if st := status(t, c); st.Ostreams != 7 {
		t.Errorf("%d streams, want 7", st.Ostreams)
	}
	config := sctpnet.Config{KernelDefaults: true, RTO: sctpnet.RTO{Max: 2 * time.Second}, ReadBuffer: 40000}
	c, _ = configured(t, "sctp", "127.0.0.1:0", config, config)
	if got, want := inForce(t, c).RTO, (sctpnet.RTO{Initial: 3 * time.Second, Min: time.Second, Max: 2 * time.Second}); got != want {
		t.Errorf("RTO is %+v, want %+v", got, want)
	}
	if got := inForce(t, c).ReadBuffer; got != 40000 {
		t.Errorf("read buffer is %d", got)
	}
}

// loopbackMTU is the path MTU over the loopback interface: three chunks of a third of
// 64 KiB, over IPv6.
const loopbackMTU = 21916

// TestLoopbackPathMTU checks the one path whose MTU is set.
func TestLoopbackPathMTU(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", "127.0.0.1/127.0.0.2:0"} {
		c, s := pipe(t, "sctp", address)
		for end, conn := range map[string]*sctpnet.Conn{"client": c, "server": s} {
			if got := status(t, conn).PrimaryPeerAddr.MTU; got != loopbackMTU {
				t.Errorf("%s: the %s's path MTU is %d, want %d", address, end, got, loopbackMTU)
			}
		}
	}
}

// TestRemotePathMTU checks that the MTU of any other path is left alone, also
// of the largest there can be, by an association with another network
// namespace.
func TestRemotePathMTU(t *testing.T) {
	for _, mtu := range []int{1500, 9000, 65535} {
		t.Run(strconv.Itoa(mtu), func(t *testing.T) {
			a, b := newLinks(t)
			for _, ns := range []*netns{a, b} {
				ns.ip(t, fmt.Sprint("link set link1 mtu ", mtu))
			}
			ln := b.listen(t, sctpnet.ListenConfig{}, "10.77.1.2:0")
			watchdog(t, func() {
				c := a.dial(t, sctpnet.Dialer{}, ln.Addr().String())
				s := accept(t, ln)
				if got := int(status(t, c).PrimaryPeerAddr.MTU); got > mtu || got < mtu-3 {
					t.Errorf("path MTU is %d, want %d, or the multiple of four below", got, mtu)
				}
				exchange(t, c, s)
			})
		})
	}
}

// TestOptionOfOnePath sets the parameters of one of two paths.
func TestOptionOfOnePath(t *testing.T) {
	c, _ := pipe(t, "sctp", "127.0.0.1/127.0.0.2:0")
	addrs := c.PeerAddrs()
	if len(addrs) != 2 {
		t.Fatalf("the peer's addresses are %v", addrs)
	}
	set := sctpnet.PathParams{HeartbeatInterval: 3 * time.Second, MaxRetransmissions: 9, MTU: 1400,
		PotentiallyFailedThreshold: 3, PrimarySwitchoverThreshold: 5, DSCP: 10, UDPPort: 4444}
	if err := c.SetPathParams(addrs[1], set); err != nil {
		t.Fatal(err)
	}
	if got := must[sctpnet.PathParams](t)(c.PathParams(addrs[1])); got != set {
		t.Errorf("%+v, want %+v", got, set)
	}
	other := must[sctpnet.PathParams](t)(c.PathParams(addrs[0]))
	if other.MaxRetransmissions == 9 || other.MTU == 1400 || other.DSCP == 10 || other.UDPPort == 4444 || other.PotentiallyFailedThreshold == 3 {
		t.Errorf("the other path has it too: %+v", other)
	}
	// Back, and negative numbers for zero.
	if err := c.SetPathParams(addrs[1], sctpnet.PathParams{PotentiallyFailedThreshold: -1, DSCP: -1, UDPPort: -1}); err != nil {
		t.Fatal(err)
	}
	set.PotentiallyFailedThreshold, set.DSCP, set.UDPPort = 0, 0, 0
	if got := must[sctpnet.PathParams](t)(c.PathParams(addrs[1])); got != set {
		t.Errorf("%+v, want %+v", got, set)
	}
	// What a getter returned changes nothing.
	if err := c.SetPathParams(addrs[1], set); err != nil {
		t.Fatal(err)
	}
	if got := must[sctpnet.PathParams](t)(c.PathParams(addrs[1])); got != set {
		t.Errorf("%+v, want %+v", got, set)
	}
	for _, a := range []netip.Addr{addrs[0], allPaths} {
		if err := c.Heartbeat(a); err != nil {
			t.Errorf("heartbeat to %v: %v", a, err)
		}
	}
	// No such thing.
	for _, addr := range []string{"127.0.0.3", "::1", "192.0.2.1", "fe80::1%lo", "fe80::1%nosuchif"} {
		a := netip.MustParseAddr(addr)
		_, gerr := c.PathParams(a)
		for what, err := range map[string]error{"set": c.SetPathParams(a, set), "get": gerr, "heartbeat": c.Heartbeat(a)} {
			if err == nil || !strings.Contains(err.Error(), "not an address of the peer") || !strings.Contains(err.Error(), addr[:3]) {
				t.Errorf("%s of %s: %v", what, addr, err)
			}
		}
	}
	// The association goes on.
	if err := c.Set(sctpnet.Config{RTO: sctpnet.RTO{Min: 400 * ms}}); err != nil {
		t.Error(err)
	}
}

// TestOptionOfMixedPaths sets the parameters of an IPv4 and an IPv6 path of one
// association.
func TestOptionOfMixedPaths(t *testing.T) {
	c, _ := pipe(t, "sctp", "127.0.0.1/[::1]:0")
	addrs := c.PeerAddrs()
	if len(addrs) != 2 {
		t.Fatalf("the peer's addresses are %v", addrs)
	}
	for i, a := range addrs {
		set := sctpnet.PathParams{MaxRetransmissions: 11 + i, UDPPort: 1000 + i}
		want := set
		if a.Is6() {
			set.FlowLabel = 0x12345
			want.FlowLabel = 0x12345
		}
		if err := c.SetPathParams(a, set); err != nil {
			t.Fatal(err)
		}
		p := must[sctpnet.PathParams](t)(c.PathParams(a))
		if got := (sctpnet.PathParams{MaxRetransmissions: p.MaxRetransmissions, UDPPort: p.UDPPort, FlowLabel: p.FlowLabel}); got != want {
			t.Errorf("%v: %+v, want %+v", a, got, want)
		}
	}
	if p := must[sctpnet.PathParams](t)(c.PathParams(netip.MustParseAddr("::ffff:127.0.0.1"))); p.MaxRetransmissions != 11 && p.MaxRetransmissions != 12 {
		t.Errorf("mapped IPv4: %+v", p)
	}
}

// TestPartialDeliveryPointOutOfRange checks a limit that the system has.
func TestPartialDeliveryPointOutOfRange(t *testing.T) {
	c, _ := pipe(t, "sctp", "127.0.0.1:0")
	before := inForce(t, c)
	err := c.Set(sctpnet.Config{MaxBurst: 9, PartialDeliveryPoint: 1<<31 - 1})
	var op *net.OpError
	if !errors.As(err, &op) {
		t.Fatalf("%v, want a *net.OpError", err)
	}
	// What comes before it stays.
	before.MaxBurst = 9
	if now := inForce(t, c); !reflect.DeepEqual(now, before) {
		t.Errorf("%+v, want %+v", now, before)
	}
	for _, name := range []string{"PartialDeliveryPoint: ", "partial delivery point", "2147483647", "0 to", "half the read buffer"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%q does not say %q", err, name)
		}
	}
}

func TestResetAssociation(t *testing.T) {
	c, s := pipe(t, "sctp", "127.0.0.1:0")
	works(t, c, s)
	read := func() sctpnet.MsgInfo {
		t.Helper()
		p := make([]byte, 10)
		_, info, err := s.ReadMsg(p)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	watchdog(t, func() {
		c.Write([]byte("x"))
		if info := read(); info.SSN != 1 {
			t.Fatalf("SSN is %d before", info.SSN)
		}
		soon(t, c.ResetAssoc) // once all is acknowledged
		c.Write([]byte("y"))
		if info := read(); info.SSN != 0 {
			t.Errorf("SSN is %d afterwards, want 0", info.SSN)
		}
		works(t, s, c)
	})
}

// TestDefaultReliability checks that the policy is that of all messages,
// whatever else is said of them, on a path that loses all.
func TestDefaultReliability(t *testing.T) {
	c, s := configured(t, "sctp", "127.0.0.1:0", sctpnet.Config{WriteBuffer: 256 << 10}, sctpnet.Config{ReadBuffer: 128 << 10})
	// More retransmissions than there are, but as milliseconds too few.
	err := c.Set(sctpnet.Config{PartialReliability: sctpnet.PartialReliability{Policy: sctpnet.ReliabilityRetransmissions, Retransmissions: 40}})
	if err != nil {
		t.Fatal(err)
	}
	// Fill the window, so that what follows waits for longer than that.
	big := make([]byte, 16<<10)
	c.SetWriteDeadline(time.Now().Add(300 * ms))
	n := 0
	for {
		if _, err := c.WriteMsg(big, sctpnet.MsgInfo{Stream: 1, PPID: 7}); err != nil {
			break
		}
		n++
	}
	watchdog(t, func() {
		p := make([]byte, len(big))
		for i := range n {
			for {
				_, info, err := s.ReadMsg(p)
				if err != nil {
					t.Errorf("message %d of %d: %v", i, n, err)
					return
				}
				if !info.More {
					break
				}
			}
		}
	})
}

// TestDefaultScheduler checks that streams in use take turns, unless another
// scheduler was asked for.
func TestDefaultScheduler(t *testing.T) {
	needSCTP(t)
	for _, tt := range []struct {
		config        sctpnet.Config
		set           bool // to first come, while running
		before, after sctpnet.Scheduler
	}{
		{sctpnet.Config{}, false, sctpnet.SchedulerFirstCome, sctpnet.SchedulerRoundRobin},
		{sctpnet.Config{}, true, sctpnet.SchedulerFirstCome, sctpnet.SchedulerFirstCome},
		{sctpnet.Config{KernelDefaults: true}, false, sctpnet.SchedulerFirstCome, sctpnet.SchedulerFirstCome},
		{sctpnet.Config{Scheduler: -1}, false, sctpnet.SchedulerFirstCome, sctpnet.SchedulerFirstCome},
		{sctpnet.Config{Scheduler: sctpnet.SchedulerPriority}, false, sctpnet.SchedulerPriority, sctpnet.SchedulerPriority},
	} {
		ln := listenWith(t, "sctp4", "127.0.0.1:0", sctpnet.ListenConfig{Config: tt.config})
		client := dial(t, &sctpnet.Dialer{Config: tt.config}, "sctp4", ln.Addr().String())
		server := accept(t, ln)
		for _, c := range []*sctpnet.Conn{client, server} {
			if tt.set {
				if err := c.Set(sctpnet.Config{Scheduler: -1}); err != nil {
					t.Fatal(err)
				}
			}
			if s := inForce(t, c).Scheduler; s != tt.before {
				t.Errorf("%+v: scheduler is %v before streams are in use; want %v", tt.config.Scheduler, s, tt.before)
			}
			if _, err := c.OpenStream(); err != nil {
				t.Fatal(err)
			}
			if s := inForce(t, c).Scheduler; s != tt.after {
				t.Errorf("%+v: scheduler is %v with streams in use; want %v", tt.config.Scheduler, s, tt.after)
			}
		}
	}
}

// TestInterleaving checks that messages which interleave arrive whole.
func TestInterleaving(t *testing.T) {
	needSCTP(t)
	const sysctl = "/proc/sys/net/sctp/intl_enable"
	old, err := os.ReadFile(sysctl)
	if err != nil {
		t.Skip("this kernel has no interleaving: ", err)
	}
	if err := os.WriteFile(sysctl, []byte("1"), 0); err != nil {
		t.Skip("only root can turn it on: ", err)
	}
	defer os.WriteFile(sysctl, old, 0)
	config := sctpnet.Config{Interleaving: true, Scheduler: sctpnet.SchedulerRoundRobin, ReadBuffer: 60000}
	c, s := configured(t, "sctp", "127.0.0.1:0", config, config)
	for _, conn := range []*sctpnet.Conn{c, s} {
		if f := must[sctpnet.Features](t)(conn.Features()); !f.Interleaving {
			t.Fatalf("%+v", f)
		}
		if level := inForce(t, conn).FragmentInterleave; level == 0 {
			t.Errorf("fragment interleave is %d", level)
		}
	}
	const size, each = 100 << 10, 10
	message := func(stream uint16) []byte { return bytes.Repeat([]byte{byte(stream)}, size) }
	before, err := c.Status()
	if err != nil {
		t.Fatal(err)
	}
	watchdog(t, func() {
		for stream := range uint16(3) {
			go func() {
				for range each {
					if _, err := c.WriteStream(message(stream), stream); err != nil {
						t.Error(err)
					}
				}
			}()
		}
		eventually(t, "a window full of pieces", func() bool {
			st, err := c.Status()
			return err != nil || st.PeerWindow < before.PeerWindow/2
		})
		p := make([]byte, size)
		var have [3]int
		pieces := 0
		for total := 0; total < 3*each*size; pieces++ {
			n, info, err := s.ReadMsg(p)
			if err != nil {
				t.Error(err)
				return
			}
			total += n
			have[info.Stream] += n
			if i := slices.IndexFunc(p[:n], func(b byte) bool { return b != byte(info.Stream) }); i >= 0 {
				t.Errorf("byte %d of %d on stream %d is stream %d's", i, n, info.Stream, p[i])
				return
			}
		}
		if have != [3]int{each * size, each * size, each * size} {
			t.Errorf("streams have %v bytes", have)
		}
		t.Logf("%d pieces", pieces)
	})
}
