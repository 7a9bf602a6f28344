package testnet

import (
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"
)

func needRoot(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("only root can make networks, and only on Linux")
	}
}

// newNetwork makes a network that lives until the test ends.
func newNetwork(t *testing.T) *Network {
	t.Helper()
	needRoot(t)
	n, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// A wire is a link between two networks, with a socket at each end.
type wire struct {
	a, b     *Network
	from, to net.Conn
}

func newWire(t *testing.T) *wire {
	t.Helper()
	w := &wire{a: newNetwork(t), b: newNetwork(t)}
	if err := Link(w.a, w.b, "wire", "10.79.1"); err != nil {
		t.Fatal(err)
	}
	err := w.b.Do(func() (err error) {
		w.to, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(10, 79, 1, 2), Port: 4000})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.to.Close() })
	err = w.a.Do(func() (err error) {
		w.from, err = net.Dial("udp4", "10.79.1.2:4000")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.from.Close() })
	return w
}

func (w *wire) say(t *testing.T, s string) {
	t.Helper()
	if _, err := io.WriteString(w.from, s); err != nil {
		t.Fatal(err)
	}
}

func (w *wire) hear(t *testing.T, want string) {
	t.Helper()
	w.to.SetReadDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 10)
	if n, err := w.to.Read(buf); err != nil || string(buf[:n]) != want {
		t.Fatalf("read %q and %v, want %q", buf[:n], err, want)
	}
}

func TestLink(t *testing.T) {
	w := newWire(t)
	w.say(t, "hello")
	w.hear(t, "hello")
}

// TestNetem loses something on a link.
func TestNetem(t *testing.T) {
	w := newWire(t)
	w.say(t, "hello") // Linux keeps what waits for ARP
	w.hear(t, "hello")
	if err := w.a.Netem("wire", "loss 100%"); err != nil {
		t.Skip("this kernel cannot lose packets: ", err)
	}
	w.say(t, "lost")
	if err := w.a.Heal("wire"); err != nil {
		t.Fatal(err)
	}
	w.say(t, "world")
	w.hear(t, "world")
}

// TestDo checks that a network is entered, and left even by a function that ends its
// goroutine.
func TestDo(t *testing.T) {
	network := func() string {
		link, err := os.Readlink("/proc/thread-self/ns/net")
		if err != nil {
			t.Error(err)
		}
		return link
	}
	n := newNetwork(t)
	var inside string
	if err := n.Do(func() error { inside = network(); return io.EOF }); err != io.EOF {
		t.Errorf("Do returned %v, want what the function did", err)
	}
	if outside := network(); inside == outside {
		t.Errorf("the function ran in %s, as the test does", outside)
	}
	if err := n.Do(func() error { runtime.Goexit(); return nil }); err == nil {
		t.Error("Do of a function that does not return is no error")
	}
}

// TestAgain runs itself in a network of its own.
func TestAgain(t *testing.T) {
	needRoot(t)
	if !IsAgain() {
		if out, err := Again("-test.run=^TestAgain$", "-test.v").CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	interfaces, err := net.Interfaces() // some kernels make tunnels in each network
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagUp != 0 {
			t.Errorf("%v is up", i)
		}
	}
}

// TestSysctl sets a variable of one network only.
func TestSysctl(t *testing.T) {
	a, b := newNetwork(t), newNetwork(t)
	if err := a.Sysctl("ipv4/ip_local_port_range", "40000 40003"); err != nil {
		t.Fatal(err)
	}
	read := func(n *Network) (s string) {
		n.Do(func() error {
			data, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
			s = string(data)
			return err
		})
		return s
	}
	if got, other := read(a), read(b); got != "40000\t40003\n" || got == other {
		t.Errorf("the range is %q, and the other network's %q", got, other)
	}
	if err := a.Sysctl("ipv4/ip_local_port_range", "nonsense"); err == nil {
		t.Error("nonsense is set")
	}
}
