/* events writes one notification of each type, as the C library's header lays
 * it out: a name and the bytes in hexadecimal, one to a line. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/sctp.h>
#include <stdio.h>
#include <string.h>

static void write_out(const char *name, const void *structure, size_t n, const char *data)
{
	const unsigned char *p = structure;
	printf("%s ", name);
	while (n--)
		printf("%02x", *p++);
	for (; *data; data++)
		printf("%02x", (unsigned char)*data);
	printf("\n");
}

#define WRITE(name, structure, data) write_out(name, &(structure), sizeof (structure), data)

int main(void)
{
	struct sctp_assoc_change sac = {SCTP_ASSOC_CHANGE, 0, 0, SCTP_COMM_LOST, htons(12), 7, 8, 99};
	WRITE("assoc_change", sac, "abcd");
	sac.sac_state = SCTP_CANT_STR_ASSOC;
	sac.sac_error = 0;
	WRITE("cannot_start", sac, "");

	struct sctp_paddr_change spc = {SCTP_PEER_ADDR_CHANGE};
	struct sockaddr_in *v4 = (void *)&spc.spc_aaddr;
	v4->sin_family = AF_INET;
	v4->sin_port = htons(3868);
	v4->sin_addr.s_addr = inet_addr("192.0.2.1");
	spc.spc_state = SCTP_ADDR_POTENTIALLY_FAILED;
	spc.spc_error = SCTP_HEARTBEAT_SUCCESS;
	spc.spc_assoc_id = 99;
	WRITE("paddr_change_4", spc, "");
	struct sockaddr_in6 *v6 = (void *)&spc.spc_aaddr;
	v6->sin6_family = AF_INET6;
	inet_pton(AF_INET6, "2001:db8::1", &v6->sin6_addr);
	spc.spc_state = SCTP_ADDR_MADE_PRIM;
	WRITE("paddr_change_6", spc, "");

	struct sctp_send_failed old = {SCTP_SEND_FAILED, SCTP_DATA_SENT, 0, htons(12)};
	old.ssf_info.sinfo_stream = 5;
	old.ssf_info.sinfo_ssn = 6;
	old.ssf_info.sinfo_flags = 1 | 2 | 4;
	old.ssf_info.sinfo_ppid = htonl(46);
	old.ssf_info.sinfo_context = 47;
	old.ssf_info.sinfo_timetolive = 48;
	old.ssf_info.sinfo_tsn = 49;
	old.ssf_info.sinfo_cumtsn = 50;
	old.ssf_info.sinfo_assoc_id = old.ssf_assoc_id = 99;
	WRITE("send_failed", old, "abcd");

	struct sctp_send_failed_event ssf = {SCTP_SEND_FAILED_EVENT, SCTP_DATA_UNSENT, 0, 0};
	ssf.ssfe_info.snd_sid = 5;
	ssf.ssfe_info.snd_flags = 1 | 2;
	ssf.ssfe_info.snd_ppid = htonl(46);
	ssf.ssfe_info.snd_context = 47;
	ssf.ssfe_info.snd_assoc_id = ssf.ssf_assoc_id = 99;
	WRITE("send_failed_event", ssf, "abcd");

	struct sctp_remote_error sre = {SCTP_REMOTE_ERROR, 0, 0, htons(6), 99};
	WRITE("remote_error", sre, "abcd");

	struct sctp_shutdown_event sse = {SCTP_SHUTDOWN_EVENT, 0, 0, 99};
	WRITE("shutdown_event", sse, "");

	struct sctp_adaptation_event sai = {SCTP_ADAPTATION_INDICATION, 0, 0, 0x12345678, 99};
	WRITE("adaptation_event", sai, "");

	struct sctp_pdapi_event pdapi = {SCTP_PARTIAL_DELIVERY_EVENT, 0, 0, SCTP_PARTIAL_DELIVERY_ABORTED, 99, 5, 6};
	WRITE("pdapi_event", pdapi, "");

	struct sctp_authkey_event auth = {SCTP_AUTHENTICATION_EVENT, 0, 0, 5, 6, SCTP_AUTH_FREE_KEY, 99};
	WRITE("authkey_event", auth, "");
	auth.auth_keynumber = 0;
	auth.auth_indication = SCTP_AUTH_NO_AUTH;
	WRITE("no_auth", auth, "");

	struct sctp_sender_dry_event dry = {SCTP_SENDER_DRY_EVENT, 0, 0, 99};
	WRITE("sender_dry_event", dry, "");

	struct { struct sctp_stream_reset_event e; __u16 list[2]; } reset = {
		{SCTP_STREAM_RESET_EVENT, SCTP_STREAM_RESET_INCOMING_SSN | SCTP_STREAM_RESET_DENIED, 0, 99}, {5, 6}};
	WRITE("stream_reset_event", reset, "");
	struct sctp_stream_reset_event all = {SCTP_STREAM_RESET_EVENT,
		SCTP_STREAM_RESET_OUTGOING_SSN | SCTP_STREAM_RESET_FAILED, 0, 99};
	WRITE("stream_reset_all", all, "");

	struct sctp_assoc_reset_event ar = {SCTP_ASSOC_RESET_EVENT, SCTP_ASSOC_RESET_DENIED, 0, 99, 5, 6};
	WRITE("assoc_reset_event", ar, "");

	struct sctp_stream_change_event sc = {SCTP_STREAM_CHANGE_EVENT, SCTP_STREAM_CHANGE_FAILED, 0, 99, 5, 6};
	WRITE("stream_change_event", sc, "");
	return 0;
}
