package sctpnet_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"time"

	"github.com/sctpnet/sctpnet"
	_ "github.com/sctpnet/sctpnet/udpencap" // the networks sctp+udp
)

// A dialer has timers and a PPID of its own. What is not
// set has its default.
func ExampleConfig() {
	ln, err := sctpnet.Listen("sctp+udp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()

	d := sctpnet.Dialer{Config: sctpnet.Config{
		RTO:        sctpnet.RTO{Min: 200 * time.Millisecond, Max: time.Second},
		PathParams: sctpnet.PathParams{HeartbeatInterval: 5 * time.Second},
		PPID:       46, // Diameter's
	}}
	conn, err := d.Dial("sctp+udp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	c, err := conn.(*sctpnet.Conn).Config() // what is in force
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("timeouts from", c.RTO.Min, "to", c.RTO.Max)
	fmt.Println("a heartbeat every", c.PathParams.HeartbeatInterval)
	fmt.Println("acknowledgements after", c.SACK.Delay)
	// Output:
	// timeouts from 200ms to 1s
	// a heartbeat every 5s
	// acknowledgements after 10ms
}

// OnEvent receives what happens beside messages.
func ExampleEvent() {
	ln, err := sctpnet.Listen("sctp+udp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Fprint(conn, "all there is")
		conn.Close()
	}()

	d := sctpnet.Dialer{Config: sctpnet.Config{
		OnEvent: func(c *sctpnet.Conn, e sctpnet.Event) {
			switch e := e.(type) {
			case sctpnet.AssocEvent:
				fmt.Println(e) // with slog: slog.Info("sctp", "event", e)
			case sctpnet.PathEvent:
				fmt.Println(e.Addr, e.Change)
			}
		},
	}}
	conn, err := d.Dial("sctp+udp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	all, err := io.ReadAll(conn) // the last event comes before the end
	fmt.Printf("%s, %v\n", all, err)
	// Output:
	// association up, 64 streams out, 64 in
	// association ended
	// all there is, <nil>
}

// Stats counts what an association has sent and received.
func ExampleStats() {
	ln, err := sctpnet.Listen("sctp+udp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			log.Fatal(err)
		}
		io.Copy(conn, conn)
		conn.Close()
	}()

	conn, err := sctpnet.Dial("sctp+udp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	c := conn.(*sctpnet.Conn)
	for range 3 {
		fmt.Fprint(c, "there and back")
		if _, err := io.ReadFull(c, make([]byte, len("there and back"))); err != nil {
			log.Fatal(err)
		}
	}
	stats, err := c.Stats()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(stats.OrderedSent, "sent,", stats.OrderedReceived, "received")
	// Output:
	// 3 sent, 3 received
}

// A Listener has a deadline, and returns what it accepts as a *Conn.
func ExampleListener() {
	l, err := sctpnet.Listen("sctp+udp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	ln := l.(*sctpnet.Listener)
	conn, err := sctpnet.Dial("sctp+udp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	c, err := ln.AcceptConn()
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	fmt.Println(c.NumStreams())

	ln.SetDeadline(time.Now().Add(10 * time.Millisecond))
	_, err = ln.Accept()
	fmt.Println("nobody else:", errors.Is(err, os.ErrDeadlineExceeded))
	ln.Close()
	_, err = ln.Accept()
	fmt.Println("closed:", errors.Is(err, net.ErrClosed))
	// Output:
	// 64 64
	// nobody else: true
	// closed: true
}

// Both ends use a stream of a number that they have agreed on. CloseWrite ends one
// direction, and the other one goes on.
func ExampleStream() {
	ln, err := sctpnet.Listen("sctp+udp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	const control = 7
	go func() {
		conn, err := ln.(*sctpnet.Listener).AcceptConn()
		if err != nil {
			log.Fatal(err)
		}
		stream, err := conn.Stream(control)
		if err != nil {
			log.Fatal(err)
		}
		request, err := io.ReadAll(stream)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Fprintf(stream, "%s: yes", request)
		stream.Close()
	}()

	conn, err := sctpnet.Dial("sctp+udp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	stream, err := conn.(*sctpnet.Conn).Stream(control)
	if err != nil {
		log.Fatal(err)
	}
	defer stream.Close()
	fmt.Fprint(stream, "still there?")
	if err := stream.CloseWrite(); err != nil {
		log.Fatal(err)
	}
	answer, err := io.ReadAll(stream)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", answer)
	// Output:
	// still there?: yes
}

// Each connection that is accepted is a stream, and the server may speak first.
func ExampleNewStreamListener() {
	l, err := sctpnet.Listen("sctp+udp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	ln := sctpnet.NewStreamListener(l)
	defer ln.Close()
	go func() {
		for n := 1; ; n++ {
			stream, err := ln.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(stream, "welcome, number %d", n)
			stream.Close()
		}
	}()

	var d sctpnet.StreamDialer
	defer d.Close()
	for range 2 {
		stream, err := d.Dial("sctp+udp", ln.Addr().String())
		if err != nil {
			log.Fatal(err)
		}
		greeting, err := io.ReadAll(stream)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", greeting)
		stream.Close()
	}
	// Output:
	// welcome, number 1
	// welcome, number 2
}

// With SetLinger Close returns when everything has arrived. Over UDP a program that
// ends needs that.
func ExampleConn_SetLinger() {
	ln, err := sctpnet.Listen("sctp+udp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	conn, err := sctpnet.Dial("sctp+udp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	peer, err := ln.Accept()
	if err != nil {
		log.Fatal(err)
	}
	defer peer.Close()

	c := conn.(*sctpnet.Conn)
	if err := c.SetLinger(5); err != nil { // for 5 s at most
		log.Fatal(err)
	}
	fmt.Fprint(c, "last words")
	if err := c.Close(); err != nil {
		log.Fatal(err)
	}
	all, err := io.ReadAll(peer)
	fmt.Printf("%s, %v\n", all, err)
	// Output:
	// last words, <nil>
}
