package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// A network is two namespaces, one for each end, with links between them; or
// one and its loopback interface. Each sample has a fresh one, so that no
// counter, cached metric or late packet of another sample is in it.
type network struct {
	client, server netns
	host           string // the server's address, or addresses
}

// A netns is the name of a network namespace, as the command ip has it.
type netns string

const (
	clientNS netns = "sctpnet-bench-client"
	serverNS netns = "sctpnet-bench-server"
)

func (ns netns) path() string { return "/run/netns/" + string(ns) }

// A link says what the links of a network are like. Its zero value is the
// loopback interface.
type link struct {
	count int    // how many links there are; 0 means the loopback interface
	netem string // options of tc netem, on both ends of each link
	plain bool   // only packets as small as they are on a wire
	mtu   int    // if not 0, longer packets to the server are lost, and no ICMP tells
}

// network returns the names and addresses of what makeNetwork makes.
func (l link) network() *network {
	if l.count == 0 {
		return &network{client: clientNS, server: clientNS, host: "127.0.0.1"}
	}
	var hosts []string
	for i := range l.count {
		hosts = append(hosts, fmt.Sprintf("10.77.%d.2", i))
	}
	return &network{client: clientNS, server: serverNS, host: strings.Join(hosts, "/")}
}

// makeNetwork makes the network that l describes.
func makeNetwork(l link) (*network, error) {
	removeNetwork()
	n := l.network()
	if l.count == 0 {
		return n, errors.Join(ip("", "netns add "+string(clientNS)), ip(clientNS, "link set lo up"))
	}
	links := []string{"netns add " + string(clientNS), "netns add " + string(serverNS)}
	var client, server []string
	for i := range l.count {
		links = append(links, fmt.Sprintf("link add link%d netns %s type veth peer name link%[1]d netns %[3]s", i, clientNS, serverNS))
		up := fmt.Sprintf("link set link%d up", i)
		if l.plain {
			up += " gso_max_size 1500 gso_max_segs 1"
		}
		client = append(client, fmt.Sprintf("address add 10.77.%d.1/24 dev link%[1]d", i), up)
		if l.mtu != 0 {
			up += fmt.Sprint(" mtu ", l.mtu)
		}
		server = append(server, fmt.Sprintf("address add 10.77.%d.2/24 dev link%[1]d", i), up)
	}
	err := ip("", links...)
	if err == nil {
		err = errors.Join(ip(clientNS, client...), ip(serverNS, server...))
	}
	if err == nil && l.netem != "" {
		for i := range l.count {
			for _, ns := range []netns{clientNS, serverNS} {
				qdisc := fmt.Sprintf("qdisc add dev link%d root netem %s", i, l.netem)
				err = errors.Join(err, command(qdisc+"\n", "tc", "-n", string(ns), "-batch", "-"))
			}
		}
	}
	return n, err
}

func removeNetwork() {
	for _, ns := range []netns{clientNS, serverNS} {
		if _, err := os.Stat(ns.path()); err == nil {
			ip("", "netns delete "+string(ns))
		}
	}
}

// ip runs commands of ip in a namespace, or if it is "" outside.
func ip(ns netns, commands ...string) error {
	args := []string{"-batch", "-"}
	if ns != "" {
		args = append([]string{"-n", string(ns)}, args...)
	}
	return command(strings.Join(commands, "\n")+"\n", "ip", args...)
}

func command(stdin, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.TrimSpace(stdin), err, bytes.TrimSpace(out))
	}
	return nil
}

// home is the namespace of the process, "" if it is none of ours.
var home netns

// do runs f in the namespace. The sockets and processes that f makes stay
// there.
func (ns netns) do(f func() error) error {
	if ns == home {
		return f()
	}
	done := make(chan error, 1)
	go func() {
		// The thread is not unlocked, and so ends with the goroutine: no
		// other may get it.
		runtime.LockOSThread()
		done <- func() error {
			fd, err := unix.Open(ns.path(), unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				return fmt.Errorf("%s: %w", ns.path(), err)
			}
			defer unix.Close(fd)
			if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("setns: %w", err)
			}
			return f()
		}()
	}()
	return <-done
}
