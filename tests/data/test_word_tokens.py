# ruff: noqa: E501, SIM905 (a line of captions reads better than a list of words)
import copy
import pickle
import random
from typing import Any

import open_clip
import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer

from cyclip_pl.data import word_tokens
from cyclip_pl.data.tokens import CachedTokenizer
from cyclip_pl.data.word_tokens import WordTokenizer, can_be_split

PIECES = """a dog's 2 photos; I'VE don't e.g. <end_of_text> <Start_of_Text>x 3.5% C++ ... !!! '' 's
&amp;amp; &lt;b&gt; &eacute; &#39; &copy &unknown; a&b <b>bold</b> ΟΔΥΣΣΕΥΣ ΑΣ' Straße İstanbul ﬁn café
cafÃ© â€œquotedâ€\x9d schÃ¶n 日本語の写真 слово עברית ไทย हिन्दी 👍🏽 👩‍👩‍👧 🇩🇪 ❤️ ½ ² Ⅷ ١٢ ＡＢＣ \u200b \ufeff \u0301 ’s “x” —
\x1b[1m \x00 \x85 \u2028 \u3000 \xa0 \ud800 supercalifragilisticexpialidocious""".split(" ")
SPACES = (" ", "  ", "\t", "\n", "\r\n", "\u3000", "\xa0", "\x0b", "\x1c", "\u200b", "")


def captions(number: int) -> list[str]:
    rng, words = random.Random(0), PIECES + "a photo of the small red house near water".split() * 3
    found = ["", " ", "a", "word " * 100, "x" * 200, "word " * 74 + "end", "word " * 75 + "it's"]
    while len(found) < number:
        text = "".join(rng.choice(words) + rng.choice(SPACES) for _ in range(rng.randint(1, 30)))
        if rng.random() < 0.3:
            text += "".join(chr(rng.randrange(32, 0x2FFF)) for _ in range(rng.randint(1, 20)))
        found.append(text)
    return found


def _same(theirs: Any, number: int) -> None:
    ours = WordTokenizer(theirs)
    for text in captions(number):
        try:
            expected = theirs([text])
        except UnicodeEncodeError:  # half of a pair
            with pytest.raises(UnicodeEncodeError):
                ours([text])
            continue
        assert torch.equal(ours([text]), expected), repr(text)


@pytest.mark.parametrize("clean", ["lower", "whitespace", "canonicalize"])
@pytest.mark.parametrize("length", [1, 2, 16, 77])
def test_equal_to_open_clip(clean: str, length: int) -> None:
    _same(SimpleTokenizer(context_length=length, clean=clean), 300)


@pytest.mark.slow
def test_equal_on_many_captions() -> None:
    _same(open_clip.get_tokenizer("RN50"), 100_000)


def test_rows_in_order_and_new_each_time() -> None:
    theirs = open_clip.get_tokenizer("RN50")
    ours = pickle.loads(pickle.dumps(CachedTokenizer(theirs)))
    texts = captions(8)[:4]
    assert torch.equal(ours(texts), theirs(texts))
    ours(texts).zero_()
    assert torch.equal(ours(texts), theirs(texts))


def test_each_word_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Watched(SimpleTokenizer):
        def encode(self, text: str) -> list[int]:
            asked.append(text)
            return super().encode(text)

    ours = WordTokenizer(Watched())
    ours(["A small dog", "a dog"])
    assert asked == ["a", "small", "dog"]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_tokens, "_WORDS", 50)
    theirs = SimpleTokenizer()
    ours = WordTokenizer(copy.deepcopy(theirs))
    for text in captions(200):
        assert torch.equal(ours([text]), theirs([text]))
    assert len(theirs.cache) > 300
    assert len(ours._words.cache) < 50 + 30 * 8
    assert ours._word.cache_info().maxsize == 50
    before = ours._word.cache_info().currsize
    ours(["x" * 65])
    assert ours._word.cache_info().currsize == before


def test_others_are_left_as_they_are() -> None:
    class Other(SimpleTokenizer):
        pass

    assert can_be_split(SimpleTokenizer())
    assert not can_be_split(SimpleTokenizer(additional_special_tokens=["<a mask>"]))
    assert not can_be_split(SimpleTokenizer(reduction_mask="random"))
    assert not can_be_split(SimpleTokenizer(context_length=None))
    assert not can_be_split(Other()) and not can_be_split(len)
