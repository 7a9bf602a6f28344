package udpencap_test

import (
	"fmt"
	"io"
	"log"

	"github.com/sctpnet/sctpnet"
	_ "github.com/sctpnet/sctpnet/udpencap"
)

// The import alone makes the networks sctp+udp, sctp4+udp and sctp6+udp.
func Example() {
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
		fmt.Fprintln(conn, "hello, SCTP over UDP")
		conn.Close()
	}()

	conn, err := sctpnet.Dial("sctp+udp", ln.Addr().String())
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
	// hello, SCTP over UDP
}
