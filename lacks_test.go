package sctpnet_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/internal/engine"
)

// What an engine lacks is in its table. The tests here go through all that
// package sctpnet has, on each engine: it works, or it is in the table.

// lacksOf returns what the engine of a network lacks.
func lacksOf(t testing.TB, network string) engine.Lacks {
	t.Helper()
	_, e, ok := engine.Lookup(network)
	if !ok {
		t.Fatalf("no network %s", network)
	}
	return e.Lacks()
}

// wantUnsupported checks the error of something that an engine lacks.
func wantUnsupported(t testing.TB, what, network string, err error, lack engine.Lack) {
	t.Helper()
	var op *net.OpError
	if !errors.Is(err, errors.ErrUnsupported) || !errors.As(err, &op) {
		t.Errorf("%s: %v, want ErrUnsupported in a *net.OpError", what, err)
		return
	}
	if op.Net != network || !strings.Contains(err.Error(), lack.Name) || !strings.Contains(err.Error(), lack.Why) {
		t.Errorf("%s: %q, want %s, %s and %q in it", what, err, network, lack.Name, lack.Why)
	}
}

// A setting is a field of Config, how it is set and what tells.
type setting struct {
	client, server sctpnet.Config            // with this field, and no other that matters
	set            func(*sctpnet.Conn) error // nil if it can be set in Config only
	get            func(*sctpnet.Conn) any   // what is in force; nil if only a test of its own can tell
	want           any                       // by get
	network        map[string]string         // another network of the same engine
	end            string                    // which can tell if it was in the Config; both if empty
	cannotDial     string                    // an engine's network on which the association would not come about
	system         string                    // what an error says that stems from the system's configuration
}

// settings are all fields of Config.
func settings(t testing.TB) map[string]setting {
	both := func(c sctpnet.Config) setting { return setting{client: c, server: c} }
	with := func(s setting, set func(*sctpnet.Conn) error, get func(*sctpnet.Conn) any, want any) setting {
		s.set, s.get, s.want = set, get, want
		return s
	}
	rto := func(v sctpnet.RTO, get func(sctpnet.RTO) time.Duration, want time.Duration) setting {
		return with(both(sctpnet.Config{RTO: v}),
			func(c *sctpnet.Conn) error { return c.SetRTO(v) },
			func(c *sctpnet.Conn) any { return get(must[sctpnet.RTO](t)(c.RTO())) }, want)
	}
	assoc := func(v sctpnet.AssocParams, get func(sctpnet.AssocParams) any, want any) setting {
		return with(both(sctpnet.Config{AssocParams: v}),
			func(c *sctpnet.Conn) error { return c.SetAssocParams(v) },
			func(c *sctpnet.Conn) any { return get(must[sctpnet.AssocParams](t)(c.AssocParams())) }, want)
	}
	path := func(v sctpnet.PathParams, get func(sctpnet.PathParams) any, want any) setting {
		return with(both(sctpnet.Config{PathParams: v}),
			func(c *sctpnet.Conn) error { return c.SetPathParams(allPaths, v) },
			func(c *sctpnet.Conn) any { return get(must[sctpnet.PathParams](t)(c.PathParams(allPaths))) }, want)
	}
	sack := func(v sctpnet.SACK, get func(sctpnet.SACK) any, want any) setting {
		return with(both(sctpnet.Config{SACK: v}),
			func(c *sctpnet.Conn) error { return c.SetSACK(v) },
			func(c *sctpnet.Conn) any { return get(must[sctpnet.SACK](t)(c.SACK())) }, want)
	}
	feature := func(c sctpnet.Config, get func(sctpnet.Features) bool, want bool) setting {
		return with(both(c), nil, func(c *sctpnet.Conn) any { return get(must[sctpnet.Features](t)(c.Features())) }, want)
	}
	streams := func(c *sctpnet.Conn) any {
		out, in := c.NumStreams()
		return [2]uint16{out, in}
	}
	least := func(n, least int) any {
		if n < least {
			return n
		}
		return least
	}
	udp := freeUDPPort(t)
	toUDP := path(sctpnet.PathParams{UDPPort: udp}, func(p sctpnet.PathParams) any { return p.UDPPort }, udp)
	toUDP.server = sctpnet.Config{UDPPort: udp}
	toUDP.end = "client"
	toUDP.cannotDial = "sctp4" // the system's port may be another
	udpPort := toUDP
	udpPort.client, udpPort.server, udpPort.set = toUDP.server, sctpnet.Config{}, nil
	udpPort.end = "server"
	udpPort.cannotDial = ""
	flowLabel := path(sctpnet.PathParams{FlowLabel: 0x12345}, func(p sctpnet.PathParams) any { return p.FlowLabel }, 0x12345)
	flowLabel.network = map[string]string{"sctp4": "sctp6"}
	interleaving := feature(sctpnet.Config{Interleaving: true}, func(f sctpnet.Features) bool { return f.Interleaving }, true)
	interleaving.system = "net.sctp.intl_enable"

	return map[string]setting{
		"OutStreams":    with(both(sctpnet.Config{OutStreams: 7}), nil, streams, [2]uint16{7, 7}),
		"MaxInStreams":  with(both(sctpnet.Config{MaxInStreams: 9}), nil, streams, [2]uint16{9, 9}),
		"StreamMemory":  both(sctpnet.Config{StreamMemory: 1 << 20}),                          // TestStreamMemory
		"AcceptStreams": both(sctpnet.Config{AcceptStreams: 3}),                               // TestAcceptStreams
		"InitAttempts":  both(sctpnet.Config{InitAttempts: 2}),                                // TestConfigInit
		"InitTimeout":   both(sctpnet.Config{InitTimeout: 2 * time.Second}),                   // TestConfigInit
		"OnEvent":       both(sctpnet.Config{OnEvent: func(*sctpnet.Conn, sctpnet.Event) {}}), // TestEvents
		"KeepRestarted": both(sctpnet.Config{KeepRestarted: true}),                            // TestKeepRestarted
		"SenderDry":     both(sctpnet.Config{SenderDry: true}),                                // TestEvents

		"RTO.Initial": rto(sctpnet.RTO{Initial: 400 * ms}, func(r sctpnet.RTO) time.Duration { return r.Initial }, 400*ms),
		"RTO.Min":     rto(sctpnet.RTO{Min: 700 * ms}, func(r sctpnet.RTO) time.Duration { return r.Min }, 700*ms),
		"RTO.Max":     rto(sctpnet.RTO{Max: 8 * time.Second}, func(r sctpnet.RTO) time.Duration { return r.Max }, 8*time.Second),

		"AssocParams.MaxRetransmissions": assoc(sctpnet.AssocParams{MaxRetransmissions: 3},
			func(p sctpnet.AssocParams) any { return p.MaxRetransmissions }, 3),
		"AssocParams.CookieLife": assoc(sctpnet.AssocParams{CookieLife: 5 * time.Second},
			func(p sctpnet.AssocParams) any { return p.CookieLife }, 5*time.Second),

		"PathParams.HeartbeatInterval": path(sctpnet.PathParams{HeartbeatInterval: 2 * time.Second},
			func(p sctpnet.PathParams) any { return p.HeartbeatInterval }, 2*time.Second),
		"PathParams.NoHeartbeat": path(sctpnet.PathParams{NoHeartbeat: true},
			func(p sctpnet.PathParams) any { return p.NoHeartbeat }, true),
		"PathParams.MaxRetransmissions": path(sctpnet.PathParams{MaxRetransmissions: 7},
			func(p sctpnet.PathParams) any { return p.MaxRetransmissions }, 7),
		"PathParams.PotentiallyFailed": path(sctpnet.PathParams{PotentiallyFailed: 2},
			func(p sctpnet.PathParams) any { return p.PotentiallyFailed }, 2),
		"PathParams.PrimarySwitchover": path(sctpnet.PathParams{PrimarySwitchover: 4},
			func(p sctpnet.PathParams) any { return p.PrimarySwitchover }, 4),
		"PathParams.MTU": path(sctpnet.PathParams{MTU: 1200}, func(p sctpnet.PathParams) any { return p.MTU }, 1200),
		"PathParams.DiscoverMTU": path(sctpnet.PathParams{DiscoverMTU: true},
			func(p sctpnet.PathParams) any { return p.DiscoverMTU }, true),
		"PathParams.DSCP":      path(sctpnet.PathParams{DSCP: 46}, func(p sctpnet.PathParams) any { return p.DSCP }, 46),
		"PathParams.FlowLabel": flowLabel,
		"PathParams.UDPPort":   toUDP,

		"SACK.Delay":     sack(sctpnet.SACK{Delay: 60 * ms}, func(s sctpnet.SACK) any { return s.Delay }, 60*ms),
		"SACK.Frequency": sack(sctpnet.SACK{Frequency: 5}, func(s sctpnet.SACK) any { return s.Frequency }, 5),

		"Nagle": with(both(sctpnet.Config{Nagle: true}),
			func(c *sctpnet.Conn) error { return c.SetNoDelay(false) },
			func(c *sctpnet.Conn) any { return must[bool](t)(c.NoDelay()) }, false),
		// Linux doubles it, and each engine has a least size.
		"ReadBuffer": with(both(sctpnet.Config{ReadBuffer: 90000}),
			func(c *sctpnet.Conn) error { return c.SetReadBuffer(90000) },
			func(c *sctpnet.Conn) any { n := must[int](t)(c.ReadBuffer()); return n == 90000 || n == 2*90000 }, true),
		"WriteBuffer": with(both(sctpnet.Config{WriteBuffer: 95000}),
			func(c *sctpnet.Conn) error { return c.SetWriteBuffer(95000) },
			func(c *sctpnet.Conn) any { n := must[int](t)(c.WriteBuffer()); return n == 95000 || n == 2*95000 }, true),
		"MaxSegment": with(both(sctpnet.Config{MaxSegment: 1000}),
			func(c *sctpnet.Conn) error { return c.SetMaxSegment(1000) },
			func(c *sctpnet.Conn) any { return must[int](t)(c.MaxSegment()) }, 1000),
		"MaxBurst": with(both(sctpnet.Config{MaxBurst: 9}),
			func(c *sctpnet.Conn) error { return c.SetMaxBurst(9) },
			func(c *sctpnet.Conn) any { return must[int](t)(c.MaxBurst()) }, 9),
		"Adaptation": with(both(sctpnet.Config{Adaptation: 5}), nil,
			func(c *sctpnet.Conn) any { return must[uint32](t)(c.Adaptation()) }, uint32(5)),
		"PartialReliability": with(both(sctpnet.Config{PartialReliability: sctpnet.PartialReliability{Policy: sctpnet.LimitedRetransmissions}}),
			func(c *sctpnet.Conn) error {
				return c.SetPartialReliability(sctpnet.PartialReliability{Policy: sctpnet.LimitedRetransmissions})
			},
			func(c *sctpnet.Conn) any { return must[sctpnet.PartialReliability](t)(c.PartialReliability()).Policy }, sctpnet.LimitedRetransmissions),
		"NoPartialReliability": feature(sctpnet.Config{NoPartialReliability: true}, func(f sctpnet.Features) bool { return f.PartialReliability }, false),
		"Scheduler": with(both(sctpnet.Config{Scheduler: sctpnet.SchedulerPriority}),
			func(c *sctpnet.Conn) error { return c.SetScheduler(sctpnet.SchedulerPriority) },
			func(c *sctpnet.Conn) any { return must[sctpnet.Scheduler](t)(c.Scheduler()) }, sctpnet.SchedulerPriority),
		"Interleaving": interleaving,
		"FragmentInterleave": with(both(sctpnet.Config{FragmentInterleave: 1}),
			func(c *sctpnet.Conn) error { return c.SetFragmentInterleave(1) },
			func(c *sctpnet.Conn) any { return must[int](t)(c.FragmentInterleave()) }, 1),
		"PartialDeliveryPoint": with(both(sctpnet.Config{PartialDeliveryPoint: 4000}),
			func(c *sctpnet.Conn) error { return c.SetPartialDeliveryPoint(4000) },
			func(c *sctpnet.Conn) any { return must[int](t)(c.PartialDeliveryPoint()) }, 4000),
		"Auth":            feature(sctpnet.Config{Auth: &sctpnet.Auth{}}, func(f sctpnet.Features) bool { return f.Auth }, true),
		"AddressReconfig": feature(sctpnet.Config{AddressReconfig: true}, func(f sctpnet.Features) bool { return f.AddressReconfig }, true),
		"NoECN":           feature(sctpnet.Config{NoECN: true}, func(f sctpnet.Features) bool { return f.ECN }, false),
		"UDPPort":         udpPort,
		"KernelDefaults": with(both(sctpnet.Config{KernelDefaults: true}), nil,
			func(c *sctpnet.Conn) any { return least(int(must[sctpnet.RTO](t)(c.RTO()).Min), int(time.Second)) }, int(time.Second)),
	}
}

// freeUDPPort returns a UDP port that nobody has.
func freeUDPPort(t testing.TB) int {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port
}

// fieldsOf are the paths of the fields of Config that can be set.
func fieldsOf(typ reflect.Type, prefix string) (paths []string) {
	for f := range typ.Fields() {
		switch {
		case strings.HasSuffix(f.Name, "Window"): // of the getter's only
		case f.Type.Kind() == reflect.Struct && f.Name != "PartialReliability":
			paths = append(paths, fieldsOf(f.Type, prefix+f.Name+".")...)
		default:
			paths = append(paths, prefix+f.Name)
		}
	}
	return paths
}

// try makes an association between ends with these Configs, if it can.
func try(t testing.TB, network string, client, server sctpnet.Config) (c, s *sctpnet.Conn, listenErr, dialErr error) {
	t.Helper()
	address := "127.0.0.1:0"
	if strings.HasPrefix(network, "sctp6") {
		address = "[::1]:0"
	}
	lc := sctpnet.ListenConfig{Config: server}
	ln, listenErr := lc.Listen(t.Context(), network, address)
	if listenErr != nil {
		if ln, listenErr2 := sctpnet.Listen(network, address); listenErr2 == nil {
			defer ln.Close()
			_, dialErr = (&sctpnet.Dialer{Config: client}).Dial(network, ln.Addr().String())
		}
		return nil, nil, listenErr, dialErr
	}
	defer ln.Close()
	conn, dialErr := (&sctpnet.Dialer{Config: client}).Dial(network, ln.Addr().String())
	if dialErr != nil {
		return nil, nil, nil, dialErr
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*sctpnet.Conn), accept(t, ln), nil, nil
}

// TestEverySetting sets every field of Config, at Dial, at Listen and by its
// setter: all of them take it and the getter says so, or none of them does and
// the engine's table says so.
func TestEverySetting(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		all := settings(t)
		fields := fieldsOf(reflect.TypeFor[sctpnet.Config](), "")
		for _, lack := range lacksOf(t, network) {
			if lack.Kind <= engine.LacksLater && !slices.Contains(fields, lack.Name) {
				t.Errorf("the table has %s, which is no field of Config", lack.Name)
			}
		}
		for _, name := range fields {
			t.Run(name, func(t *testing.T) {
				s, ok := all[name]
				if !ok {
					t.Fatal("this field of Config has no test")
				}
				network := network
				if n := s.network[network]; n != "" {
					network = n
				}
				lack, never := lacksOf(t, network).Find(engine.LacksSetting, name)
				later, fixed := lacksOf(t, network).Find(engine.LacksLater, name)
				watchdog(t, func() {
					plain, _, lerr, derr := try(t, network, sctpnet.Config{}, sctpnet.Config{})
					if err := errors.Join(lerr, derr); err != nil {
						t.Error(err)
						return
					}
					if s.get != nil && s.get(plain) == s.want && name != "NoECN" { // which not each engine has
						t.Errorf("it is %v without being set", s.want)
					}
					if s.set != nil {
						switch err := s.set(plain); {
						case never:
							wantUnsupported(t, "setter", network, err, lack)
						case fixed:
							wantUnsupported(t, "setter", network, err, later)
						case err != nil:
							t.Error(err)
						default:
							if got := s.get(plain); got != s.want {
								t.Errorf("after the setter it is %v, want %v", got, s.want)
							}
						}
					}
					if s.cannotDial == network {
						return
					}
					if never {
						s.server = s.client
					}
					c, srv, lerr, derr := try(t, network, s.client, s.server)
					switch {
					case never:
						for what, err := range map[string]error{"Listen": lerr, "Dial": derr} {
							wantUnsupported(t, what, network, err, lack)
							if !strings.Contains(fmt.Sprint(err), "Config."+name) {
								t.Errorf("%s: %v does not name Config.%s", what, err, name)
							}
						}
						return
					case s.system != "" && lerr != nil:
						if !errors.Is(lerr, errors.ErrUnsupported) || !strings.Contains(lerr.Error(), s.system) {
							t.Error(lerr)
						}
						return
					case lerr != nil || derr != nil:
						t.Error(lerr, derr)
						return
					}
					if s.get != nil {
						for end, conn := range map[string]*sctpnet.Conn{"client": c, "server": srv} {
							if got := s.get(conn); got != s.want && (s.end == "" || s.end == end) {
								t.Errorf("by Config it is %v at the %s, want %v", got, end, s.want)
							}
						}
					}
					works(t, c, srv)
				})
			})
		}
	})
}

// TestSettersTakeWhatGettersGive sets what is in force already.
func TestSettersTakeWhatGettersGive(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		c, s := pipe(t, network, "127.0.0.1:0")
		for what, err := range map[string]error{
			"RTO":                  c.SetRTO(must[sctpnet.RTO](t)(c.RTO())),
			"AssocParams":          c.SetAssocParams(must[sctpnet.AssocParams](t)(c.AssocParams())),
			"PathParams":           c.SetPathParams(allPaths, must[sctpnet.PathParams](t)(c.PathParams(allPaths))),
			"PathParams of one":    c.SetPathParams(c.PeerAddrs()[0], must[sctpnet.PathParams](t)(c.PathParams(c.PeerAddrs()[0]))),
			"SACK":                 c.SetSACK(must[sctpnet.SACK](t)(c.SACK())),
			"NoDelay":              c.SetNoDelay(must[bool](t)(c.NoDelay())),
			"MaxSegment":           c.SetMaxSegment(must[int](t)(c.MaxSegment())),
			"MaxBurst":             c.SetMaxBurst(must[int](t)(c.MaxBurst())),
			"PartialReliability":   c.SetPartialReliability(must[sctpnet.PartialReliability](t)(c.PartialReliability())),
			"Scheduler":            c.SetScheduler(must[sctpnet.Scheduler](t)(c.Scheduler())),
			"FragmentInterleave":   c.SetFragmentInterleave(must[int](t)(c.FragmentInterleave())),
			"PartialDeliveryPoint": c.SetPartialDeliveryPoint(must[int](t)(c.PartialDeliveryPoint())),
		} {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		if n := must[int](t)(c.MaxSegment()); n != 0 {
			t.Errorf("MaxSegment is %d, which nobody has set", n)
		}
		works(t, c, s)
	})
}

// A callTest is an association to try a call on. The peer has written "x" on
// the streams 0 and 1, and reads all that comes.
type callTest struct {
	t       testing.TB
	network string
	c       *sctpnet.Conn
	ln      *sctpnet.Listener
}

func (e callTest) local() netip.Addr { return e.c.LocalAddrs()[0] }

func first[T any](_ T, err error) error { return err }

// calls are all methods of Conn and Listener, and what else the table names.
var calls = map[string]func(e callTest) error{
	"Conn.Abort":        func(e callTest) error { return e.c.Abort() },
	"Conn.AcceptStream": func(e callTest) error { return first(e.c.AcceptStream(e.t.Context())) },
	"Conn.ActivateAuthKey": func(e callTest) error {
		return errors.Join(e.c.SetAuthKey(sctpnet.AuthKey{ID: 1, Secret: []byte("x")}), e.c.ActivateAuthKey(1))
	},
	"Conn.Adaptation":  func(e callTest) error { return first(e.c.Adaptation()) },
	"Conn.AddStreams":  func(e callTest) error { return e.c.AddStreams(1, 0) },
	"Conn.AssocParams": func(e callTest) error { return first(e.c.AssocParams()) },
	"Conn.AuthState":   func(e callTest) error { return first(e.c.AuthState()) },
	"Conn.BindAdd":     func(e callTest) error { return e.c.BindAdd(netip.MustParseAddr("127.0.0.3")) },
	"Conn.BindRemove": func(e callTest) error {
		err := e.c.BindRemove(e.local())
		if errors.Is(err, syscall.EBUSY) {
			return nil // as it is the last one
		}
		return err
	},
	"Conn.Close": func(e callTest) error { return e.c.Close() },
	"Conn.DeactivateAuthKey": func(e callTest) error {
		return errors.Join(e.c.SetAuthKey(sctpnet.AuthKey{ID: 2, Secret: []byte("x")}), e.c.DeactivateAuthKey(2))
	},
	"Conn.DeleteAuthKey": func(e callTest) error {
		return errors.Join(e.c.SetAuthKey(sctpnet.AuthKey{ID: 3, Secret: []byte("x")}), e.c.DeleteAuthKey(3))
	},
	"Conn.Features": func(e callTest) error { return first(e.c.Features()) },
	"Conn.File": func(e callTest) error {
		f, err := e.c.File()
		if err == nil {
			f.Close()
		}
		return err
	},
	"Conn.FragmentInterleave":   func(e callTest) error { return first(e.c.FragmentInterleave()) },
	"Conn.Heartbeat":            func(e callTest) error { return e.c.Heartbeat(allPaths) },
	"Conn.LocalAddr":            func(e callTest) error { return isNil(e.c.LocalAddr()) },
	"Conn.LocalAddrs":           func(e callTest) error { return isNil(e.c.LocalAddrs()) },
	"Conn.MaxBurst":             func(e callTest) error { return first(e.c.MaxBurst()) },
	"Conn.MaxMessageSize":       func(e callTest) error { return isNil(e.c.MaxMessageSize()) },
	"Conn.MaxSegment":           func(e callTest) error { return first(e.c.MaxSegment()) },
	"Conn.NoDelay":              func(e callTest) error { return first(e.c.NoDelay()) },
	"Conn.NumStreams":           func(e callTest) error { out, _ := e.c.NumStreams(); return isNil(out) },
	"Conn.OpenStream":           func(e callTest) error { return first(e.c.OpenStream()) },
	"Conn.PartialDeliveryPoint": func(e callTest) error { return first(e.c.PartialDeliveryPoint()) },
	"Conn.PartialReliability":   func(e callTest) error { return first(e.c.PartialReliability()) },
	"Conn.PathParams":           func(e callTest) error { return first(e.c.PathParams(allPaths)) },
	"Conn.Paths":                func(e callTest) error { return first(e.c.Paths()) },
	"Conn.PeerAddrs":            func(e callTest) error { return isNil(e.c.PeerAddrs()) },
	"Conn.RTO":                  func(e callTest) error { return first(e.c.RTO()) },
	"Conn.Read":                 func(e callTest) error { return first(e.c.Read(make([]byte, 9))) },
	"Conn.ReadBuffer":           func(e callTest) error { return first(e.c.ReadBuffer()) },
	"Conn.ReadFrom":             func(e callTest) error { return first(e.c.ReadFrom(strings.NewReader("abc"))) },
	"Conn.ReadMsg":              func(e callTest) error { _, _, err := e.c.ReadMsg(make([]byte, 9)); return err },
	"Conn.ReadMsgs": func(e callTest) error {
		return first(e.c.ReadMsgs([]sctpnet.Message{{Data: make([]byte, 9)}}))
	},
	"Conn.ReadStream": func(e callTest) error { _, _, err := e.c.ReadStream(make([]byte, 9)); return err },
	"Conn.RemoteAddr": func(e callTest) error { return isNil(e.c.RemoteAddr()) },
	"Conn.ResetAssociation": func(e callTest) error {
		err := e.c.ResetAssociation()
		for ; errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINPROGRESS); err = e.c.ResetAssociation() {
			time.Sleep(ms) // for the acknowledgement of the rest
		}
		return err
	},
	"Conn.SACK":                    func(e callTest) error { return first(e.c.SACK()) },
	"Conn.Scheduler":               func(e callTest) error { return first(e.c.Scheduler()) },
	"Conn.SetAssocParams":          nil, // TestEverySetting
	"Conn.SetAuthKey":              func(e callTest) error { return e.c.SetAuthKey(sctpnet.AuthKey{ID: 1, Secret: []byte("x")}) },
	"Conn.SetDeadline":             func(e callTest) error { return e.c.SetDeadline(time.Time{}) },
	"Conn.SetFragmentInterleave":   nil,
	"Conn.SetLinger":               func(e callTest) error { return e.c.SetLinger(1) },
	"Conn.SetMaxBurst":             nil,
	"Conn.SetMaxSegment":           nil,
	"Conn.SetNoDelay":              nil,
	"Conn.SetPartialDeliveryPoint": nil,
	"Conn.SetPartialReliability":   nil,
	"Conn.SetPathParams":           nil,
	"Conn.SetPeerPrimary":          func(e callTest) error { return e.c.SetPeerPrimary(e.local()) },
	"Conn.SetPrimary":              func(e callTest) error { return e.c.SetPrimary(e.c.PeerAddrs()[0]) },
	"Conn.SetRTO":                  nil,
	"Conn.SetReadBuffer":           nil,
	"Conn.SetReadDeadline":         func(e callTest) error { return e.c.SetReadDeadline(time.Time{}) },
	"Conn.SetSACK":                 nil,
	"Conn.SetScheduler":            nil,
	"Conn.SetStreamValue":          func(e callTest) error { return e.c.SetStreamValue(1, 2) },
	"Conn.SetWriteBuffer":          nil,
	"Conn.SetWriteDeadline":        func(e callTest) error { return e.c.SetWriteDeadline(time.Time{}) },
	"Conn.Shutdown":                func(e callTest) error { return e.c.Shutdown() },
	"Conn.Stats":                   func(e callTest) error { return first(e.c.Stats()) },
	"Conn.Status":                  func(e callTest) error { return first(e.c.Status()) },
	"Conn.Stream":                  func(e callTest) error { return first(e.c.Stream(1)) },
	"Conn.StreamValue":             func(e callTest) error { return first(e.c.StreamValue(1)) },
	"Conn.SyscallConn": func(e callTest) error {
		raw, err := e.c.SyscallConn()
		if err != nil {
			return err
		}
		return raw.Control(func(uintptr) {})
	},
	"Conn.Write":        func(e callTest) error { return first(e.c.Write([]byte("abc"))) },
	"Conn.WriteBuffer":  func(e callTest) error { return first(e.c.WriteBuffer()) },
	"Conn.WriteBuffers": func(e callTest) error { return first(e.c.WriteBuffers(&net.Buffers{[]byte("abc")})) },
	"Conn.WriteMsg": func(e callTest) error {
		return first(e.c.WriteMsg([]byte("abc"), sctpnet.MsgInfo{Stream: 1, PPID: 2, Unordered: true, Context: 3, To: e.c.PeerAddrs()[0]}))
	},
	"Conn.WriteMsgs":   func(e callTest) error { return first(e.c.WriteMsgs([]sctpnet.Message{{Data: []byte("abc")}})) },
	"Conn.WriteStream": func(e callTest) error { return first(e.c.WriteStream([]byte("abc"), 1)) },
	"Conn.WriteTo": func(e callTest) error {
		e.c.SetReadDeadline(time.Now())
		if _, err := e.c.WriteTo(io.Discard); !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("%v, want the deadline's", err)
		}
		return nil
	},

	"Listener.Accept": func(e callTest) error {
		c, err := sctpnet.Dial(e.network, e.ln.Addr().String())
		if err != nil {
			return err
		}
		defer c.Close()
		a, err := e.ln.Accept()
		if err == nil {
			a.Close()
		}
		return err
	},
	"Listener.AcceptConn": func(e callTest) error {
		e.ln.SetDeadline(time.Now())
		if _, err := e.ln.AcceptConn(); !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("%v, want the deadline's", err)
		}
		return nil
	},
	"Listener.Addr":  func(e callTest) error { return isNil(e.ln.Addr()) },
	"Listener.Close": func(e callTest) error { return e.ln.Close() },
	"Listener.File": func(e callTest) error {
		f, err := e.ln.File()
		if err == nil {
			f.Close()
		}
		return err
	},
	"Listener.SetDeadline": func(e callTest) error { return e.ln.SetDeadline(time.Time{}) },
	"Listener.SyscallConn": func(e callTest) error {
		raw, err := e.ln.SyscallConn()
		if err != nil {
			return err
		}
		return raw.Control(func(uintptr) {})
	},

	"Conn.AddStreams of both directions at once": func(e callTest) error { return e.c.AddStreams(1, 1) },
	lifetime: func(e callTest) error {
		return first(e.c.WriteMsg([]byte("abc"), sctpnet.MsgInfo{TTL: time.Hour}))
	},
	severalAddresses: func(e callTest) error {
		ln, err := sctpnet.Listen(e.network, "127.0.0.1/127.0.0.2:0")
		if err != nil {
			_, derr := sctpnet.Dial(e.network, "127.0.0.1/127.0.0.2:9")
			if !errors.Is(derr, errors.ErrUnsupported) {
				return fmt.Errorf("Listen says %w, and Dial %v", err, derr)
			}
			return err
		}
		defer ln.Close()
		c, err := sctpnet.Dial(e.network, ln.Addr().String())
		if err == nil {
			c.Close()
		}
		return err
	},
}

func isNil(v any) error {
	if v == nil || reflect.ValueOf(v).IsZero() {
		return errors.New("nothing")
	}
	return nil
}

// TestEveryCall makes every call, which works or is in the engine's table.
func TestEveryCall(t *testing.T) {
	for _, typ := range []reflect.Type{reflect.TypeFor[*sctpnet.Conn](), reflect.TypeFor[*sctpnet.Listener]()} {
		for m := range typ.Methods() {
			if name := typ.Elem().Name() + "." + m.Name; !hasKey(calls, name) {
				t.Errorf("%s has no test", name)
			}
		}
	}
	eachEngine(t, func(t *testing.T, network string) {
		for _, lack := range lacksOf(t, network) {
			if lack.Kind == engine.LacksCall && calls[lack.Name] == nil {
				t.Errorf("the table has the call %s, which has no test", lack.Name)
			}
		}
		config := sctpnet.Config{AddressReconfig: true}
		if _, ok := lacksOf(t, network).Find(engine.LacksSetting, "AddressReconfig"); ok {
			config = sctpnet.Config{}
		}
		for name, call := range calls {
			if call == nil {
				continue
			}
			t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
				watchdog(t, func() {
					lc := sctpnet.ListenConfig{Config: config}
					ln, err := lc.Listen(t.Context(), network, "127.0.0.1:0")
					if err != nil {
						t.Fatal(err)
					}
					defer ln.Close()
					local := &sctpnet.Addr{IPAddrs: []net.IPAddr{{IP: net.IPv4(127, 0, 0, 1)}}}
					c := dial(t, &sctpnet.Dialer{LocalAddr: local, Config: config}, network, ln.Addr().String())
					s := accept(t, ln)
					for stream := range uint16(2) {
						if _, err := s.WriteStream([]byte("x"), stream); err != nil {
							t.Fatal(err)
						}
					}
					done := make(chan struct{})
					go func() {
						io.Copy(io.Discard, s)
						close(done)
					}()
					err = call(callTest{t, network, c, ln.(*sctpnet.Listener)})
					if lack, ok := lacksOf(t, network).Find(engine.LacksCall, name); ok {
						wantUnsupported(t, name, network, err, lack)
					} else if err != nil {
						t.Error(err)
					}
					c.Abort()
					<-done
				})
			})
		}
	})
}

func hasKey[V any](m map[string]V, key string) bool {
	_, ok := m[key]
	return ok
}

// TestLacksAreDocumented compares each engine's table with the documentation.
func TestLacksAreDocumented(t *testing.T) {
	for network, file := range map[string]string{"sctp": "doc.go", "sctp+udp": "udpencap/doc.go"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if doc := docOf(lacksOf(t, network)); !bytes.Contains(b, []byte(doc)) {
			t.Errorf("%s does not have, or has in other words:\n%s", file, doc)
		}
	}
}

// docOf is the part of a package's documentation that lists what an engine lacks.
func docOf(l engine.Lacks) string {
	var b strings.Builder
	for _, part := range []struct {
		kind  engine.Kind
		title string
	}{
		{engine.LacksSetting, "Settings, in Config and by the methods of Conn:"},
		{engine.LacksLater, "Settings that Config alone has:"},
		{engine.LacksCall, "Calls:"},
		{engine.LacksEvent, "Events:"},
	} {
		why := ""
		for _, lack := range l {
			if lack.Kind != part.kind {
				continue
			}
			if part.title != "" {
				fmt.Fprintf(&b, "// %s\n//\n", part.title)
				part.title = ""
			}
			switch {
			case why == "":
				fmt.Fprintf(&b, "//   - %s", lack.Name)
			case lack.Why == why:
				fmt.Fprintf(&b, ",\n//     %s", lack.Name)
			default:
				fmt.Fprintf(&b, ": %s;\n//   - %s", why, lack.Name)
			}
			why = lack.Why
		}
		if why != "" {
			fmt.Fprintf(&b, ": %s.\n//\n", why)
		}
	}
	return b.String()
}
