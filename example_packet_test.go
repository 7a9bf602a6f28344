package sctpnet_test

import (
	"context"
	"fmt"
	"log"

	"github.com/sctpnet/sctpnet"
)

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
