// Prints the sizes of structures and the offsets and sizes of their fields, as
// this system's netinet/sctp.h has them.
#include <netinet/sctp.h>
#include <stddef.h>
#include <stdio.h>

#define SIZE(s) printf("%s %zu 0\n", #s, sizeof(struct s))
#define FIELD(s, f) printf("%s.%s %zu %zu\n", #s, #f, sizeof(((struct s *)0)->f), offsetof(struct s, f))
#define VALUE(c) printf("%s %d 0\n", #c, (int)(c))

int main(void) {
	SIZE(sctp_rtoinfo);
	FIELD(sctp_rtoinfo, srto_assoc_id);
	FIELD(sctp_rtoinfo, srto_initial);
	FIELD(sctp_rtoinfo, srto_max);
	FIELD(sctp_rtoinfo, srto_min);

	SIZE(sctp_assocparams);
	FIELD(sctp_assocparams, sasoc_assoc_id);
	FIELD(sctp_assocparams, sasoc_asocmaxrxt);
	FIELD(sctp_assocparams, sasoc_number_peer_destinations);
	FIELD(sctp_assocparams, sasoc_peer_rwnd);
	FIELD(sctp_assocparams, sasoc_local_rwnd);
	FIELD(sctp_assocparams, sasoc_cookie_life);

	SIZE(sctp_sack_info);
	FIELD(sctp_sack_info, sack_assoc_id);
	FIELD(sctp_sack_info, sack_delay);
	FIELD(sctp_sack_info, sack_freq);

	SIZE(sctp_assoc_value);
	FIELD(sctp_assoc_value, assoc_id);
	FIELD(sctp_assoc_value, assoc_value);

	SIZE(sctp_default_prinfo);
	FIELD(sctp_default_prinfo, pr_assoc_id);
	FIELD(sctp_default_prinfo, pr_value);
	FIELD(sctp_default_prinfo, pr_policy);

	SIZE(sctp_stream_value);
	FIELD(sctp_stream_value, assoc_id);
	FIELD(sctp_stream_value, stream_id);
	FIELD(sctp_stream_value, stream_value);

	SIZE(sctp_add_streams);
	FIELD(sctp_add_streams, sas_assoc_id);
	FIELD(sctp_add_streams, sas_instrms);
	FIELD(sctp_add_streams, sas_outstrms);

	SIZE(sctp_authkeyid);
	FIELD(sctp_authkeyid, scact_assoc_id);
	FIELD(sctp_authkeyid, scact_keynumber);

	SIZE(sctp_paddrparams);
	FIELD(sctp_paddrparams, spp_assoc_id);
	FIELD(sctp_paddrparams, spp_address);
	FIELD(sctp_paddrparams, spp_hbinterval);
	FIELD(sctp_paddrparams, spp_pathmaxrxt);
	FIELD(sctp_paddrparams, spp_pathmtu);
	FIELD(sctp_paddrparams, spp_sackdelay);
	FIELD(sctp_paddrparams, spp_flags);
	FIELD(sctp_paddrparams, spp_ipv6_flowlabel);
	FIELD(sctp_paddrparams, spp_dscp);

	// These go through pathValues.
	SIZE(sctp_paddrthlds);
	FIELD(sctp_paddrthlds, spt_pathmaxrxt);
	FIELD(sctp_paddrthlds, spt_pathpfthld);
	SIZE(sctp_paddrthlds_v2);
	FIELD(sctp_paddrthlds_v2, spt_address);
	FIELD(sctp_paddrthlds_v2, spt_pathmaxrxt);
	FIELD(sctp_paddrthlds_v2, spt_pathpfthld);
	FIELD(sctp_paddrthlds_v2, spt_pathcpthld);
	SIZE(sctp_udpencaps);
	FIELD(sctp_udpencaps, sue_address);
	FIELD(sctp_udpencaps, sue_port);

	// These are written field by field.
	SIZE(sctp_hmacalgo);
	FIELD(sctp_hmacalgo, shmac_num_idents);
	SIZE(sctp_authkey);
	FIELD(sctp_authkey, sca_keynumber);
	FIELD(sctp_authkey, sca_keylength);
	SIZE(sctp_authchunks);
	FIELD(sctp_authchunks, gauth_number_of_chunks);
	SIZE(sctp_authchunk);

	VALUE(SCTP_RTOINFO);
	VALUE(SCTP_ASSOCINFO);
	VALUE(SCTP_NODELAY);
	VALUE(SCTP_ADAPTATION_LAYER);
	VALUE(SCTP_PEER_ADDR_PARAMS);
	VALUE(SCTP_MAXSEG);
	VALUE(SCTP_DELAYED_SACK);
	VALUE(SCTP_FRAGMENT_INTERLEAVE);
	VALUE(SCTP_PARTIAL_DELIVERY_POINT);
	VALUE(SCTP_MAX_BURST);
	VALUE(SCTP_AUTH_CHUNK);
	VALUE(SCTP_HMAC_IDENT);
	VALUE(SCTP_AUTH_KEY);
	VALUE(SCTP_AUTH_ACTIVE_KEY);
	VALUE(SCTP_AUTH_DELETE_KEY);
	VALUE(SCTP_PEER_AUTH_CHUNKS);
	VALUE(SCTP_LOCAL_AUTH_CHUNKS);
	VALUE(SCTP_PEER_ADDR_THLDS);
	VALUE(SCTP_AUTH_DEACTIVATE_KEY);
	VALUE(SCTP_PEER_ADDR_THLDS_V2);
	VALUE(SCTP_PR_SUPPORTED);
	VALUE(SCTP_DEFAULT_PRINFO);
	VALUE(SCTP_RECONFIG_SUPPORTED);
	VALUE(SCTP_RESET_ASSOC);
	VALUE(SCTP_ADD_STREAMS);
	VALUE(SCTP_STREAM_SCHEDULER);
	VALUE(SCTP_STREAM_SCHEDULER_VALUE);
	VALUE(SCTP_INTERLEAVING_SUPPORTED);
	VALUE(SCTP_ASCONF_SUPPORTED);
	VALUE(SCTP_AUTH_SUPPORTED);
	VALUE(SCTP_ECN_SUPPORTED);
	VALUE(SCTP_REMOTE_UDP_ENCAPS_PORT);

	VALUE(SPP_HB_ENABLE);
	VALUE(SPP_HB_DISABLE);
	VALUE(SPP_HB_DEMAND);
	VALUE(SPP_PMTUD_ENABLE);
	VALUE(SPP_PMTUD_DISABLE);
	VALUE(SPP_IPV6_FLOWLABEL);
	VALUE(SPP_DSCP);
	VALUE(SCTP_ENABLE_STRRESET_MASK);
	VALUE(SCTP_PR_SCTP_TTL);
	return 0;
}
