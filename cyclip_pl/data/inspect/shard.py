"""One shard, read as training reads it."""

from __future__ import annotations

import heapq
import io
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from itertools import islice

import numpy as np
from PIL import Image

from cyclip_pl.data.captions import TXT
from cyclip_pl.data.decoder import Decoder
from cyclip_pl.data.epochs import MISSING, UNCOUNTED
from cyclip_pl.data.inspect.findings import REPEATED, Findings, Lost, Shown
from cyclip_pl.data.inspect.repeats import digest
from cyclip_pl.data.inspect.sources import CLASSIFICATION, RETRIEVAL
from cyclip_pl.data.shard_reader import BrokenShard, RawSample, ShardReader
from cyclip_pl.data.skipped import SkippedSample, of_unknown_size
from cyclip_pl.images import Undecodable, open_image, to_rgb
from cyclip_pl.remote_files import local_path

THUMBNAIL = 192  # pixels of the longer side


@dataclass(frozen=True)
class Look:
    """What to look for.

    Attributes:
        kind: As of a `Part`.
        classes: The class names of a classification set.
        caption_key: As `data.caption_key`.
        limit: Samples to read; None: all.
        shown: Samples to choose for a contact sheet.
        seed: Of this choice.
    """

    kind: str
    classes: tuple[str, ...] = ()
    caption_key: str | None = None
    limit: int | None = None
    shown: int = 0
    seed: int = 0


def look_at(url: str, counted: int | None, look: Look) -> Findings:
    """What one shard holds.

    Args:
        url: The shard.
        counted: Its samples, as a file beside it says; None: nobody has counted them.
        look: What to look for.
    """
    found = Findings()
    decoder = Decoder(look.caption_key if look.kind not in (CLASSIFICATION, RETRIEVAL) else None)
    texts = ("cls",) if look.kind == CLASSIFICATION else decoder.captions.members
    digests = {name: bytearray() for name in REPEATED}
    read, broken = 0, None
    try:
        with closing(ShardReader(texts)(url, "")) as samples:
            for raw in islice(samples, look.limit):
                read += 1
                try:
                    _look_at_sample(raw, look, decoder, found, digests)
                except SkippedSample as error:
                    found.lose(Lost(url, raw.key, error.reason, str(error), error.count))
                except Undecodable as error:
                    found.lose(Lost(url, raw.key, error.reason, str(error)))
    except BrokenShard as error:
        broken = error
    if broken is not None:
        lost = max(0, (counted or 0) - read)
        cause = broken.cause if lost else of_unknown_size(broken.cause)
        found.lose(Lost(url, "", cause, str(broken), lost or 1))
    elif counted is not None and (look.limit is None or read < look.limit) and read != counted:
        # As an epoch of training counts it.
        cause = MISSING if read < counted else UNCOUNTED
        detail = f"it holds {read} samples, {counted} were counted"
        found.lose(Lost(url, "", cause, detail, abs(read - counted)))
    if look.limit is None:
        found.distributions["shard_samples"].add(read)
    if (path := local_path(url)) is not None and os.path.isfile(path):
        found.distributions["shard_bytes"].add(os.path.getsize(path))
    found.hashes = {name: np.frombuffer(some, np.uint64) for name, some in digests.items()}
    return found


def _look_at_sample(
    raw: RawSample, look: Look, decoder: Decoder, found: Findings, digests: dict[str, bytearray]
) -> None:
    if look.kind == CLASSIFICATION:  # a class number is read like a caption
        raw = raw._replace(texts=dict(zip((TXT,), raw.texts.values(), strict=False)))
    data, of_keys = decoder.parts(raw)
    captions = [caption for of_key in of_keys.values() for caption in of_key]
    image = open_image(data)
    if look.kind == CLASSIFICATION:
        label = _label(captions[0], len(look.classes))
        found.labels[label] += 1
        captions = [look.classes[label]]
    else:
        if look.kind == RETRIEVAL:  # one caption per line
            captions = [line.strip() for line in captions[0].split("\n") if line.strip()]
        for caption in captions:
            found.distributions["words"].add(len(caption.split()))
            found.distributions["tokens"].add(_tokens()(caption))
            digests["captions"] += digest(caption.encode("utf-8", "replace"))
        found.captions += len(captions)
    found.samples += 1
    found.formats[image.format or "unknown"] += 1
    found.distributions["width"].add(image.width)
    found.distributions["height"].add(image.height)
    found.distributions["image_bytes"].add(len(data))
    digests["keys"] += digest(raw.key.encode("utf-8", "surrogateescape"))
    digests["images"] += digest(data)
    if look.shown:
        _show(raw, image, captions[0], look, found.shown)


def _label(text: str, classes: int) -> int:
    if not (text.isascii() and text.isdigit()):
        raise SkippedSample("unreadable label", f"{text[:40]!r} is not a class number")
    if (label := int(text[:12])) >= classes:
        raise SkippedSample("label without a class", f"{label}; there are {classes} class names")
    return label


@cache
def _tokens() -> Callable[[str], int]:
    """Counts a caption's tokens in CLIP's vocabulary, the start and the end among them."""
    from open_clip.tokenizer import SimpleTokenizer  # slow to import, and only captions need it

    tokenizer = SimpleTokenizer()
    return lambda text: len(tokenizer.encode(text)) + 2


def _show(raw: RawSample, image: Image.Image, caption: str, look: Look, shown: list[Shown]) -> None:
    """Keep the sample if its ticket is among the smallest, which no order of reading changes."""
    ticket = digest(f"{look.seed} {raw.name}".encode("utf-8", "surrogateescape"))
    if len(shown) >= look.shown and ticket >= max(other.ticket for other in shown):
        return
    thumbnail = to_rgb(image)
    thumbnail.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    thumbnail.save(buffer, "PNG")
    shown.append(Shown(ticket, raw.name, caption[:500], buffer.getvalue()))
    shown[:] = heapq.nsmallest(look.shown, shown)
