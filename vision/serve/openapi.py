"""What `/openapi.json` says of the tasks, and a page of it without a script."""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING, Any

from vision.serve.answers import STATUSES
from vision.serve.asked import described, schema

if TYPE_CHECKING:
    from vision.serve.service import Service

ERROR = {
    "type": "object", "required": ["error", "code"],
    "properties": {
        "error": {"type": "string", "description": "one line: what was expected, what came, what to do"},
        "code": {"type": "string"}, "ahead": {"type": "integer", "description": "how much waits, when busy"},
    },
}
JOB = {
    "type": "object", "required": ["id", "state", "frames"],
    "properties": {
        "id": {"type": "string"}, "state": {"enum": ["waiting", "running", "done", "failed", "stopped"]},
        "tasks": {"type": "array", "items": {"type": "string"}}, "source": {"type": "string"},
        "frames": {"type": "integer", "description": "done so far"},
        "of": {"type": ["integer", "null"], "description": "frames of the video, by its container's word"},
        "fps": {"type": "number"}, "error": {"type": ["string", "null"]},
        "records": {"type": "string", "description": "where its records are"},
        "report": {"type": ["object", "null"], "description": "what became of every frame, at the end"},
    },
}
_RESULT = {
    "oneOf": [
        {"type": "object", "required": ["record"], "properties": {"record": {
            "type": "object", "required": ["schema", "kind", "source", "frame", "time_s", "size"],
            "description": "as the command line writes it: vision/record.schema.json"}}},
        ERROR,
    ],
}
RESULTS = {
    "type": "object", "required": ["results", "server_ms"],
    "properties": {"results": {"type": "array", "items": _RESULT}, "server_ms": {"type": "number"}},
}
_BINARY = {"type": "string", "format": "binary"}


def content(body: dict[str, Any], description: str) -> dict[str, Any]:
    """A response of JSON."""
    return {"description": description, "content": {"application/json": {"schema": body}}}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors that every path may answer with, and these."""
    return {status: content(ERROR, STATUSES[status]) for status in sorted({401, 403, 421, 429, *statuses})}


def described_operation(name: str, service: Service) -> dict[str, Any]:
    """What the path of a task takes and answers, for `add_api_route`."""
    options = schema(name, service.models)
    task = described(name, service.models)
    form = {"type": "object", "properties": {
        "picture": {"type": "array", "items": _BINARY}, "video": _BINARY, "options": options,
        "rate": {"type": "number"}}}
    bodies: dict[str, Any] = {kind: {"schema": _BINARY} for kind in
                              ("image/jpeg", "image/png", "image/webp", "video/mp4", "video/webm")}
    query = [
        {"name": "options", "in": "query", "required": False, "description": "the task's options",
         "content": {"application/json": {"schema": options}}},
        {"name": "rate", "in": "query", "required": False,
         "description": "pictures a second, for tasks that need their times",
         "schema": {"type": "number", "minimum": 0.001, "maximum": 1000, "default": 25}},
    ]
    return {
        "summary": task["help"],
        "description": "One picture as the body, several as the parts of a form, or a video, which becomes a job.",
        "openapi_extra": {
            "parameters": query,
            "requestBody": {"required": True, "content": {
                **bodies, "multipart/form-data": {"schema": form, "encoding": {"options": {
                    "contentType": "application/json"}}}}},
        },
        "responses": {
            200: content(RESULTS, "a record for each picture, or what is wrong with it"),
            202: content(JOB, "the video waits or is under way"),
            **refusals(400, 408, 413, 415, 422, 500, 503),
        },
    }


def page(document: dict[str, Any]) -> str:
    """The document as a page."""
    parts = [f"<h1>{_text(document['info']['title'])} {_text(document['info']['version'])}</h1>"
             '<p>The same for programs: <a href="openapi.json">openapi.json</a>.</p>']
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts.append(_operation(path, method, operation))
    return framed("vision: what the server answers", "\n".join(parts))


def framed(title: str, body: str) -> str:
    """A page of the server's own: no script, no asset of another host."""
    return (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{_text(title)}</title>'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<link rel="stylesheet" href="/own.css"></head><body><main>{body}</main></body></html>')


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    rows = []
    for parameter in operation.get("parameters", []):
        held = parameter.get("content", {}).get("application/json", parameter).get("schema", {})
        rows.append((f"{parameter['name']} ({parameter['in']})", parameter.get("description", ""), held))
    for kind, body in operation.get("requestBody", {}).get("content", {}).items():
        rows.append((kind, "body", body.get("schema", {})))
    answers = "".join(f"<li><b>{status}</b> {_text(one.get('description', ''))}</li>"
                      for status, one in operation.get("responses", {}).items())
    table = "".join(f"<tr><th>{_text(name)}</th><td>{_text(what)}</td><td>{_schema(held)}</td></tr>"
                    for name, what, held in rows)
    text = f"<p>{_text(operation['description'])}</p>" if operation.get("description") else ""
    return (f"<details><summary><b>{method.upper()}</b> <code>{_text(path)}</code> "
            f"{_text(operation.get('summary', ''))}</summary>{text}<table>{table}</table><ul>{answers}</ul></details>")


def _schema(held: dict[str, Any]) -> str:
    return f"<pre>{_text(json.dumps(held, indent=1))}</pre>" if held else ""


def _text(text: Any) -> str:
    return html.escape(str(text))
