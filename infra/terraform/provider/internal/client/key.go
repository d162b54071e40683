package client

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Key is an API key of a service account, in the SDK's form.
type Key struct {
	Host   string // host[:port] of the control plane
	ID     string
	Secret string
	Org    string
}

// ParseKey parses base64 of host:client_id:secret:org. Its error does not show the key.
func ParseKey(text string) (*Key, error) {
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	parts := strings.Split(string(decoded), ":")
	if err != nil || len(parts) < 4 {
		return nil, errors.New("it is not in the form that `volary apikey create` prints")
	}
	last := len(parts)
	key := Key{
		Host:   strings.Join(parts[:last-3], ":"),
		ID:     parts[last-3],
		Secret: parts[last-2],
		Org:    parts[last-1],
	}
	if key.Host == "" || key.ID == "" || key.Secret == "" {
		return nil, errors.New("it is not in the form that `volary apikey create` prints")
	}
	if key.Org == "None" {
		key.Org = ""
	}
	return &key, nil
}

// Check returns an error unless the key is for the control plane and org; org may be empty.
func (k *Key) Check(address *url.URL, org string) error {
	own, err := ParseAddress(k.Host)
	if err != nil {
		return fmt.Errorf("its address is not valid: %w", err)
	}
	if own.Hostname() != address.Hostname() {
		return fmt.Errorf("it is for %s, and is not sent to %s; correct one of the two", k.Host, address.Host)
	}
	if org != "" && k.Org != "" && org != k.Org {
		return fmt.Errorf("it is for the org %s, not %s; correct one of the two", k.Org, org)
	}
	return nil
}
