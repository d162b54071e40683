package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// Codes of errors that callers distinguish.
const (
	Aborted         = "aborted"
	AlreadyExists   = "already_exists"
	NotFound        = "not_found"
	Unauthenticated = "unauthenticated"
	Unavailable     = "unavailable"
)

// Error is an error that the control plane answered.
type Error struct {
	Code    string
	Message string
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Message) }

// HasCode returns whether the control plane answered with this code.
func HasCode(err error, code string) bool {
	var answered *Error
	return errors.As(err, &answered) && answered.Code == code
}

// parseError returns the error of an answer that is not 200.
func parseError(status int, body []byte, address string) *Error {
	var answered struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &answered) == nil && answered.Code != "" {
		return &Error{answered.Code, answered.Message}
	}
	if status >= http.StatusInternalServerError || status == http.StatusTooManyRequests {
		return &Error{Unavailable, fmt.Sprintf("%s answers with status %d", address, status)}
	}
	return &Error{"unknown", fmt.Sprintf(
		"%s answers with status %d, and not as a control plane does; check the endpoint", address, status)}
}
