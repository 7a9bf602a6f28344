package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// A testPackage is a package of Go's whose tests are run.
type testPackage struct {
	path    string
	tests   []string // of TCP; nil means none
	packets []string // of UDP, likewise

	// addrs has the hook give connections and listeners addresses of TCP or UDP:
	// these tests compare what Addr.Network returns with the network they dialed.
	addrs bool
}

// hook returns what the hook finds in the environment.
func (p testPackage) hook(m mode) string {
	s := string(m)
	if p.addrs {
		s += " addrs"
	}
	return s
}

var packages = []testPackage{
	{path: "net", tests: netTests, packets: netPacketTests, addrs: true},
	{path: "net/http", tests: all},
	{path: "net/http/httptest", tests: all},
	{path: "crypto/tls", tests: all},
	{path: "net/smtp", tests: all},
	{path: "net/rpc", tests: all},
	{path: "net/rpc/jsonrpc", tests: all},
	{path: "net/textproto", tests: all},
	{path: "log/syslog", packets: all},
}

var all = []string{".*"}

// Those of package net's tests that see connections, listeners, deadlines and
// dialers from outside. The others are about other networks, or about what is
// inside package net.
var netTests = strings.Fields(`
	ConnAndListener

	ProhibitionaryDialArg DialLocal DialerLocalAddr DialCancel CancelAfterDial
	DialClosedPortFailFast DialListenerAddr DialerControl DialerControlContext
	DialContext DialWithNonZeroDeadline

	ClosingListener ListenConfigControl TCPListenAfterClose

	CloseRead CloseWrite ConnClose ListenerClose ZeroByteRead
	ReadTimeoutUnblocksRead CloseUnblocksRead NotTemporaryRead

	DialTimeout DialTimeoutMaxDuration AcceptTimeout AcceptTimeoutMustReturn
	AcceptTimeoutMustNotReturn ReadTimeout ReadTimeoutMustNotReturn WriteTimeout
	WriteTimeoutMustNotReturn ReadTimeoutFluctuation WriteTimeoutFluctuation
	VariousDeadlines VariousDeadlines1Proc VariousDeadlines4Proc
	ReadWriteProlongedTimeout ReadWriteDeadlineRace ConcurrentSetDeadline

	TCPServer TCPReadWriteAllocs TCPStress CopyPipeIntoTCP

	ListenError CloseError AcceptError ContextError

	Sendfile SendfileWithExactLimit SendfileWithLimitLargerThanFile SendfileParts
	SendfileSeeked SendfilePipe SendfileOnWriteTimeoutExceeded

	Buffers_read Buffers_consume WritevError

	RawConnControl FileCloseRace
`)

// Those that see a PacketConn from outside. The others are about a UDPConn that is
// connected, about multicast and control messages, or about what is inside package
// net.
var netPacketTests = strings.Fields(`
	PacketConn ConnAndPacketConn PacketConnClose CloseUnblocksReadUDP

	UDPConnLocalName UDPConnLocalAndRemoteNames IPv6LinkLocalUnicastUDP
	UDPZeroBytePayload UDPZeroByteBuffer UDPReadSizeError UDPReadTimeout Allocs
	UDPIPVersionReadMsg IPv6WriteMsgUDPAddrPortTargetAddrIPVersion
	IPv4WriteMsgUDPAddrPortTargetAddrIPVersion UDPConnSpecificMethods

	UDPServer UDPListener DualStackUDPListener WildWildcardListener

	ReadFromTimeout ReadFromTimeoutFluctuation WriteToTimeout

	ListenPacketError
`)

func names() []string {
	var list []string
	for _, p := range packages {
		list = append(list, p.path)
	}
	return list
}

// testsIn returns the tests to run in a mode.
func (p testPackage) testsIn(m mode) []string {
	if m.packets() {
		return p.packets
	}
	return p.tests
}

// run returns the pattern for the tests to run.
func (p testPackage) run(m mode) string {
	return "^Test(" + strings.Join(p.testsIn(m), "|") + ")$"
}

// A change is a change to tests of Go's: they ask for types of TCP or UDP.
type change struct {
	file     string
	old, new string // as of regexp.ReplaceAll
}

var changes = []change{
	// A UDPConn is what ListenPacket returns, and SCTPUDPConn has its methods.
	{"net/{listen,net,udpsock}_test.go", `(\w+)\.\(\*UDPConn\)(\.[^f])`, `SCTPUDPConnOf($1)$2`},
	{"net/{protoconn,udpsock}_test.go", `\b(Listen|Dial)UDP\(`, `SCTP${1}UDP(`},
	{"net/listen_test.go", `func (check\w+)\(network string, ln any\) error \{\n`, "${0}if _, ok := ln.(SCTPPacketConn); ok { return nil }\n"},

	// A Conn has no ReadFrom.
	{"net/timeout_test.go", `(?s)(func TestReadFromTimeoutFluctuation\(.*?c2, err := )Dial\(c1.LocalAddr\(\).Network\(\), c1.LocalAddr\(\).String\(\)\)`, `${1}ListenPacket("udp4", "127.0.0.1:0")`},

	// These need no host on the Internet.
	{"net/{listen,udpsock}_test.go", `testenv\.MustHaveExternalNetwork\(t\)`, `_ = testenv.MustHaveExternalNetwork`},

	// SCTPConnOf and SCTPListenerOf have TCP's methods, and do by those that
	// sctpnet has what these do. What there is not is an error.
	{"net/{net,error,file,rawconn}_test.go", `(\w+)\.\(\*TCPConn\)([^;,])`, `SCTPConnOf($1)$2`},
	{"net/{error,rawconn,timeout}_test.go", `(\w+)\.\(\*TCPListener\)\.(SetDeadline|SyscallConn|File)\b`, `SCTPListenerOf($1).$2`},
	{"net/{net,writev}_test.go", `func\((\w* ?)\*TCPConn\) error`, `func(${1}*SCTPConn) error`},
	{"net/http/serve_test.go", `(\w+)\.\(\*net\.TCPConn\)\.CloseWrite`, `net.SCTPConnOf($1).CloseWrite`},
	{"net/rpc/server_test.go", `(\w+)\.\(\*net\.TCPConn\)\.CloseWrite`, `net.SCTPConnOf($1).CloseWrite`},
	{"net/http/fs_test.go", `(\w+)\.\(\*net\.TCPListener\)\.File`, `net.SCTPListenerOf($1).File`}, {"net/net_test.go", `switch c := c\.\(type\) \{\n(\s*)case \*TCPConn:`, "switch c := sctpConn(c).(type) {\n${1}case *SCTPConn:"},
	{"net/error_test.go", `(\n\t*)default:(\n\t*return fmt.Errorf\("OpError.Source or Addr is unknown type)`, `${1}default:${1}	if isSCTPAddr(addr) { continue }${2}`},
	{"net/error_test.go", `case \*AddrError, \*timeoutError, `, `case *AddrError, interface{ Timeout() bool; Is(error) bool }, `},

	// TestEndlessWrite, which is not run, uses what is inside a TCPConn.
	{"net/write_unix_test.go", `withTCPConnPair\(t, client, server\)`, `_, _ = client, server`},

	// Dialer.DialTCP, which returns a *TCPConn, is Dialer.DialContext.
	{"net/dial_test.go", `d\.DialTCP\((.*), network, \(\*TCPAddr\)\(nil\)\.AddrPort\(\), raddr\)`, `d.DialContext($1, network, raddr.String())`},

	// A connection with a method ReadFrom that tells of it.
	{"net/http/transport_test.go", `\*net\.TCPConn\n\n`, "*net.SCTPConn\n\n"},
	{"net/http/transport_test.go", `c\.TCPConn\.ReadFrom`, `c.SCTPConn.ReadFrom`},
	{"net/http/transport_test.go", `tcpConn, ok := conn\.\(\*net\.TCPConn\)`, `tcpConn, ok := net.SCTPConnOf(conn), true`},
	{"net/http/transport_test.go", `tConn\.TCPConn = `, `tConn.SCTPConn = `},

	// The type of what Hijack returns is sctpnet's.
	{"net/http/serve_test.go", `_, ok := c\.\(\*net\.TCPConn\); !ok`, `!strings.HasPrefix(fmt.Sprintf("%T", c), "*sctpnet.")`},

	// Whether package net calls sendfile(2) is not seen from outside.
	{"net/sendfile_test.go", `(func expectSendfile\(.*\) \{\n)`, `${1}	if true {
		f()
		return
	}
`},
}

// addTests adds the hook, and to each package a test that imports it, and the
// changes to its tests.
func (o *overlay) addTests(list []testPackage) error {
	content, err := os.ReadFile(filepath.Join("internal", "stdlibtest", "testdata", "hook.go"))
	if err != nil {
		return err
	}
	packages, err := dependencies(module, module+"/udpencap")
	if err != nil {
		return err
	}
	if content, err = rewriteImports("hook.go", content, packages); err != nil {
		return err
	}
	errs := []error{o.add(root+"/hook/hook.go", content)}
	for _, p := range list {
		name := p.path[strings.LastIndexByte(p.path, '/')+1:]
		test := fmt.Sprintf("package %s_test\n\nimport _ %q\n", name, root+"/hook")
		errs = append(errs, o.add(p.path+"/sctpnet_test.go", []byte(test)), o.change(p.path))
	}
	return errors.Join(errs...)
}

// change changes the tests of a package.
func (o *overlay) change(path string) error {
	changed := make(map[string][]byte)
	for _, c := range changes {
		if c.file[:strings.LastIndexByte(c.file, '/')] != path {
			continue
		}
		found := false
		old := regexp.MustCompile(c.old)
		for _, pattern := range braces(c.file) {
			files, err := filepath.Glob(filepath.Join(o.goroot, "src", filepath.FromSlash(pattern)))
			if err != nil {
				return err
			}
			for _, file := range files {
				content := changed[file]
				if content == nil {
					if content, err = os.ReadFile(file); err != nil {
						return err
					}
				}
				if old.Match(content) {
					found = true
					changed[file] = old.ReplaceAll(content, []byte(c.new))
				}
			}
		}
		if !found {
			return fmt.Errorf("%w: %s has nothing like %s", errNoFit, c.file, c.old)
		}
	}
	var errs []error
	for file, content := range changed {
		errs = append(errs, o.add(path+"/"+filepath.Base(file), content))
	}
	return errors.Join(errs...)
}

// braces returns the patterns that one with {a,b} means.
func braces(pattern string) []string {
	before, rest, ok := strings.Cut(pattern, "{")
	list, after, ok2 := strings.Cut(rest, "}")
	if !ok || !ok2 {
		return []string{pattern}
	}
	var all []string
	for e := range strings.SplitSeq(list, ",") {
		all = append(all, before+e+after)
	}
	return all
}
