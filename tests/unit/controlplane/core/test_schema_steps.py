"""Which releases may serve on which schemas, and which steps are safe to run."""

from controlplane.core.schema_steps import (
    DatabaseSchema,
    Replica,
    Step,
    StepKind,
    find_mismatch,
    find_unsafe_step,
    pending_steps,
    until_contract,
)

ADD = Step("0001", StepKind.EXPAND, "widgets")
FILL = Step("0002", StepKind.BACKFILL, "widgets")
INDEX = Step("0003", StepKind.EXPAND, "widgets index")
DROP = Step("0004", StepKind.CONTRACT, "gadgets", requires="0003")
STEPS = (ADD, FILL, INDEX, DROP)


def mismatch(database: DatabaseSchema) -> str:
    return find_mismatch(STEPS, database, release="1.2.3")


def test_release_serves_on_its_own_schema_and_on_one_that_lacks_contract_steps_alone() -> None:
    assert mismatch(DatabaseSchema("0004", requires="0003")) == ""
    assert mismatch(DatabaseSchema("0003")) == ""


def test_release_refuses_an_older_schema_and_names_the_first_missing_step() -> None:
    assert mismatch(DatabaseSchema("0002")) == (
        "the database has schema 0002, and this is Volary 1.2.3, schema 0004, which needs 1 more "
        "step, first 0003 (expand: widgets index): run `volary db upgrade` of this release"
    )
    assert "needs 2 more steps, first 0002" in mismatch(DatabaseSchema("0001"))
    assert "has no schema" in mismatch(DatabaseSchema(""))


def test_release_serves_on_a_newer_schema_unless_a_contract_step_requires_a_newer_release() -> None:
    assert mismatch(DatabaseSchema("0009", requires="0004", release="1.3.0")) == ""
    refused = mismatch(DatabaseSchema("0009", requires="0006", release="1.4.0"))
    assert "schema 0009 by Volary 1.4.0" in refused
    assert refused.endswith("start a release whose schema is 0006 or newer")
    assert " by Volary" not in mismatch(DatabaseSchema("0009", requires="0006"))


def test_contract_step_is_unsafe_while_a_replica_has_an_older_schema() -> None:
    old = Replica("pid 7 at 10.0.0.7", schema="0002", release="1.1.0")
    unnamed = Replica("pid 8")
    found = find_unsafe_step([DROP], [old, unnamed, Replica("pid 9", "0003", "1.2.0")])
    assert "step 0004 (contract: gadgets)" in found
    assert "pid 7 at 10.0.0.7 (Volary 1.1.0, schema 0002)" in found
    assert "pid 8 (an earlier release" in found
    assert "pid 9" not in found
    assert find_unsafe_step([DROP], [Replica("pid 9", "0003", "1.2.0")]) == ""
    assert find_unsafe_step([ADD, FILL], [old, unnamed]) == ""


def test_pending_steps_end_before_the_first_contract_step() -> None:
    assert pending_steps(STEPS, "0002") == [INDEX, DROP]
    assert until_contract(pending_steps(STEPS, "0002")) == [INDEX]
    assert until_contract([ADD, FILL]) == [ADD, FILL]
