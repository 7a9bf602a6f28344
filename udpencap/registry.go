package udpencap

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
)

// registry has the UDP sockets of this process, by the address they are bound
// to, so that several SCTP ports can share one.
var registry = struct {
	mu      sync.Mutex
	sockets map[place]*socket
	dialing map[dialPlace]*socket // for dialing from any port
}{
	sockets: make(map[place]*socket),
	dialing: make(map[dialPlace]*socket),
}

// A place is where a socket is bound.
type place struct {
	network uint64 // one of those that the system has, see currentNetwork
	addr    netip.AddrPort
}

// A dialPlace is what a socket is for that needs no port in particular: an address to
// dial from and one to dial.
type dialPlace struct {
	from place
	to   netip.Addr
}

// mostDialing is how many such sockets there are for an address to dial from. Each has a
// buffer of the system's for what it sends. Where that is full, because the way to one
// peer is slow, what goes to another one through the same socket has to wait.
const mostDialing = 16

type control = func(network, address string, c syscall.RawConn) error

// getSocket returns the socket that is bound to an address, and binds one if there is
// none. The caller holds registry.mu. A socket that a caller controls is
// shared with no other.
func getSocket(ctx context.Context, local netip.AddrPort, ctrl control) (*socket, error) {
	network := currentNetwork()
	if s := registry.sockets[place{network, local}]; s != nil && ctrl == nil {
		return s, nil
	}
	s, err := openSocket(ctx, local, ctrl)
	if err != nil {
		if e, ok := err.(*net.OpError); ok {
			err = e.Err // it says "listen udp", which nobody has asked for
		}
		return nil, portable(err)
	}
	if ctrl == nil {
		s.place = place{network, s.local}
		registry.sockets[s.place] = s
		s.shared = true
	}
	return s, nil
}

// unused closes a socket that no port uses. The caller holds registry.mu.
func (s *socket) unused() {
	if s.refs > 0 {
		return
	}
	if s.shared {
		delete(registry.sockets, s.place)
		maps.DeleteFunc(registry.dialing, func(_ dialPlace, d *socket) bool { return d == s })
	}
	s.close()
}

// bind binds a UDP port at all the addresses, and returns its number. A family
// that this host lacks is left out of any address. The caller holds registry.mu.
func bind(ctx context.Context, ips []netip.Addr, udp uint16, ctrl control) (sockets []*socket, num uint16, err error) {
	for try := 0; ; try++ {
		num = udp
		for _, ip := range ips {
			var s *socket
			if s, err = getSocket(ctx, netip.AddrPortFrom(ip, num), ctrl); err != nil {
				if len(ips) > 1 && ip.IsUnspecified() && lacksFamily(err) {
					err = nil
					continue
				}
				break
			}
			num = s.local.Port()
			sockets = append(sockets, s)
		}
		if err == nil && len(sockets) > 0 {
			return sockets, num, nil
		}
		for _, s := range sockets {
			s.unused()
		}
		sockets = nil
		if err == nil {
			err = os.NewSyscallError("bind", syscall.EAFNOSUPPORT)
		}
		// A port that one family has free may be taken in the other.
		if udp != 0 || try == 10 || !errors.Is(err, syscall.EADDRINUSE) {
			return nil, 0, err
		}
	}
}

func lacksFamily(err error) bool {
	return errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL)
}

// taken explains that a UDP port is in use.
func taken(err error, udp uint16) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE) && udp == UDPPort:
		return fmt.Errorf("UDP port %d is in use, perhaps by the kernel's own SCTP (sysctl net.sctp.udp_port): choose another with Config.LocalUDPPort: %w", udp, err)
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("UDP port %d is in use: choose another with Config.LocalUDPPort: %w", udp, err)
	}
	return err
}

// dialSocket returns the socket from which an address is dialed if no port in
// particular is needed: one for that address, as long as there are not too many, and then
// the one with the fewest users. The caller holds registry.mu.
func dialSocket(ctx context.Context, ip, to netip.Addr) (*socket, error) {
	key := dialPlace{place{currentNetwork(), netip.AddrPortFrom(ip, 0)}, to}
	if s := registry.dialing[key]; s != nil {
		return s, nil
	}
	var idlest *socket
	n := 0
	for k, s := range registry.dialing {
		if k.from == key.from {
			n++
			if idlest == nil || s.refs < idlest.refs {
				idlest = s
			}
		}
	}
	if n >= mostDialing {
		return idlest, nil
	}
	s, err := getSocket(ctx, key.from.addr, nil)
	if err == nil {
		registry.dialing[key] = s
	}
	return s, err
}

// borrowSocket returns a socket from which packets can be sent to an address,
// until giveBack.
func borrowSocket(to netip.Addr) (*socket, error) {
	ip := anyOf(to)
	registry.mu.Lock()
	defer registry.mu.Unlock()
	s, err := dialSocket(context.Background(), ip, to)
	if err == nil {
		s.refs++
	}
	return s, err
}

func (s *socket) giveBack() {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	s.refs--
	s.unused()
}
