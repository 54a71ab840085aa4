"""The training of MoMask's residual tokenizer: recipe, windows of motion, task."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from duomotion.data import humanml3d, interhuman
from duomotion.data.layouts import VIEWS
from duomotion.data.windows import WindowConfig, WindowSampler
from duomotion.models.children import load_embedder
from duomotion.models.momask.codec import ResidualCodec
from duomotion.models.momask.config import ResidualTokenizerConfig, ResidualTokenizerLossWeights
from duomotion.models.momask.tokenizer_loss import tokenizer_loss
from duomotion.motion.errors import mean_scores, reconstruction_scores
from duomotion.motion.humanml3d import SoloLayout
from duomotion.motion.interhuman import INTERHUMAN, InterHumanLayout
from duomotion.motion.layout import Layout
from duomotion.motion.normaliser import Normaliser
from duomotion.training.batch import Part, whole
from duomotion.training.config import LogConfig, OptimConfig
from duomotion.training.validation import ValidationFID

# Weights of features in the PCA that a tokenizer is initialised with: joint positions determine
# the decoded body, and one person's foot positions whether feet slide.
FEET, POSITIONS, ROOT, OTHERS, FLAGS = 3.0, 1.5, 1.0, 0.2, 0.1
STARTING_WINDOWS = 4000
"""Windows for the statistics of pairs and for fitting the first weights."""


@dataclass(frozen=True, kw_only=True)
class ResidualTokenizerData:
    """A data set in the tokenizer's layout, and the frames of a window.

    Attributes:
        window: frames (64: released code). Shorter clips are left out. Clips of one person that are
            too long for the transformers or have no caption are used too (released code).
        floor: of two people, see `motion.interhuman.on_floor`.
        evaluator: checkpoint of an evaluator. `best` is then the checkpoint with the lowest FID of
            reconstructed validation clips (released code). None: with the lowest joint error.
    """

    clips: str = "data/humanml3d"
    window: int = 64
    evaluator: str | None = None
    floor: Literal["each", "keep"] = "each"


@dataclass(frozen=True, kw_only=True)
class ResidualTokenizerRecipe:
    """One training of the residual tokenizer; defaults are the released code's on HumanML3D."""

    optim: OptimConfig
    system: str = "momask/tokenizer"
    model: ResidualTokenizerConfig = field(default_factory=ResidualTokenizerConfig)
    losses: ResidualTokenizerLossWeights = field(default_factory=ResidualTokenizerLossWeights)
    data: ResidualTokenizerData = field(default_factory=ResidualTokenizerData)
    log: LogConfig = field(default_factory=LogConfig)


class Windows(Protocol):
    """Where a residual tokenizer's windows come from."""

    layout: Layout
    positions: slice
    normaliser: Normaliser
    held_out: Mapping[str, np.ndarray]
    importance: np.ndarray  # (F,), what an error of a feature counts

    @property
    def num_windows(self) -> int:
        """Windows of an epoch."""
        ...

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """(count * people, frames, F) float32, not normalised."""
        ...


class SoloWindows:
    """Windows of clips of one person in HumanML3D's or KIT-ML's layout.

    Raises:
        ValueError: the folder has no clips of this layout, or none as long as a window.
    """

    def __init__(self, data: ResidualTokenizerData, layout: str) -> None:
        found = humanml3d.layout_of(Path(data.clips))
        if layout != found.name:
            raise ValueError(
                f"{data.clips} is in the layout {found.name}; model.layout must be the same, "
                f"not {layout}"
            )
        self.layout: Layout = found
        self.frames = data.window
        motions, _ = humanml3d.read_motions(data.clips, "train", at_least=data.window)
        self.motions = list(motions.values())
        lengths = np.array([len(motion) for motion in self.motions])
        places = lengths - data.window + 1
        self.num_windows = int(places.sum())
        self.weights = places / places.sum()
        self.positions = found.blocks.local_positions
        self.importance = _importance(found, self.positions)
        self.importance[found.root_features] = ROOT
        self.importance[found.foot_positions] = FEET
        of_data = humanml3d.read_statistics(data.clips)
        self.normaliser = humanml3d.tokenizer_statistics(of_data, found)
        held_out, _ = humanml3d.read_motions(data.clips, "val", at_least=found.min_frames)
        self.held_out: Mapping[str, np.ndarray] = {
            name: motion[None] for name, motion in held_out.items()
        }

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        chosen = rng.choice(len(self.motions), size=count, p=self.weights)
        starts = (rng.integers(len(self.motions[i]) - self.frames + 1) for i in chosen)
        return np.stack(
            [self.motions[i][s : s + self.frames] for i, s in zip(chosen, starts, strict=True)]
        )


class PairWindows:
    """Windows of interactions in InterHuman's layout, both people of each one after the other."""

    positions = INTERHUMAN.blocks.positions

    def __init__(self, data: ResidualTokenizerData, seed: int) -> None:
        self.layout: Layout = INTERHUMAN
        self.importance = _importance(INTERHUMAN, self.positions)
        config = WindowConfig(frames=data.window, floor=data.floor, people=2)
        self.sampler = WindowSampler(interhuman.read_motions(data.clips, "train")[0], config)
        self.num_windows = self.sampler.num_windows // 2
        rng = np.random.default_rng(seed)
        self.normaliser = INTERHUMAN.fit_normaliser(self.draw(STARTING_WINDOWS, rng))
        held_out, _ = interhuman.read_motions(data.clips, "val")
        whole = VIEWS[INTERHUMAN.name].whole
        self.held_out: Mapping[str, np.ndarray] = {
            clip.name: whole(clip, data.floor) for clip in held_out
        }

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        return INTERHUMAN.from_joint_map(self.sampler.draw(2 * count, rng))


def _importance(layout: InterHumanLayout | SoloLayout, positions: slice) -> np.ndarray:
    importance = np.full(layout.num_features, OTHERS, np.float32)
    importance[positions] = POSITIONS
    importance[layout.blocks.contacts] = FLAGS
    return importance


class ResidualTokenizerTask:
    """Windows of motion through the residual VQ-VAE."""

    children: Mapping[str, Path] = {}

    def __init__(self, recipe: ResidualTokenizerRecipe, device: torch.device) -> None:
        self.recipe = recipe
        sizes = recipe.model
        self.windows: Windows = (
            PairWindows(recipe.data, recipe.optim.seed)
            if sizes.num_people == 2
            else SoloWindows(recipe.data, sizes.layout)
        )
        self.selection = None
        if recipe.data.evaluator is not None:
            clips = [("", motion) for motion in self.windows.held_out.values()]
            self.selection = ValidationFID(load_embedder(Path(recipe.data.evaluator)), clips)
        self.score_name = "root_aligned_mpjpe_mm" if self.selection is None else "fid"
        torch.manual_seed(recipe.optim.seed)
        self.model = ResidualCodec(sizes)
        self.model.mean.copy_(torch.from_numpy(self.windows.normaliser.mean))
        self.model.std.copy_(torch.from_numpy(self.windows.normaliser.std))
        if sizes.pca_encoder:
            rng = np.random.default_rng(recipe.optim.seed)
            windows_BTF = torch.from_numpy(self.windows.draw(STARTING_WINDOWS, rng))
            self.model.tokenizer.fit(
                self.model.normalise(windows_BTF),
                torch.from_numpy(self.windows.importance),
                torch.Generator().manual_seed(recipe.optim.seed),
            )

    def train_batches(
        self, *, seed: int, epoch: int, skip: int, part: Part = whole
    ) -> Iterator[dict[str, Any]]:
        size = self.recipe.optim.batch_size
        own = part(size)
        for index in range(skip, max(1, self.windows.num_windows // size)):
            rng = np.random.default_rng([seed, epoch, index, own.start])
            windows = torch.from_numpy(self.windows.draw(own.stop - own.start, rng))
            yield {"motion_BPTF": windows.unflatten(0, (own.stop - own.start, -1))}

    def loss(
        self, batch: dict[str, Any], rng: torch.Generator, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        target_BTF = self.model.normalise(batch["motion_BPTF"].flatten(0, 1))
        output = self.model.tokenizer(target_BTF)
        total, terms = tokenizer_loss(
            output, target_BTF, self.windows.positions, self.recipe.losses
        )
        return total, {**terms, "perplexity": output.perplexity}

    def validate(self) -> dict[str, float]:
        held_out = self.windows.held_out
        scores = reconstruction_scores(self.model.reconstruct, held_out, self.windows.layout)
        found = mean_scores(scores.values())
        if self.selection is None:
            return found
        made = [self.model.reconstruct(motion) for motion in held_out.values()]
        return {**found, "fid": self.selection.score_features(made)}

    def provenance(self) -> dict[str, Any]:
        return {"data": [self.recipe.data.clips]}
