package udpencap_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"time"

	"github.com/sctpnet/sctpnet"
	"github.com/sctpnet/sctpnet/udpencap"
)

// Before a program ends, Wait waits for what was written and closed.
func ExampleWait() {
	ln, err := sctpnet.Listen("sctp+udp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	received := make(chan int)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			log.Fatal(err)
		}
		all, err := io.ReadAll(conn)
		if err != nil {
			log.Fatal(err)
		}
		conn.Close()
		received <- len(all)
	}()

	conn, err := sctpnet.Dial("sctp+udp", ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	conn.Write(make([]byte, 1_000_000))
	conn.Close() // returns at once

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := udpencap.Wait(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-received, "bytes")
	// Output:
	// 1000000 bytes
}
