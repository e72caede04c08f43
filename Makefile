# make demo              boxes with names and ids on a real clip, in two minutes
# make demo VIDEO=my.mp4 the same on a clip of yours
# make test              ruff, mypy, the floors of the house and every test; sets itself up in .venv
# make docs              the documentation, into site/
# make soak              an hour of fuzzing, and runs killed twenty times; SECONDS=10 for each reader of foreign data
PYTHON ?= python3
VIDEO  ?=
SECONDS ?= 160
BIN    := .venv/bin
CLIP   := $(if $(VIDEO),$(VIDEO),demo/sample.mp4)

.PHONY: demo test soak docs clean

demo: .venv/demo $(if $(VIDEO),,demo/sample.mp4)
	@mkdir -p demo
	$(BIN)/vision track "$(CLIP)" -o demo/tracked.mp4 --jsonl demo/tracked.jsonl --sheet demo/tracked.png
	@echo
	@echo "annotated video: demo/tracked.mp4"
	@echo "records:         demo/tracked.jsonl"
	@echo "contact sheet:   demo/tracked.png"

demo/sample.mp4: | .venv/demo
	@mkdir -p demo
	$(BIN)/vision sample $@

test: .venv/test
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -m "not gpu"

soak: .venv/soak
	VISION_SOAK=$(SECONDS) VISION_KILLS=20 nice -n 19 $(BIN)/python -m pytest -m soak

docs: .venv/docs
	PYTHONPATH=docs $(BIN)/zensical build --clean --strict

# each stamp names the extras that `.venv` has got
.venv/demo: EXTRAS = demo
.venv/test: EXTRAS = all,dev,docs
.venv/docs: EXTRAS = dev,docs
.venv/soak: EXTRAS = all,dev,docs,fuzz
.venv/%: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRAS)]'
	@touch $@

clean:
	rm -rf demo site .cache .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
