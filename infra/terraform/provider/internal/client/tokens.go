package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// A token is replaced this long before it expires, so that it does not on its way.
const early = 20 * time.Second

type tokens struct {
	mutex   sync.Mutex
	current string
	expires time.Time
}

// token returns an access token, another one than refused; "" if calls are anonymous.
func (c *Client) token(ctx context.Context, refused string) (string, error) {
	if c.config.Key == nil {
		return "", nil
	}
	c.tokens.mutex.Lock()
	defer c.tokens.mutex.Unlock()
	held := &c.tokens
	if held.current != "" && held.current != refused && time.Now().Before(held.expires) {
		return held.current, nil
	}
	token, lifetime, err := c.exchangeKey(ctx)
	if err != nil {
		return "", err
	}
	held.current, held.expires = token, time.Now().Add(lifetime-early)
	return token, nil
}

// exchangeKey exchanges the API key for an access token (RFC 6749, 4.4).
func (c *Client) exchangeKey(ctx context.Context) (string, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	form := strings.NewReader("grant_type=client_credentials")
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.config.Address.String()+"/oauth2/token", form)
	if err != nil {
		return "", 0, err
	}
	request.Header.Set("content-type", "application/x-www-form-urlencoded")
	request.Header.Set("user-agent", c.config.UserAgent)
	request.SetBasicAuth(url.QueryEscape(c.config.Key.ID), url.QueryEscape(c.config.Key.Secret))
	status, body, err := c.exchange(request)
	if err != nil {
		return "", 0, err
	}
	var answered struct {
		Token       string `json:"access_token"`
		Seconds     int    `json:"expires_in"`
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(body, &answered) != nil {
		return "", 0, parseError(status, body, c.config.Address.String())
	}
	switch {
	case status == http.StatusOK && answered.Token != "":
		return answered.Token, time.Duration(answered.Seconds) * time.Second, nil
	case answered.Code == "temporarily_unavailable" || answered.Code == "slow_down":
		return "", 0, &Error{Unavailable, answered.Description}
	case status == http.StatusNotFound:
		return "", 0, fmt.Errorf("%s has no logins, or is not a control plane; remove api_key, or check the endpoint",
			c.config.Address)
	case answered.Code != "":
		return "", 0, &Error{Unauthenticated, fmt.Sprintf("the API key %s is not accepted (%s)",
			c.config.Key.ID, answered.Description)}
	default:
		return "", 0, parseError(status, body, c.config.Address.String())
	}
}
