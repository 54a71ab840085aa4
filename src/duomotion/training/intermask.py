"""What InterMask's two trainings consist of: recipes and tasks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from duomotion.data.interhuman import Clip, read_split
from duomotion.data.windows import WindowConfig, WindowSampler
from duomotion.evaluation.reconstruction import mpjpe, mpjve, root_aligned_mpjpe
from duomotion.models.intermask.codec import MotionCodec
from duomotion.models.intermask.config import TokenizerConfig, TokenizerLossWeights
from duomotion.models.intermask.tokenizer import tokenizer_loss
from duomotion.motion import features
from duomotion.training.config import LogConfig, OptimConfig

MAX_FRAMES = 300  # the longest motion that is generated at once (InterGen)
STATISTICS_WINDOWS = 4000
MIN_STD = 1e-3


@dataclass(frozen=True, kw_only=True)
class TokenizerData:
    """Data sets in InterHuman's layout, and the share of windows that shows lone people."""

    pairs: str = "data/interhuman"
    solo: str | None = None
    solo_share: float = 0.0
    floor: str = "each"  # see `features.encode_pair`
    windows: WindowConfig = field(default_factory=WindowConfig)


@dataclass(frozen=True, kw_only=True)
class TokenizerRecipe:
    """One training of the motion tokenizer; defaults are the paper's on InterHuman."""

    optim: OptimConfig
    system: str = "intermask/tokenizer"
    model: TokenizerConfig = field(default_factory=TokenizerConfig)
    losses: TokenizerLossWeights = field(default_factory=TokenizerLossWeights)
    data: TokenizerData = field(default_factory=TokenizerData)
    log: LogConfig = field(default_factory=LogConfig)


class TokenizerTask:
    """Windows of single people through the 2D VQ-VAE."""

    score_name = "mpjpe_mm"
    children: Mapping[str, Path] = {}

    def __init__(self, recipe: TokenizerRecipe) -> None:
        self.recipe = recipe
        data = recipe.data
        self.pairs = WindowSampler(read_split(data.pairs, "train")[0], data.windows)
        self.solo = (
            WindowSampler(read_split(data.solo, "train")[0], data.windows) if data.solo else None
        )
        self.held_out, _ = read_split(data.pairs, "val")
        torch.manual_seed(recipe.optim.seed)
        self.model = MotionCodec(recipe.model)
        rng = np.random.default_rng(recipe.optim.seed)
        statistics = features.from_joint_map(self._draw(STATISTICS_WINDOWS, rng))
        self.model.mean.copy_(torch.from_numpy(statistics.mean((0, 1))))
        std = np.maximum(statistics.std((0, 1)), MIN_STD)
        std[features.CONTACTS] = 1
        self.model.std.copy_(torch.from_numpy(std))

    def _draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        if self.solo is None:
            return self.pairs.draw(count, rng)
        solo = round(count * self.recipe.data.solo_share)
        return np.concatenate([self.pairs.draw(count - solo, rng), self.solo.draw(solo, rng)])

    def train_batches(self, *, seed: int, epoch: int, skip: int) -> Iterator[dict[str, Tensor]]:
        size = self.recipe.optim.batch_size
        windows = self.pairs.num_windows + (self.solo.num_windows if self.solo else 0)
        for index in range(skip, max(1, windows // size)):
            rng = np.random.default_rng([seed, epoch, index])
            yield {"joints_BTJD": torch.from_numpy(self._draw(size, rng))}

    def loss(
        self, batch: dict[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        target_BTJD = self.model.normalise(batch["joints_BTJD"])
        output = self.model.tokenizer(target_BTJD)
        total, terms = tokenizer_loss(
            output, target_BTJD, self.model.normaliser, self.recipe.losses
        )
        return total, {**terms, "perplexity": output.perplexity}

    def validate(self) -> dict[str, float]:
        scores = reconstruction_scores(self.model, self.held_out, self.recipe.data.floor)
        return {name: float(np.mean([s[name] for s in scores.values()])) for name in SCORES}

    def provenance(self) -> dict[str, Any]:
        data = self.recipe.data
        return {"data": [data.pairs] + ([data.solo] if data.solo else [])}


SCORES = {
    "mpjpe_mm": mpjpe,
    "root_aligned_mpjpe_mm": root_aligned_mpjpe,
    "mpjve_mm": mpjve,
}


def reconstruction_scores(
    codec: MotionCodec, clips: list[Clip], floor: str
) -> dict[str, dict[str, float]]:
    """Errors of each clip after tokenizer and back, by the clip's name."""
    scores = {}
    for clip in clips:
        given = features.encode_pair(
            clip.positions[:, : MAX_FRAMES + 1], clip.sixd[:, : MAX_FRAMES + 1], floor=floor
        )
        back = codec.reconstruct(given)
        positions, reference = (
            x[:, : back.shape[1], features.POSITIONS].reshape(*back.shape[:2], 22, 3)
            for x in (back, given)
        )
        scores[clip.name] = {name: score(positions, reference) for name, score in SCORES.items()}
    return scores
