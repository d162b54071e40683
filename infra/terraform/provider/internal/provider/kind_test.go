package provider

import (
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"volary.dev/terraform-provider-volary/internal/client"
)

func TestErrorIsShownAtTheAttributeThatItNames(t *testing.T) {
	queue := newQueue().(*kind[queueModel])
	for _, each := range []struct {
		err       error
		attribute string
		detail    string
	}{
		{&client.Error{Code: "invalid_argument", Message: "pool: is not a name"}, "pool", "Is not a name."},
		{&client.Error{Code: "invalid_argument", Message: "page_token: is old"}, "", "Page_token: is old."},
		{&client.Error{Code: client.Aborted, Message: "it is at version 2, not 1"}, "",
			"It is at version 2, not 1.\n\nIt was changed since the plan was made: run terraform plan again."},
		{&client.Error{Code: client.AlreadyExists, Message: "queue gpu exists"}, "",
			"Queue gpu exists.\n\nTo manage it, import it: terraform import volary_queue.NAME <name>"},
		{createdError{errors.New("the rest failed")}, "", "The rest failed."},
	} {
		var diagnostics diag.Diagnostics
		queue.addError(&diagnostics, "create", each.err)
		if len(diagnostics) != 1 || diagnostics[0].Detail() != each.detail {
			t.Errorf("%v: %v", each.err, diagnostics)
		}
		placed, ok := diagnostics[0].(diag.DiagnosticWithPath)
		if ok != (each.attribute != "") || (ok && !placed.Path().Equal(path.Root(each.attribute))) {
			t.Errorf("%v: at %v", each.err, placed)
		}
	}
}

func TestSettingsAreTreesOfTheirKeys(t *testing.T) {
	tree := map[string]any{}
	plant(tree, "task_resource.max.memory", map[string]any{"quantityValue": "64Gi"})
	plant(tree, "task_resource.max.cpu", map[string]any{"quantityValue": "4"})
	if found := pick(tree, "task_resource.max.memory"); found["quantityValue"] != "64Gi" {
		t.Error(tree)
	}
	if pick(tree, "run.default_queue") != nil || pick(tree, "task_resource.max.gpu") != nil {
		t.Error("a key that is not there was found")
	}
}

func TestTimeStaysAsItWasWrittenIfItIsTheSameInstant(t *testing.T) {
	before := types.StringValue("2027-01-31T01:00:00+01:00")
	same, _ := time.Parse(time.RFC3339, "2027-01-31T00:00:00Z")
	if sameTime(before, same) != before {
		t.Error("the same instant is drift")
	}
	other, _ := time.Parse(time.RFC3339, "2027-01-31T00:00:01Z")
	if sameTime(before, other).ValueString() != "2027-01-31T00:00:01Z" {
		t.Error("another instant is not drift")
	}
}
