"""What the service answers to what its own OpenAPI description allows, and to what it does not."""

import asyncio
import socket
import threading
from contextlib import suppress

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from motions import standing
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)
from test_engine import TOY

from duomotion.serving import engine, server, worker

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


class Worker:
    """In place of the process that holds the models: jobs are done at once."""

    at_once = worker.AT_ONCE

    def __init__(self, deliver):
        self.deliver = deliver
        deliver(self, worker.Ready((TOY,)))

    def send(self, message):
        if isinstance(message, worker.Start):
            self.deliver(self, worker.Progressed(message.job, 0.5))
            clips = tuple(standing(frames=20) for _ in message.tasks)
            self.deliver(self, worker.Finished(message.job, clips))

    def stop(self):
        pass


@pytest.fixture(scope="module")
def schema():
    """Of a server in a thread, which ends with the tests."""
    ready = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        service = server.start(engine.Engine(Worker), listener, None, ready.set)
        threading.Thread(target=asyncio.run, args=(service,), daemon=True).start()
        assert ready.wait(60)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        yield schemathesis.openapi.from_url(f"{url}/openapi.json")


@pytest.mark.parametrize("mode", GenerationMode)
def test_answers_are_as_described(schema, mode):
    operations = [each.ok() for each in schema.get_all_operations()]
    assert len(operations) > 10
    for operation in operations:

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=5,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def ask(case):
            case.call_and_validate(checks=CHECKS)

        with suppress(Unsatisfiable):  # nothing can be wrong where nothing is sent
            ask()
