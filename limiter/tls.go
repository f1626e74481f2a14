package limiter

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// TLSConfig encrypts the connections to Redis; empty fields mean the system's
// certificate authorities, no client certificate, and the name in the address.
type TLSConfig struct {
	Enabled    bool   `yaml:"enabled"`
	CAFile     string `yaml:"ca_file"`     // PEM; replaces the system's authorities
	CertFile   string `yaml:"cert_file"`   // PEM; what this node shows
	KeyFile    string `yaml:"key_file"`    // PEM; of CertFile
	ServerName string `yaml:"server_name"` // the name that the server must show
}

func (c TLSConfig) validate() error {
	if c != (TLSConfig{}) && !c.Enabled {
		return errors.New("tls.enabled: must be true when another key of tls is set, got false")
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		return fmt.Errorf("tls: must have both cert_file and key_file or neither, got %q and %q", c.CertFile, c.KeyFile)
	}
	return nil
}

// config reads the files. It is nil without encryption.
func (c TLSConfig) config() (*tls.Config, error) {
	if !c.Enabled {
		return nil, nil
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("cannot read tls.ca_file: %w", err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("cannot use tls.ca_file: no certificate in it")
		}
	}
	if c.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("cannot use tls.cert_file, tls.key_file: %w", err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}
