"""What every record must be: the schema that ships, compiled once (`jsonschema.validate` does so at each call)."""

from __future__ import annotations

import json
from pathlib import Path

from jsonschema import Draft202012Validator

import vision

SCHEMA = json.loads((Path(vision.__file__).parent / "record.schema.json").read_text(encoding="utf-8"))
check_record = Draft202012Validator(SCHEMA).validate                 # raises jsonschema's ValidationError
