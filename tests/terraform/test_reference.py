"""The page of the provider's arguments agrees with the provider."""

import json

from scripts.terraform_reference import CONFIGURATION, PAGE, terraform_page
from tests.terraform.cli import Terraform


def test_reference_of_the_provider_agrees_with_its_schema(terraform: Terraform) -> None:
    terraform.write(CONFIGURATION)
    shown = terraform.run("providers", "schema", "-json")[1]
    # Terraform's warning of the override follows the document.
    schemas, _ = json.JSONDecoder().raw_decode(shown)
    assert terraform_page(schemas) == PAGE.read_text(), "run python -m scripts.terraform_reference"
