# Lithoscope in a container: `docker build --tag lithoscope .`, then see docs/operations.md.
#
# It runs without root and writes to /var/lib/lithoscope alone, so the root file system may be read-only. Listening where
# other machines reach it, it does not start until it has keys (LITHOSCOPE_KEYS) or is told LITHOSCOPE_INSECURE=true.

ARG PYTHON=3.11
FROM python:${PYTHON}-slim AS build
WORKDIR /src
# The pins bind what builds the package too.
ENV PIP_CONSTRAINT=/src/constraints.txt PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY constraints.txt ./
RUN python -m venv /opt/lithoscope
COPY pyproject.toml README.md LICENSE lithoscope.py ./
COPY analytics analytics
COPY collector collector
COPY dashboard dashboard
COPY sample_traces sample_traces
RUN /opt/lithoscope/bin/python -m pip install ".[oidc,otel]" && \
    /opt/lithoscope/bin/python -m compileall -q /opt/lithoscope/lib

FROM python:${PYTHON}-slim
RUN groupadd --gid 10001 lithoscope && \
    useradd --uid 10001 --gid 10001 --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin lithoscope && \
    install --directory --owner 10001 --group 10001 --mode 0700 /var/lib/lithoscope
COPY --from=build /opt/lithoscope /opt/lithoscope
ENV PATH=/opt/lithoscope/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/nonexistent \
    PYTHONDONTWRITEBYTECODE=1 \
    LITHOSCOPE_DB=/var/lib/lithoscope/lithoscope.duckdb \
    LITHOSCOPE_GRPC=0.0.0.0:4317 \
    LITHOSCOPE_HTTP=0.0.0.0:4318 \
    LITHOSCOPE_QUERY=0.0.0.0:4319 \
    LITHOSCOPE_DASHBOARD=0.0.0.0:8501 \
    LITHOSCOPE_LOG_FORMAT=json
USER 10001:10001
WORKDIR /var/lib/lithoscope
VOLUME /var/lib/lithoscope
EXPOSE 4317 4318 4319 8501
STOPSIGNAL SIGTERM
# A log that has much to replay keeps the ports shut: ten minutes for that.
HEALTHCHECK --interval=15s --timeout=10s --start-period=10m CMD ["lithoscope", "health"]
ENTRYPOINT ["lithoscope"]
CMD ["serve"]
