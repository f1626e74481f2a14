// Package harness runs the gateway's real binary for tests that see it from
// outside only: a process, its ports, its log, its metrics.
//
// It never waits by sleeping for a fixed time: it waits for a log line or asks
// again until a limit passes, and fails the test with the log of the process.
// What it starts it also stops, however the test ends. Everything stands on
// 127.0.0.1 and on ports that the kernel picks.
package harness
