// Echo sends a line over SCTP to a server that sends it back. Run it with
//
//	go run -exec "$PWD/scripts/with-sctp" ./examples/echo
package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"

	"github.com/sctpnet/sctpnet"
)

func main() {
	ln, err := sctpnet.Listen("sctp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go serve(ln)

	conn, err := sctpnet.Dial("sctp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintln(conn, "hello, SCTP")
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(line)
}

func serve(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			defer conn.Close()
			io.Copy(conn, conn)
		}()
	}
}
