// Package sctpnet is SCTP for programs written for package net.
package sctpnet
