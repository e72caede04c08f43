"""The document of the paths, and a fuzzer that reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from serving import Running, running

from vision.card import Card
from vision.serve.asked import described, remote_fields
from vision.serve.limits import Limits
from vision.serve.openapi import page
from vision.serve.service import Service
from vision.spec import options
from vision.steps import tasks

schemathesis = pytest.importorskip("schemathesis", reason="needs the extra 'dev'")
from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402
from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

schemathesis.serializer.alias(["image/webp", "video/mp4", "video/webm"], "application/octet-stream")
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large, HealthCheck.large_base_example]


def test_no_option_that_a_request_may_set_names_a_file() -> None:
    for name, row in tasks().items():
        for field in options(row.spec):
            if field.option.remote:
                local = {Path, Card} & {field.hint, *get_args(field.hint)}
                assert not local, f"{name}.{field.name} may be a path, and is marked remote"
        known = {field.name for field in remote_fields(row.spec)}
        assert not known & {"model", "stored", "detector", "looks", "scene", "background", "key", "every", "on", "weak"}


def test_tasks_are_described_for_a_form() -> None:
    for name in tasks():
        told = described(name, {})
        assert told["help"]
        for option in told["options"]:
            assert option["help"]
            assert option["type"] in ("string", "number", "integer", "boolean", "array")
            json.dumps(option)


def test_the_page_has_every_path_and_no_script(server: Running) -> None:
    with server.client() as client:
        document = client.get("/openapi.json").json()
        shown = client.get("/docs")
        assert client.get("/", follow_redirects=True).text == shown.text
    assert shown.headers["content-type"].startswith("text/html")
    for path in document["paths"]:
        assert f"<code>{path}</code>" in shown.text
    assert "<script" not in shown.text
    assert "http://" not in shown.text
    assert "https://" not in shown.text
    odd = {"info": {"title": "<b>", "version": "1"}, "paths": {"/<i>": {"get": {"summary": "<u>", "responses": {}}}}}
    assert not {"<b>1", "<i>", "<u>"} & set(page(odd).split())


def fuzz(server: Running, examples: int) -> None:
    schema: Any = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    for found in schema.get_all_operations():

        @settings(max_examples=examples, deadline=None, suppress_health_check=SLOW, database=None, derandomize=True,
                  phases=[Phase.generate])
        @given(case=found.ok().as_strategy())
        def one(case: Any) -> None:
            case.validate_response(case.call(headers={"host": f"127.0.0.1:{server.port}"}), checks=CHECKS)

        one()


def test_schemathesis_finds_nothing(server: Running) -> None:
    fuzz(server, 2)


@pytest.mark.slow
def test_schemathesis_finds_nothing_in_a_longer_time(server: Running) -> None:
    fuzz(server, 60)


@pytest.mark.slow
def test_schemathesis_finds_nothing_in_what_a_visitor_draws_and_names() -> None:
    with running(Service(["count", "follow", "identify"], limits=Limits(timeout=5, max_rate=10_000))) as server:
        fuzz(server, 15)
