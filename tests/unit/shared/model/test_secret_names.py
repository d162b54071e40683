from shared.model.ids import OrgName
from shared.model.secrets import SecretName, list_candidates


def test_secret_candidates_go_from_narrow_to_wide_scope() -> None:
    asked = SecretName(org=OrgName("acme"), project="shop", domain="staging", name="key")

    assert [str(each) for each in list_candidates(asked)] == [
        "key of project shop, domain staging",
        "key of domain staging",
        "key of the org",
    ]
