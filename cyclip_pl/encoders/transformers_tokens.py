"""Whether a folder of `transformers` has OpenAI's tokenizer, which open_clip has as well."""

from __future__ import annotations

from cyclip_pl.model_folder import ModelFolder

_TOKENS = 49408
_SPECIAL = 2  # the last tokens, start and end, which the two libraries spell differently


def check_vocabulary(folder: ModelFolder, size: int) -> None:
    """Raise ValueError, one line, unless the vocabulary is OpenAI's, token by token.

    Args:
        size: What the config of the text tower says.
    """
    import open_clip

    found = folder.json("tokenizer.json", "vocab.json")
    if found is None:
        raise ValueError(f"{folder.named}: has no tokenizer.json or vocab.json")
    model = found.get("model", {})
    vocabulary = model.get("vocab") if isinstance(model, dict) and model else found
    ours = open_clip.SimpleTokenizer().encoder
    own = {token: number for token, number in ours.items() if number < _TOKENS - _SPECIAL}
    if (
        size != _TOKENS
        or not isinstance(vocabulary, dict)
        or len(vocabulary) != _TOKENS
        or any(vocabulary.get(token) != number for token, number in own.items())
    ):
        raise ValueError(f"{folder.named}: its tokenizer is not OpenAI's, and no other is read")
