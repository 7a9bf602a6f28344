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
	e := engine.Lookup(network)
	if e == nil {
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

// A setting is a field of Config, a value of it and what tells.
type setting struct {
	client, server sctpnet.Config          // with this field, and no other that matters
	settled        bool                    // by the handshake
	get            func(*sctpnet.Conn) any // what is in force; nil if only a test of its own can tell
	want           any                     // by get
	network        map[string]string       // another network of the same engine
	end            string                  // which can tell if it was in the Config; both if empty
	cannotDial     string                  // an engine's network on which the association would not come about
	system         string                  // what an error says that stems from the system's configuration
}

// inForce returns the settings of a Conn.
func inForce(t testing.TB, c *sctpnet.Conn) sctpnet.Config {
	t.Helper()
	return must[sctpnet.Config](t)(c.Config())
}

// field returns the field of a path, such as "RTO.Min".
func field(c sctpnet.Config, path string) any {
	v := reflect.ValueOf(c)
	for name := range strings.SplitSeq(path, ".") {
		v = v.FieldByName(name)
	}
	return v.Interface()
}

// settings are all fields of Config.
func settings(t testing.TB) map[string]setting {
	with := func(c sctpnet.Config) setting { return setting{client: c, server: c} }
	settled := func(s setting) setting {
		s.settled = true
		return s
	}
	rto := func(v sctpnet.RTO) setting { return with(sctpnet.Config{RTO: v}) }
	assoc := func(v sctpnet.AssocParams) setting { return with(sctpnet.Config{AssocParams: v}) }
	path := func(v sctpnet.PathParams) setting { return with(sctpnet.Config{PathParams: v}) }
	sack := func(v sctpnet.SACK) setting { return with(sctpnet.Config{SACK: v}) }
	feature := func(c sctpnet.Config, get func(sctpnet.Features) bool, want bool) setting {
		s := settled(with(c))
		s.get, s.want = func(c *sctpnet.Conn) any { return get(must[sctpnet.Features](t)(c.Features())) }, want
		return s
	}
	streams := func(c sctpnet.Config, n uint16) setting {
		s := settled(with(c))
		s.get, s.want = func(c *sctpnet.Conn) any {
			out, in := c.NumStreams()
			return [2]uint16{out, in}
		}, [2]uint16{n, n}
		return s
	}
	udp := freeUDPPort(t)
	toUDP := path(sctpnet.PathParams{UDPPort: udp})
	toUDP.server = sctpnet.Config{LocalUDPPort: udp}
	toUDP.end = "client"
	toUDP.cannotDial = "sctp4" // the system's port may be another
	udpPort := settled(with(toUDP.server))
	udpPort.server = sctpnet.Config{PathParams: sctpnet.PathParams{}}
	udpPort.get = func(c *sctpnet.Conn) any { return must[sctpnet.PathParams](t)(c.PathParams(allPaths)).UDPPort }
	udpPort.want, udpPort.end = udp, "server"
	flowLabel := path(sctpnet.PathParams{FlowLabel: 0x12345})
	flowLabel.network = map[string]string{"sctp4": "sctp6"}
	interleaving := feature(sctpnet.Config{Interleaving: true}, func(f sctpnet.Features) bool { return f.Interleaving }, true)
	interleaving.system = "net.sctp.intl_enable"
	kernelDefaults := settled(with(sctpnet.Config{KernelDefaults: true}))
	kernelDefaults.get = func(c *sctpnet.Conn) any { return min(inForce(t, c).RTO.Min, time.Second) }
	kernelDefaults.want = time.Second

	all := map[string]setting{
		"OutStreams":    streams(sctpnet.Config{OutStreams: 7}, 7),
		"MaxInStreams":  streams(sctpnet.Config{MaxInStreams: 9}, 9),
		"AcceptStreams": with(sctpnet.Config{AcceptStreams: 3}),                                        // TestAcceptStreams
		"StreamMemory":  with(sctpnet.Config{StreamMemory: 1 << 20}),                                   // TestStreamMemory
		"PPID":          with(sctpnet.Config{PPID: 46}),                                                // TestDefaultPPID
		"InitAttempts":  settled(with(sctpnet.Config{InitAttempts: 2})),                                // TestConfigInit
		"InitTimeout":   settled(with(sctpnet.Config{InitTimeout: 2 * time.Second})),                   // TestConfigInit
		"OnEvent":       settled(with(sctpnet.Config{OnEvent: func(*sctpnet.Conn, sctpnet.Event) {}})), // TestEvents
		"KeepRestarted": settled(with(sctpnet.Config{KeepRestarted: true})),                            // TestKeepRestarted
		"SenderDry":     settled(with(sctpnet.Config{SenderDry: true})),                                // TestEvents

		"RTO.Initial": rto(sctpnet.RTO{Initial: 400 * ms}),
		"RTO.Min":     rto(sctpnet.RTO{Min: 700 * ms}),
		"RTO.Max":     rto(sctpnet.RTO{Max: 8 * time.Second}),

		"AssocParams.MaxRetransmissions": assoc(sctpnet.AssocParams{MaxRetransmissions: 3}),
		"AssocParams.CookieLife":         assoc(sctpnet.AssocParams{CookieLife: 5 * time.Second}),

		"PathParams.HeartbeatInterval":          path(sctpnet.PathParams{HeartbeatInterval: 2 * time.Second}),
		"PathParams.NoHeartbeat":                path(sctpnet.PathParams{NoHeartbeat: true}),
		"PathParams.MaxRetransmissions":         path(sctpnet.PathParams{MaxRetransmissions: 7}),
		"PathParams.PotentiallyFailedThreshold": path(sctpnet.PathParams{PotentiallyFailedThreshold: 2}),
		"PathParams.PrimarySwitchoverThreshold": path(sctpnet.PathParams{PrimarySwitchoverThreshold: 4}),
		"PathParams.MTU":                        path(sctpnet.PathParams{MTU: 1200}),
		"PathParams.DiscoverMTU":                path(sctpnet.PathParams{DiscoverMTU: true}),
		"PathParams.DSCP":                       path(sctpnet.PathParams{DSCP: 46}),
		"PathParams.FlowLabel":                  flowLabel,
		"PathParams.UDPPort":                    toUDP,

		"SACK.Delay":     sack(sctpnet.SACK{Delay: 60 * ms}),
		"SACK.Frequency": sack(sctpnet.SACK{Frequency: 5}),

		"Nagle":       with(sctpnet.Config{Nagle: true}),
		"ReadBuffer":  with(sctpnet.Config{ReadBuffer: 90000}),
		"WriteBuffer": with(sctpnet.Config{WriteBuffer: 95000}),
		"MaxSegment":  with(sctpnet.Config{MaxSegment: 1000}),
		"MaxBurst":    with(sctpnet.Config{MaxBurst: 9}),
		"Adaptation":  settled(with(sctpnet.Config{Adaptation: 5})),
		"PartialReliability": with(sctpnet.Config{
			PartialReliability: sctpnet.PartialReliability{Policy: sctpnet.ReliabilityRetransmissions, Retransmissions: 3},
		}),
		"NoPartialReliability": feature(sctpnet.Config{NoPartialReliability: true}, func(f sctpnet.Features) bool { return f.PartialReliability }, false),
		"Scheduler":            with(sctpnet.Config{Scheduler: sctpnet.SchedulerPriority}),
		"Interleaving":         interleaving,
		"FragmentInterleave":   with(sctpnet.Config{FragmentInterleave: 1}),
		"PartialDeliveryPoint": with(sctpnet.Config{PartialDeliveryPoint: 4000}),
		"Auth":                 feature(sctpnet.Config{Auth: &sctpnet.Auth{}}, func(f sctpnet.Features) bool { return f.Auth }, true),
		"AddressReconfig":      feature(sctpnet.Config{AddressReconfig: true}, func(f sctpnet.Features) bool { return f.AddressReconfig }, true),
		"NoECN":                feature(sctpnet.Config{NoECN: true}, func(f sctpnet.Features) bool { return f.ECN }, false),
		"LocalUDPPort":         udpPort,
		"KernelDefaults":       kernelDefaults,
	}
	for name, s := range all {
		if s.get == nil && name != "OnEvent" { // which Config does not tell
			s.get, s.want = func(c *sctpnet.Conn) any { return field(inForce(t, c), name) }, field(s.client, name)
			all[name] = s
		}
	}
	return all
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

// TestEverySetting sets every field of Config, at Dial, at Listen and by Set: all
// of them take it and Config says so, or none of them does and the engine's table
// says so, or the handshake settles it.
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
					before := inForce(t, plain)
					switch err := plain.Set(s.client); {
					case never:
						wantUnsupported(t, "Set", network, err, lack)
					case fixed:
						wantUnsupported(t, "Set", network, err, later)
					case s.settled:
						wantUnsupported(t, "Set", network, err, engine.Lack{Name: "Config." + name, Why: "handshake"})
					case err != nil:
						t.Error(err)
					default:
						if got := s.get(plain); got != s.want {
							t.Errorf("after Set it is %v, want %v", got, s.want)
						}
						before = inForce(t, plain)
					}
					if now := inForce(t, plain); !reflect.DeepEqual(now, before) {
						t.Errorf("an error has changed %+v to %+v", before, now)
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

// TestSetTakesWhatConfigGives sets what is in force already.
func TestSetTakesWhatConfigGives(t *testing.T) {
	eachEngine(t, func(t *testing.T, network string) {
		handler := sctpnet.Config{OnEvent: func(*sctpnet.Conn, sctpnet.Event) {}, Adaptation: 9, PPID: 3, OutStreams: 5, AcceptStreams: 2, KernelDefaults: true}
		var auth sctpnet.Config
		if _, lacks := lacksOf(t, network).Find(engine.LacksSetting, "Auth"); !lacks {
			auth.Auth = &sctpnet.Auth{Chunks: []uint8{0}, Keys: []sctpnet.AuthKey{{ID: 5, Secret: []byte("secret")}}, Active: 5}
			auth.AddressReconfig = true
		}
		for name, config := range map[string]sctpnet.Config{"zero": {}, "handler": handler, "auth": auth} {
			c, s := configured(t, network, "127.0.0.1:0", config, config)
			for end, conn := range map[string]*sctpnet.Conn{"client": c, "server": s} {
				before := inForce(t, conn)
				if err := conn.Set(before); err != nil {
					t.Errorf("%s, %s: %v", name, end, err)
				}
				if now := inForce(t, conn); !reflect.DeepEqual(now, before) {
					t.Errorf("%s, %s: it was %+v, and is %+v", name, end, before, now)
				}
				for what, addr := range map[string]netip.Addr{"all paths": allPaths, "one path": conn.PeerAddrs()[0]} {
					if err := conn.SetPathParams(addr, must[sctpnet.PathParams](t)(conn.PathParams(addr))); err != nil {
						t.Errorf("%s, %s, %s: %v", name, end, what, err)
					}
				}
				if before.MaxSegment != 0 {
					t.Errorf("MaxSegment is %d, which nobody has set", before.MaxSegment)
				}
				if before.Auth != nil && (before.Auth.Keys != nil || before.Auth.Active != 0) {
					t.Errorf("Auth is %+v, and tells of keys", before.Auth)
				}
			}
			if name != "auth" { // DATA needs the keys of both
				works(t, c, s)
			}
		}
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
	"Conn.AddStreams":   func(e callTest) error { return e.c.AddStreams(1, 0) },
	"Conn.AuthState":    func(e callTest) error { return first(e.c.AuthState()) },
	"Conn.AddLocalAddr": func(e callTest) error { return e.c.AddLocalAddr(netip.MustParseAddr("127.0.0.3")) },
	"Conn.RemoveLocalAddr": func(e callTest) error {
		err := e.c.RemoveLocalAddr(e.local())
		if errors.Is(err, syscall.EBUSY) {
			return nil // as it is the last one
		}
		return err
	},
	"Conn.Config": func(e callTest) error { return first(e.c.Config()) },
	"Conn.Set":    func(e callTest) error { return e.c.Set(sctpnet.Config{RTO: sctpnet.RTO{Min: time.Second}}) },
	"Conn.Close":  func(e callTest) error { return e.c.Close() },
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
	"Conn.Heartbeat":      func(e callTest) error { return e.c.Heartbeat(allPaths) },
	"Conn.LocalAddr":      func(e callTest) error { return isNil(e.c.LocalAddr()) },
	"Conn.LocalAddrs":     func(e callTest) error { return isNil(e.c.LocalAddrs()) },
	"Conn.MaxMessageSize": func(e callTest) error { return isNil(e.c.MaxMessageSize()) },
	"Conn.NumStreams":     func(e callTest) error { out, _ := e.c.NumStreams(); return isNil(out) },
	"Conn.OpenStream":     func(e callTest) error { return first(e.c.OpenStream()) },
	"Conn.PathParams":     func(e callTest) error { return first(e.c.PathParams(allPaths)) },
	"Conn.Paths":          func(e callTest) error { return first(e.c.Paths()) },
	"Conn.PeerAddrs":      func(e callTest) error { return isNil(e.c.PeerAddrs()) },
	"Conn.Read":           func(e callTest) error { return first(e.c.Read(make([]byte, 9))) },
	"Conn.ReadFrom":       func(e callTest) error { return first(e.c.ReadFrom(strings.NewReader("abc"))) },
	"Conn.ReadMsg":        func(e callTest) error { _, _, err := e.c.ReadMsg(make([]byte, 9)); return err },
	"Conn.ReadMessage":    func(e callTest) error { _, _, err := e.c.ReadMessage(9); return err },
	"Conn.ReadMsgs": func(e callTest) error {
		return first(e.c.ReadMsgs([]sctpnet.Message{{Data: make([]byte, 9)}}))
	},
	"Conn.ReadStream": func(e callTest) error { _, _, err := e.c.ReadStream(make([]byte, 9)); return err },
	"Conn.RemoteAddr": func(e callTest) error { return isNil(e.c.RemoteAddr()) },
	"Conn.ResetAssoc": func(e callTest) error {
		err := e.c.ResetAssoc()
		for ; errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINPROGRESS); err = e.c.ResetAssoc() {
			time.Sleep(ms) // for the acknowledgement of the rest
		}
		return err
	},
	"Conn.SetAuthKey":       func(e callTest) error { return e.c.SetAuthKey(sctpnet.AuthKey{ID: 1, Secret: []byte("x")}) },
	"Conn.SetDeadline":      func(e callTest) error { return e.c.SetDeadline(time.Time{}) },
	"Conn.SetLinger":        func(e callTest) error { return e.c.SetLinger(1) },
	"Conn.SetNoDelay":       func(e callTest) error { return e.c.SetNoDelay(true) },
	"Conn.SetPathParams":    func(e callTest) error { return e.c.SetPathParams(allPaths, sctpnet.PathParams{MaxRetransmissions: 4}) },
	"Conn.SetPeerPrimary":   func(e callTest) error { return e.c.SetPeerPrimary(e.local()) },
	"Conn.SetPrimary":       func(e callTest) error { return e.c.SetPrimary(e.c.PeerAddrs()[0]) },
	"Conn.SetReadBuffer":    func(e callTest) error { return e.c.SetReadBuffer(1 << 20) },
	"Conn.SetReadDeadline":  func(e callTest) error { return e.c.SetReadDeadline(time.Time{}) },
	"Conn.SetStreamValue":   func(e callTest) error { return e.c.SetStreamValue(1, 2) },
	"Conn.SetWriteBuffer":   func(e callTest) error { return e.c.SetWriteBuffer(1 << 20) },
	"Conn.SetWriteDeadline": func(e callTest) error { return e.c.SetWriteDeadline(time.Time{}) },
	"Conn.Shutdown":         func(e callTest) error { return e.c.Shutdown() },
	"Conn.Stats":            func(e callTest) error { return first(e.c.Stats()) },
	"Conn.Status":           func(e callTest) error { return first(e.c.Status()) },
	"Conn.Stream":           func(e callTest) error { return first(e.c.Stream(1)) },
	"Conn.StreamValue":      func(e callTest) error { return first(e.c.StreamValue(1)) },
	"Conn.SyscallConn": func(e callTest) error {
		raw, err := e.c.SyscallConn()
		if err != nil {
			return err
		}
		return raw.Control(func(uintptr) {})
	},
	"Conn.Write":        func(e callTest) error { return first(e.c.Write([]byte("abc"))) },
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
					ln := listenWith(t, network, "127.0.0.1:0", sctpnet.ListenConfig{Config: config})
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
					err := call(callTest{t, network, c, ln})
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
		{engine.LacksSetting, "Settings:"},
		{engine.LacksLater, "Settings that the handshake settles:"},
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
