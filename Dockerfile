# The service on a CPU; docs/serving.md says how to build and run it.
FROM python:3.11-slim
# Where pip finds PyTorch's CPU wheels, beside its own index.
ARG PIP_EXTRA_INDEX_URL
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE THIRD_PARTY.md ./
COPY src ./src
RUN PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
    pip install --no-cache-dir . && rm -rf /src
WORKDIR /home/duomotion
RUN useradd --home-dir /home/duomotion duomotion && chown duomotion /home/duomotion
USER duomotion
ENV OMP_WAIT_POLICY=PASSIVE
EXPOSE 8000
HEALTHCHECK --start-period=60s CMD \
    ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/api/health')"]
CMD ["duomotion", "serve", "--host", "0.0.0.0"]
