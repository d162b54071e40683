package client

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

const endOfStream = 2 // flag of an envelope (Connect)

// Stream calls an RPC that answers with a stream of messages, and decodes each into what next
// returns. It ends with the stream; one that breaks is opened again, as for Call.
func (c *Client) Stream(ctx context.Context, rpc string, request any, next func() any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	envelope := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body)))
	envelope = append(envelope, body...)
	for {
		received := false
		err := c.retry(ctx, func() error {
			return c.authenticated(ctx, func(token string) error {
				return c.receive(ctx, path(rpc), token, envelope, func() any { received = true; return next() })
			})
		})
		// A stream ends with its access token: it goes on with another.
		if !received || !HasCode(err, Unauthenticated) {
			return err
		}
	}
}

func (c *Client) receive(ctx context.Context, path, token string, envelope []byte, next func() any) error {
	request, err := c.request(ctx, path, token, "application/connect+json", envelope)
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return c.explain(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
		return parseError(response.StatusCode, body, c.config.Address.String())
	}
	for {
		flags, message, err := c.readEnvelope(response.Body)
		if err != nil {
			return err
		}
		if flags&endOfStream != 0 {
			var end struct{ Error *Error }
			if err := json.Unmarshal(message, &end); err != nil {
				return fmt.Errorf("%s ends a stream with what is not JSON: %w", c.config.Address, err)
			}
			if end.Error != nil {
				return end.Error
			}
			return nil
		}
		if err := json.Unmarshal(message, next()); err != nil {
			return fmt.Errorf("%s sends what is not JSON: %w", c.config.Address, err)
		}
	}
}

func (c *Client) readEnvelope(stream io.Reader) (byte, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(stream, head[:]); err != nil {
		return 0, nil, c.explain(err)
	}
	length := binary.BigEndian.Uint32(head[1:])
	if length > maxAnswerBytes {
		return 0, nil, fmt.Errorf("a message of %s is larger than %d MiB", c.config.Address, maxAnswerBytes>>20)
	}
	message := make([]byte, length)
	if _, err := io.ReadFull(stream, message); err != nil {
		return 0, nil, c.explain(err)
	}
	return head[0], message, nil
}
