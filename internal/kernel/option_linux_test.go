package kernel

import (
	"encoding/binary"
	"fmt"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// TestOptionLayout compares structures and numbers with those of C.
func TestOptionLayout(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "option")
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("no C compiler: ", err)
	}
	args := []string{"-o", bin, "testdata/option.c"}
	if runtime.GOARCH == "386" {
		args = append(args, "-m32")
	}
	if out, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
		if runtime.GOARCH == "386" {
			t.Skipf("gcc does not make 32-bit programs: %s", out)
		}
		if strings.Contains(string(out), "netinet/sctp.h") {
			t.Skipf("no netinet/sctp.h, which libsctp-dev has: %s", out)
		}
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.Command(bin).Output()
	if err != nil {
		t.Fatal(err)
	}
	c := make(map[string]place)
	for line := range strings.Lines(string(out)) {
		var name string
		var p place
		if _, err := fmt.Sscan(line, &name, &p.size, &p.offset); err != nil {
			t.Fatal(err)
		}
		c[name] = p
	}
	check := func(name string, got place) {
		t.Helper()
		if want, ok := c[name]; !ok || got != want {
			t.Errorf("%s is %+v, of C %+v", name, got, want)
		}
		delete(c, name)
	}

	// Structures that travel through encoding/binary.
	for _, s := range []struct {
		v    any
		name string
		// C's names of the fields that Go's have names too
		fields []string
	}{
		{rtoInfo{}, "sctp_rtoinfo", []string{"srto_assoc_id", "srto_initial", "srto_max", "srto_min"}},
		{assocParams{}, "sctp_assocparams", []string{"sasoc_assoc_id", "sasoc_asocmaxrxt", "sasoc_number_peer_destinations",
			"sasoc_peer_rwnd", "sasoc_local_rwnd", "sasoc_cookie_life"}},
		{sackInfo{}, "sctp_sack_info", []string{"sack_assoc_id", "sack_delay", "sack_freq"}},
		{assocValue{}, "sctp_assoc_value", []string{"assoc_id", "assoc_value"}},
		{defaultPRInfo{}, "sctp_default_prinfo", []string{"pr_assoc_id", "pr_value", "pr_policy"}},
		{streamValue{}, "sctp_stream_value", []string{"assoc_id", "stream_id", "stream_value"}},
		{addStreams{}, "sctp_add_streams", []string{"sas_assoc_id", "sas_instrms", "sas_outstrms"}},
		{authKeyID{}, "sctp_authkeyid", []string{"scact_assoc_id", "scact_keynumber"}},
		{pathParams{}, "sctp_paddrparams", []string{"spp_assoc_id", "spp_address", "spp_hbinterval", "spp_pathmaxrxt",
			"spp_pathmtu", "spp_sackdelay", "spp_flags", "spp_ipv6_flowlabel", "spp_dscp"}},
	} {
		// C pads pathParams to a multiple of four, as its blank fields do.
		size := binary.Size(s.v)
		check(s.name, place{size: size})
		typ, offset, i := reflect.TypeOf(s.v), 0, 0
		for f := range typ.NumField() {
			n := int(typ.Field(f).Type.Size())
			if typ.Field(f).Name != "_" {
				check(s.name+"."+s.fields[i], place{n, offset})
				i++
			}
			offset += n
		}
	}

	// Structures made by pathValues.
	for _, s := range []struct {
		name   string
		fields []string
	}{
		{"sctp_paddrthlds", []string{"spt_pathmaxrxt", "spt_pathpfthld"}},
		{"sctp_paddrthlds_v2", []string{"spt_pathmaxrxt", "spt_pathpfthld", "spt_pathcpthld"}},
		{"sctp_udpencaps", []string{"sue_port"}},
	} {
		b, at := pathValues([128]byte{}, make([]uint16, len(s.fields))...)
		check(s.name, place{size: len(b)})
		for i, f := range s.fields {
			check(s.name+"."+f, place{2, at + 2*i})
		}
	}
	check("sctp_paddrthlds_v2.spt_address", place{128, storageAlign})
	check("sctp_udpencaps.sue_address", place{128, storageAlign})

	// Those whose fields are written one by one.
	check("sctp_hmacalgo", place{size: 4})
	check("sctp_hmacalgo.shmac_num_idents", place{4, 0})
	check("sctp_authkey", place{size: 8})
	check("sctp_authkey.sca_keynumber", place{2, 4})
	check("sctp_authkey.sca_keylength", place{2, 6})
	check("sctp_authchunks", place{size: 8})
	check("sctp_authchunks.gauth_number_of_chunks", place{4, 4})
	check("sctp_authchunk", place{size: 1})

	for _, o := range []option{
		optRTO, optAssocInfo, optNoDelay, optAdaptation, optPathParams, optMaxSegment, optSACK,
		optFragmentInterleave, optPartialDelivery, optMaxBurst, optAuthChunk, optHMAC, optAuthKey,
		optAuthActive, optAuthDelete, optPeerAuthChunks, optLocalAuthChunks, optThresholds,
		optAuthDeactivate, optThresholdsV2, optPRSupported, optDefaultPRInfo, optReconfig,
		optResetAssoc, optAddStreams, optScheduler, optSchedulerValue, optInterleaving, optASCONF,
		optAuth, optECN, optUDPPort,
	} {
		check(o.name, place{size: o.num})
	}
	for name, v := range map[string]int{
		"SPP_HB_ENABLE": sppHBEnable, "SPP_HB_DISABLE": sppHBDisable, "SPP_HB_DEMAND": sppHBDemand,
		"SPP_PMTUD_ENABLE": sppPMTUDEnable, "SPP_PMTUD_DISABLE": sppPMTUDDisable,
		"SPP_IPV6_FLOWLABEL": sppIPv6FlowLabel, "SPP_DSCP": sppDSCP,
		"SCTP_ENABLE_STRRESET_MASK": enableResets | enableAddStreams, "SCTP_PR_SCTP_TTL": prTimed,
	} {
		check(name, place{size: v})
	}
	for name := range c {
		t.Errorf("%s of C was not compared", name)
	}
}

// A place is a field's, or with offset 0 a whole structure's or a number's.
type place struct{ size, offset int }
