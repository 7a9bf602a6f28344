package sctpnet_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/ishidawataru/sctp"
	"golang.org/x/sys/unix"
)

// A network of which this host is a part and the only one: the addresses that
// end in 1 are its own, and at the others there is silence. The prefixes are
// those for documentation; private6 is chosen after IPv4 by RFC 6724, public6
// before it.
const (
	silentLink = "sctpnetsilent"

	own4, silent4 = "198.51.100.1", "198.51.100.2"
	ownPublic6    = "2001:db8:5c79::1"
	silentPublic6 = "2001:db8:5c79::2"
	ownPrivate6   = "fd00:5c79::1"
)

// silentNet sets that network up until the test ends: what dials from no
// address in particular tells the peer those of this network too.
func silentNet(t testing.TB) {
	t.Helper()
	needSCTP(t)
	if os.Geteuid() != 0 {
		t.Skip("only root can set up a network where nobody answers")
	}
	t.Cleanup(func() { ip("link delete", silentLink) })
	err := errors.Join(
		ip("link add", silentLink, "type dummy"),
		ip("link set", silentLink, "up"),
		ip("address add", own4+"/24 dev", silentLink),
		ip("address add", ownPublic6+"/64 dev", silentLink, "nodad"),
		ip("address add", ownPrivate6+"/64 dev", silentLink, "nodad"),
	)
	if err != nil {
		t.Fatal(err)
	}
}

// ip runs the command ip.
func ip(args ...string) error {
	return run("ip", strings.Fields(strings.Join(args, " "))...)
}

// run runs a command.
func run(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// inNetwork runs the test in a process that has a loopback interface of its own.
// It reports whether this is that process.
func inNetwork(t *testing.T) bool {
	t.Helper()
	const env = "SCTPNET_TEST_NETWORK"
	if os.Getenv(env) != "" {
		if err := ip("link set lo up"); err != nil {
			t.Fatal(err)
		}
		return true
	}
	pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(t.Name()), "/", "$/^") + "$"
	cmd := exec.Command("/proc/self/exe", "-test.run="+pattern, "-test.v")
	cmd.Env = append(os.Environ(), env+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// A socketer is a Conn or a Listener.
type socketer interface {
	SyscallConn() (syscall.RawConn, error)
}

// control runs f on a descriptor.
func control(t testing.TB, s socketer, f func(fd int) error) {
	t.Helper()
	raw, err := s.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var ferr error
	if err := raw.Control(func(fd uintptr) { ferr = f(int(fd)) }); err != nil {
		t.Fatal(err)
	}
	if ferr != nil {
		t.Fatal(ferr)
	}
}

// getsockopt returns an option that is an int.
func getsockopt(t testing.TB, s socketer, level, opt int) (v int) {
	t.Helper()
	control(t, s, func(fd int) (err error) {
		v, err = unix.GetsockoptInt(fd, level, opt)
		return err
	})
	return v
}

// status returns what SCTP_STATUS says.
func status(t testing.TB, s socketer) (st *sctp.Status) {
	t.Helper()
	control(t, s, func(fd int) (err error) {
		st, err = sctp.NewSCTPConn(fd, nil).GetStatus()
		return err
	})
	return st
}
