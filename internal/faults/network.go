package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// A network is three namespaces in a row: a client's, a router's, and a server's.
// All faults of the network are the router's, so an end notices a fault only by the
// packets that come or stay away.
//
//	client ---- router ---- server
//	10.78.1.2   .1.1 .2.1   10.78.2.2
type network struct {
	name string
}

const (
	clientSubnet, serverSubnet = "10.78.1", "10.78.2"
	serverAddress              = serverSubnet + ".2"
)

func (n network) client() string { return n.name + "-client" }
func (n network) router() string { return n.name + "-router" }
func (n network) server() string { return n.name + "-server" }

// make makes the network. Its packets are as small as on a wire: a fault strikes one
// packet, and not 64 KiB, which veth may carry as one.
func (n network) make() error {
	n.remove()
	if err := ip("", "netns add "+n.client(), "netns add "+n.router(), "netns add "+n.server()); err != nil {
		return err
	}
	err := ip("",
		fmt.Sprintf("link add client netns %s type veth peer name link netns %s", n.router(), n.client()),
		fmt.Sprintf("link add server netns %s type veth peer name link netns %s", n.router(), n.server()))
	if err != nil {
		return err
	}
	// The hardware addresses are set. ARP would be lost as other packets are, which
	// would be another fault.
	const up = " up gso_max_size 1500 gso_max_segs 1"
	const endMAC, routerMAC = "02:00:00:00:00:02", "02:00:00:00:00:01"
	for ns, subnet := range map[string]string{n.client(): clientSubnet, n.server(): serverSubnet} {
		err := ip(ns, "link set lo up", "address add "+subnet+".2/24 dev link",
			"link set dev link address "+endMAC, "link set dev link"+up,
			"neighbor add "+subnet+".1 lladdr "+routerMAC+" dev link", "route add default via "+subnet+".1")
		if err != nil {
			return err
		}
		// If the device computes checksums, the receiver does not check them.
		if err := command("", "ip", "netns", "exec", ns, "ethtool", "-K", "link", "tx", "off"); err != nil {
			return err
		}
	}
	for link, subnet := range map[string]string{"client": clientSubnet, "server": serverSubnet} {
		err := ip(n.router(), "address add "+subnet+".1/24 dev "+link,
			"link set dev "+link+" address "+routerMAC, "link set dev "+link+up,
			"neighbor add "+subnet+".2 lladdr "+endMAC+" dev "+link)
		if err != nil {
			return err
		}
	}
	return command("", "ip", "netns", "exec", n.router(), "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
}

func (n network) remove() {
	for _, ns := range []string{n.client(), n.router(), n.server()} {
		if _, err := os.Stat("/run/netns/" + ns); err == nil {
			ip("", "netns delete "+ns)
		}
	}
}

// netem has the router treat packets of both directions as tc netem's options say.
func (n network) netem(options string) error {
	var batch strings.Builder
	for _, link := range []string{"client", "server"} {
		fmt.Fprintf(&batch, "qdisc replace dev %s root netem %s\n", link, options)
	}
	return command(batch.String(), "tc", "-n", n.router(), "-batch", "-")
}

// silence has the router lose every packet, and speech none.
func (n network) silence() error { return n.netem("limit 10000 loss 100%") }
func (n network) speech() error  { return n.netem("limit 10000") }

// cut takes the router's link to the server down, and mend takes it up.
func (n network) cut() error  { return ip(n.router(), "link set dev server down") }
func (n network) mend() error { return ip(n.router(), "link set dev server up") }

// smallMTU is what the MTU of a path shrinks to.
const smallMTU = 1000

// shrink has the router pass packets of smallMTU at most, and tell the sender of
// others by ICMP.
func (n network) shrink() error {
	return ip(n.router(),
		fmt.Sprintf("route change %s.0/24 dev client mtu lock %d", clientSubnet, smallMTU),
		fmt.Sprintf("route change %s.0/24 dev server mtu lock %d", serverSubnet, smallMTU))
}

// shrinkSilently has the router drop what is larger than smallMTU where it leaves,
// and tell nobody. A token bucket passes no packet that is larger than itself. This
// one is full again at once.
func (n network) shrinkSilently() error {
	const ethernetHeader = 14
	var batch strings.Builder
	for _, link := range []string{"client", "server"} {
		fmt.Fprintf(&batch, "qdisc replace dev %s root tbf rate 32gbit burst %d limit 10mb\n", link, smallMTU+ethernetHeader)
	}
	return command(batch.String(), "tc", "-n", n.router(), "-batch", "-")
}

// ip runs commands of ip in a namespace, or if it is "" outside.
func ip(ns string, commands ...string) error {
	args := []string{"-batch", "-"}
	if ns != "" {
		args = append([]string{"-n", ns}, args...)
	}
	return command(strings.Join(commands, "\n")+"\n", "ip", args...)
}

func command(stdin, name string, args ...string) error {
	cmd := exec.CommandContext(context.Background(), name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		what := strings.Join(append([]string{name}, args...), " ")
		return fmt.Errorf("%s %s: %w: %s", what, strings.TrimSpace(stdin), err, bytes.TrimSpace(out))
	}
	return nil
}
