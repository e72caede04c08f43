# The server of `vision serve`, with the weights that ship, for a CPU.
#
#   docker build -t vision --build-arg INDEX=ADDRESS .      # ADDRESS: where PyTorch's CPU build is, which saves 5 GB
#   docker run -p 8000:8000 -e VISION_TOKEN=SECRET vision
FROM python:3.12-slim-bookworm AS build
ARG INDEX=""
WORKDIR /source
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY vision vision
COPY weights weights
COPY apps apps
RUN python -m venv /opt/vision \
    && PIP_EXTRA_INDEX_URL="$INDEX" /opt/vision/bin/pip install --no-cache-dir --no-compile ".[web]"

FROM python:3.12-slim-bookworm
# what OpenCV's windows link to, though none is opened here; Debian's stable has one version of each
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 vision
COPY --from=build /opt/vision /opt/vision
USER 10001
ENV PATH=/opt/vision/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    VISION_MEASURE=no
WORKDIR /home/vision
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["vision", "serve", "--host", "0.0.0.0", "--port", "8000"]
CMD ["--free-only"]
