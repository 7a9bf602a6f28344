package kernel

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/ishidawataru/sctp"
	"github.com/sctpnet/sctpnet/internal/conformance"
	"github.com/sctpnet/sctpnet/internal/engine"
	"golang.org/x/sys/unix"
)

// TestEventAssociations finds which association a notification is about, where C's
// header has it.
func TestEventAssociations(t *testing.T) {
	const assoc = 99 // in testdata/events.c
	for name, note := range cNotifications(t) {
		var p parser
		if p.parse(note); p.assoc != assoc {
			t.Errorf("%s is of association %d, want %d", name, p.assoc, assoc)
		}
	}
}

// TestSendFailedOfTwoAssociations has the pieces of failed messages of two
// associations come one after the other: they are not joined.
func TestSendFailedOfTwoAssociations(t *testing.T) {
	note := func(assoc uint32, flags uint16, data string) []byte {
		b := failedChunk(3, flags, data)
		binary.NativeEndian.PutUint32(b[28:], assoc)
		return b
	}
	var p parser
	if e := p.parse(note(7, chunkFirst, "seven ")); e != nil {
		t.Errorf("%+v, which goes on", e)
	}
	e, ok := p.parse(note(8, chunkLast, "eight")).(engine.SendFailedEvent)
	if !ok || string(e.Data) != "eight" {
		t.Errorf("%+v, want that of association 8 alone", e)
	}
}

// TestSenderAddress reads what the kernel names as the sender of a message.
func TestSenderAddress(t *testing.T) {
	for _, want := range []string{"192.0.2.1:3868", "[2001:db8::1]:3868"} {
		var h header
		at := netip.MustParseAddrPort(want)
		if err := h.sendTo(-1, at.Addr(), int(at.Port())); err != nil {
			t.Fatal(err)
		}
		if got := h.from(); got != at {
			t.Errorf("%v, want %v", got, at)
		}
	}
	var h header
	if got := h.from(); got.IsValid() {
		t.Errorf("no name is %v", got)
	}
	// An IPv4 address on an IPv6 socket.
	binary.NativeEndian.PutUint16(h.name[:], unix.AF_INET6)
	binary.BigEndian.PutUint16(h.name[2:], 9)
	copy(h.name[18:], []byte{0xff, 0xff, 192, 0, 2, 1})
	h.hdr.Namelen = unix.SizeofSockaddrInet6
	if got := h.from(); got != netip.MustParseAddrPort("192.0.2.1:9") {
		t.Errorf("a mapped address is %v", got)
	}
}

// TestBacklog estimates what of a peer's messages is queued.
func TestBacklog(t *testing.T) {
	b := budget{size: 1000}
	for range 10 {
		b.sent(2000) // two chunks each
	}
	for _, tt := range []struct {
		sent    uint64
		unacked int
		part    int // of 20 chunks
	}{
		{0, 0, 20},
		{5, 5, 20},
		{5, 0, 15},
		{20, 4, 4},
		{20, 0, 0},
		{25, 3, 3}, // there were more chunks than one would think
	} {
		b.last = tt.sent
		if got, want := b.backlog(tt.unacked), tt.part*10*queueCost(2000)/20; got != want {
			t.Errorf("of 20 chunks %d sent, %d not acknowledged: %d are queued, want %d", tt.sent, tt.unacked, got, want)
		}
	}
}

// TestPeelOffOfWhatIsSorted peels off an association while messages of it are taken that
// may be in the wrong order. It waits until all of them are.
func TestPeelOffOfWhatIsSorted(t *testing.T) {
	needSCTP(t)
	conformance.Watchdog(t, func() {
		local := &engine.Addr{IPAddrs: []net.IPAddr{{IP: net.IPv4(127, 0, 0, 1)}}}
		var ends [2]*packet
		for i := range ends {
			p, err := kernelEngine{}.ListenPacket(t.Context(), &engine.Socket{Network: "sctp4", Local: local}, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			ends[i] = p.(*packet)
		}
		p, peer := ends[0], ends[1]
		var to engine.AssocID
		if err := peer.Connect(p.LocalAddr(), func(a engine.AssocID, _ bool) { to = a }); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := peer.Send(make([]byte, 30), engine.Message{}, to); err != nil {
				t.Fatal(err)
			}
		}
		peeler := &peeler{p: p, done: make(chan error)}
		p.SetReadDeadline(time.Now().Add(time.Minute))
		if err := p.Recv(make([]byte, 10), false, peeler); err != nil { // each comes in pieces
			t.Fatal(err)
		}
		if err := <-peeler.done; err != nil || !peeler.wasSorted {
			t.Errorf("peeled off when sorted: %t, %v", peeler.wasSorted, err)
		}
	})
}

// A peeler peels an association off when the first piece of a message has come.
type peeler struct {
	p                   *packet
	begun               bool
	isSorted, wasSorted bool
	done                chan error
}

func (e *peeler) Take(d *engine.Delivery) (enough bool) {
	e.isSorted = d.Sorted
	if id := d.Assoc; d.Unsorted && !e.begun {
		e.begun = true
		go func() {
			c, err := e.p.PeelOff(id, func() []engine.Msg { e.wasSorted = e.isSorted; return nil })
			if err == nil {
				err = c.Close()
			}
			e.done <- err
		}()
	}
	if e.begun {
		time.Sleep(5 * time.Millisecond) // a mutex is given to one that waits for 1 ms
	}
	return d.Sorted
}

// TestSendToNobodyLeavesNothing sends to an association that there is not. Nothing is known of
// it afterward, why ever it could not be sent.
func TestSendToNobodyLeavesNothing(t *testing.T) {
	needSCTP(t)
	local := &engine.Addr{IPAddrs: []net.IPAddr{{IP: net.IPv4(127, 0, 0, 1)}}}
	c, err := kernelEngine{}.ListenPacket(t.Context(), &engine.Socket{Network: "sctp4", Local: local}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p := c.(*packet)
	wantNothing := func(what string, err error) {
		t.Helper()
		p.mu.Lock()
		defer p.mu.Unlock()
		if err == nil || len(p.assocs) > 0 {
			t.Errorf("%s: %v, and %d associations are known", what, err, len(p.assocs))
		}
	}
	wantNothing("a message", p.Send([]byte("x"), engine.Message{}, 99))
	wantNothing("one to an address", p.Send([]byte("x"), engine.Message{To: netip.MustParseAddr("127.0.0.1")}, 99))
	if err := p.SetWriteDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	wantNothing("one that is late", p.Send([]byte("x"), engine.Message{}, 99))
}

// TestFenceOfPacket has a notification come after a part of a message. Where it stands
// behind that message, the rest of it was given up.
func TestFenceOfPacket(t *testing.T) {
	up := engine.AssocEvent{Change: engine.AssocUp}
	dry := engine.SenderDryEvent{}
	for _, tt := range []struct {
		name               string
		begun, isUnordered bool // a message has, and is
		fence              fence
		event              engine.Event
		cut, goesOn        bool
		then               fence
	}{
		{"given up", true, true, fence{isUp: true}, dry, true, false, fence{}},
		{"given up, by another event", true, true, fence{isUp: true}, up, true, false, fence{isUp: true}},
		{"of the message before", true, true, fence{isUp: true, isOver: true}, dry, false, true, fence{isUp: true}},
		{"of the message before, by another event", true, true, fence{isUp: true, isOver: true}, up, false, true, fence{isUp: true, isOver: true}},
		{"of an unordered one before an ordered one", true, false, fence{isUp: true, isOver: true}, dry, false, true, fence{}},
		{"between messages", false, false, fence{isUp: true, isOver: true}, dry, false, false, fence{}},
		{"no fence", true, false, fence{}, up, false, true, fence{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := &assoc{fence: tt.fence, isUnordered: tt.isUnordered}
			p := &packet{assocs: map[engine.AssocID]*assoc{7: a}}
			p.watch.begun = make(map[engine.AssocID]*assoc)
			if tt.begun {
				p.watch.begun[7] = a
			}
			cut := p.passFence(target{-1, 7}, tt.event)
			if goesOn := p.watch.begun[7] != nil; cut != tt.cut || goesOn != tt.goesOn || a.fence != tt.then {
				t.Errorf("cut: %v, goes on: %v, %+v; want %v, %v, %+v", cut, goesOn, a.fence, tt.cut, tt.goesOn, tt.then)
			}
		})
	}
}

// packetAt makes a one-to-many socket.
func packetAt(t *testing.T, autoClose time.Duration) *packet {
	t.Helper()
	needSCTP(t)
	local := &engine.Addr{IPAddrs: []net.IPAddr{{IP: net.IPv4(127, 0, 0, 1)}}}
	c, err := kernelEngine{}.ListenPacket(t.Context(), &engine.Socket{Network: "sctp4", Local: local}, autoClose)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*packet)
}

// TestAutoCloseRoundsUp sets an AutoClose that is no number of seconds. An association is
// not ended before its time, and 0 would be never.
func TestAutoCloseRoundsUp(t *testing.T) {
	for d, want := range map[time.Duration]int{0: 0, 1: 1, time.Second: 1, 1500 * time.Millisecond: 2, 2 * time.Second: 2} {
		if got, err := read(packetAt(t, d), optAutoClose.getInt); got != want || err != nil {
			t.Errorf("AutoClose of %v is %d s, %v; want %d", d, got, err, want)
		}
	}
}

// TestAssocsOfMany asks for more associations than are expected at first. One that has ended
// cannot be ended once more, and nothing is known of it.
func TestAssocsOfMany(t *testing.T) {
	conformance.Watchdog(t, func() {
		const n = 33
		p := packetAt(t, 0)
		for range n {
			if err := packetAt(t, 0).Connect(p.LocalAddr(), func(engine.AssocID, bool) {}); err != nil {
				t.Fatal(err)
			}
		}
		ids, err := p.Assocs()
		for ; err == nil && len(ids) < n; ids, err = p.Assocs() {
			time.Sleep(time.Millisecond)
		}
		if len(ids) != n || err != nil {
			t.Fatalf("%d associations, %v; want %d", len(ids), err, n)
		}
		for i, end := range []func(engine.AssocID) error{p.Abort, p.Shutdown} {
			if err := p.Abort(ids[i]); err != nil {
				t.Error(err)
			}
			if err := end(ids[i]); err != engine.ErrEnded {
				t.Errorf("the end of an association that has ended: %v", err)
			}
			if _, err := p.Paths(ids[i]); err != engine.ErrEnded {
				t.Errorf("the paths of an association that has ended: %v", err)
			}
		}
		if ids, err := p.Assocs(); len(ids) != n-2 || err != nil {
			t.Errorf("%d associations, %v; want %d", len(ids), err, n-2)
		}
	})
}

// TestWhyHandshakeFailed tells a peer that refuses from one that is silent.
func TestWhyHandshakeFailed(t *testing.T) {
	past, future := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	for _, tt := range []struct {
		name  string
		cause uint16
		was   int32
		gives time.Time
		want  unix.Errno
	}{
		{"ABORT with a cause, late", 12, lastingOn, past, unix.ECONNREFUSED},
		{"it lasted on", 0, lastingOn, future, unix.ETIMEDOUT},
		{"it was over before", 0, overBefore, past, unix.ECONNREFUSED},
		{"soon", 0, notLooked, future, unix.ECONNREFUSED},
		{"late, and nobody has looked", 0, notLooked, past, unix.ETIMEDOUT},
		{"it is not known when", 0, notLooked, time.Time{}, unix.ECONNREFUSED},
	} {
		a := attempt{gives: tt.gives}
		a.was.Store(tt.was)
		if got := a.cause(&engine.AssocEvent{Cause: tt.cause}); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestSilence adds the times up that INITs wait for an answer.
func TestSilence(t *testing.T) {
	for _, tt := range []struct {
		addrs, maxTimeout int
		want              time.Duration
	}{
		{1, 250, 800 * time.Millisecond}, // 100, 200, 250, 250
		{2, 250, 600 * time.Millisecond}, // 100, 100, 200, 200: one address after the other
		{0, 250, 800 * time.Millisecond},
		{1, 0, 1500 * time.Millisecond}, // 100, 200, 400, 800: by default the limit is 60 s
	} {
		err := packetAt(t, 0).control(func(fd int) error {
			if err := optRTO.set(fd, rtoInfo{Initial: 100, Max: 350, Min: 50}); err != nil {
				return err
			}
			init := make([]byte, 8)
			binary.NativeEndian.PutUint16(init[4:], 3)
			binary.NativeEndian.PutUint16(init[6:], uint16(tt.maxTimeout))
			if err := setsockopt(fd, sctp.SOL_SCTP, sctp.SCTP_INITMSG, init); err != nil {
				return err
			}
			if got := silence(fd, tt.addrs); got != tt.want {
				t.Errorf("%d addresses, %d ms at most: %v, want %v", tt.addrs, tt.maxTimeout, got, tt.want)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
