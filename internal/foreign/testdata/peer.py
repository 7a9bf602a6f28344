"""An SCTP peer in Python. It sends back each message as it came: on the same
stream, with the same PPID, in order or not. Its notifications are all on. A message
that is one of these words tells it what to do instead:

    close     closes the association
    abort     aborts it
    shutdown  calls shutdown, as a program does that has no more to say
    sleep     reads nothing for a second
    peeloff   gives the association of a one-to-many socket a socket of its own

    peer.py listen ADDRESS stream|seqpacket STREAMS [reset]
    peer.py dial ADDRESS PORT stream|seqpacket STREAMS [reset]

STREAMS are how many it has each way. With reset it has stream reconfiguration, and
resets each stream that its peer has reset.
"""

import ctypes
import errno
import socket
import struct
import sys
import threading
import time

INITMSG, NODELAY, EVENTS, INTERLEAVE = 2, 3, 11, 18
RECONFIG, STREAM_RESET, RESET_STREAMS, PEELOFF = 117, 118, 119, 102
SNDRCV = 1  # the control message
SNDRCVINFO = struct.Struct("HHHxxIIIIIi")
UNORDERED, ABORT, EOF = 1, 4, 0x200
NOTIFICATION = 0x8000
NAMES = {
    0x8001: "assoc", 0x8002: "address", 0x8003: "failed", 0x8004: "error",
    0x8005: "shutdown", 0x8006: "partial", 0x8007: "adaptation", 0x8008: "auth",
    0x8009: "dry", 0x800A: "reset", 0x800B: "assoc reset", 0x800C: "change",
}

libc = ctypes.CDLL(None)  # Python's getsockopt takes no argument


def say(*words):
    print(*words, flush=True)


def make(style, streams, reset):
    s = socket.socket(socket.AF_INET, style, socket.IPPROTO_SCTP)
    for option in socket.SO_SNDBUF, socket.SO_RCVBUF:
        s.setsockopt(socket.SOL_SOCKET, option, 1 << 19)
    s.setsockopt(socket.IPPROTO_SCTP, INITMSG, struct.pack("HHHH", streams, streams, 0, 0))
    s.setsockopt(socket.IPPROTO_SCTP, NODELAY, 1)
    s.setsockopt(socket.IPPROTO_SCTP, INTERLEAVE, 1)
    s.setsockopt(socket.IPPROTO_SCTP, EVENTS, bytes([1] * 13))
    if reset:
        s.setsockopt(socket.IPPROTO_SCTP, RECONFIG, struct.pack("iI", 0, 1))
        s.setsockopt(socket.IPPROTO_SCTP, STREAM_RESET, struct.pack("iI", 0, 1))
    return s


def notified(s, event, reset):
    kind, flags = struct.unpack_from("HH", event)
    say("event", NAMES.get(kind, kind), *([event[8]] if kind == 0x8001 else []))
    if kind == 0x800A and flags & 1 and reset:
        assoc = event[8:12]
        streams = event[12:]
        s.setsockopt(socket.IPPROTO_SCTP, RESET_STREAMS, assoc + struct.pack("HH", 2, len(streams) // 2) + streams)


def echo(s, many, reset):
    """echo serves a socket of one association, or of many, until its end."""
    waiting = {}
    while True:
        try:
            data, control, flags, _ = s.recvmsg(1 << 16, 256)
        except OSError as e:
            say("reset" if e.errno == errno.ECONNRESET else e)
            if many:
                continue
            return
        if flags & NOTIFICATION:
            notified(s, data, reset)
            continue
        if not data:
            say("end")
            return
        stream, _, how, ppid, _, _, _, _, assoc = SNDRCVINFO.unpack(control[0][2])
        waiting[assoc] = waiting.get(assoc, b"") + data
        if not flags & socket.MSG_EOR:
            continue
        message = waiting.pop(assoc)

        def send(message, flags):
            info = SNDRCVINFO.pack(stream, 0, flags, ppid, 0, 0, 0, 0, assoc)
            s.sendmsg([message], [(socket.IPPROTO_SCTP, SNDRCV, info)])

        if message == b"close" and many:
            send(b"", EOF)
        elif message == b"abort" and many:
            send(b"", ABORT)
        elif message == b"close":
            return
        elif message == b"abort":
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        elif message == b"shutdown":
            s.shutdown(socket.SHUT_WR)
        elif message == b"sleep":
            time.sleep(1)
        elif message == b"peeloff":
            peeled = (ctypes.c_int * 2)(assoc, -1)
            libc.getsockopt(s.fileno(), socket.IPPROTO_SCTP, PEELOFF, peeled, ctypes.byref(ctypes.c_uint(8)))
            say("peeled off")
            threading.Thread(target=serve, args=(socket.socket(fileno=peeled[1]), True, reset)).start()
        else:
            try:
                send(message, how & UNORDERED)
            except OSError as e:
                say("send:", e)


def serve(s, many, reset):
    with s:
        echo(s, many, reset)


def main():
    verb, address, *rest = sys.argv[1:]
    port = int(rest.pop(0)) if verb == "dial" else 0
    many, streams, reset = rest[0] == "seqpacket", int(rest[1]), "reset" in rest
    s = make(socket.SOCK_SEQPACKET if many else socket.SOCK_STREAM, streams, reset)
    if verb == "dial":
        s.connect((address, port))
        say("connected")
        serve(s, many, reset)
        return
    s.bind((address, 0))
    s.listen(10)
    say("listening", s.getsockname()[1])
    if many:
        serve(s, many, reset)
    while True:
        threading.Thread(target=serve, args=(s.accept()[0], False, reset)).start()


main()
