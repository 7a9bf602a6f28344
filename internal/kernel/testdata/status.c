/* status writes the structures that ask for an association's state, as the C
 * library's header lays them out, with another value in each field: a name and
 * the bytes in hexadecimal, one to a line. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/sctp.h>
#include <stdio.h>

static void write_out(const char *name, const void *structure, size_t n)
{
	const unsigned char *p = structure;
	printf("%s ", name);
	while (n--)
		printf("%02x", *p++);
	printf("\n");
}

#define WRITE(name, structure) write_out(name, &(structure), sizeof (structure))

static void address(void *s, const char *ip, int port)
{
	struct sockaddr_in *v4 = s;
	struct sockaddr_in6 *v6 = s;
	if (inet_pton(AF_INET, ip, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
	} else {
		inet_pton(AF_INET6, ip, &v6->sin6_addr);
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
	}
}

int main(void)
{
	struct sctp_paddrinfo info = {
		.spinfo_assoc_id = 99, .spinfo_state = SCTP_PF, .spinfo_cwnd = 11,
		.spinfo_srtt = 12, .spinfo_rto = 13, .spinfo_mtu = 14,
	};
	address(&info.spinfo_address, "2001:db8::1", 3868);
	WRITE("paddrinfo", info);

	struct sctp_status status = {
		.sstat_assoc_id = 99, .sstat_state = SCTP_SHUTDOWN_ACK_SENT, .sstat_rwnd = 21,
		.sstat_unackdata = 22, .sstat_penddata = 23, .sstat_instrms = 24,
		.sstat_outstrms = 25, .sstat_fragmentation_point = 26, .sstat_primary = info,
	};
	WRITE("status", status);

	struct sctp_assoc_stats stats = {
		.sas_assoc_id = 99, .sas_maxrto = 30, .sas_isacks = 31, .sas_osacks = 32,
		.sas_opackets = 33, .sas_ipackets = 34, .sas_rtxchunks = 35,
		.sas_outofseqtsns = 36, .sas_idupchunks = 37, .sas_gapcnt = 38,
		.sas_ouodchunks = 39, .sas_iuodchunks = 40, .sas_oodchunks = 41,
		.sas_iodchunks = 42, .sas_octrlchunks = 43, .sas_ictrlchunks = 44,
	};
	address(&stats.sas_obs_rto_ipaddr, "192.0.2.1", 3868);
	WRITE("assoc_stats", stats);

	struct sctp_setprim prim = {0};
	address(&prim.ssp_addr, "192.0.2.1", 3868);
	WRITE("setprim", prim);
	struct sctp_setpeerprim peerprim = {0};
	address(&peerprim.sspp_addr, "2001:db8::1", 3868);
	WRITE("setpeerprim", peerprim);

	printf("options %d %d %d %d %d %d %d %d %d\n", SCTP_STATUS, SCTP_GET_PEER_ADDR_INFO,
		SCTP_GET_ASSOC_STATS, SCTP_PRIMARY_ADDR, SCTP_SET_PEER_PRIMARY_ADDR,
		SCTP_SOCKOPT_BINDX_ADD, SCTP_SOCKOPT_BINDX_REM, SCTP_ASCONF_SUPPORTED, SCTP_ADDR_OVER);
	printf("states %d %d %d %d %d %d %d %d\n", SCTP_CLOSED, SCTP_COOKIE_WAIT,
		SCTP_COOKIE_ECHOED, SCTP_ESTABLISHED, SCTP_SHUTDOWN_PENDING, SCTP_SHUTDOWN_SENT,
		SCTP_SHUTDOWN_RECEIVED, SCTP_SHUTDOWN_ACK_SENT);
	printf("paths %d %d %d %d\n", SCTP_INACTIVE, SCTP_PF, SCTP_ACTIVE, SCTP_UNCONFIRMED);
	return 0;
}
