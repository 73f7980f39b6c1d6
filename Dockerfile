# The image of every role: `astra serve <role>`, and `astra migrate`. Built from a clean checkout:
#   docker build --tag registry.example/astra:0.0.1 .

FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /source
# The dependencies first: they change less often than the code.
COPY requirements.lock ./
RUN python -m venv /opt/astra \
 && /opt/astra/bin/pip install --require-hashes --requirement requirements.lock
COPY . .
RUN python -m venv /opt/build \
 && /opt/build/bin/pip install 'setuptools>=80' \
 && /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /opt/astra/bin/pip install --no-deps --no-index /wheels/*.whl

FROM python:3.11-slim-bookworm
# git reads the repositories; certificates are for git, which does not use Python's.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates git \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin astra \
 && install -d -o 10001 -g 10001 /workspace
COPY --from=build /opt/astra /opt/astra
ENV PATH=/opt/astra/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# A folder without a .env, so that the environment alone configures it.
WORKDIR /tmp
USER 10001:10001
ENTRYPOINT ["astra"]
