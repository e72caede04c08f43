# make demo              boxes with names on a real clip (made from two photographs), in a minute
# make demo VIDEO=my.mp4 the same on a clip of yours
# make test              ruff, mypy and every test; sets itself up in .venv
# make soak              an hour of fuzzing, and runs killed twenty times; SECONDS=10 for each reader of foreign data
PYTHON ?= python3
VIDEO  ?=
SECONDS ?= 160
BIN    := .venv/bin
CLIP   := $(if $(VIDEO),$(VIDEO),demo/sample.mp4)

.PHONY: demo test soak clean

demo: .venv/demo $(if $(VIDEO),,demo/sample.mp4)
	@mkdir -p demo
	$(BIN)/vision detect "$(CLIP)" -o demo/detected.mp4 --jsonl demo/detected.jsonl --sheet demo/detected.png
	@echo
	@echo "annotated video: demo/detected.mp4"
	@echo "records:         demo/detected.jsonl"
	@echo "contact sheet:   demo/detected.png"

demo/sample.mp4: | .venv/demo
	@mkdir -p demo
	$(BIN)/vision sample $@

test: .venv/test
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not gpu"

soak: .venv/test
	$(BIN)/python -m pip install --quiet --editable '.[all,dev,fuzz]'
	VISION_SOAK=$(SECONDS) VISION_KILLS=20 nice -n 19 $(BIN)/python -m pytest -m soak

.venv/demo: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[yolo]'
	@touch $@

.venv/test: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[all,dev]'
	@touch $@ .venv/demo

clean:
	rm -rf demo .mypy_cache .pytest_cache .ruff_cache
