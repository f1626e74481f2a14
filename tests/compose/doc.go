// Package compose tests the full stack as shipped: the real images, built from
// the Dockerfile, three gateways behind the real nginx, scraped by the real
// Prometheus.
//
// It runs the shipped docker-compose.yml with other host ports, another subnet
// and a configuration with a small limit, so that it can run beside a stack that
// is already up. Whatever happens, the stack is taken down with its data and its own images. It
// needs Docker and compose, and fails without them.
package compose
