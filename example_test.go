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
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet"
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

// Dialling a port where nobody listens fails at once. The cause is found as
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

// Of the 64 streams that a dialler asks for by default, this listener grants 16.
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
