package sctpnet_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet"
	"golang.org/x/sys/unix"
)

func TestDialControl(t *testing.T) {
	type key struct{}
	errControl := errors.New("control")
	for _, tt := range []struct{ listen, network, address string }{
		{"127.0.0.1:0", "sctp4", "127.0.0.1:%d"},
		{"[::1]:0", "sctp6", "[::1]:%d"},
		{"127.0.0.1/127.0.0.2:0", "sctp4", "127.0.0.1/127.0.0.2:%d"},
	} {
		ln := listen(t, "sctp", tt.listen)
		calls := 0
		check := func(network, address string, c syscall.RawConn) error {
			calls++
			if want := fmt.Sprintf(tt.address, port(ln.Addr())); network != tt.network || address != want {
				t.Errorf("Control was told %s, %s; want %s, %s", network, address, tt.network, want)
			}
			var v int
			var err error
			cerr := c.Control(func(fd uintptr) {
				v, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_PROTOCOL)
			})
			if cerr != nil || err != nil || v != syscall.IPPROTO_SCTP {
				t.Errorf("the protocol of Control's socket is %d, %v, %v", v, err, cerr)
			}
			return nil
		}
		dial(t, &sctpnet.Dialer{Control: check}, "sctp", ln.Addr().String())
		if calls != 1 {
			t.Errorf("Control was called %d times", calls)
		}

		// ControlContext takes precedence and has the values of the context.
		d := sctpnet.Dialer{
			Control: func(_, _ string, _ syscall.RawConn) error {
				t.Error("Control was called beside ControlContext")
				return nil
			},
			ControlContext: func(ctx context.Context, network, address string, c syscall.RawConn) error {
				if ctx.Value(key{}) != "value" {
					t.Error("ControlContext did not get the context")
				}
				check(network, address, c)
				return errControl
			},
		}
		ctx := context.WithValue(context.Background(), key{}, "value")
		_, err := dialFails(t, func() (net.Conn, error) { return d.DialContext(ctx, "sctp", ln.Addr().String()) })
		if !errors.Is(err, errControl) {
			t.Errorf("%v, want Control's error", err)
		}
		if calls != 2 {
			t.Errorf("ControlContext was called %d times", calls-1)
		}
	}
}

// TestDialSomeRoute dials where there is a route by something that must be looked
// at: it must not be taken for none.
func TestDialSomeRoute(t *testing.T) {
	for _, tt := range []struct {
		name      string
		configure func(t *testing.T, a *netns)
		dialer    sctpnet.Dialer
		hosts     string
	}{
		{
			name:  "second address",
			hosts: "192.0.2.1/10.77.1.2",
		},
		{
			name:  "second local address",
			hosts: "10.77.1.2",
			dialer: sctpnet.Dialer{LocalAddr: &sctpnet.Addr{
				IPAddrs: []net.IPAddr{{IP: net.IP{127, 0, 0, 1}}, {IP: net.IP{10, 77, 1, 1}}},
			}},
		},
		{
			name: "device",
			configure: func(t *testing.T, a *netns) {
				a.ip(t, "route del 10.77.1.0/24 dev link1")
				a.ip(t, "route add unreachable 10.77.1.0/24 metric 1")
				a.ip(t, "route add 10.77.1.0/24 dev link1 metric 2")
			},
			dialer: sctpnet.Dialer{Control: setsockopt(func(fd int) error {
				return unix.SetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, "link1")
			})},
			hosts: "10.77.1.2",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := newLinks(t)
			// The answer takes a while, so that the route is asked for.
			b.netem(t, "link1", "delay 50ms")
			ln := b.listen(t, sctpnet.ListenConfig{}, "10.77.1.2:0")
			if tt.configure != nil {
				tt.configure(t, a)
			}
			tt.dialer.Timeout = 20 * time.Second
			a.dial(t, tt.dialer, fmt.Sprintf("%s:%d", tt.hosts, port(ln.Addr())))
		})
	}
}

// setsockopt makes a Dialer's Control.
func setsockopt(set func(fd int) error) func(string, string, syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = set(int(fd)) }); cerr != nil {
			return cerr
		}
		return err
	}
}

// A forgetful is a peer that answers each INIT, and no COOKIE ECHO of the first
// handshakes. It is at an address beyond link 1 that no host has, and takes the packets
// that go there.
type forgetful struct {
	tap     *os.File
	link    int              // the index of its device
	to      net.HardwareAddr // of the host that dials
	ignores int              // so many handshakes
	inits   chan time.Time   // when each of them began
	echoes  chan uint32      // the sender's tag of each COOKIE ECHO

	tags []uint32 // of the handshakes so far
}

var forgetfulAddr = &sctpnet.Addr{IPAddrs: []net.IPAddr{{IP: net.IP{10, 77, 1, 9}}}, Port: 5000}

// newForgetful makes such a peer of network a, in network b.
func newForgetful(t *testing.T, a, b *netns, ignores int) *forgetful {
	t.Helper()
	const mac = "02:00:00:00:00:09" // not that of b's device, so that b's kernel takes no notice
	a.ip(t, "neigh replace 10.77.1.9 lladdr "+mac+" dev link1 nud permanent")
	p := &forgetful{ignores: ignores, inits: make(chan time.Time, 100), echoes: make(chan uint32, 1000)}
	device := func(ns *netns) (dev *net.Interface) {
		ns.do(t, func() (err error) {
			dev, err = net.InterfaceByName("link1")
			return err
		})
		return dev
	}
	p.to, p.link = device(a).HardwareAddr, device(b).Index
	b.do(t, func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		p.tap = os.NewFile(uintptr(fd), "tap")
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: ipProtocol, Ifindex: p.link})
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.serve()
	}()
	t.Cleanup(func() {
		p.tap.Close()
		<-done
	})
	return p
}

const ipProtocol = 8 // ETH_P_IP in network order

// The chunks of a handshake.
const (
	chunkInit       = 1
	chunkInitAck    = 2
	chunkCookieEcho = 10
	chunkCookieAck  = 11
)

func (p *forgetful) serve() {
	b := make([]byte, 64<<10)
	for {
		n, err := p.tap.Read(b)
		if err != nil {
			return
		}
		if n < 20+12+4 || b[0]>>4 != 4 || b[9] != unix.IPPROTO_SCTP || [4]byte(b[16:20]) != [4]byte(forgetfulAddr.IPAddrs[0].IP) {
			continue
		}
		p.receive([4]byte(b[12:16]), b[int(b[0]&15)*4:n])
	}
}

// receive takes an SCTP packet.
func (p *forgetful) receive(from [4]byte, packet []byte) {
	const ownTag = 0x09090909
	switch chunk := packet[12:]; chunk[0] {
	case chunkInit:
		tag := binary.BigEndian.Uint32(chunk[4:])
		if !slices.Contains(p.tags, tag) {
			p.tags = append(p.tags, tag)
			p.inits <- time.Now()
		}
		// Its tag, window, numbers of streams and first TSN; and a cookie, which is the
		// tag of the other end.
		ack := binary.BigEndian.AppendUint32(nil, ownTag)
		ack = append(ack, 0, 1, 0, 0, 0, 10, 0, 10, 0, 0, 0, 1)
		ack = binary.BigEndian.AppendUint32(append(ack, 0, 7, 0, 8), tag)
		p.send(from, packet, tag, chunkInitAck, ack)
	case chunkCookieEcho:
		tag := binary.BigEndian.Uint32(chunk[4:])
		p.echoes <- tag
		if slices.Index(p.tags, tag) >= p.ignores {
			p.send(from, packet, tag, chunkCookieAck, nil)
		}
	}
}

// send sends a chunk to where a packet came from.
func (p *forgetful) send(to [4]byte, received []byte, tag uint32, typ byte, value []byte) {
	sctp := slices.Concat(received[2:4], received[:2], binary.BigEndian.AppendUint32(nil, tag), make([]byte, 4),
		[]byte{typ, 0, 0, byte(4 + len(value))}, value)
	binary.LittleEndian.PutUint32(sctp[8:], crc32.Checksum(sctp, crc32.MakeTable(crc32.Castagnoli)))
	ip := []byte{0x45, 0, 0, byte(20 + len(sctp)), 0, 0, 0, 0, 64, unix.IPPROTO_SCTP, 0, 0}
	ip = slices.Concat(ip, forgetfulAddr.IPAddrs[0].IP, to[:])
	sum := uint32(0)
	for i := 0; i < len(ip); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum+sum>>16))
	at := &unix.SockaddrLinklayer{Protocol: ipProtocol, Ifindex: p.link, Halen: 6}
	copy(at.Addr[:], p.to)
	raw, err := p.tap.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) { unix.Sendto(int(fd), append(ip, sctp...), 0, at) })
}

// TestDialBeginsAnew dials a peer that answers no COOKIE ECHO of the first handshake.
// The second one begins after some time, with another tag, and succeeds.
func TestDialBeginsAnew(t *testing.T) {
	watchdog(t, func() {
		a, b := newLinks(t)
		p := newForgetful(t, a, b, 1)
		begun := time.Now()
		c := a.dial(t, sctpnet.Dialer{}, forgetfulAddr.String())
		if st, err := c.Status(); err != nil || st.State != sctpnet.StateEstablished {
			t.Errorf("%v, %v", st.State, err)
		}
		const patience = 2500 * time.Millisecond
		<-p.inits
		if d := (<-p.inits).Sub(begun); d < patience {
			t.Errorf("the second handshake began after %v, want %v", d, patience)
		}
		c.Abort()
	})
}

// TestDialEndsBehindCookie has a dial end that waits for the answer to a COOKIE ECHO,
// in the first handshake and in the second one: by its context, its deadline and its
// timeout.
func TestDialEndsBehindCookie(t *testing.T) {
	a, b := newLinks(t)
	for _, tt := range []struct {
		name  string
		d     sctpnet.Dialer
		after int // as many handshakes the context ends; never if 0
		want  error
	}{
		{"context", sctpnet.Dialer{}, 1, context.Canceled},
		{"context, later", sctpnet.Dialer{}, 2, context.Canceled},
		{"Timeout", sctpnet.Dialer{Timeout: time.Second}, 0, os.ErrDeadlineExceeded},
		{"Timeout, later", sctpnet.Dialer{Timeout: 4 * time.Second}, 0, os.ErrDeadlineExceeded},
		{"Deadline", sctpnet.Dialer{Deadline: time.Now()}, 0, os.ErrDeadlineExceeded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			watchdog(t, func() {
				p := newForgetful(t, a, b, 100)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				ends := make(chan time.Time, 1)
				if !tt.d.Deadline.IsZero() {
					tt.d.Deadline = time.Now().Add(time.Second)
				}
				switch {
				case tt.after > 0:
					go func() {
						tags := make(map[uint32]bool)
						for len(tags) < tt.after {
							tags[<-p.echoes] = true
						}
						ends <- time.Now()
						cancel()
					}()
				case tt.d.Timeout > 0:
					ends <- time.Now().Add(tt.d.Timeout)
				default:
					ends <- tt.d.Deadline
				}
				var err error
				a.do(t, func() error {
					var c net.Conn
					if c, err = tt.d.DialContext(ctx, "sctp", forgetfulAddr.String()); err == nil {
						c.Close()
					}
					return nil
				})
				switch late := time.Since(<-ends); {
				case !errors.Is(err, tt.want):
					t.Errorf("%v, want %v", err, tt.want)
				case late < 0:
					t.Errorf("%v too early: %v", -late, err)
				case late > atOnce:
					t.Errorf("%v too late: %v", late, err)
				}
			})
		})
	}
}
