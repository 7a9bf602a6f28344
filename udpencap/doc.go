// Package udpencap is SCTP inside UDP (RFC 6951) in Go alone, for systems whose
// kernel has no SCTP. It needs no privileges, no module and nothing to be
// installed. Import it for the networks that it adds to package sctpnet:
//
//	import _ "github.com/sctpnet/sctpnet/udpencap"
//
//	ln, err := sctpnet.Listen("sctp+udp", ":3868")
//	conn, err := sctpnet.Dial("sctp+udp", "example.com:3868")
//
// "sctp4+udp" and "sctp6+udp" are the same for one address family. Everything
// above is package sctpnet's and as with the kernel's SCTP: deadlines, streams,
// errors, Close.
//
// # UDP ports
//
// An SCTP port is reached through a UDP port. RFC 6951 has one for all, 9899,
// which is what Linux uses; but only one process can have it. So there are two
// places where a listener is found, and nobody has to choose:
//
//   - Listen at the SCTP port 3868 takes the UDP port 3868, and the UDP port 9899
//     too if it is free. It fails if both are taken. All listeners of a process
//     share 9899. Port 0 chooses a UDP port that is free, and the SCTP port of
//     the same number.
//   - Dial asks at the UDP port 3868 for the SCTP port 3868. It asks at 9899 too,
//     but only when the first is refused, or has not answered two INITs: with the
//     default timers 1.3 seconds later. Another user of the host may have 9899, and
//     must not get what is meant for 3868. Dial is refused when both are.
//
// Dialing takes no port in particular. The associations that a process dials to one
// address share a UDP socket, and there are up to 16 such sockets for each address
// family. A local address with a port, in Dialer.LocalAddr, means the UDP port of
// that number.
//
// To have it otherwise, Config.LocalUDPPort is the local UDP port, the only one then,
// and Config.PathParams.UDPPort the only one that is dialed: 9899 saves the time
// where a firewall drops packets to all others. If a port is taken the
// error says so: 9899 may be the kernel's own, by sysctl net.sctp.udp_port.
//
// An association has one IP address of the peer. A packet from another address is not
// its own, whatever tag it has. The peer's UDP port is where it has sent from: an
// address translator (NAT) between the two may choose any port, and another one
// later. From then on packets from the new port count, but nothing is sent there
// until a HEARTBEAT that went there has been answered from there: somebody may
// only pretend that the peer has moved. While an association lives, a new one of
// the same IP address and SCTP port is refused if it comes from another UDP port:
// it may be of another host behind the same translator.
//
// # Peers that vanish
//
// No kernel sends an ABORT for a process that is killed. But the process's host
// tells that the UDP port is closed, and on Linux that ends an association with
// ECONNRESET once the peer has not answered twice: three seconds after a Write or a
// heartbeat, with the default timers. Elsewhere, and where the host is silent too or
// does not quote the verification tag, it takes as many timeouts as the settings say,
// and between heartbeats the interval.
//
// # The kernel as the other end
//
// Linux 5.11 and later speaks SCTP inside UDP once two sysctls are set. [docs/udp.md]
// has them. PathParams.UDPPort of package sctpnet overrides the port that it dials.
//
// # What there is not
//
// What this package does not have is in this list. Dial, Listen and the methods
// return an error for it that wraps [errors.ErrUnsupported] and names it.
//
// Settings:
//
//   - PathParams.PotentiallyFailedThreshold,
//     PathParams.PrimarySwitchoverThreshold: there is one path;
//   - PathParams.DSCP,
//     PathParams.FlowLabel: the system marks packets as those of UDP;
//   - Nagle: small messages are sent at once;
//   - KeepRestarted: each life of a peer is an association of its own;
//   - MaxSegment: PathParams.MTU alone limits a packet;
//   - MaxBurst: the congestion window alone limits a burst;
//   - Scheduler: the order of messages cannot be chosen;
//   - Interleaving: there is no interleaving (RFC 8260);
//   - FragmentInterleave,
//     PartialDeliveryPoint: a message is handed over when all of it has arrived;
//   - Auth: there is no authentication (RFC 4895);
//   - AddressReconfig: an endpoint has one address.
//
// Settings that the handshake settles:
//
//   - PathParams.MTU: the first packets settle it;
//   - PathParams.UDPPort: it is learned from the peer.
//
// Calls:
//
//   - Dial and Listen with several addresses of an endpoint,
//     Conn.AddLocalAddr,
//     Conn.RemoveLocalAddr,
//     Conn.SetPrimary,
//     Conn.SetPeerPrimary: an endpoint has one address;
//   - Conn.SetStreamValue,
//     Conn.StreamValue: the order of messages cannot be chosen;
//   - Conn.AddStreams of both directions at once: the peer takes one request at a time;
//   - Conn.ResetAssoc: the numbering of chunks never begins anew;
//   - Conn.SetAuthKey,
//     Conn.ActivateAuthKey,
//     Conn.DeactivateAuthKey,
//     Conn.DeleteAuthKey,
//     Conn.AuthState: there is no authentication (RFC 4895);
//   - Conn.SyscallConn,
//     Conn.File,
//     Listener.SyscallConn,
//     Listener.File,
//     PacketConn.SyscallConn,
//     PacketConn.File: all associations share a socket;
//   - ListenConfig.AutoClose: no idle association is closed.
//
// Events:
//
//   - PartialDeliveryEvent: a message is handed over when all of it has arrived;
//   - PathEvent potentially failed,
//     PathEvent made primary,
//     PathEvent added,
//     PathEvent removed,
//     PathEvent confirmed: there is one path;
//   - AuthEvent new key,
//     AuthEvent free key,
//     AuthEvent none: there is no authentication (RFC 4895);
//   - AssocResetEvent: the numbering of chunks never begins anew.
//
// Some of what there is differs from the kernel's SCTP. Streams that AddStreams
// asks for exist once the peer has agreed, and not before. Buffers have at least
// 64 KiB, and have the size that is set, not twice as much.
//
// There is no explicit congestion notification. Packets have 1200 bytes at first, and
// as many as pass once that was found out: up to 1472 over IPv4 and 1452 over IPv6, as
// fits Ethernet, and down to 512 on a path of IPv4 that is small. Routers that tell of
// their MTU by ICMP are believed if they quote the verification tag.
// Config.PathParams.MTU sets it instead. Where a path shrinks, what is under way in
// larger packets needs routers that divide them, or tell: SCTP divides no chunk again.
//
// Once streams are in use, each has its turn to send, a message at a time. What they share
// is the write buffer.
//
// A Write sends what the windows allow before it returns. Close returns at once, and
// the rest is delivered in the background, by this process: if it exits, what has not
// gone out is lost. [Wait] waits for all associations that were closed, SetLinger makes
// Close wait for its own, and Shutdown and a Read up to io.EOF tell when it is done. After
// Close an association ends when nothing was acknowledged for 30 seconds, and after two
// minutes whatever is. If after Shutdown nothing of what the peer had written is read
// for five times RTO.Max, or for 30 seconds if that is longer, the association ends by
// ETIMEDOUT.
//
// In the write buffer each message counts 256 bytes beside its own. In the read buffer
// each chunk counts what it takes in memory, which is 224 bytes at least. Half of the
// read buffer is the window, or what the system grants the socket to receive into if
// that is less. More is kept only where it completes a message: of one that is larger
// than the window up to 16 MiB more. All associations of a process keep no more than
// 256 MiB that is not read, or a quarter of GOMEMLIMIT if that is less: the more of it
// is used, the less each may have, and at least 16 KiB.
//
// An association that waits for Accept has a window of 64 KiB until it is accepted, or
// less if many wait.
//
// A process that crashes sends no ABORT. Its peer notices by heartbeats, or by
// what it sends not being acknowledged, and its calls then fail with ETIMEDOUT.
// RTO, AssocParams.MaxRetransmissions and PathParams.HeartbeatInterval say when.
// If the process comes back and dials from the same SCTP and UDP ports before
// that, the old association fails with ECONNRESET. From another UDP port it is
// refused until then; behind an address translator, which may choose one, it is
// better to leave the choice of the SCTP port to Dial.
//
// # How it is made
//
// Loss is found by time and by probes of the tail (RACK-TLP, RFC 8985), beside T3-rtx. The
// congestion window is CUBIC's (RFC 9438), after the slow start of HyStart++ (RFC 9406),
// and packets are paced. What proves not to have been lost is no sign of congestion
// (RFC 3708, RFC 4015). The path MTU is discovered by HEARTBEATs that are padded (RFC
// 8899, RFC 4820).
//
// [docs/udp.md]: https://github.com/sctpnet/sctpnet/blob/main/docs/udp.md
package udpencap
