# make demo              boxes with names and ids on a real clip, in two minutes
# make demo VIDEO=my.mp4 the same on a clip of yours
# make test              ruff, mypy, the floors of the house and every test; sets itself up in .venv
# make system            Debian's packages that some tests need, as root: a browser, a display, an RTSP server
# make gpu               all that only an NVIDIA GPU can tell, in eight minutes, without installing anything; PYTHON=python3.12
# make docs              the documentation, into site/
# make soak              an hour of fuzzing, and runs killed twenty times; SECONDS=10 for each reader of foreign data
PYTHON ?= python3
VIDEO  ?=
SECONDS ?= 160
BIN    := .venv/bin
CLIP   := $(if $(VIDEO),$(VIDEO),demo/sample.mp4)

SYSTEM := chromium xvfb xdotool gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-base \
          gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly

.PHONY: demo test gpu system soak docs clean

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

test: .venv/test system
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -m "not gpu" --numprocesses 2 --dist loadfile

gpu:
	PYTHONPATH=. $(PYTHON) benchmarks/gpu.py --json gpu.json

# where they cannot be installed, the tests that need them are skipped with a reason
system:
	@if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ] && ! dpkg -s $(SYSTEM) >/dev/null 2>&1; then \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends $(SYSTEM) >/dev/null; } \
		|| echo "tests of windows, browsers and streams are skipped: $(SYSTEM) cannot be installed"; fi

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
	rm -rf demo site gpu.json .cache .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
