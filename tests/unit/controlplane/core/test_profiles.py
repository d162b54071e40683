"""Subjects that may have a profile."""

from uuid import UUID

from controlplane.core.profiles import SERVICE_ACCOUNT, USER, list_ids, subject_of

ONE, TWO = UUID(int=1), UUID(int=2)


def test_profiles_are_of_users_and_service_accounts_with_valid_ids() -> None:
    subjects = [
        subject_of(USER, TWO),
        subject_of(USER, ONE),
        subject_of(USER, ONE),
        subject_of(SERVICE_ACCOUNT, TWO),
        "anonymous",
        "user:not-an-id",
        "operator:root",
    ]

    assert list_ids(subjects, USER) == [ONE, TWO]
    assert list_ids(subjects, SERVICE_ACCOUNT) == [TWO]
