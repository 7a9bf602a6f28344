// Package testnet makes networks for tests: network namespaces of Linux, links
// between them, and faults of the links. It needs root, and the commands ip and tc.
package testnet

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Network is a network namespace. It lives until it is closed and its last process
// and socket are gone.
type Network struct {
	file *os.File // nil for the network of this process
}

// New makes a network. It has a loopback interface only, which is up.
func New() (*Network, error) {
	n := &Network{}
	err := onOwnThread(func() (err error) {
		if err := unshare(); err != nil {
			return fmt.Errorf("a new network namespace: %w", err)
		}
		n.file, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	if err == nil {
		err = n.IP("link set lo up")
	}
	if err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// Own returns the network of this process.
func Own() *Network { return new(Network) }

// Close lets the network go.
func (n *Network) Close() error {
	if n.file == nil {
		return nil
	}
	return n.file.Close()
}

// Do runs f in the network. The sockets and processes that f makes stay there. The
// goroutines that it starts do not run there.
func (n *Network) Do(f func() error) error {
	if n.file == nil {
		return f()
	}
	return onOwnThread(func() error {
		if err := enter(n.file); err != nil {
			return fmt.Errorf("entering a network namespace: %w", err)
		}
		return f()
	})
}

// onOwnThread runs f on a thread that ends with it.
func onOwnThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // until the goroutine ends, and the thread with it
		err := errors.New("the function has called Goexit")
		defer func() { done <- err }()
		if isMainThread() {
			// This thread cannot end. While it is locked, another goroutine
			// has another thread.
			defer runtime.UnlockOSThread()
			err = onOwnThread(f)
			return
		}
		err = f()
	}()
	return <-done
}

// IP runs commands of ip in the network.
func (n *Network) IP(commands ...string) error { return n.batch("ip", commands) }

// TC runs commands of tc in the network.
func (n *Network) TC(commands ...string) error { return n.batch("tc", commands) }

func (n *Network) batch(name string, commands []string) error {
	return n.Do(func() error {
		cmd := exec.Command(name, "-batch", "-")
		cmd.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s %s: %w: %s", name, strings.Join(commands, "; "), err, bytes.TrimSpace(out))
		}
		return nil
	})
}

// Link makes a link between two networks, of devices that have one name. The addresses
// are the subnet's, like "10.77.1": that of a ends in 1, and that of b in 2.
func Link(a, b *Network, device, subnet string) error {
	err := a.IP(fmt.Sprintf("link add %s type veth peer name %[1]s netns %s", device, b.name()))
	for i, n := range []*Network{a, b} {
		if err == nil {
			err = n.IP(fmt.Sprintf("address add %s.%d/24 dev %s", subnet, i+1, device), "link set "+device+" up")
		}
	}
	return err
}

// name is what the command ip knows the network by.
func (n *Network) name() string {
	if n.file == nil {
		return strconv.Itoa(os.Getpid())
	}
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.file.Fd())
}

// Netem makes a device treat the packets that it sends as options of tc netem say, like
// "loss 2%".
func (n *Network) Netem(device, options string) error {
	return n.TC("qdisc replace dev " + device + " root netem limit 10000 " + options)
}

// Heal ends what Netem has set.
func (n *Network) Heal(device string) error {
	return n.TC("qdisc delete dev " + device + " root")
}

// Sysctl sets a variable of the network, like "sctp/addip_enable".
func (n *Network) Sysctl(name, value string) error {
	for deadline := time.Now().Add(time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := n.Do(func() error { return os.WriteFile("/proc/sys/net/"+name, []byte(value), 0) })
		// Now and then, Linux has a UDP port in use even in a new network.
		if !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(deadline) {
			return err
		}
	}
}
