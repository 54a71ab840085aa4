"""What the service answers to what its own OpenAPI description allows, and to what it does not."""

import pytest
import schemathesis
import service
import tiny
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


@pytest.fixture(scope="module")
def schema(cache, tmp_path_factory):
    folder = tmp_path_factory.mktemp("schema")
    model = tiny.checkpoint(folder / "tiny")
    with service.running(folder, "--model", str(model), "--queue", "4") as served:
        yield schemathesis.openapi.from_url(f"{served.url}/openapi.json")


lazy = schemathesis.pytest.from_fixture("schema")


@lazy.parametrize()
@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_answers_are_as_described(case):
    if "wait" in (case.query or {}):
        case.query["wait"] = "false"  # the model is asked no more than it can be
    case.call_and_validate(checks=CHECKS)
