# Sokoni's web server and worker in one image: the command says which.
#
#     docker build -t sokoni .
#     docker run --env-file .env -p 5000:5000 sokoni web

FROM python:3.13-slim-bookworm AS building
WORKDIR /sokoni
RUN python -m venv /sokoni/.venv
COPY requirements.txt .
RUN /sokoni/.venv/bin/pip install --no-cache-dir --disable-pip-version-check \
    --require-hashes -r requirements.txt \
 && /sokoni/.venv/bin/pip uninstall --yes --quiet pip setuptools

FROM python:3.13-slim-bookworm
LABEL org.opencontainers.image.title="Sokoni" \
      org.opencontainers.image.licenses="MIT"
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin sokoni \
 && install --directory --owner=sokoni --group=sokoni --mode=0750 /data /data/instance
COPY --from=building /sokoni/.venv /sokoni/.venv
COPY manage.py .env.example LICENSE README.md /sokoni/
COPY migrations /sokoni/migrations
COPY daraja_simulator /sokoni/daraja_simulator
COPY app /sokoni/app
RUN /sokoni/.venv/bin/python -m compileall -q /sokoni/app /sokoni/migrations /sokoni/manage.py

# The database and the pictures are here where no other place is set.
WORKDIR /data
VOLUME /data/instance
USER sokoni
ENV HOST=0.0.0.0 \
    PORT=5000 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
EXPOSE 5000
STOPSIGNAL SIGTERM

# Of the web server; the worker's container has none, see compose.yaml. The shop answers to its own
# name alone, so that is what is asked for.
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
    CMD ["/sokoni/.venv/bin/python", "/sokoni/deploy/ask_health.py"]
COPY deploy/ask_health.py /sokoni/deploy/ask_health.py

ENTRYPOINT ["/sokoni/.venv/bin/python", "/sokoni/manage.py"]
CMD ["web"]
