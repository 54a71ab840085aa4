"""Texts that are read through the captions a model has learned from."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from properties import examples
from safetensors.torch import save_file
from torch import Tensor

from duomotion.text.anchors import ANCHORS, anchored, save_anchors, soft_nearest
from duomotion.text.encoder import TextEmbedding

NUMBERS = st.floats(-3, 3).map(lambda x: round(x, 3) + 0.01)
MATRICES = arrays.arrays(np.float32, st.tuples(st.integers(1, 6), st.just(5)), elements=NUMBERS)


class Letters:
    """Counts of the first letters of the alphabet."""

    name, dim = "letters", 5

    def encode(self, texts: list[str]) -> TextEmbedding:
        counts = [[text.count(letter) for letter in "abcde"] for text in texts]
        hidden_BLC = torch.tensor(counts, dtype=torch.float32).reshape(-1, 1, 5)
        return TextEmbedding(hidden_BLC, torch.zeros(len(texts), dtype=torch.long))


@given(texts=MATRICES, anchors=MATRICES)
@examples(60)
def test_length_stays_and_the_nearest_anchor_wins(texts, anchors):
    texts, anchors = torch.from_numpy(texts), torch.from_numpy(anchors)
    drawn = soft_nearest(texts, anchors)
    assert torch.allclose(drawn.norm(dim=-1), texts.norm(dim=-1), rtol=1e-4)
    if len(anchors) == 1:
        assert torch.allclose(_unit(drawn), _unit(anchors).expand_as(drawn), atol=1e-4)
    sharp = _unit(soft_nearest(texts, anchors, sharpness=1e-6))
    best = (_unit(texts) @ _unit(anchors).T).amax(-1)
    assert torch.allclose((_unit(texts) * sharp).sum(-1), best, atol=1e-3)


def test_other_words_come_to_what_is_known(tmp_path):
    captions = ["aaab", "cccd"]
    known = Letters().encode(captions)
    save_anchors(tmp_path / ANCHORS, Letters(), captions)
    encoder = anchored(Letters(), tmp_path)
    assert encoder.dim == 5 and encoder.name.startswith("letters, 2 captions ")
    found = encoder.encode(["aaaaaabb", "cccccdd", "aab"])
    assert torch.allclose(_unit(found.vectors), _unit(known.vectors)[[0, 1, 0]], atol=1e-3)
    assert len(encoder.encode([]).vectors) == 0
    save_anchors(tmp_path / "other" / ANCHORS, Letters(), ["aaab", "cccde"])
    assert anchored(Letters(), tmp_path / "other").name != encoder.name


def test_a_model_without_captions_reads_texts_as_they_are(tmp_path):
    encoder = Letters()
    assert anchored(encoder, tmp_path) is encoder


@pytest.mark.parametrize(
    "content", [None, b"nonsense", {"words": (2, 5)}, {"vectors": (2, 4)}, {"vectors": (0, 5)}]
)
def test_captions_that_can_not_be_used_are_refused(tmp_path, content):
    (tmp_path / ANCHORS).mkdir()
    path = tmp_path / ANCHORS / "vectors.safetensors"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        save_file({name: torch.zeros(shape) for name, shape in content.items()}, path)
    with pytest.raises(ValueError, match=r"vectors\.safetensors: "):
        anchored(Letters(), tmp_path)


def test_an_encoder_of_many_positions_is_refused(tmp_path):
    class States(Letters):
        def encode(self, texts: list[str]) -> TextEmbedding:
            assert not texts, "all states of many captions take gigabytes"
            return TextEmbedding(torch.zeros(0, 77, 5), torch.zeros(0, dtype=torch.long))

    with pytest.raises(ValueError, match="this one gives 77"):
        save_anchors(tmp_path, States(), ["aaab"])


def _unit(x: Tensor) -> Tensor:
    return torch.nn.functional.normalize(x, dim=-1)
