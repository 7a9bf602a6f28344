package sctpnet_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
)

// configured makes an association between ends with these Configs.
func configured(t testing.TB, network, address string, client, server sctpnet.Config) (c, s *sctpnet.Conn) {
	t.Helper()
	needNetwork(t, network)
	lc := sctpnet.ListenConfig{Config: server}
	ln, err := lc.Listen(context.Background(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c = dial(t, &sctpnet.Dialer{Config: client}, network, ln.Addr().String())
	return c, accept(t, ln)
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
