/*
 * peer is one end of an association, as a C program makes it:
 *
 *	peer listen			on a port of its own, which it prints
 *	peer dial PORT			of 127.0.0.1
 *
 * It sends a message on each of three streams, and then answers each message
 * that comes with the same bytes, on the stream after it and with a PPID that
 * is greater by one. It prints what it receives.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/sctp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int check(const char *what, int result)
{
	if (result < 0) {
		perror(what);
		exit(1);
	}
	return result;
}

static void send_message(int fd, const char *data, size_t len, uint32_t ppid, uint16_t stream, uint32_t flags)
{
	check("sctp_sendmsg", sctp_sendmsg(fd, data, len, NULL, 0, htonl(ppid), flags, stream, 0, 0));
}

int main(int argc, char **argv)
{
	int fd = check("socket", socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP));
	struct sctp_initmsg init = { .sinit_num_ostreams = 20, .sinit_max_instreams = 20 };
	struct sctp_event_subscribe events = { .sctp_data_io_event = 1 };
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t addrlen = sizeof(addr);

	setvbuf(stdout, NULL, _IOLBF, 0);
	check("SCTP_INITMSG", setsockopt(fd, IPPROTO_SCTP, SCTP_INITMSG, &init, sizeof(init)));
	check("SCTP_EVENTS", setsockopt(fd, IPPROTO_SCTP, SCTP_EVENTS, &events, sizeof(events)));
	if (argc == 3 && strcmp(argv[1], "dial") == 0) {
		addr.sin_port = htons(atoi(argv[2]));
		check("connect", connect(fd, (struct sockaddr *)&addr, sizeof(addr)));
	} else if (argc == 2 && strcmp(argv[1], "listen") == 0) {
		check("bind", bind(fd, (struct sockaddr *)&addr, sizeof(addr)));
		check("listen", listen(fd, 1));
		check("getsockname", getsockname(fd, (struct sockaddr *)&addr, &addrlen));
		printf("port %d\n", ntohs(addr.sin_port));
		fd = check("accept", accept(fd, NULL, NULL));
	} else {
		fprintf(stderr, "usage: peer listen | peer dial PORT\n");
		return 2;
	}

	send_message(fd, "one", 3, 0x01020304, 1, 0);
	send_message(fd, "nineteen", 8, 46, 19, 0);
	send_message(fd, "unordered", 9, 0, 0, SCTP_UNORDERED);
	for (;;) {
		static char buf[1 << 20];
		struct sctp_sndrcvinfo info;
		int flags = 0;
		int n = sctp_recvmsg(fd, buf, sizeof(buf), NULL, NULL, &info, &flags);

		if (check("sctp_recvmsg", n) == 0)
			break;
		printf("received %d bytes, stream %d, ppid %u%s%s\n", n, info.sinfo_stream, ntohl(info.sinfo_ppid),
		       info.sinfo_flags & SCTP_UNORDERED ? ", unordered" : "", flags & MSG_EOR ? "" : ", in part");
		send_message(fd, buf, n, ntohl(info.sinfo_ppid) + 1, info.sinfo_stream + 1, 0);
	}
	printf("end\n");
	return 0;
}
