package sctpnet_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet"
	_ "github.com/sctpnet/sctpnet/udpencap" // the networks sctp+udp
)

func ExampleDial() {
	ln, err := sctpnet.Listen("sctp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			log.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintln(conn, "hello, SCTP")
	}()

	conn, err := sctpnet.Dial("sctp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	all, err := io.ReadAll(conn)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s", all)
	// Output:
	// hello, SCTP
}

// A server that sends everything back, and a client of it.
func ExampleListen() {
	ln, err := sctpnet.Listen("sctp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for {
			conn, err := ln.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				log.Fatal(err)
			}
			go func() {
				defer conn.Close()
				io.Copy(conn, conn)
			}()
		}
	}()

	conn, err := sctpnet.Dial("sctp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprintln(conn, "there and back")
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(line)
	conn.Close()
	ln.Close()
	// Output:
	// there and back
}

// Dialing a port where nobody listens fails at once. The cause is found as
// with package net.
func ExampleDialer() {
	d := sctpnet.Dialer{
		Timeout:   5 * time.Second,
		LocalAddr: &sctpnet.Addr{IPAddrs: []net.IPAddr{{IP: net.IPv4(127, 0, 0, 1)}}},
		Config:    sctpnet.Config{OutStreams: 8, MaxInStreams: 8},
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	_, err := d.DialContext(ctx, "sctp", "127.0.0.1:9")

	var operr *net.OpError
	fmt.Println(errors.As(err, &operr), operr.Op, operr.Net, operr.Addr)
	fmt.Println(errors.Is(err, syscall.ECONNREFUSED))
	// Output:
	// true dial sctp 127.0.0.1:9
	// true
}

// Of the 64 streams that a dialer asks for by default, this listener grants 16.
func ExampleListenConfig() {
	lc := sctpnet.ListenConfig{
		Config: sctpnet.Config{MaxInStreams: 16},
	}
	ln, err := lc.Listen(context.Background(), "sctp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()

	conn, err := sctpnet.Dial("sctp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	out, in := conn.(*sctpnet.Conn).NumStreams()
	fmt.Println(out, "out,", in, "in")
	// Output:
	// 16 out, 64 in
}

// A list of addresses is one endpoint that has them all. The association goes
// on over another one when one of them fails.
func Example_multihoming() {
	ln, err := sctpnet.Listen("sctp", "127.0.0.1/127.0.0.2:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()

	conn, err := sctpnet.Dial("sctp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	for _, ip := range conn.RemoteAddr().(*sctpnet.Addr).IPAddrs {
		fmt.Println(ip.String())
	}
	// Output:
	// 127.0.0.1
	// 127.0.0.2
}

// An http.Server and an http.Client need not know of SCTP: a Transport asks
// for the network "tcp", which means "sctp" here.
func Example_http() {
	ln, err := sctpnet.Listen("sctp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "hello,", r.URL.Path)
	})}
	go server.Serve(ln)

	client := &http.Client{Transport: &http.Transport{
		DialContext: new(sctpnet.Dialer).DialContext,
	}}
	resp, err := client.Get("http://" + ln.Addr().String() + "/gopher")
	if err != nil {
		log.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	fmt.Printf("%s", body)

	client.CloseIdleConnections()
	if err := server.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// hello, /gopher
}

func ExampleAvailable() {
	err := sctpnet.Available("sctp")
	switch {
	case err == nil:
		fmt.Println("the kernel has SCTP")
	case errors.Is(err, errors.ErrUnsupported):
		fmt.Println(err) // says what to do
	default:
		fmt.Println(err)
	}
	// Output:
	// the kernel has SCTP
}

// Shutdown ends an association for both sides in good order: what was written
// arrives, and nobody can write any more.
func ExampleConn_Shutdown() {
	ln, err := sctpnet.Listen("sctp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	conn, err := sctpnet.Dial("sctp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	peer, err := ln.Accept()
	if err != nil {
		log.Fatal(err)
	}
	defer peer.Close()

	fmt.Fprint(conn, "last words")
	if err := conn.(*sctpnet.Conn).Shutdown(); err != nil {
		log.Fatal(err)
	}
	all, err := io.ReadAll(peer)
	fmt.Printf("%s, %v\n", all, err)
	_, err = peer.Write([]byte("an answer"))
	fmt.Println("the peer could write:", err == nil)
	// Output:
	// last words, <nil>
	// the peer could write: false
}

// Settings change while an association lives.
func ExampleConn_Set() {
	ln, err := sctpnet.Listen("sctp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	conn, err := sctpnet.Dial("sctp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	c := conn.(*sctpnet.Conn)
	err = c.Set(sctpnet.Config{
		RTO:  sctpnet.RTO{Max: 2 * time.Second},
		PPID: 46, // what Write sends is Diameter's
	})
	if err != nil {
		log.Fatal(err)
	}
	config, err := c.Config()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(config.RTO.Max, config.PPID)
	fmt.Println(c.Set(sctpnet.Config{OutStreams: 9}) != nil) // the handshake has settled that
	// Output:
	// 2s 46
	// true
}

// Each end has a list of its own addresses, and of the other's. Who is bound to
// a list has just that; what is dialed is only where the handshake begins.
func Example_severalAddresses() {
	// The server has two addresses.
	ln, err := sctpnet.Listen("sctp", "127.0.0.1/127.0.0.2:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	port := ln.Addr().(*sctpnet.Addr).Port

	// The client has two others, in LocalAddr, and knows one of the server's.
	d := sctpnet.Dialer{LocalAddr: &sctpnet.Addr{IPAddrs: []net.IPAddr{
		{IP: net.IPv4(127, 0, 0, 3)}, {IP: net.IPv4(127, 0, 0, 4)},
	}}}
	conn, err := d.Dial("sctp", fmt.Sprintf("127.0.0.2:%d", port))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	client := conn.(*sctpnet.Conn)
	peer, err := ln.Accept()
	if err != nil {
		log.Fatal(err)
	}
	defer peer.Close()
	server := peer.(*sctpnet.Conn)

	fmt.Println("client:", client.LocalAddrs(), "to", client.PeerAddrs())
	fmt.Println("server:", server.LocalAddrs(), "to", server.PeerAddrs())

	// What was dialed is the primary path. Another one can be, for all
	// messages from now on or for one.
	if err := client.SetPrimary(netip.MustParseAddr("127.0.0.1")); err != nil {
		log.Fatal(err)
	}
	_, err = client.WriteMsg([]byte("over the other"), sctpnet.MsgInfo{To: netip.MustParseAddr("127.0.0.2")})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("client:", client.LocalAddrs(), "to", client.PeerAddrs())
	// Output:
	// client: [127.0.0.3 127.0.0.4] to [127.0.0.2 127.0.0.1]
	// server: [127.0.0.1 127.0.0.2] to [127.0.0.3 127.0.0.4]
	// client: [127.0.0.3 127.0.0.4] to [127.0.0.1 127.0.0.2]
}

func ExampleConn_Paths() {
	ln, err := sctpnet.Listen("sctp", "127.0.0.1/127.0.0.2:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	conn, err := sctpnet.Dial("sctp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	c := conn.(*sctpnet.Conn)

	status, err := c.Status()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(status.State, status.OutStreams, "streams")
	paths, err := c.Paths()
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range paths {
		fmt.Println(p.Addr, p.Primary)
	}
	// Output:
	// ESTABLISHED 64 streams
	// 127.0.0.1 true
	// 127.0.0.2 false
}

// A listener goes to another process as an open file, here to the same one.
func ExampleFileListener() {
	old, err := sctpnet.Listen("sctp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	f, err := old.(*sctpnet.Listener).File()
	if err != nil {
		log.Fatal(err)
	}
	// With os/exec, f would be one of Cmd.ExtraFiles now, and the other process
	// would have it as os.NewFile(3, "listener").
	ln, err := sctpnet.FileListener(f)
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	f.Close()
	old.Close()

	conn, err := sctpnet.Dial("sctp", ln.Addr().String())
	fmt.Println(err)
	conn.Close()
	// Output:
	// <nil>
}

// Each stream is a net.Conn of its own. A request on one is answered on the
// same one, and CloseWrite marks its end.
func ExampleConn_OpenStream() {
	ln, err := sctpnet.Listen("sctp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			log.Fatal(err)
		}
		defer conn.Close()
		for {
			stream, err := conn.(sctpnet.StreamConn).AcceptStream(context.Background())
			if err != nil {
				return // the association has ended
			}
			go func() {
				defer stream.Close()
				request, err := io.ReadAll(stream)
				if err != nil {
					log.Print(err)
					return
				}
				fmt.Fprintf(stream, "%s has %d bytes", request, len(request))
			}()
		}
	}()

	conn, err := sctpnet.Dial("sctp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	for _, request := range []string{"stream", "control"} {
		stream, err := conn.(sctpnet.StreamConn).OpenStream()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Fprint(stream, request)
		if err := stream.CloseWrite(); err != nil {
			log.Fatal(err)
		}
		answer, err := io.ReadAll(stream)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s, on stream %d\n", answer, stream.ID())
		stream.Close()
	}
	// Output:
	// stream has 6 bytes, on stream 2
	// control has 7 bytes, on stream 4
}

// WriteMsg and ReadMsg keep the boundaries of messages, whatever their streams.
func ExampleConn_WriteMsg() {
	ln, err := sctpnet.Listen("sctp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	conn, err := sctpnet.Dial("sctp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	peer, err := ln.Accept()
	if err != nil {
		log.Fatal(err)
	}
	defer peer.Close()

	const diameter = 46 // the protocol identifier that IANA has for it
	client := conn.(sctpnet.StreamConn)
	for i, text := range []string{"one", "two"} {
		info := sctpnet.MsgInfo{Stream: uint16(i), PPID: diameter}
		if _, err := client.WriteMsg([]byte(text), info); err != nil {
			log.Fatal(err)
		}
	}

	server := peer.(sctpnet.StreamConn)
	buf := make([]byte, 1024)
	for range 2 {
		n, info, err := server.ReadMsg(buf)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("stream %d, PPID %d: %s\n", info.Stream, info.PPID, buf[:n])
	}
	// Unordered output:
	// stream 0, PPID 46: one
	// stream 1, PPID 46: two
}

// An http.Server and an http.Client. Each of their connections is a stream, and all
// streams are of one association.
func ExampleStreamDialer() {
	ln, err := sctpnet.Listen("sctp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.RemoteAddr)
	})}
	go server.Serve(sctpnet.NewStreamListener(ln))

	var d sctpnet.StreamDialer
	client := &http.Client{Transport: &http.Transport{DialContext: d.DialContext}}
	var wg sync.WaitGroup
	var mu sync.Mutex
	addrs := make(map[string]int)
	for range 10 {
		wg.Go(func() {
			resp, err := client.Get("http://" + ln.Addr().String())
			if err != nil {
				log.Fatal(err)
			}
			defer resp.Body.Close()
			addr, err := io.ReadAll(resp.Body)
			if err != nil {
				log.Fatal(err)
			}
			mu.Lock()
			defer mu.Unlock()
			addrs[string(addr)]++
		})
	}
	wg.Wait()
	for _, n := range addrs {
		fmt.Println(n, "requests from one address")
	}

	client.CloseIdleConnections()
	d.Close()
	if err := server.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 10 requests from one address
}

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

// An Addr has one port and one or more IP addresses.
func ExampleAddr() {
	a := &sctpnet.Addr{
		IPAddrs: []net.IPAddr{{IP: net.IPv4(10, 0, 0, 1)}, {IP: net.ParseIP("2001:db8::1")}},
		Port:    3868,
	}
	fmt.Println(a)           // what Dial and Listen take
	fmt.Println(a.URLHost()) // what a URL takes
	// Output:
	// 10.0.0.1/[2001:db8::1]:3868
	// 10.0.0.1:3868
}

func ExampleResolveAddr() {
	a, err := sctpnet.ResolveAddr("sctp", "10.0.0.1/10.1.0.1:3868")
	if err != nil {
		log.Fatal(err)
	}
	for _, ip := range a.IPAddrs {
		fmt.Println(ip.IP)
	}
	fmt.Println("port", a.Port)
	// Output:
	// 10.0.0.1
	// 10.1.0.1
	// port 3868
}

// What Dial and Accept return is a StreamConn too: it has messages, and streams of
// them.
func ExampleStreamConn() {
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
		sc := conn.(sctpnet.StreamConn)
		sc.WriteStream([]byte("first"), 1)
		sc.WriteMsg([]byte("second"), sctpnet.MsgInfo{Stream: 3, PPID: 46})
		conn.Close()
	}()

	conn, err := sctpnet.Dial("sctp+udp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	sc := conn.(sctpnet.StreamConn)
	got := map[uint16]string{} // there is no order between streams
	buf := make([]byte, 1024)
	for {
		n, info, err := sc.ReadMsg(buf)
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		got[info.Stream] += fmt.Sprintf("%s, protocol %d", buf[:n], info.PPID)
	}
	fmt.Println("stream 1:", got[1])
	fmt.Println("stream 3:", got[3])
	// Output:
	// stream 1: first, protocol 0
	// stream 3: second, protocol 46
}

// ReadMessage returns whole messages, however long.
func ExampleConn_ReadMessage() {
	ln, err := sctpnet.Listen("sctp+udp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	go func() {
		c, err := ln.(*sctpnet.Listener).AcceptConn()
		if err != nil {
			log.Fatal(err)
		}
		c.WriteMsg(make([]byte, 200_000), sctpnet.MsgInfo{Stream: 2, PPID: 60})
		c.Close()
	}()

	conn, err := sctpnet.Dial("sctp+udp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	message, info, err := conn.(*sctpnet.Conn).ReadMessage(1 << 20) // of a megabyte at most
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(message), "bytes on stream", info.Stream, "with protocol", info.PPID)
	// Output:
	// 200000 bytes on stream 2 with protocol 60
}

// WriteMsgs and ReadMsgs take many messages at once.
func ExampleMessage() {
	ln, err := sctpnet.Listen("sctp+udp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	go func() {
		c, err := ln.(*sctpnet.Listener).AcceptConn()
		if err != nil {
			log.Fatal(err)
		}
		var batch []sctpnet.Message
		for _, text := range []string{"one", "two", "three"} {
			batch = append(batch, sctpnet.Message{Data: []byte(text), Info: sctpnet.MsgInfo{Stream: 1}})
		}
		if n, err := c.WriteMsgs(batch); err != nil {
			log.Fatalf("%d were sent: %v", n, err)
		}
		c.Close()
	}()

	conn, err := sctpnet.Dial("sctp+udp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	batch := make([]sctpnet.Message, 16)
	for i := range batch {
		batch[i].Data = make([]byte, 1024) // is used again by each call
	}
	for {
		n, err := conn.(*sctpnet.Conn).ReadMsgs(batch)
		for _, m := range batch[:n] {
			fmt.Printf("%s on stream %d\n", m.Data[:m.N], m.Info.Stream)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// one on stream 1
	// two on stream 1
	// three on stream 1
}

// Status says how an association is doing now.
func ExampleConn_Status() {
	ln, err := sctpnet.Listen("sctp+udp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()

	conn, err := sctpnet.Dial("sctp+udp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	c := conn.(*sctpnet.Conn)
	status, err := c.Status()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(status.State)
	fmt.Println(status.OutStreams, "streams out,", status.Unacked, "chunks unacknowledged")
	fmt.Println("the path to", status.Primary.Addr, "is", status.Primary.State)
	// Output:
	// ESTABLISHED
	// 64 streams out, 0 chunks unacknowledged
	// the path to 127.0.0.1 is active
}

// Abort drops what was not delivered, and the peer's calls fail.
func ExampleConn_Abort() {
	ln, err := sctpnet.Listen("sctp+udp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	go func() {
		c, err := ln.(*sctpnet.Listener).AcceptConn()
		if err != nil {
			log.Fatal(err)
		}
		c.Abort()
	}()

	conn, err := sctpnet.Dial("sctp+udp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	_, err = conn.Read(make([]byte, 1))
	fmt.Println(errors.Is(err, syscall.ECONNRESET))
	// Output:
	// true
}

// A dial that must not take long has a timeout. The error is one of package net.
func ExampleDialer_DialContext() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ln, err := sctpnet.Listen("sctp+udp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	ln.Close() // so that nothing listens there

	var d sctpnet.Dialer
	_, err = d.DialContext(ctx, "sctp+udp", ln.Addr().String())
	_, ok := errors.AsType[*net.OpError](err)
	fmt.Println(ok, errors.Is(err, syscall.ECONNREFUSED))
	// Output:
	// true true
}

// Two sockets, each with one port, have an association with each other, whichever of
// them begins.
func ExampleListenPacket() {
	a, err := sctpnet.ListenPacket("sctp+udp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer a.Close()
	b, err := sctpnet.ListenPacket("sctp+udp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()

	if _, err := a.WriteTo([]byte("hello"), b.LocalAddr()); err != nil {
		log.Fatal(err)
	}
	buf := make([]byte, 1500)
	n, peer, err := b.ReadFrom(buf)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := b.WriteTo(append(buf[:n], " yourself"...), peer); err != nil {
		log.Fatal(err)
	}
	n, _, err = a.ReadFrom(buf)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", buf[:n])
	// Output: hello yourself
}

func ExamplePacketConn_PeelOff() {
	server, err := sctpnet.ListenPacket("sctp+udp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	go func() {
		buf := make([]byte, 1500)
		for {
			n, peer, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			server.WriteTo(buf[:n], peer)
		}
	}()

	pc, err := sctpnet.ListenPacket("sctp+udp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer pc.Close()
	c := pc.(*sctpnet.PacketConn)
	peer, err := c.Connect(context.Background(), server.LocalAddr().String())
	if err != nil {
		log.Fatal(err)
	}
	conn, err := c.PeelOff(peer) // a net.Conn
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "now a connection")
	buf := make([]byte, 1500)
	n, err := conn.Read(buf)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", buf[:n])
	// Output: now a connection
}
