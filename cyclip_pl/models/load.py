"""`cyclip_pl.load`: one call for a model of any source."""

from __future__ import annotations

from pathlib import Path

import torch

from cyclip_pl import checks
from cyclip_pl.checkpoints.files import NotACheckpoint
from cyclip_pl.checkpoints.places import located
from cyclip_pl.models.base import ImageTextModel
from cyclip_pl.models.checkpoint import WEIGHTS, load_checkpoint
from cyclip_pl.models.trust import Trust, check_trust

_TAKEN = (
    "load takes a run folder or a checkpoint of this project (a path or URL), a .pt file of the"
    " CyCLIP authors or of OpenAI, a folder of open_clip or of transformers, hf-hub:ORG/NAME,"
    " local-dir:FOLDER, or open_clip:ARCHITECTURE/TAG_OR_FILE"
)


def load(
    source: str | Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    trust: Trust = False,
    weights: str = "saved",
) -> ImageTextModel:
    """Load a model of any source, in evaluation mode.

        >>> model = cyclip_pl.load("runs/demo")
        >>> image_ND = model.encode_image([image, "photo.png"])
        >>> text_KD = model.encode_text(["a red square", "a blue circle"])
        >>> (image_ND @ text_KD.T).shape
        torch.Size([2, 2])
        >>> probability_NK = model.classify(image, ["a red square", "a blue circle"])
        >>> round(probability_NK.sum().item(), 4)
        1.0

    Args:
        source: One of

            - a run folder (its `checkpoints/last.ckpt`) or a checkpoint of this project, also by
              URL;
            - a `.pt` file of the CyCLIP authors' code, or of OpenAI;
            - a folder with `open_clip_config.json`, with or without `local-dir:` before it;
            - a folder of a CLIP model of `transformers`;
            - `hf-hub:ORG/NAME`, fetched from Hugging Face unless it is in the cache;
            - `open_clip:ARCHITECTURE/TAG`, as `open_clip:ViT-B-32/laion2b_s34b_b79k`, likewise;
            - `open_clip:ARCHITECTURE/FILE`, as `open_clip:ViT-B-32/logs/mine/epoch_32.pt`: what
              open_clip trained.

            Files may come from a stranger: only modules of this package and of open_clip are
            built, with settings of an allow-list, no larger than the file; nothing is unpickled.
        device: Where to put the model.
        dtype: Type of its weights, such as `torch.bfloat16`; None for float32.
        trust: The name of your own package, or several: a checkpoint may then name encoders and
            projectors of it. True: build whatever its config names, such as a text tower of
            Hugging Face, which is fetched and whose tokenizer can run code. For your own
            checkpoints.
        weights: `saved`: those that training saved as the model's, averaged where it averages
            (EMA). `raw`: those of the last step, without averaging.

    Raises:
        ValueError: The source is missing or of another kind, asks for what may not be built, or
            holds weights that do not fit or are not finite; one line.
    """
    check_trust(trust)
    checks.one_of("weights", weights, WEIGHTS)
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ValueError(f"dtype={dtype}: must be a type of floats, such as torch.bfloat16")
    model = _of_open_clip_or_transformers(source, device, trust)
    if model is not None and weights != "saved":
        raise ValueError(f"weights={weights}: {source} has one set of weights; leave it out")
    if model is None:
        model = _of_checkpoint(source, device, trust, weights)
    return model if dtype is None else model.to(dtype=dtype)


def _of_open_clip_or_transformers(
    source: str | Path, device: torch.device | str, trust: Trust
) -> ImageTextModel | None:
    """A model that a name or the files of a folder say is one of these, else None."""
    name, where = str(source), located(source)
    if name.startswith("open_clip:"):
        from cyclip_pl.models.open_clip import load_open_clip

        architecture, weights = _architecture_and_weights(name.removeprefix("open_clip:"))
        if not (architecture and weights):
            raise ValueError(
                f"{name}: must be open_clip:ARCHITECTURE/TAG, such as"
                " open_clip:ViT-B-32/laion2b_s34b_b79k"
            )
        return load_open_clip(architecture, weights, device)
    if name.startswith(("hf-hub:", "local-dir:")) or _holds_a_model(where):
        from cyclip_pl.models.open_clip_folder import load_open_clip_folder

        return load_open_clip_folder(name, device, trust is True)
    return None


def _architecture_and_weights(name: str) -> tuple[str, str]:
    """Split at the slash behind the architecture: `ViT-B/32` has one, and so have paths."""
    import open_clip

    known = set(open_clip.list_models())
    parts = name.split("/")
    for end in range(1, len(parts)):
        if "-".join(parts[:end]) in known:
            return "/".join(parts[:end]), "/".join(parts[end:])
    architecture, _, weights = name.rpartition("/")
    return architecture, weights


def _of_checkpoint(
    source: str | Path, device: torch.device | str, trust: Trust, weights: str
) -> ImageTextModel:
    """A model that was trained here, or a `.pt` file of the CyCLIP authors or OpenAI."""
    where = located(source)
    if str(where).endswith(".safetensors"):
        raise ValueError(
            f"{source}: weights alone, which do not say their architecture; give the folder with"
            " its config, or eval.py model=open_clip model.name=ARCHITECTURE model.pretrained=FILE"
        )
    try:
        return load_checkpoint(source, device, trust, weights)
    except NotACheckpoint as error:
        if not (isinstance(where, Path) and where.is_file()):
            raise ValueError(f"{error}; {_TAKEN}") from error
    if weights != "saved":
        raise ValueError(f"weights={weights}: {source} has one set of weights; leave it out")
    from cyclip_pl.models.official import OfOpenCLIP, load_official

    try:
        return load_official(where, device)
    except OfOpenCLIP:
        raise
    except ValueError as error:
        raise ValueError(f"{error}; {_TAKEN}") from error


def _holds_a_model(where: Path | str) -> bool:
    """Whether a folder has the config of a model of open_clip or `transformers`."""
    names = ("open_clip_config.json", "config.json")
    return isinstance(where, Path) and any((where / name).is_file() for name in names)
