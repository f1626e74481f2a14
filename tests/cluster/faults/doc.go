// Package faults breaks a real cluster in every way its users will, under load,
// and writes down what that cost them.
//
// A run has three gateway processes behind a real nginx, a real Redis, two
// upstreams and a collector in the test's process, and clients that send requests
// at a constant rate, whatever the answers do. Every request has a number and so
// has every arrival at an upstream: the oracle compares the two and believes
// nobody's word. `make faults` plays all of plan.go and writes RESULTS.md.
package faults
