package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// TLSConfig says how an https upstream is spoken to. Its certificate is always
// verified. The zero value trusts the machine's roots and shows no certificate.
type TLSConfig struct {
	// CAFile holds the only roots that are trusted, in PEM. It is read when the
	// upstream is first named.
	CAFile string `yaml:"ca_file"`
	// CertFile and KeyFile hold what the gateway shows of itself; see [KeyPair].
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// ServerName is what the certificate must be for; the URL's host by default.
	ServerName string `yaml:"server_name"`
}

// Validate reads the files and joins all problems.
func (c TLSConfig) Validate() error {
	var errs []error
	if c.CAFile != "" {
		if _, err := readRoots(c.CAFile); err != nil {
			errs = append(errs, fmt.Errorf("ca_file: %w", err))
		}
	}
	switch {
	case (c.CertFile == "") != (c.KeyFile == ""):
		errs = append(errs, fmt.Errorf("cert_file: must stand with key_file, got %q and %q", c.CertFile, c.KeyFile))
	case c.CertFile != "":
		if _, err := NewKeyPair(c.CertFile, c.KeyFile, nil); err != nil {
			errs = append(errs, fmt.Errorf("cert_file: %w", err))
		}
	}
	return errors.Join(errs...)
}

func readRoots(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the roots: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("must hold a certificate in PEM, got %s without one", file)
	}
	return roots, nil
}

// client completes base for connections to host.
func (c TLSConfig) client(base *tls.Config, host string, report func(error)) (*tls.Config, error) {
	out := base.Clone()
	out.ServerName = host
	out.NextProtos = []string{"http/1.1"}
	if c.ServerName != "" {
		out.ServerName = c.ServerName
	}
	if c.CAFile != "" {
		roots, err := readRoots(c.CAFile)
		if err != nil {
			return nil, err
		}
		out.RootCAs = roots
	}
	if c.CertFile != "" {
		pair, err := NewKeyPair(c.CertFile, c.KeyFile, report)
		if err != nil {
			return nil, err
		}
		out.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return pair.Certificate(), nil
		}
	}
	return out, nil
}
