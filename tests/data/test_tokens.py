import pickle

import torch

from cyclip_pl.data.tokens import CachedTokenizer
from tests.data.shards import number_tokenizer


def test_rows_in_order_each_caption_once() -> None:
    asked = []

    def tokenizer(texts: list[str]) -> torch.Tensor:
        asked.extend(texts)
        return number_tokenizer(texts)

    tokens = CachedTokenizer(tokenizer)(["n 3", "n 1", "n 3"])
    assert tokens.tolist() == [[3], [1], [3]] and tokens.dtype == torch.int64
    assert asked == ["n 3", "n 1"]


def test_rows_are_copies() -> None:
    tokenizer = CachedTokenizer(number_tokenizer)
    tokenizer(["n 3"]).zero_()
    assert tokenizer(["n 3"]).tolist() == [[3]]


def _count(tokens: torch.Tensor) -> torch.Tensor:
    return (tokens != 0).sum(dim=1)


def tokenizer_of_words(texts: list[str]) -> torch.Tensor:
    return torch.tensor([[1] * len(text.split()) + [0] * (9 - len(text.split())) for text in texts])


def test_rows_are_as_long_as_the_longest_needs() -> None:
    def tokenizer(texts: list[str]) -> torch.Tensor:
        return torch.tensor([[1] * len(text) + [0] * (20 - len(text)) for text in texts])

    cut = CachedTokenizer(tokenizer, _count)
    for longest, length in ((1, 8), (8, 8), (9, 16), (16, 16), (17, 20), (20, 20)):
        tokens = cut(["x", "x" * longest])
        assert tokens.tolist() == tokenizer(["x", "x" * longest])[:, :length].tolist()
        assert cut.length("x" * longest) == longest
    assert (
        pickle.loads(pickle.dumps(CachedTokenizer(number_tokenizer, _count)))(["4"]).shape[1] == 1
    )


def test_it_can_be_sent_to_a_worker() -> None:
    tokenizer = CachedTokenizer(number_tokenizer)
    tokenizer(["n 3"])
    assert pickle.loads(pickle.dumps(tokenizer))(["n 4"]).tolist() == [[4]]
