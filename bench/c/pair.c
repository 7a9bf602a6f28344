/*
 * pair is both ends of a connection in C, the limit that Go is compared with:
 * a thread each, with blocking sockets and plain send and recv. It prints its
 * figures as JSON.
 *
 *	pair sctp bulk ADDRESS CLIENT-NETNS SERVER-NETNS key=value...
 *	pair tcp pingpong ...
 *	pair tcp dial ...
 *
 * The keys are the size of a write and of a read, milliseconds to run, how many
 * connections there are at once, processes (2: the clients are one of their
 * own) and, for SCTP, the settings that sctpnet was found to have. TCP has its
 * defaults, and no Nagle, as in Go.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/sctp.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { tick_ms = 5 };

static int is_sctp, argc_;
static char **argv_;
static char *client_netns, *server_netns;
static struct sockaddr_in addr = { .sin_family = AF_INET };
static long size, message, read_buffer, connections;
static pthread_barrier_t dialed;

/* What both processes know, if there are two. */
static struct {
	atomic_int stop, senders_done, done;
	atomic_long sent, received, reads;
	double first, last;
} *run;

static long check(const char *what, long result)
{
	if (result < 0) {
		perror(what);
		exit(1);
	}
	return result;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* get returns the value of a key, or -1. */
static long get(const char *key)
{
	size_t n = strlen(key);

	for (int i = 6; i < argc_; i++)
		if (strncmp(argv_[i], key, n) == 0 && argv_[i][n] == '=')
			return atol(argv_[i] + n + 1);
	return -1;
}

static void enter(const char *netns)
{
	int fd = check(netns, open(netns, O_RDONLY | O_CLOEXEC));

	check("setns", setns(fd, CLONE_NEWNET));
	close(fd);
}

static void set_int(int fd, int level, int option, const char *key)
{
	int value = get(key);

	if (value >= 0)
		check(key, setsockopt(fd, level, option, &value, sizeof(value)));
}

static int make_socket(void)
{
	int on = 1;
	int fd = check("socket", socket(AF_INET, SOCK_STREAM, is_sctp ? IPPROTO_SCTP : IPPROTO_TCP));
	struct sctp_initmsg init = { 0 };
	struct sctp_rtoinfo rto = { 0 };
	struct sctp_sack_info sack = { 0 };

	if (!is_sctp) {
		check("TCP_NODELAY", setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)));
		return fd;
	}
	set_int(fd, IPPROTO_SCTP, SCTP_NODELAY, "nodelay");
	set_int(fd, SOL_SOCKET, SO_RCVBUF, "rcvbuf");
	set_int(fd, SOL_SOCKET, SO_SNDBUF, "sndbuf");
	if (get("streams") > 0) {
		init.sinit_num_ostreams = init.sinit_max_instreams = get("streams");
		check("SCTP_INITMSG", setsockopt(fd, IPPROTO_SCTP, SCTP_INITMSG, &init, sizeof(init)));
	}
	if (get("rto_min") > 0) {
		rto.srto_initial = get("rto_initial");
		rto.srto_min = get("rto_min");
		rto.srto_max = get("rto_max");
		check("SCTP_RTOINFO", setsockopt(fd, IPPROTO_SCTP, SCTP_RTOINFO, &rto, sizeof(rto)));
	}
	if (get("sack_freq") > 0) {
		sack.sack_delay = get("sack_delay");
		sack.sack_freq = get("sack_freq");
		check("SCTP_DELAYED_SACK", setsockopt(fd, IPPROTO_SCTP, SCTP_DELAYED_SACK, &sack, sizeof(sack)));
	}
	return fd;
}

/* connected sets what needs an association. */
static int connected(int fd)
{
	struct sctp_paddrparams path = { .spp_flags = SPP_PMTUD_DISABLE };

	if (is_sctp && get("mtu") > 0) {
		path.spp_pathmtu = get("mtu");
		check("SCTP_PEER_ADDR_PARAMS", setsockopt(fd, IPPROTO_SCTP, SCTP_PEER_ADDR_PARAMS, &path, sizeof(path)));
	}
	return fd;
}

static void send_all(int fd, const char *p, long n)
{
	while (n > 0) {
		long k = n < message ? n : message;

		k = check("send", send(fd, p, k, MSG_NOSIGNAL));
		p += k;
		n -= k;
	}
}

static int recv_all(int fd, char *p, long n)
{
	while (n > 0) {
		long k = check("recv", recv(fd, p, n, 0));

		if (k == 0)
			return 0;
		p += k;
		n -= k;
	}
	return 1;
}

static int dial(void)
{
	int fd = make_socket();

	check("connect", connect(fd, (struct sockaddr *)&addr, sizeof(addr)));
	return connected(fd);
}

static int dial_from_client(void)
{
	enter(client_netns);
	return dial();
}

static void *bulk_send(void *unused)
{
	int fd = dial_from_client();
	char *p = calloc(1, size);

	pthread_barrier_wait(&dialed);
	do {
		send_all(fd, p, size);
		run->sent += size;
	} while (!run->stop);
	run->senders_done++;
	return unused;
}

/* What is measured ends with the data: the connection stays. */
static void *bulk_recv(void *listener)
{
	int fd = connected(check("accept", accept(*(int *)listener, NULL, NULL)));
	char *p = malloc(read_buffer);
	long n;

	while ((n = check("recv", recv(fd, p, read_buffer, 0))) > 0) {
		if (run->received == 0)
			run->first = now();
		run->reads++;
		if (run->stop)
			run->last = now();
		run->received += n;
	}
	return NULL;
}

static void *ping(void *unused)
{
	int fd = dial_from_client();
	char *p = calloc(1, size);

	run->first = now();
	while (!run->stop) {
		send_all(fd, p, size);
		recv_all(fd, p, size);
		run->received++;
	}
	run->last = now();
	run->done = 1;
	close(fd);
	return unused;
}

static void *pong(void *listener)
{
	int fd = connected(check("accept", accept(*(int *)listener, NULL, NULL)));
	char *p = malloc(size);

	while (recv_all(fd, p, size))
		send_all(fd, p, size);
	close(fd);
	return NULL;
}

/* One thread is enough: the kernel shakes hands for a listener by itself. */
static void *dial_and_accept(void *listener)
{
	enter(client_netns);
	run->first = now();
	while (!run->stop) {
		int client = dial();
		int server = connected(check("accept", accept(*(int *)listener, NULL, NULL)));

		close(client);
		close(server);
		run->received++;
	}
	run->last = now();
	run->done = 1;
	return NULL;
}

static int arrived(void)
{
	return run->senders_done == connections && run->received == run->sent;
}

static void start(void *(*f)(void *), int *listener)
{
	for (long i = 0; i < connections; i++) {
		pthread_t thread;

		errno = pthread_create(&thread, NULL, f, listener);
		check("pthread_create", -errno);
	}
}

/* The other process is stopped when this one ends. */
static void start_process(void *(*f)(void *), int *listener)
{
	if (check("fork", fork()) > 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	start(f, listener);
	while (1)
		pause();
}

int main(int argc, char **argv)
{
	int listener, bulk, dials;
	socklen_t addrlen = sizeof(addr);
	long seen = 0;
	double begun, moved, stall = 0;
	void *(*client)(void *);

	if (argc < 6) {
		fprintf(stderr, "usage: pair tcp|sctp bulk|pingpong|dial ADDRESS CLIENT-NETNS SERVER-NETNS key=value...\n");
		return 2;
	}
	argc_ = argc;
	argv_ = argv;
	is_sctp = strcmp(argv[1], "sctp") == 0;
	bulk = strcmp(argv[2], "bulk") == 0;
	dials = strcmp(argv[2], "dial") == 0;
	addr.sin_addr.s_addr = inet_addr(argv[3]);
	client_netns = argv[4];
	server_netns = argv[5];
	size = get("size");
	read_buffer = get("read");
	message = get("message") > 0 ? get("message") : size;
	connections = get("connections");
	pthread_barrier_init(&dialed, NULL, connections);
	run = mmap(NULL, sizeof(*run), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (run == MAP_FAILED)
		check("mmap", -1);

	enter(server_netns);
	listener = make_socket();
	check("bind", bind(listener, (struct sockaddr *)&addr, sizeof(addr)));
	check("listen", listen(listener, connections));
	check("getsockname", getsockname(listener, (struct sockaddr *)&addr, &addrlen));
	client = dials ? dial_and_accept : bulk ? bulk_send : ping;
	if (!dials)
		start(bulk ? bulk_recv : pong, &listener);
	if (get("processes") == 2)
		start_process(client, &listener);
	else
		start(client, &listener);

	/* Looking on from outside keeps the clock out of each read. */
	begun = moved = now();
	while (bulk ? !arrived() : !run->done) {
		double t;

		usleep(tick_ms * 1000);
		t = now();
		if (run->received != seen) {
			seen = run->received;
			moved = t;
		} else if (seen == 0) {
			begun = t; /* they are still connecting */
		} else if (t - moved > stall) {
			stall = t - moved;
		}
		if (t - begun > get("ms") / 1e3)
			run->stop = 1;
		if (waitpid(-1, NULL, WNOHANG) > 0 && !run->done)
			return 1; /* it has said why */
	}
	if (run->last == 0)
		run->last = now();
	printf("{\"count\":%ld,\"seconds\":%.6f,\"reads\":%ld,\"stall\":%.6f}\n", (long)run->received, run->last - run->first,
	       (long)run->reads, stall);
	return 0;
}
