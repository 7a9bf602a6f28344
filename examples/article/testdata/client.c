/* The client in C: gcc client.c -lsctp */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/sctp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void die(const char *what)
{
	perror(what);
	exit(1);
}

int main(int argc, char *argv[])
{
	struct sctp_initmsg initmsg = {
		.sinit_num_ostreams = 3,
		.sinit_max_instreams = 3,
		.sinit_max_attempts = 2,
	};
	struct sctp_event_subscribe events = { .sctp_data_io_event = 1 };
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_port = htons(29008),
	};
	struct sctp_sndrcvinfo info;
	char buffer[1025];
	int s, flags;

	if (argc != 2 || inet_pton(AF_INET, argv[1], &addr.sin_addr) != 1) {
		fprintf(stderr, "usage: %s IP-ADDRESS\n", argv[0]);
		return 2;
	}
	s = socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP);
	if (s < 0)
		die("socket");
	if (setsockopt(s, IPPROTO_SCTP, SCTP_INITMSG, &initmsg, sizeof(initmsg)) < 0)
		die("SCTP_INITMSG");
	if (connect(s, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		die("connect");
	if (setsockopt(s, IPPROTO_SCTP, SCTP_EVENTS, &events, sizeof(events)) < 0)
		die("SCTP_EVENTS");
	for (int i = 0; i < 3; i++) {
		int n;

		flags = 0;
		memset(buffer, 0, sizeof(buffer));
		n = sctp_recvmsg(s, buffer, sizeof(buffer) - 1, NULL, NULL, &info, &flags);
		if (n < 0)
			die("sctp_recvmsg");
		if (n == 0) {
			fputs("the server has closed too early\n", stderr);
			return 1;
		}
		printf("stream %d: %s", info.sinfo_stream, buffer);
	}
	close(s);
	return 0;
}
