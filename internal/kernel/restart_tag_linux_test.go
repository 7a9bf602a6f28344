package kernel

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet/internal/conformance"
	"github.com/sctpnet/sctpnet/internal/engine"
)

// TestTagIsLearned has associations learn their tags though nobody reads them: soon, and
// at once if they hand over messages in pieces. After a restart they learn the next one.
func TestTagIsLearned(t *testing.T) {
	tagOf := func(c *conn) uint32 {
		c.tagWatch.mu.Lock()
		defer c.tagWatch.mu.Unlock()
		return c.tag.value
	}
	conformance.Watchdog(t, func() {
		for _, inPieces := range []bool{false, true} {
			var o engine.Options
			if inPieces {
				o.PartialDeliveryPoint = 1000
			}
			client, server := conns(t, o)
			for _, ec := range []engine.Conn{client, server} {
				c := ec.(*conn)
				for !inPieces && tagOf(c) == 0 {
					time.Sleep(time.Millisecond)
				}
				tag := tagOf(c)
				if tag == 0 {
					t.Fatal("no tag was learned, though that is needed soon")
				}
				c.control(func(fd int) error {
					c.renewTag(fd)
					return nil
				})
				if inPieces && tagOf(c) == 0 {
					t.Fatal("the tag of the next life was not learned at once")
				}
				for tagOf(c) == 0 {
					time.Sleep(time.Millisecond)
				}
				if again := tagOf(c); again != tag {
					t.Errorf("the same life has the tags %#x and %#x", tag, again)
				}
			}
		}
	})
}

// TestNoTagIsLearnedAfterClose closes an association that is new.
func TestNoTagIsLearnedAfterClose(t *testing.T) {
	client, _ := conns(t, engine.Options{})
	c := client.(*conn)
	c.learns.Reset(time.Hour)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if c.learns.Stop() {
		t.Error("the tag would be asked for after Close")
	}
}

// takeOne is a Taker that has taken one thing.
type takeOne struct{ d engine.Delivery }

func (o *takeOne) Take(d *engine.Delivery) bool {
	o.d = *d
	return true
}

// TestTagIsLearnedOfPacket is TestTagIsLearned of a one-to-many socket. A Conn that is peeled
// off knows the tag from the beginning.
func TestTagIsLearnedOfPacket(t *testing.T) {
	needSCTP(t)
	conformance.Watchdog(t, func() {
		for _, inPieces := range []bool{false, true} {
			var o engine.Options
			if inPieces {
				o.PartialDeliveryPoint = 1000
			}
			lo := &engine.Addr{IPAddrs: []net.IPAddr{{IP: net.IP{127, 0, 0, 1}}}}
			pc, err := kernelEngine{}.ListenPacket(t.Context(), &engine.Socket{Network: "sctp", Local: lo, Options: o}, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer pc.Close()
			client, err := kernelEngine{}.Dial(context.Background(), &engine.Socket{Network: "sctp"}, pc.LocalAddr())
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			var up takeOne
			if err := pc.Recv(make([]byte, 1000), false, &up); err != nil {
				t.Fatal(err)
			}
			p := pc.(*packet)
			tagOf := func() uint32 {
				p.receiving.Lock()
				defer p.receiving.Unlock()
				return p.assoc(up.d.Assoc).tag.value
			}
			for !inPieces && tagOf() == 0 {
				time.Sleep(time.Millisecond)
			}
			tag := tagOf()
			if tag == 0 {
				t.Error("no tag was learned, though that is needed soon")
			}
			// The peeled-off Conn is told it: a restart may have come meanwhile.
			p.receiving.Lock()
			p.assoc(up.d.Assoc).tag.value++
			p.receiving.Unlock()
			ec, err := p.PeelOff(up.d.Assoc, func() []engine.Msg { return nil })
			if err != nil {
				t.Fatal(err)
			}
			defer ec.Close()
			c := ec.(*conn)
			c.tagWatch.mu.Lock()
			if c.tag.value != tag+1 || c.learns != nil {
				t.Errorf("the tag of the Conn is %#x, want %#x as of the PacketConn", c.tag.value, tag+1)
			}
			c.tagWatch.mu.Unlock()
		}
	})
}

// TestTagThatIsNotTold looks at tags that the kernel does not tell, or does not tell any
// more. None of that is a restart.
func TestTagThatIsNotTold(t *testing.T) {
	conformance.Watchdog(t, func() {
		var o engine.Options
		o.PartialDeliveryPoint = 1000 // the tag is learned at once
		client, server := conns(t, o)
		c := server.(*conn)
		c.tagWatch.mu.Lock()
		defer c.tagWatch.mu.Unlock()
		c.control(func(fd int) error {
			tag := c.tag
			wantChanged := func(what string, tag lifeTag, want bool) {
				t.Helper()
				if got := tag.hasChanged(fd); got != want {
					t.Errorf("%s has changed: %v, want %v", what, got, want)
				}
			}
			wantChanged("the tag", tag, false)
			another := tag
			another.value++
			wantChanged("another tag", another, true)
			unknown := tag
			unknown.value = 0
			wantChanged("a tag that was not told", unknown, false)

			// What was learned once is not asked for again, even if it was nothing.
			for _, known := range []lifeTag{unknown, another} {
				c.tag = known
				if got := c.findTag(fd); got != (known.value != 0) || c.tag != known {
					t.Errorf("%+v was found: %v; it is %+v then", known, got, c.tag)
				}
			}
			c.tag = lifeTag{}
			if !c.findTag(fd) || c.tag.value != tag.value {
				t.Errorf("the tag %#x is found as %#x", tag.value, c.tag.value)
			}

			client.Abort()
			for !isGone(uintptr(fd)) {
				time.Sleep(time.Millisecond)
			}
			wantChanged("the tag of what has ended", tag, false)
			return nil
		})
	})
}
