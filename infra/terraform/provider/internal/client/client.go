package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const (
	platform = "volary.platform.v1."
	// The control plane works on a call for a minute at most.
	callTimeout    = 70 * time.Second
	maxAnswerBytes = 64 << 20
)

// Config says which control plane is called, and as whom.
type Config struct {
	Address    *url.URL
	Key        *Key          // nil: calls are anonymous
	CAFile     string        // "": the system's certificates
	RetryFor   time.Duration // how long a call is repeated while the control plane is unavailable
	UserAgent  string
	FirstPause time.Duration // between two tries; it doubles. 0: half a second
}

// Client calls one control plane. It is safe for concurrent use.
type Client struct {
	config Config
	http   *http.Client
	tokens tokens
}

// New returns a client; it connects with the first call.
func New(config Config) (*Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if config.CAFile != "" {
		trusted, err := readCertificates(config.CAFile)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}
	}
	if config.FirstPause == 0 {
		config.FirstPause = 500 * time.Millisecond
	}
	return &Client{
		config: config,
		http: &http.Client{
			Transport: transport,
			// A token goes to the address that issued it, and to no other.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Call calls a unary RPC, named Service/Method or package.Service/Method, until it is answered or
// RetryFor has passed. Every request can be repeated: creates are found by their name or request id.
func (c *Client) Call(ctx context.Context, rpc string, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	return c.retry(ctx, func() error {
		return c.authenticated(ctx, func(token string) error { return c.post(ctx, path(rpc), token, body, answer) })
	})
}

// authenticated calls with an access token, and once more with another if that one is refused.
func (c *Client) authenticated(ctx context.Context, call func(token string) error) error {
	token, err := c.token(ctx, "")
	if err != nil {
		return err
	}
	err = call(token)
	if token != "" && HasCode(err, Unauthenticated) {
		if token, err = c.token(ctx, token); err != nil {
			return err
		}
		err = call(token)
	}
	return err
}

func (c *Client) post(ctx context.Context, path, token string, body []byte, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	request, err := c.request(ctx, path, token, "application/json", body)
	if err != nil {
		return err
	}
	status, received, err := c.exchange(request)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return parseError(status, received, c.config.Address.String())
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(received, answer); err != nil {
		return fmt.Errorf("%s answers what is not JSON: %w; check the endpoint", c.config.Address, err)
	}
	return nil
}

func (c *Client) request(ctx context.Context, path, token, kind string, body []byte) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.config.Address.String()+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("content-type", kind)
	request.Header.Set("connect-protocol-version", "1")
	request.Header.Set("user-agent", c.config.UserAgent)
	if token != "" {
		request.Header.Set("authorization", "Bearer "+token)
	}
	return request, nil
}

// exchange sends a request and reads the whole answer.
func (c *Client) exchange(request *http.Request) (int, []byte, error) {
	response, err := c.http.Do(request)
	if err != nil {
		return 0, nil, c.explain(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes+1))
	if err != nil {
		return 0, nil, c.explain(err)
	}
	if len(body) > maxAnswerBytes {
		return 0, nil, fmt.Errorf("the answer of %s is larger than %d MiB", c.config.Address, maxAnswerBytes>>20)
	}
	return response.StatusCode, body, nil
}

// explain returns an error of the network with its remedy. One that may pass is Unavailable.
func (c *Client) explain(err error) error {
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &certificate):
		return fmt.Errorf("the certificate of %s is not trusted (%w); with a private CA, set ca_file",
			c.config.Address, certificate.Err)
	case errors.As(err, &record):
		return fmt.Errorf("%s does not speak TLS on this port; check the endpoint", c.config.Address)
	default:
		return &Error{Unavailable, fmt.Sprintf("no answer from %s: %v", c.config.Address, err)}
	}
}

func path(rpc string) string {
	if strings.Contains(rpc, ".") {
		return "/" + rpc
	}
	return "/" + platform + rpc
}

func readCertificates(file string) (*x509.CertPool, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("it cannot be read: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("%s has no certificate in PEM form", file)
	}
	return pool, nil
}
