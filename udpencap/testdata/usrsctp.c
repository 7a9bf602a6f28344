// An SCTP peer on usrsctp, encapsulated in UDP. It sends back each message as it
// came: on the same stream, with the same PPID, in order or not. When a stream
// is reset it resets its own of the same number. The message "close" has it end
// the association, "abort" abort it.
//
//	usrsctp listen UDPPORT SCTPPORT
//	usrsctp dial UDPPORT SCTPPORT PEERS-UDPPORT

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <usrsctp.h>

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void set(struct socket *so, int option, const void *p, socklen_t n)
{
	if (usrsctp_setsockopt(so, IPPROTO_SCTP, option, p, n) < 0)
		fail("setsockopt");
}

static void reset(struct socket *so, struct sctp_stream_reset_event *e)
{
	if (!(e->strreset_flags & SCTP_STREAM_RESET_INCOMING_SSN))
		return;
	int n = (e->strreset_length - sizeof *e) / sizeof(uint16_t);
	size_t size = sizeof(struct sctp_reset_streams) + n * sizeof(uint16_t);
	struct sctp_reset_streams *r = calloc(1, size);
	r->srs_flags = SCTP_STREAM_RESET_OUTGOING;
	r->srs_number_streams = n;
	memcpy(r->srs_stream_list, e->strreset_stream_list, n * sizeof(uint16_t));
	usrsctp_setsockopt(so, IPPROTO_SCTP, SCTP_RESET_STREAMS, r, size);
	free(r);
}

static void echo(struct socket *so)
{
	static char buf[1 << 20];
	size_t have = 0;
	for (;;) {
		struct sctp_rcvinfo info = {0};
		struct sockaddr_storage from;
		socklen_t fromlen = sizeof from, infolen = sizeof info;
		unsigned type = 0;
		int flags = 0;
		ssize_t n = usrsctp_recvv(so, buf + have, sizeof buf - have, (struct sockaddr *)&from, &fromlen,
			&info, &infolen, &type, &flags);
		if (n <= 0) {
			printf("%s\n", n == 0 ? "end" : "reset");
			return;
		}
		if (flags & MSG_NOTIFICATION) {
			union sctp_notification *note = (void *)(buf + have);
			if (note->sn_header.sn_type == SCTP_STREAM_RESET_EVENT)
				reset(so, &note->sn_strreset_event);
			continue;
		}
		have += n;
		if (!(flags & MSG_EOR))
			continue;
		struct sctp_sndinfo out = {.snd_sid = info.rcv_sid, .snd_ppid = info.rcv_ppid, .snd_flags = info.rcv_flags & SCTP_UNORDERED};
		if (have == 5 && memcmp(buf, "close", 5) == 0)
			return;
		if (have == 5 && memcmp(buf, "abort", 5) == 0) {
			struct linger l = {1, 0};
			usrsctp_setsockopt(so, SOL_SOCKET, SO_LINGER, &l, sizeof l);
			return;
		}
		if (usrsctp_sendv(so, buf, have, NULL, 0, &out, sizeof out, SCTP_SENDV_SNDINFO, 0) < 0)
			fail("sendv");
		have = 0;
	}
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	usrsctp_init(atoi(argv[2]), NULL, NULL);
	usrsctp_sysctl_set_sctp_blackhole(0);
	struct socket *so = usrsctp_socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP, NULL, NULL, 0, NULL);
	if (!so)
		fail("socket");
	int size = 1 << 20, on = 1;
	usrsctp_setsockopt(so, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	usrsctp_setsockopt(so, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	set(so, SCTP_RECVRCVINFO, &on, sizeof on);
	set(so, SCTP_NODELAY, &on, sizeof on);
	struct sctp_assoc_value able = {.assoc_id = SCTP_FUTURE_ASSOC, .assoc_value = SCTP_ENABLE_RESET_STREAM_REQ};
	set(so, SCTP_ENABLE_STREAM_RESET, &able, sizeof able);
	struct sctp_event event = {.se_assoc_id = SCTP_FUTURE_ASSOC, .se_type = SCTP_STREAM_RESET_EVENT, .se_on = 1};
	set(so, SCTP_EVENT, &event, sizeof event);
	struct sctp_initmsg init = {.sinit_num_ostreams = 64, .sinit_max_instreams = 64};
	set(so, SCTP_INITMSG, &init, sizeof init);

	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[3]))};
	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	struct socket *conn = so;
	if (strcmp(argv[1], "listen") == 0) {
		if (usrsctp_bind(so, (struct sockaddr *)&addr, sizeof addr) < 0)
			fail("bind");
		if (usrsctp_listen(so, 5) < 0)
			fail("listen");
		printf("listening\n");
		conn = usrsctp_accept(so, NULL, NULL);
		if (!conn)
			fail("accept");
	} else {
		struct sctp_udpencaps encaps = {.sue_port = htons(atoi(argv[4]))};
		encaps.sue_address.ss_family = AF_INET;
		set(so, SCTP_REMOTE_UDP_ENCAPS_PORT, &encaps, sizeof encaps);
		if (usrsctp_connect(so, (struct sockaddr *)&addr, sizeof addr) < 0)
			fail("connect");
		printf("connected\n");
	}
	echo(conn);
	usrsctp_close(conn);
	if (conn != so)
		usrsctp_close(so);
	for (int i = 0; i < 100 && usrsctp_finish() != 0; i++)
		usleep(20000);
	return 0;
}
