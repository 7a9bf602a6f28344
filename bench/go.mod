module github.com/sctpnet/sctpnet/bench

go 1.26.0

require (
	github.com/ishidawataru/sctp v0.0.0-20251114114122-19ddcbc6aae2
	github.com/sctpnet/sctpnet v0.0.0
	golang.org/x/sys v0.50.0
)

replace github.com/sctpnet/sctpnet => ..
