package client

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// serve returns a client of a server with logins; handle answers calls of the API.
func serve(t *testing.T, retryFor time.Duration, handle http.HandlerFunc) *Client {
	t.Helper()
	issued := 0
	mux := http.NewServeMux()
	mux.HandleFunc("POST /oauth2/token", func(w http.ResponseWriter, r *http.Request) {
		if id, secret, _ := r.BasicAuth(); id != "id" || secret != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error": "invalid_client", "error_description": "it has expired"}`)
			return
		}
		issued++
		fmt.Fprintf(w, `{"access_token": "token-%d", "expires_in": 3600}`, issued)
	})
	mux.HandleFunc("POST /volary.platform.v1.OrgService/GetOrg", handle)
	server := httptest.NewTLSServer(mux)
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	address, err := ParseAddress(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	client, err := New(Config{
		Address: address, Key: &Key{ID: "id", Secret: "secret"}, CAFile: file,
		RetryFor: retryFor, FirstPause: 2 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func getOrg(client *Client) (string, error) {
	var answer struct{ Org struct{ Name string } }
	err := client.Call(context.Background(), "OrgService/GetOrg", struct{}{}, &answer)
	return answer.Org.Name, err
}

func TestCallIsRepeatedWhileTheControlPlaneIsUnavailable(t *testing.T) {
	calls := 0
	client := serve(t, time.Minute, func(w http.ResponseWriter, _ *http.Request) {
		calls++
		switch calls {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"code": "unavailable", "message": "the database restarts"}`)
		case 2:
			w.WriteHeader(http.StatusBadGateway) // of a proxy
		default:
			fmt.Fprint(w, `{"org": {"name": "acme"}}`)
		}
	})
	name, err := getOrg(client)
	if name != "acme" || err != nil || calls != 3 {
		t.Fatalf("%q, %v after %d calls", name, err, calls)
	}
}

func TestCallEndsWithTheLastErrorWhenTheTimeoutHasPassed(t *testing.T) {
	client := serve(t, 0, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, `{"code": "unavailable", "message": "the database restarts"}`)
	})
	_, err := getOrg(client)
	if !HasCode(err, Unavailable) || !strings.Contains(err.Error(), "retry_timeout") {
		t.Fatal(err)
	}
}

func TestOtherErrorIsNotRepeated(t *testing.T) {
	calls := 0
	client := serve(t, time.Minute, func(w http.ResponseWriter, _ *http.Request) {
		calls++
		w.WriteHeader(http.StatusConflict)
		fmt.Fprint(w, `{"code": "aborted", "message": "it is at version 2, not 1"}`)
	})
	if _, err := getOrg(client); !HasCode(err, Aborted) || calls != 1 {
		t.Fatalf("%v after %d calls", err, calls)
	}
}

func TestRefusedTokenIsReplacedOnce(t *testing.T) {
	var seen []string
	client := serve(t, time.Minute, func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("authorization"))
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"code": "unauthenticated", "message": "the token has ended"}`)
	})
	_, err := getOrg(client)
	if !HasCode(err, Unauthenticated) || strings.Join(seen, " ") != "Bearer token-1 Bearer token-2" {
		t.Fatal(err, seen)
	}
}

func TestRefusedKeyIsNamedWithoutItsSecret(t *testing.T) {
	client := serve(t, time.Minute, func(http.ResponseWriter, *http.Request) { t.Error("a call without a token") })
	client.config.Key.Secret = "wrong-secret"
	_, err := getOrg(client)
	if !HasCode(err, Unauthenticated) || !strings.Contains(err.Error(), "the API key id is not accepted (it has expired)") ||
		strings.Contains(err.Error(), "wrong-secret") {
		t.Fatal(err)
	}
}

func TestCancelledCallEndsAtOnce(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	client := serve(t, time.Hour, func(w http.ResponseWriter, _ *http.Request) {
		cancel()
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	err := client.Call(ctx, "OrgService/GetOrg", struct{}{}, nil)
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestUntrustedCertificateIsNotRetried(t *testing.T) {
	client := serve(t, time.Hour, func(http.ResponseWriter, *http.Request) {})
	client.config.CAFile = ""
	untrusting, _ := New(client.config)
	_, err := getOrg(untrusting)
	if err == nil || !strings.Contains(err.Error(), "set ca_file") {
		t.Fatal(err)
	}
}

func TestAddressIsEncryptedUnlessItIsThisMachine(t *testing.T) {
	for given, expected := range map[string]string{
		"volary.example.com":        "https://volary.example.com",
		"https://volary.example/":   "https://volary.example",
		"http://localhost:8080":     "http://localhost:8080",
		"http://[::1]:8080":         "http://[::1]:8080",
		"volary.example.com:8443":   "https://volary.example.com:8443",
		"http://volary.example.com": "",
		"https://a:b@volary.dev":    "",
		"https://volary.dev/api":    "",
		"ftp://volary.dev":          "",
		"":                          "",
	} {
		address, err := ParseAddress(given)
		if (err != nil) != (expected == "") || (err == nil && address.String() != expected) {
			t.Errorf("%q: %v, %v", given, address, err)
		}
	}
}

func TestKeyIsOfOneControlPlaneAndOrg(t *testing.T) {
	text := base64.StdEncoding.EncodeToString([]byte("volary.example.com:8443:id:secret:acme"))
	key, err := ParseKey(text)
	if err != nil || *key != (Key{"volary.example.com:8443", "id", "secret", "acme"}) {
		t.Fatal(key, err)
	}
	own, _ := ParseAddress("volary.example.com")
	other, _ := ParseAddress("other.example.com")
	if key.Check(own, "") != nil || key.Check(own, "acme") != nil {
		t.Error("a key of this control plane is refused")
	}
	if key.Check(other, "") == nil || key.Check(own, "globex") == nil {
		t.Error("a key of another control plane or org is taken")
	}
	for _, bad := range []string{"", "nonsense", base64.StdEncoding.EncodeToString([]byte("a:b"))} {
		if _, err := ParseKey(bad); err == nil || (bad != "" && strings.Contains(err.Error(), bad)) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
