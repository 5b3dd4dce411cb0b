# For KubeRay and any other place that starts containers: Python, the locked packages, peoria. About 7 GB, for torch brings CUDA's libraries.
# The build asks the package index that its machine is set to, and no other: --build-arg or a pip.conf of the machine.
FROM python:3.12-slim-bookworm

# What peoria and `ray up`, `ray attach` call: nothing of them is in the slim image.
# The archive keeps one version of each, so none is pinned.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates openssh-client procps rsync tini wget \
 && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home --uid 1000 --shell /bin/bash ray && install --directory --owner ray --group ray /opt/venv /cache /work

USER 1000:1000
ENV PATH=/opt/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 \
    PEORIA_CACHE=/cache RAY_USAGE_STATS_ENABLED=0
WORKDIR /work

RUN python -m venv /opt/venv
# The packages are a layer of their own: a change of the code leaves it as it is.
COPY --chown=ray:ray requirements.lock /work/
RUN python -m pip install --require-hashes --requirement requirements.lock

COPY --chown=ray:ray pyproject.toml README.md LICENSE /work/
COPY --chown=ray:ray peoria /work/peoria
COPY --chown=ray:ray shards /work/shards
RUN python -m pip install --no-deps --no-build-isolation . && rm -rf build ./*.egg-info peoria shards
COPY --chown=ray:ray sweeps /work/sweeps

ENTRYPOINT ["tini", "--"]
CMD ["peoria", "--help"]
