package main

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"

	"github.com/sctpnet/sctpnet/internal/testnet"
)

// A network is three networks in a row: a client's, a router's, and a server's.
// All faults are the router's, so an end notices a fault only by the packets that come
// or stay away.
//
//	client ---- router ---- server
//	10.78.1.2   .1.1 .2.1   10.78.2.2
type network struct {
	client, router, server *testnet.Network
}

const (
	clientSubnet, serverSubnet = "10.78.1", "10.78.2"
	serverAddress              = serverSubnet + ".2"
)

// newNetwork makes a network. Its packets are as small as on a wire: a fault strikes one
// packet, and not 64 KiB, which veth may carry as one.
func newNetwork() (n network, err error) {
	defer func() {
		if err != nil {
			n.close()
		}
	}()
	for _, part := range []**testnet.Network{&n.client, &n.router, &n.server} {
		if *part, err = testnet.New(); err != nil {
			return n, err
		}
	}
	if err := n.router.Sysctl("ipv4/ip_forward", "1"); err != nil {
		return n, err
	}
	return n, errors.Join(n.link(n.client, "client", clientSubnet), n.link(n.server, "server", serverSubnet))
}

// link links the router and an end by a device that both have.
func (n network) link(end *testnet.Network, device, subnet string) error {
	if err := testnet.Link(n.router, end, device, subnet); err != nil {
		return err
	}
	// The hardware addresses are set. ARP would be lost as other packets are, which
	// would be another fault.
	const endMAC, routerMAC = "02:00:00:00:00:02", "02:00:00:00:00:01"
	set := "link set dev " + device
	for _, side := range []struct {
		of                 *testnet.Network
		mac, peer, peerMAC string
	}{
		{n.router, routerMAC, subnet + ".2", endMAC},
		{end, endMAC, subnet + ".1", routerMAC},
	} {
		err := side.of.IP(set+" address "+side.mac, set+" gso_max_size 1500 gso_max_segs 1",
			"neighbor add "+side.peer+" lladdr "+side.peerMAC+" dev "+device)
		if err != nil {
			return err
		}
	}
	if err := end.IP("route add default via " + subnet + ".1"); err != nil {
		return err
	}
	// If the device computes checksums, the receiver does not check them.
	return end.Do(func() error {
		if out, err := exec.Command("ethtool", "-K", device, "tx", "off").CombinedOutput(); err != nil {
			return fmt.Errorf("ethtool: %w: %s", err, bytes.TrimSpace(out))
		}
		return nil
	})
}

func (n network) close() {
	for _, part := range []*testnet.Network{n.client, n.router, n.server} {
		if part != nil {
			part.Close()
		}
	}
}

// netem has the router treat packets of both directions as tc netem's options say.
func (n network) netem(options string) error {
	const set = "qdisc replace dev %s root netem %s"
	return n.router.TC(fmt.Sprintf(set, "client", options), fmt.Sprintf(set, "server", options))
}

// silence has the router lose every packet, and speech none.
func (n network) silence() error { return n.netem("limit 10000 loss 100%") }
func (n network) speech() error  { return n.netem("limit 10000") }

// cut takes the router's link to the server down, and mend takes it up.
func (n network) cut() error  { return n.router.IP("link set dev server down") }
func (n network) mend() error { return n.router.IP("link set dev server up") }

// smallMTU is what the MTU of a path shrinks to.
const smallMTU = 1000

// shrink has the router pass packets of smallMTU at most, and tell the sender of
// others by ICMP.
func (n network) shrink() error {
	return n.router.IP(
		fmt.Sprintf("route change %s.0/24 dev client mtu lock %d", clientSubnet, smallMTU),
		fmt.Sprintf("route change %s.0/24 dev server mtu lock %d", serverSubnet, smallMTU))
}

// shrinkSilently has the router drop what is larger than smallMTU where it leaves,
// and tell nobody. A token bucket passes no packet that is larger than itself. This
// one is full again at once.
func (n network) shrinkSilently() error {
	const ethernetHeader = 14
	const set = "qdisc replace dev %s root tbf rate 32gbit burst %d limit 10mb"
	const burst = smallMTU + ethernetHeader
	return n.router.TC(fmt.Sprintf(set, "client", burst), fmt.Sprintf(set, "server", burst))
}
