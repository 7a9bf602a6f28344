package kernel

import "github.com/sctpnet/sctpnet/internal/engine"

var lacks = engine.Lacks{
	{Kind: engine.LacksSetting, Name: "LocalUDPPort", Why: "the system has one for all, sysctl net.sctp.udp_port"},
	{Kind: engine.LacksCall, Name: peeledTo, Why: "Linux sends to the primary path there"},
}

const peeledTo = "MsgInfo.To after PacketConn.PeelOff"

// Lacks returns what the engine does not have on any system.
func (kernelEngine) Lacks() engine.Lacks { return lacks }
