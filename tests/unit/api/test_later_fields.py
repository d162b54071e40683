"""Fields of later releases of flyteidl2 are written by number, and kept where clients send them."""

from flyteidl2.core.tasks_pb2 import TaskTemplate
from flyteidl2.dataproxy.dataproxy_service_pb2 import CreateUploadLocationRequest
from flyteidl2.task.task_definition_pb2 import TaskSpec
from flyteidl2.workflow.run_definition_pb2 import TaskActionMetadata
from google.protobuf.unknown_fields import UnknownFieldSet

from controlplane.api.convert.data import parse_upload
from controlplane.api.convert.later_fields import set_later_text
from controlplane.api.convert.specs import parse_task_spec
from controlplane.api.validation import validate

_LATER = b"\xa2\x06\x05later"  # field 100, a string


def test_later_field_is_written_where_a_later_release_reads_it() -> None:
    for value in ("gpus", "q" * 300):
        metadata = TaskActionMetadata(short_name="main")

        set_later_text(metadata, 4, value)

        again = TaskActionMetadata.FromString(metadata.SerializeToString())
        assert again.short_name == "main"
        if "queue" in TaskActionMetadata.DESCRIPTOR.fields_by_name:
            assert again.queue == value
        else:
            fields = UnknownFieldSet(again)
            assert len(fields) == 1
            assert (fields[0].field_number, fields[0].data) == (4, value.encode())


def test_later_field_without_a_value_is_not_written() -> None:
    metadata = TaskActionMetadata()
    set_later_text(metadata, 4, "")
    assert not metadata.SerializeToString()


def test_spec_keeps_fields_that_this_release_does_not_know() -> None:
    sent = TaskSpec(short_name="main")
    sent.task_template.id.name = "env.main"
    sent.task_template.container.image = "image"
    sent.task_template.MergeFrom(TaskTemplate.FromString(_LATER))

    validate(sent)
    spec, _ = parse_task_spec(sent)

    assert b"later" in spec.body
    assert TaskSpec.FromString(spec.body) == sent


def test_request_with_a_later_field_is_read_without_it() -> None:
    request = CreateUploadLocationRequest(project="p", domain="d", content_md5=b"0" * 16)
    later = CreateUploadLocationRequest.FromString(request.SerializeToString() + _LATER)

    validate(later)

    assert parse_upload(later) == parse_upload(request)
