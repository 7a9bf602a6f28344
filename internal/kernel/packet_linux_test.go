package kernel

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

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
