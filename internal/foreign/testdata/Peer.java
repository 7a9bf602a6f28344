// An SCTP peer in Java: see peer.py.

import com.sun.nio.sctp.*;
import java.io.IOException;
import java.net.*;
import java.nio.ByteBuffer;
import java.util.Set;

class Peer {
	static void say(String line) {
		System.out.println(line);
		System.out.flush();
	}

	// Events prints the notifications. The first number is that of SCTP_ASSOC_CHANGE.
	static class Events extends AbstractNotificationHandler<Void> {
		public HandlerResult handleNotification(Notification n, Void v) {
			say("event " + n.getClass().getSimpleName());
			return HandlerResult.CONTINUE;
		}

		public HandlerResult handleNotification(AssociationChangeNotification n, Void v) {
			say("event assoc " + n.event().ordinal());
			return HandlerResult.CONTINUE;
		}

		public HandlerResult handleNotification(ShutdownNotification n, Void v) {
			say("event shutdown");
			return HandlerResult.CONTINUE;
		}
	}

	static final Events events = new Events();

	interface Sender {
		void send(ByteBuffer b, MessageInfo info) throws IOException;
	}

	static MessageInfo answer(MessageInfo m) {
		MessageInfo info = m.association() == null ? MessageInfo.createOutgoing(null, m.streamNumber())
			: MessageInfo.createOutgoing(m.association(), null, m.streamNumber());
		return info.payloadProtocolID(m.payloadProtocolID()).unordered(m.isUnordered());
	}

	static void sleep() {
		try {
			Thread.sleep(1000);
		} catch (InterruptedException e) {
		}
	}

	// serve sends back the messages of one association, until its end.
	static void serve(SctpChannel c) throws IOException {
		ByteBuffer b = ByteBuffer.allocateDirect(1 << 19);
		try (c) {
			while (true) {
				MessageInfo m;
				try {
					m = c.receive(b, null, events);
				} catch (IOException e) {
					say(e.getMessage().contains("reset") ? "reset" : e.toString());
					return;
				}
				if (m == null || m.bytes() < 0) {
					say("end");
					return;
				}
				if (!m.isComplete())
					continue;
				b.flip();
				switch (word(b)) {
				case "close":
					return;
				case "abort":
					c.setOption(SctpStandardSocketOptions.SO_LINGER, 0);
					return;
				case "shutdown":
					c.shutdown();
					break;
				case "sleep":
					sleep();
					break;
				default:
					c.send(b, answer(m));
				}
				b.clear();
			}
		}
	}

	static String word(ByteBuffer b) {
		byte[] p = new byte[Math.min(b.limit(), 10)];
		b.duplicate().get(p);
		return new String(p);
	}

	// serveMany sends back the messages of all associations of a socket.
	static void serveMany(SctpMultiChannel c) throws IOException {
		ByteBuffer b = ByteBuffer.allocateDirect(1 << 19);
		while (true) {
			MessageInfo m = c.receive(b, null, events);
			if (m == null || !m.isComplete())
				continue;
			b.flip();
			switch (word(b)) {
			case "close":
			case "shutdown":
				c.shutdown(m.association());
				break;
			case "abort": // there is no call for one association
				c.setOption(SctpStandardSocketOptions.SO_LINGER, 0, m.association());
				c.close();
				return;
			case "sleep":
				sleep();
				break;
			case "peeloff":
				SctpChannel one = c.branch(m.association());
				say("peeled off");
				new Thread(() -> {
					try {
						serve(one);
					} catch (IOException e) {
						say(e.toString());
					}
				}).start();
				break;
			default:
				try {
					c.send(b, answer(m));
				} catch (IOException e) { // that association has ended
					say("send: " + e);
				}
			}
			b.clear();
		}
	}

	public static void main(String[] args) throws Exception {
		boolean dials = args[0].equals("dial");
		int at = dials ? 3 : 2;
		boolean many = args[at].equals("seqpacket");
		int n = Integer.parseInt(args[at + 1]);
		var streams = SctpStandardSocketOptions.InitMaxStreams.create(n, n);
		InetSocketAddress address = new InetSocketAddress(args[1], dials ? Integer.parseInt(args[2]) : 0);
		if (many) {
			SctpMultiChannel c = SctpMultiChannel.open();
			c.setOption(SctpStandardSocketOptions.SCTP_INIT_MAXSTREAMS, streams, null);
			c.setOption(SctpStandardSocketOptions.SO_SNDBUF, 1 << 19, null);
			c.setOption(SctpStandardSocketOptions.SO_RCVBUF, 1 << 19, null);
			c.setOption(SctpStandardSocketOptions.SCTP_NODELAY, true, null);
			c.bind(dials ? null : address);
			if (dials) // its first message makes the association
				c.send(ByteBuffer.wrap("hello".getBytes()), MessageInfo.createOutgoing(address, 0));
			else
				say("listening " + port(c.getAllLocalAddresses()));
			serveMany(c);
		} else if (dials) {
			SctpChannel c = SctpChannel.open();
			c.setOption(SctpStandardSocketOptions.SO_SNDBUF, 1 << 19);
			c.setOption(SctpStandardSocketOptions.SO_RCVBUF, 1 << 19);
			c.setOption(SctpStandardSocketOptions.SCTP_NODELAY, true);
			c.connect(address, n, n);
			say("connected");
			serve(c);
		} else {
			SctpServerChannel s = SctpServerChannel.open();
			s.setOption(SctpStandardSocketOptions.SCTP_INIT_MAXSTREAMS, streams);
			s.bind(address);
			say("listening " + port(s.getAllLocalAddresses()));
			while (true) {
				SctpChannel c = s.accept();
				c.setOption(SctpStandardSocketOptions.SO_SNDBUF, 1 << 19);
				c.setOption(SctpStandardSocketOptions.SO_RCVBUF, 1 << 19);
				c.setOption(SctpStandardSocketOptions.SCTP_NODELAY, true);
				new Thread(() -> {
					try {
						serve(c);
					} catch (IOException e) {
						say(e.toString());
					}
				}).start();
			}
		}
	}

	static int port(Set<SocketAddress> addresses) {
		return ((InetSocketAddress) addresses.iterator().next()).getPort();
	}
}
