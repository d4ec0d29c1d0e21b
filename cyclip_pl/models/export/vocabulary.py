"""OpenAI's byte-pair vocabulary, which open_clip carries, as Hugging Face's libraries read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cyclip_pl.models.base import ImageTextModel

# As transformers names the last two tokens. CLIPTokenizer adds them to a vocabulary without them.
START, END = "<|startoftext|>", "<|endoftext|>"
# As open_clip splits a text into words.
_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def is_openais(tokenizer: Any) -> bool:
    """Whether a tokenizer is open_clip's own, with OpenAI's vocabulary and nothing added."""
    import open_clip

    return isinstance(tokenizer, open_clip.SimpleTokenizer) and len(tokenizer.encoder) == 49408


def write_tokenizer(model: ImageTextModel, folder: Path) -> None:
    """`tokenizer.json` of the `tokenizers` library: texts → the model's tokens, padding included.

    A tokenizer of Hugging Face's is saved as it is.
    """
    tokenizer: Any = model.tokenizer
    if is_openais(tokenizer):
        found = _built()
        length = tokenizer.context_length
        found.enable_truncation(length)
        found.enable_padding(length=length, pad_id=0, pad_token="!")
        found.save(str(folder / "tokenizer.json"))
    elif hasattr(tokenizer, "save_pretrained"):
        tokenizer.save_pretrained(str(folder))


def vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """The numbers of the tokens, and the merges in their order."""
    import open_clip

    tokenizer = open_clip.SimpleTokenizer()
    names = [*list(tokenizer.encoder)[:-2], START, END]
    merges = sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.__getitem__)
    return dict(zip(names, tokenizer.encoder.values(), strict=True)), merges


def _built() -> Any:
    """A `tokenizers.Tokenizer` that gives open_clip's tokens.

    open_clip also repairs wrongly decoded texts (`ftfy`) and HTML entities; this one does not.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    tokens, merges = vocabulary()
    found = Tokenizer(models.BPE(tokens, merges, end_of_word_suffix="</w>"))
    found.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
            normalizers.Lowercase(),
        ]
    )
    found.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    found.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(START, tokens[START]), (END, tokens[END])]
    )
    found.add_special_tokens([START, END])
    return found
