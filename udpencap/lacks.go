package udpencap

import "github.com/sctpnet/sctpnet/internal/engine"

// Why there is no more.
const (
	onePath          = "there is one path"
	oneAddress       = "an endpoint has one address"
	noAuthentication = "there is no authentication (RFC 4895)"
	noInterleaving   = "there is no interleaving (RFC 8260)"
	inOrder          = "the order of messages cannot be chosen"
	atOnce           = "small messages are sent at once"
	wholeOnly        = "a message is handed over when all of it has arrived"
	ownLife          = "each life of a peer is an association of its own"
	byMTU            = "PathParams.MTU alone limits a packet"
	byWindow         = "the congestion window alone limits a burst"
	noMarks          = "the system marks packets as those of UDP"
	settled          = "the first packets settle it"
	learned          = "it is learned from the peer"
	oneRequest       = "the peer takes one request at a time"
	noReset          = "the numbering of chunks never begins anew"
	shared           = "all associations share a socket"
	noIdleTimer      = "no idle association is closed"
)

// lacks is what this package does not have. doc.go shows it.
var lacks = engine.Lacks{
	{Kind: engine.LacksSetting, Name: "PathParams.PotentiallyFailedThreshold", Why: onePath},
	{Kind: engine.LacksSetting, Name: "PathParams.PrimarySwitchoverThreshold", Why: onePath},
	{Kind: engine.LacksSetting, Name: "PathParams.DSCP", Why: noMarks},
	{Kind: engine.LacksSetting, Name: "PathParams.FlowLabel", Why: noMarks},
	{Kind: engine.LacksSetting, Name: "Nagle", Why: atOnce},
	{Kind: engine.LacksSetting, Name: "KeepRestarted", Why: ownLife},
	{Kind: engine.LacksSetting, Name: "MaxSegment", Why: byMTU},
	{Kind: engine.LacksSetting, Name: "MaxBurst", Why: byWindow},
	{Kind: engine.LacksSetting, Name: "Scheduler", Why: inOrder},
	{Kind: engine.LacksSetting, Name: "Interleaving", Why: noInterleaving},
	{Kind: engine.LacksSetting, Name: "FragmentInterleave", Why: wholeOnly},
	{Kind: engine.LacksSetting, Name: "PartialDeliveryPoint", Why: wholeOnly},
	{Kind: engine.LacksSetting, Name: "Auth", Why: noAuthentication},
	{Kind: engine.LacksSetting, Name: "AddressReconfig", Why: oneAddress},

	{Kind: engine.LacksLater, Name: "PathParams.MTU", Why: settled},
	{Kind: engine.LacksLater, Name: "PathParams.UDPPort", Why: learned},

	{Kind: engine.LacksCall, Name: severalAddresses, Why: oneAddress},
	{Kind: engine.LacksCall, Name: "Conn.AddLocalAddr", Why: oneAddress},
	{Kind: engine.LacksCall, Name: "Conn.RemoveLocalAddr", Why: oneAddress},
	{Kind: engine.LacksCall, Name: "Conn.SetPrimary", Why: oneAddress},
	{Kind: engine.LacksCall, Name: "Conn.SetPeerPrimary", Why: oneAddress},
	{Kind: engine.LacksCall, Name: "Conn.SetStreamValue", Why: inOrder},
	{Kind: engine.LacksCall, Name: "Conn.StreamValue", Why: inOrder},
	{Kind: engine.LacksCall, Name: "Conn.AddStreams of both directions at once", Why: oneRequest},
	{Kind: engine.LacksCall, Name: "Conn.ResetAssoc", Why: noReset},
	{Kind: engine.LacksCall, Name: "Conn.SetAuthKey", Why: noAuthentication},
	{Kind: engine.LacksCall, Name: "Conn.ActivateAuthKey", Why: noAuthentication},
	{Kind: engine.LacksCall, Name: "Conn.DeactivateAuthKey", Why: noAuthentication},
	{Kind: engine.LacksCall, Name: "Conn.DeleteAuthKey", Why: noAuthentication},
	{Kind: engine.LacksCall, Name: "Conn.AuthState", Why: noAuthentication},
	{Kind: engine.LacksCall, Name: "Conn.SyscallConn", Why: shared},
	{Kind: engine.LacksCall, Name: "Conn.File", Why: shared},
	{Kind: engine.LacksCall, Name: "Listener.SyscallConn", Why: shared},
	{Kind: engine.LacksCall, Name: "Listener.File", Why: shared},
	{Kind: engine.LacksCall, Name: "PacketConn.SyscallConn", Why: shared},
	{Kind: engine.LacksCall, Name: "PacketConn.File", Why: shared},
	{Kind: engine.LacksCall, Name: closesIdle, Why: noIdleTimer},

	{Kind: engine.LacksEvent, Name: "PartialDeliveryEvent", Why: wholeOnly},
	{Kind: engine.LacksEvent, Name: "PathEvent potentially failed", Why: onePath},
	{Kind: engine.LacksEvent, Name: "PathEvent made primary", Why: onePath},
	{Kind: engine.LacksEvent, Name: "PathEvent added", Why: onePath},
	{Kind: engine.LacksEvent, Name: "PathEvent removed", Why: onePath},
	{Kind: engine.LacksEvent, Name: "PathEvent confirmed", Why: onePath},
	{Kind: engine.LacksEvent, Name: "AuthEvent new key", Why: noAuthentication},
	{Kind: engine.LacksEvent, Name: "AuthEvent free key", Why: noAuthentication},
	{Kind: engine.LacksEvent, Name: "AuthEvent none", Why: noAuthentication},
	{Kind: engine.LacksEvent, Name: "AssocResetEvent", Why: noReset},
}

// What this package, and not package sctpnet, finds to be lacking.
const (
	severalAddresses = "Dial and Listen with several addresses of an endpoint"
	closesIdle       = "ListenConfig.AutoClose"
)

func unsupported(call string) error {
	lack, _ := lacks.Find(engine.LacksCall, call)
	return lack.Error("")
}

// Lacks returns what the engine does not have.
func (udpEngine) Lacks() engine.Lacks { return lacks }
