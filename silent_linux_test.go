package sctpnet_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
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
	args = strings.Fields(strings.Join(args, " "))
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}
