# syntax=docker/dockerfile:1
# MusicLSTM in a container: docker build -t musiclstm . && docker run --env-file .env -v musiclstm:/app/var musiclstm

# The wheels are installed in a stage of their own, so that pip and its cache stay behind.
FROM python:3.11-slim-bookworm AS packages
WORKDIR /app
COPY requirements.txt .
# On a machine without an NVIDIA GPU, pass PyTorch's CPU index (see the README) to save several gigabytes.
ARG PIP_EXTRA_INDEX_URL=""
RUN python -m venv .venv \
    && PIP_EXTRA_INDEX_URL="$PIP_EXTRA_INDEX_URL" .venv/bin/pip install --no-cache-dir -r requirements.txt \
    && cp requirements.txt .venv/installed-requirements.txt

FROM python:3.11-slim-bookworm
RUN apt-get update \
    && apt-get install -y --no-install-recommends fluidsynth fluidr3mono-gm-soundfont gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --create-home --uid 10001 musiclstm
WORKDIR /app
COPY --from=packages /app/.venv .venv
COPY run pyproject.toml requirements.txt README.md LICENSE ./
COPY data data
COPY engine engine
COPY trainer trainer
COPY bot bot
# Only var/ is written: the database, the pieces, retrained checkpoints.
RUN install -d -o musiclstm -g musiclstm var out
USER musiclstm
# The sound bank and the compiled note step are made at the first start and kept in the volume.
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 XDG_CACHE_HOME=/app/var/cache
VOLUME /app/var
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["./run", "health"]
ENTRYPOINT ["./run"]
CMD ["bot"]
