// Package client calls a control plane's APIs: Connect's protocol with JSON bodies
// (docs/platform-api.md), authenticated by an API key.
package client

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// ParseAddress parses https://host[:port], or host[:port]. Plain HTTP is for loopback only.
func ParseAddress(text string) (*url.URL, error) {
	given := strings.TrimSpace(text)
	if !strings.Contains(given, "://") {
		given = "https://" + given
	}
	parsed, err := url.Parse(given)
	if err != nil || parsed.Hostname() == "" {
		return nil, fmt.Errorf("%q is not an address; write https://volary.example.com", text)
	}
	if parsed.Scheme != "https" && parsed.Scheme != "http" {
		return nil, fmt.Errorf("%q is not an address; write https://volary.example.com", text)
	}
	if parsed.User != nil {
		return nil, fmt.Errorf("the address of %s has a user or password; set api_key", parsed.Hostname())
	}
	if strings.Trim(parsed.Path, "/") != "" || parsed.RawQuery != "" || parsed.Fragment != "" {
		return nil, fmt.Errorf("%q has a path; write the address only, as in https://%s", text, parsed.Host)
	}
	if parsed.Scheme == "http" && !isLoopback(parsed.Hostname()) {
		return nil, fmt.Errorf("%s is not encrypted, so that a key would be readable on its way; "+
			"use https://%s. http:// is for this machine (localhost) only", text, parsed.Host)
	}
	parsed.Path = ""
	return parsed, nil
}

func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	address := net.ParseIP(host)
	return address != nil && address.IsLoopback()
}
