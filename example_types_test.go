package sctpnet_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"syscall"
	"time"

	"github.com/sctpnet/sctpnet"
	_ "github.com/sctpnet/sctpnet/udpencap" // the networks sctp+udp
)

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
