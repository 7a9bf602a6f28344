/*
 * The server in C: gcc server.c -lsctp
 *
 * -DLENGTH='strlen(buffer) + 1' sends the terminating NUL too, and
 * -DLENGTH='sizeof(buffer)' all of the buffer.
 */
#include <netinet/in.h>
#include <netinet/sctp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef LENGTH
#define LENGTH strlen(buffer)
#endif

static void die(const char *what)
{
	perror(what);
	exit(1);
}

int main(void)
{
	struct sctp_initmsg initmsg = {
		.sinit_num_ostreams = 3,
		.sinit_max_instreams = 3,
		.sinit_max_attempts = 2,
	};
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_ANY),
		.sin_port = htons(29008),
	};
	char buffer[1024] = "";
	int s = socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP);

	if (s < 0)
		die("socket");
	if (bind(s, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		die("bind");
	if (setsockopt(s, IPPROTO_SCTP, SCTP_INITMSG, &initmsg, sizeof(initmsg)) < 0)
		die("SCTP_INITMSG");
	if (listen(s, 5) < 0)
		die("listen");
	puts("listening");
	fflush(stdout);

	for (;;) {
		int c = accept(s, NULL, NULL);

		if (c < 0)
			die("accept");
		for (int i = 0; i < 3; i++) {
			snprintf(buffer, sizeof(buffer), "Message #%d\n", i + 1);
			if (sctp_sendmsg(c, buffer, LENGTH, NULL, 0, 0, 0, i, 0, 0) < 0)
				die("sctp_sendmsg");
		}
		close(c);
	}
}
