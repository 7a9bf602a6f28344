package kernel

import (
	"context"
	"net"
	"reflect"
	"testing"
	"time"

	"github.com/sctpnet/sctpnet/internal/engine"
)

// TestNoPartialDeliveryEvent looks at what sockets are subscribed to: not to the
// event with which Linux leaks sockets, whatever the options are.
func TestNoPartialDeliveryEvent(t *testing.T) {
	needSCTP(t)
	for _, o := range []engine.Options{{}, {Events: true}, {Events: true, SenderDry: true}} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		lo := &engine.Addr{IPAddrs: []net.IPAddr{{IP: net.IP{127, 0, 0, 1}}}}
		ln, err := kernelEngine{}.Listen(ctx, &engine.Socket{Network: "sctp", Local: lo, Options: o})
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		c, err := kernelEngine{}.Dial(ctx, &engine.Socket{Network: "sctp", Options: o}, ln.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		s, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for what, sk := range map[string]*socket{"listener": ln.(*listener).socket, "dialed": c.(*conn).socket, "accepted": s.(*conn).socket} {
			err := sk.control(func(fd int) error {
				e := event{Type: eventPartialDelivery}
				err := optEvent.get(fd, &e)
				if err == nil && e.On != 0 {
					t.Errorf("%s socket with %+v is subscribed", what, o)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestCutWatch shows pieces of messages and events to a cutWatch.
func TestCutWatch(t *testing.T) {
	piece := func(stream, ssn uint16, more bool) engine.Message {
		return engine.Message{Stream: stream, SSN: ssn, More: more}
	}
	cut := func(stream uint16, ssn uint32) engine.Event {
		return engine.PartialDeliveryEvent{Stream: stream, Seq: ssn}
	}
	lost := engine.Message{Event: engine.AssocEvent{Change: engine.AssocLost}}
	for _, tt := range []struct {
		name        string
		interleaved bool
		pieces      []engine.Message
		want        []engine.Event
	}{
		{"whole messages", false, []engine.Message{piece(1, 0, false), piece(1, 1, false), lost}, nil},
		{"in pieces", false, []engine.Message{piece(1, 0, true), piece(1, 0, true), piece(1, 0, false), piece(1, 1, true), piece(1, 1, false)}, nil},
		{"next of the stream", false, []engine.Message{piece(1, 5, true), piece(1, 6, false)}, []engine.Event{cut(1, 5)}},
		{"another stream", false, []engine.Message{piece(1, 5, true), piece(2, 5, false)}, []engine.Event{cut(1, 5)}},
		{"unordered", false, []engine.Message{piece(1, 0, true), {Stream: 1, Unordered: true}}, []engine.Event{cut(1, 0)}},
		{"one after the other", false, []engine.Message{piece(1, 5, true), piece(1, 6, true), piece(1, 7, false)}, []engine.Event{cut(1, 5), cut(1, 6)}},
		{"the association's end", false, []engine.Message{piece(1, 5, true), lost}, []engine.Event{cut(1, 5)}},
		{"another event", false, []engine.Message{piece(1, 5, true), {Event: engine.SenderDryEvent{}}, piece(1, 5, false)}, nil},
		{"interleaved", true, []engine.Message{piece(1, 5, true), piece(2, 5, true), piece(1, 5, false), piece(2, 5, false)}, nil},
		{"interleaved and cut", true, []engine.Message{piece(1, 5, true), piece(2, 5, true), piece(1, 6, false), lost}, []engine.Event{cut(1, 5), cut(2, 5)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var w cutWatch
			var got []engine.Event
			for _, p := range tt.pieces {
				for e := w.see(p, tt.interleaved); e != nil; e = w.see(p, tt.interleaved) {
					got = append(got, e)
				}
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("events are %v, want %v", got, tt.want)
			}
			if len(w.begun) > 0 {
				t.Errorf("still begun are %v", w.begun)
			}
		})
	}
}
