package node

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/go-api-gateway-pro/gateway/auth"
)

// tokenLife is how long a development token is good for.
const tokenLife = 24 * time.Hour

// PrintToken writes a development token for subject, signed with the secret of
// the configuration at path; lookup is the environment, nil the process's.
func PrintToken(w io.Writer, path, subject string, lookup func(string) (string, bool)) error {
	cfg, err := LoadConfig(path, lookup)
	if err != nil {
		return err
	}
	token, err := auth.SignToken(cfg.JWT, subject, tokenLife, time.Now())
	if err != nil {
		return fmt.Errorf("cannot sign a token: %w", err)
	}
	_, err = fmt.Fprintln(w, token)
	return err
}

// CheckHealth asks the node that runs the configuration at path, on this
// machine, whether it lives.
func CheckHealth(path string) error {
	cfg, err := LoadConfig(path, nil)
	if err != nil {
		return err
	}
	host := cfg.Server.Host
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	client, scheme := http.Client{Timeout: 3 * time.Second}, "http://"
	if cfg.Server.TLS.CertFile != "" {
		scheme = "https://"
		// It asks this very machine, by an address that no certificate names.
		client.Transport = &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	}
	resp, err := client.Get(scheme + net.JoinHostPort(host, strconv.Itoa(cfg.Server.Port)) + "/health")
	if err != nil {
		return fmt.Errorf("cannot reach the node: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the node answered %s", resp.Status)
	}
	return nil
}
