package config

import (
	"errors"
	"fmt"

	"github.com/go-api-gateway-pro/gateway/auth"
	"github.com/go-api-gateway-pro/gateway/proxy/router"
)

// fits checks the route against its server.
func (r *Route) fits(s Server) error {
	if r.MaxBodyBytes <= s.BodyLimitBytes {
		return nil
	}
	return fmt.Errorf("max_body_bytes: must be at most server.body_limit_bytes (%d), got %d", s.BodyLimitBytes, r.MaxBodyBytes)
}

// validateShape checks who may come to the route and what it changes.
func (r *Route) validateShape() error {
	_, allow := auth.ParseNetworks("allow", r.Allow)
	_, deny := auth.ParseNetworks("deny", r.Deny)
	errs := []error{
		allow, deny, r.ResponseHeaders.ValidateResponse(),
		between("max_in_flight", r.MaxInFlight, 0, 1_000_000),
		between("max_body_bytes", r.MaxBodyBytes, 0, 1<<30),
	}
	if r.CORS != nil {
		errs = append(errs, prefixed("cors", r.CORS.Validate())...)
	}
	if r.Rewrite != "" {
		_, err := router.NewRewrite(r.Path, r.Rewrite)
		errs = append(errs, err)
		if r.StripPrefix != "" {
			errs = append(errs, errors.New("rewrite: must not stand beside strip_prefix, got both"))
		}
	}
	return errors.Join(errs...)
}
