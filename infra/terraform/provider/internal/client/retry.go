package client

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

const longestPause = 10 * time.Second

// retry repeats a call while the control plane is unavailable, until RetryFor has passed.
func (c *Client) retry(ctx context.Context, call func() error) error {
	until := time.Now().Add(c.config.RetryFor)
	for pause := c.config.FirstPause; ; pause = min(2*pause, longestPause) {
		err := call()
		if !HasCode(err, Unavailable) {
			return err
		}
		if time.Now().Add(pause).After(until) {
			return fmt.Errorf("%w; it was tried for %s (retry_timeout)", err, c.config.RetryFor)
		}
		timer := time.NewTimer(pause/2 + rand.N(pause/2))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}
