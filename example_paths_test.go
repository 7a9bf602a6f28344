package sctpnet_test

import (
	"fmt"
	"log"
	"net"
	"net/netip"

	"github.com/sctpnet/sctpnet"
)

// Each end has a list of its own addresses, and of the other's. Who is bound to
// a list has just that; what is dialled is only where the handshake begins.
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

	// What was dialled is the primary path. Another one can be, for all
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
