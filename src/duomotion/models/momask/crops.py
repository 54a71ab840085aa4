"""Crops of captioned clips of one person, as tokens: what MoMask's transformers are trained on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from duomotion.data import humanml3d
from duomotion.data.humanml3d import TOO_LONG, SoloClip
from duomotion.models.momask.codec import ResidualCodec
from duomotion.progress import track

ONE_LESS = 1 / 3  # share of the crops that are a token shorter than they could be (released code)


class Crops(Protocol):
    """Crops by number.

    Attributes:
        clips: that each is from.
        lengths: tokens of each, give or take one.
    """

    clips: Sequence[SoloClip]
    lengths: Sequence[int]

    def draw(self, rows: Sequence[int], rng: np.random.Generator) -> dict[str, Tensor]:
        """Members of a batch of these crops: `lengths_B` in tokens, and what `tokens_of` takes."""
        ...


class FreshCrops:
    """A new crop of a clip each time, zero-padded (released code)."""

    def __init__(self, codec: ResidualCodec, clips: Sequence[SoloClip]) -> None:
        self.clips: Sequence[SoloClip] = clips
        self.unit = codec.tokenizer.downsampling
        self.mean, self.std = codec.mean.cpu(), codec.std.cpu()  # batches are made there
        self.lengths: Sequence[int] = [clip.num_frames // self.unit for clip in clips]

    def draw(self, rows: Sequence[int], rng: np.random.Generator) -> dict[str, Tensor]:
        motions = [_crop(self.clips[row], self.unit, rng) for row in rows]
        lengths = [len(motion) // self.unit for motion in motions]
        normalised = [(torch.from_numpy(motion) - self.mean) / self.std for motion in motions]
        return {"motion_BTF": padded(normalised, self.unit), "lengths_B": torch.tensor(lengths)}


class FixedCrops:
    """The same crops every time, tokenized once.

    Args:
        each: crops of each clip.
        is_padded: whether a crop is zero-padded before it is tokenized.
        title: of the progress bar.
    """

    def __init__(
        self,
        codec: ResidualCodec,
        clips: Sequence[SoloClip],
        *,
        each: int,
        is_padded: bool,
        seed: int,
        title: str,
    ) -> None:
        unit = codec.tokenizer.downsampling
        self.clips: Sequence[SoloClip] = [clip for clip in clips for _ in range(each)]
        self.ids: list[Tensor] = []
        for index, clip in enumerate(track(clips, title, unit="clip")):
            rng = np.random.default_rng([seed, index])
            for _ in range(each):
                motion = _crop(clip, unit, rng)
                motion_BTF = padded([codec.normalise(torch.from_numpy(motion))], unit)
                shown = motion_BTF if is_padded else motion_BTF[:, : len(motion)]
                with torch.no_grad():
                    self.ids.append(codec.tokenizer.encode(shown)[0, : len(motion) // unit])
        self.lengths: Sequence[int] = [len(ids) for ids in self.ids]

    def draw(self, rows: Sequence[int], rng: np.random.Generator) -> dict[str, Tensor]:
        return {
            "ids_BNQ": pad_sequence([self.ids[row] for row in rows], batch_first=True),
            "lengths_B": torch.tensor([self.lengths[row] for row in rows]),
        }


def tokens_of(batch: Mapping[str, Tensor], codec: ResidualCodec) -> Tensor:
    """Codes (B, N, Q) of a batch of crops, N those of the longest."""
    if "ids_BNQ" in batch:
        return batch["ids_BNQ"]
    motion_BTF = batch["motion_BTF"]
    with torch.no_grad(), torch.autocast(motion_BTF.device.type, enabled=False):
        return codec.tokenizer.encode(motion_BTF)[:, : int(batch["lengths_B"].max())]


def padded(motions: Sequence[Tensor], unit: int) -> Tensor:
    """(B, T, F) of motions (t, F); T is that of the longest crop of all, in tokens of `unit`."""
    longest = (TOO_LONG - 1) // unit * unit
    motion_BTF = torch.zeros(len(motions), longest, motions[0].shape[-1])
    for row, motion in zip(motion_BTF, motions, strict=True):
        row[: len(motion)] = motion
    return motion_BTF


def read_clips(codec: ResidualCodec, root: str, split: str) -> list[SoloClip]:
    """Captioned clips in the tokenizer's layout.

    Raises:
        ValueError: there are none.
    """
    clips, _ = humanml3d.read_split(Path(root), split)
    if (found := clips[0].layout) is not codec.layout:
        raise ValueError(
            f"{root} is in the layout {found.name}; the tokenizer reads {codec.layout.name}"
        )
    return clips


def _crop(clip: SoloClip, unit: int, rng: np.random.Generator) -> np.ndarray:
    """(t, F): whole tokens from a random frame on."""
    count = clip.num_frames // unit - (rng.random() < ONE_LESS)
    start = rng.integers(clip.num_frames - count * unit + 1)
    return clip.features[start : start + count * unit]
