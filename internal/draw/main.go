// Draw makes the drawings of the documents, docs/streams.svg and
// docs/architecture.svg. From the root folder, the command is
//
//	go run ./internal/draw
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sctpnet/sctpnet/internal/svg"
)

func main() {
	flag.Usage = func() { fmt.Fprintln(flag.CommandLine.Output(), "usage: go run ./internal/draw") }
	flag.Parse()
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	for name, drawing := range map[string]*svg.Drawing{
		"streams":      streams(),
		"architecture": architecture(),
	} {
		if err := os.WriteFile(filepath.Join("docs", name+".svg"), drawing.Bytes(), 0o666); err != nil {
			fmt.Fprintln(os.Stderr, "draw:", err)
			os.Exit(1)
		}
	}
}

// A message is drawn in the lane of its stream.
type message struct {
	text  string
	width float64
	class string
}

// streams shows four streams of an association. One of them waits.
func streams() *svg.Drawing {
	const (
		left, right = 130, 630 // of the association
		lane        = 64
		top         = 100
	)
	d := svg.New(760, 428, "An association with four streams. A lost message holds up its own stream only.")
	d.Text("title middle", 380, 32, "A loss holds up its own stream, and no other")
	lanes := []struct {
		end      string
		stream   string
		note     string
		class    string
		messages []message
	}{
		{"Conn", "stream 0", "", "s0", []message{{"hello", 70, "s0 light"}, {"world", 70, "s0 light"}, {"again", 70, "s0 light"}}},
		{"Stream", "stream 2", "opened by the dialing end: even", "s0", []message{{"request", 130, "s0 light"}, {"the rest of it", 150, "s0 light"}}},
		{"Stream", "stream 4", "lost, and sent again; what follows waits", "s4", []message{{"lost", 70, "s4 light dashed"}, {"waits", 90, "s3 light"}, {"waits", 90, "s3 light"}}},
		{"Stream", "stream 1", "opened by the accepting end: odd", "s0", []message{{"news", 70, "s0 light"}, {"news", 70, "s0 light"}, {"news", 70, "s0 light"}}},
	}
	d.Rect("box", left, top-26, right-left, float64(len(lanes)*lane)+34)
	for i, l := range lanes {
		y := float64(top + i*lane)
		d.Text("code strong middle", left/2, y+16, l.end)
		d.Text("code strong middle", (right+760)/2, y+16, l.end)
		d.Line("arrow", svg.Point{X: left - 22, Y: y + 10}, svg.Point{X: left, Y: y + 10})
		d.Line("arrow", svg.Point{X: right, Y: y + 10}, svg.Point{X: right + 22, Y: y + 10})
		d.Text("small muted", left+14, y+16, l.stream)
		x := float64(left + 110)
		for _, m := range l.messages {
			d.Rect(m.class, x, y-8, m.width, 32)
			d.Text("small middle", x+m.width/2, y+14, m.text)
			x += m.width + 10
		}
		d.Text("small muted", left+110, y+43, l.note)
	}
	bottom := float64(top + len(lanes)*lane + 8)
	d.Text("small muted middle", 380, bottom+32, "Each Conn and each Stream is a net.Conn. Messages of one stream arrive in order.")
	d.Text("small muted middle", left/2, top-20, "one end")
	d.Text("small muted middle", (right+760)/2, top-20, "the other end")
	return d
}

// architecture shows the layers, from the program to the network.
func architecture() *svg.Drawing {
	d := svg.New(760, 574, "The layers of sctpnet: the program, the package with internal/mux, the seam internal/engine, two engines, the system.")
	d.Text("title", 30, 34, "Layers: policy above the seam, mechanism below it")
	box := func(x, y, width, height float64, name string, lines ...string) {
		d.Rect("box", x, y, width, height)
		d.Text("code strong", x+14, y+25, name)
		for i, line := range lines {
			d.Text("small muted", x+14, y+47+float64(i)*20, line)
		}
	}
	arrow := func(x, from, to float64) { d.Arrow(svg.Point{X: x, Y: from}, svg.Point{X: x, Y: to}) }

	d.Rect("s0 light", 30, 54, 700, 40)
	d.Text("middle", 380, 80, "your program, net/http, crypto/tls: net.Conn and net.Listener")
	arrow(380, 94, 118)
	box(30, 118, 700, 62, "sctpnet", "Dial, Listen, Conn, Stream, StreamDialer, Config, Event, Addr")
	arrow(180, 180, 312)
	arrow(540, 180, 204)
	box(330, 204, 400, 84, "internal/mux", "streams of an association: queues, turns,", "resets; once a stream or OnEvent is used")
	arrow(540, 288, 312)
	box(30, 312, 700, 62, "internal/engine", "the seam: Engine, Conn, Owner, Listener; engines register their networks")
	arrow(200, 374, 398)
	arrow(560, 374, 398)
	box(30, 398, 340, 86, "internal/kernel", "sctp: one-to-one sockets, Go's poller,", "options, notifications")
	box(390, 398, 340, 86, "udpencap", "sctp+udp: handshake, receiving;", "its internal/sender: windows, loss, pace")
	arrow(200, 484, 508)
	arrow(560, 484, 508)
	d.Rect("s0 light", 30, 508, 340, 40)
	d.Text("middle", 200, 534, "the kernel's SCTP (Linux)")
	d.Rect("s0 light", 390, 508, 340, 40)
	d.Text("middle", 560, 534, "UDP sockets")
	return d
}
