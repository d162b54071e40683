package client

import (
	"context"
	"encoding/binary"
	"net/http"
	"strings"
	"testing"
	"time"
)

func send(w http.ResponseWriter, flags byte, message string) {
	w.Write(append(binary.BigEndian.AppendUint32([]byte{flags}, uint32(len(message))), message...))
}

// watch returns the numbers that a stream sent.
func watch(client *Client) ([]int, error) {
	var seen []int
	var message struct{ Number int }
	err := client.Stream(context.Background(), "OrgService/GetOrg", struct{}{}, func() any {
		if message.Number != 0 {
			seen = append(seen, message.Number)
		}
		message.Number = 0
		return &message
	})
	if message.Number != 0 {
		seen = append(seen, message.Number)
	}
	return seen, err
}

func TestStreamIsReadToItsEnd(t *testing.T) {
	client := serve(t, 0, func(w http.ResponseWriter, _ *http.Request) {
		send(w, 0, `{"number": 1}`)
		send(w, 0, `{"number": 2}`)
		send(w, endOfStream, `{}`)
	})
	seen, err := watch(client)
	if err != nil || len(seen) != 2 || seen[1] != 2 {
		t.Fatal(seen, err)
	}
}

func TestStreamGoesOnWithAnotherTokenWhenItsOwnExpires(t *testing.T) {
	var tokens []string
	client := serve(t, time.Minute, func(w http.ResponseWriter, r *http.Request) {
		tokens = append(tokens, r.Header.Get("authorization"))
		send(w, 0, `{"number": 1}`)
		if len(tokens) < 4 {
			send(w, endOfStream, `{"error": {"code": "unauthenticated", "message": "the token has expired"}}`)
		} else {
			send(w, endOfStream, `{}`)
		}
	})
	seen, err := watch(client)
	if err != nil || len(seen) != 4 || tokens[0] == tokens[1] {
		t.Fatal(seen, err, tokens)
	}
}

func TestStreamThatBreaksIsOpenedAgain(t *testing.T) {
	calls := 0
	client := serve(t, time.Minute, func(w http.ResponseWriter, _ *http.Request) {
		calls++
		send(w, 0, `{"number": 1}`)
		if calls > 1 {
			send(w, endOfStream, `{}`)
		}
	})
	if seen, err := watch(client); err != nil || len(seen) != 2 {
		t.Fatal(seen, err)
	}
}

func TestStreamThatIsRefusedSaysWhy(t *testing.T) {
	client := serve(t, time.Minute, func(w http.ResponseWriter, _ *http.Request) {
		send(w, endOfStream, `{"error": {"code": "aborted", "message": "it is not being drained"}}`)
	})
	if _, err := watch(client); !HasCode(err, Aborted) || !strings.Contains(err.Error(), "not being drained") {
		t.Fatal(err)
	}
}
