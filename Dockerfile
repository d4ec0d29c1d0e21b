# Two images: `--target cpu` and `--target cuda` (the last, so the default). docs/installation.md has
# the commands. Both install what requirements.lock pins.
FROM python:3.11-slim AS base
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1 \
    PATH=/opt/cyclip/bin:$PATH

# The wheel alone, so that an edit of the code leaves the layers with the packages as they are.
FROM base AS wheel
WORKDIR /source
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY conf conf
COPY cyclip_pl cyclip_pl
RUN pip install -c requirements.lock hatchling \
    && pip wheel --no-deps --no-build-isolation --wheel-dir /wheel .

FROM base AS packages
RUN python -m venv /opt/cyclip
COPY requirements.lock /opt/requirements.lock

FROM packages AS packages-cpu
# The index of PyTorch's wheels without CUDA. Their versions end in +cpu: pip prefers them, and the
# lock's pins allow them.
ARG TORCH_INDEX
RUN test -n "$TORCH_INDEX" \
    || { echo "--target cpu needs --build-arg TORCH_INDEX=URL: PyTorch's CPU index" >&2; exit 1; } \
    && pip install -c /opt/requirements.lock --extra-index-url "$TORCH_INDEX" torch torchvision \
    && python -c "import torch; assert torch.version.cuda is None, 'these wheels have CUDA'"

FROM packages AS packages-cuda
RUN pip install -c /opt/requirements.lock torch torchvision \
    && python -c "import torch; assert torch.version.cuda, 'these wheels have no CUDA'"

FROM packages-cpu AS installed-cpu
ARG EXTRAS=demo,reports
RUN --mount=from=wheel,source=/wheel,target=/wheel \
    pip install -c /opt/requirements.lock "$(echo /wheel/*.whl)[$EXTRAS]" && pip check

FROM packages-cuda AS installed-cuda
ARG EXTRAS=demo,reports
RUN --mount=from=wheel,source=/wheel,target=/wheel \
    pip install -c /opt/requirements.lock "$(echo /wheel/*.whl)[$EXTRAS]" && pip check

# Runs as nobody in particular: `docker run --user` may name any user, who has no entry in passwd.
FROM base AS runtime
RUN useradd --create-home --uid 1000 cyclip \
    && chmod 1777 /home/cyclip \
    && install --directory --owner cyclip --mode 1777 /work
ENV HOME=/home/cyclip \
    USER=cyclip
WORKDIR /work
USER 1000
# No entrypoint: the command is any of cyclip-train, -eval, -prepare, -inspect, -export, -report and
# -search, or python.
CMD ["cyclip-train", "--help"]

FROM runtime AS cpu
COPY --from=installed-cpu /opt/cyclip /opt/cyclip

# torch's wheels bring CUDA's libraries; the driver is the host's, through its container toolkit.
FROM runtime AS cuda
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=installed-cuda /opt/cyclip /opt/cyclip
