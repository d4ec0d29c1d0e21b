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


def test_it_can_be_sent_to_a_worker() -> None:
    tokenizer = CachedTokenizer(number_tokenizer)
    tokenizer(["n 3"])
    assert pickle.loads(pickle.dumps(tokenizer))(["n 4"]).tolist() == [[4]]
