package config

import (
	"fmt"

	"github.com/go-api-gateway-pro/gateway/proxy/breaker"
)

// block is a breaker block and the route it stands in.
type block struct {
	breaker.Config

	route int
}

// shareBreakers gives every route the breaker block of its upstream, which any
// route may hold: breakers belong to upstreams, so two routes cannot disagree.
func (c *Config) shareBreakers(lines map[string]int) []error {
	var errs []error
	blocks := map[string]block{} // by upstream
	conflict := func(route int, of block, target string) {
		errs = append(errs, &Problem{
			Path: fmt.Sprintf("routes[%d].breaker", route),
			Text: fmt.Sprintf("must be the same as routes[%d].breaker, which is for the same upstream %s", of.route, target),
		})
	}
	written := func(route int) bool { return lines[fmt.Sprintf("routes[%d].breaker", route)] > 0 }
	for i := range c.Routes {
		for _, target := range c.Routes[i].Targets() {
			of, known := blocks[target]
			switch {
			case !written(i):
			case !known:
				blocks[target] = block{c.Routes[i].Breaker, i}
			case of.Config != c.Routes[i].Breaker:
				conflict(i, of, target)
			}
		}
	}
	for i := range c.Routes {
		for _, target := range c.Routes[i].Targets() {
			if of, known := blocks[target]; known && !written(i) {
				c.Routes[i].Breaker = of.Config
			}
		}
	}
	return errs
}
