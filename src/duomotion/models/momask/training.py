"""What MoMask's trainings consist of: recipes and tasks."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from duomotion.checkpoint import load_weights, read_checkpoint
from duomotion.data import humanml3d, humanml3d_views, interhuman
from duomotion.data.humanml3d import SoloClip, without_mirrored
from duomotion.data.kinds import describe
from duomotion.data.layouts import VIEWS
from duomotion.data.windows import WindowConfig, WindowSampler
from duomotion.losses.masked import soft_targets
from duomotion.models.children import check_child, load_embedder
from duomotion.models.layers.acceleration import accelerate
from duomotion.models.momask.codec import ResidualCodec, load_codec
from duomotion.models.momask.config import (
    MaskedConfig,
    ResidualConfig,
    ResidualTokenizerConfig,
    ResidualTokenizerLossWeights,
)
from duomotion.models.momask.crops import Crops, FixedCrops, FreshCrops, read_clips, tokens_of
from duomotion.models.momask.decoding import residual_steps
from duomotion.models.momask.generate import MoMask
from duomotion.models.momask.network import MaskedTransformer, ResidualTransformer
from duomotion.models.momask.objective import (
    TokenLoss,
    draw_corruption,
    draw_layers,
    masked_loss,
    residual_loss,
)
from duomotion.models.momask.tokenizer_loss import tokenizer_loss
from duomotion.motion.errors import mean_scores, reconstruction_scores
from duomotion.motion.humanml3d import SoloLayout
from duomotion.motion.interhuman import INTERHUMAN, InterHumanLayout
from duomotion.motion.layout import Layout
from duomotion.motion.normaliser import Normaliser
from duomotion.sampling.guidance import draw_text_drop
from duomotion.sampling.masking import top_k_of_ratio
from duomotion.sampling.tokens import sample_noise
from duomotion.text.cache import cached_encoder
from duomotion.text.learned import Learned
from duomotion.training.batch import Part, on_device, similar_lengths, whole
from duomotion.training.captions import CaptionVectors, draw_captions
from duomotion.training.config import LogConfig, OptimConfig
from duomotion.training.validation import ValidationFID, held_out_scores

# Weights of features in the PCA that a tokenizer is initialised with: joint positions determine
# the decoded body, and one person's foot positions whether feet slide.
FEET, POSITIONS, ROOT, OTHERS, FLAGS = 3.0, 1.5, 1.0, 0.2, 0.1
KINDS = {"residual": "momask/residual", "length": "length/estimator"}
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


@dataclass(frozen=True, kw_only=True)
class TokenData:
    """A data set of one person with captions, the trained tokenizer and the text encoder.

    Attributes:
        views: crops of each clip, drawn and tokenized before training (ours). None: a new crop of
            each clip in each epoch, tokenized on the device and zero-padded to the longest motion
            (released code); the padding affects the last tokens.
        evaluator: checkpoint of an evaluator. `best` is then the checkpoint with the lowest FID on
            the validation clips (released code): of the base layer generated for their captions, or
            of the other layers generated for their own base layer. None: with the lowest held-out
            loss, which rises long before the generated motion gets worse.
    """

    clips: str = "data/humanml3d"
    tokenizer: str = "runs/momask/tokenizer/best"
    text_encoder: str = "clip-vector"  # released code
    views: int | None = None
    evaluator: str | None = None
    text_noise: float = 0.0  # of a vector, along the way from one random caption to another
    soft_target_width: float = 0.0  # ours; of `losses.masked.soft_targets`, 0: one-hot targets
    init_from_codes: bool = (
        False  # ours; True: tokens start with the tokenizer's codes as their vectors
    )


@dataclass(frozen=True, kw_only=True)
class MaskedData(TokenData):
    """The same, with the checkpoints that are included in the masked transformer's."""

    residual: str | None = None  # checkpoint of a residual transformer; None: base tokens only
    length: str | None = None  # checkpoint of a length estimator


@dataclass(frozen=True, kw_only=True)
class MaskedRecipe:
    """One training of the masked transformer; defaults are the released model's."""

    optim: OptimConfig
    system: str = "momask/masked"
    model: MaskedConfig = field(default_factory=MaskedConfig)
    data: MaskedData = field(default_factory=MaskedData)
    start: str | None = None  # checkpoint of one whose weights training starts with
    log: LogConfig = field(default_factory=LogConfig)


@dataclass(frozen=True, kw_only=True)
class ResidualRecipe:
    """One training of the residual transformer; defaults are the released model's."""

    optim: OptimConfig
    system: str = "momask/residual"
    model: ResidualConfig = field(default_factory=ResidualConfig)
    data: TokenData = field(default_factory=TokenData)
    start: str | None = None  # checkpoint of one whose weights training starts with
    log: LogConfig = field(default_factory=LogConfig)


Network = TypeVar("Network", MaskedTransformer, ResidualTransformer)


class _TokenTask(ABC, Generic[Network]):
    """Tokens of a clip with one of its captions: what both transformers train on."""

    children: Mapping[str, Path] = {}
    model: Network

    def __init__(self, recipe: MaskedRecipe | ResidualRecipe, device: torch.device) -> None:
        self.data, self.optim, self.device = recipe.data, recipe.optim, device
        self.codec = accelerate(load_codec(Path(self.data.tokenizer)))
        _check_tokenizer(self.codec, recipe)
        self.targets_QVV = self._soft_targets()
        clips, held_out = (
            read_clips(self.codec, self.data.clips, split) for split in ("train", "val")
        )
        self.crops = self._crops(clips)
        self.held_out = self._fixed_crops(held_out, each=1, title="tokens of val")
        self.selection = self._selection(held_out)
        self.score_name = "loss" if self.selection is None else "fid"
        self.encoder = cached_encoder(self.data.text_encoder, dim=recipe.model.text_dim)
        self.captions = CaptionVectors(self.encoder, _captions(clips, held_out), device)
        self.codec.to(device)
        torch.manual_seed(self.optim.seed)

    def _soft_targets(self) -> Tensor | None:
        """(Q, V, V) on the device."""
        width, codes_QVC = self.data.soft_target_width, self.codec.tokenizer.quantizer.codes
        if not width:
            return None
        return torch.stack([soft_targets(codes_VC, width) for codes_VC in codes_QVC]).to(
            self.device
        )

    def _crops(self, clips: list[SoloClip]) -> Crops:
        if self.data.views is None:
            return FreshCrops(self.codec, clips)
        return self._fixed_crops(clips, each=self.data.views, title="tokens of train")

    def _fixed_crops(self, clips: list[SoloClip], *, each: int, title: str) -> FixedCrops:
        is_padded, seed = self.data.views is None, self.optim.seed
        return FixedCrops(self.codec, clips, each=each, is_padded=is_padded, seed=seed, title=title)

    def _selection(self, clips: list[SoloClip]) -> ValidationFID | None:
        """Against these clips, in whole tokens, where the recipe names an evaluator."""
        if self.data.evaluator is None:
            return None
        unit = self.codec.tokenizer.downsampling
        shown = [
            (clip.captions[0].text, clip.features[None, : clip.num_frames // unit * unit])
            for clip in clips
        ]
        return ValidationFID(load_embedder(Path(self.data.evaluator)), shown)

    def train_batches(
        self, *, seed: int, epoch: int, skip: int, part: Part = whole
    ) -> Iterator[dict[str, Any]]:
        rng = np.random.default_rng([seed, epoch])
        batches = similar_lengths(self.crops.lengths, self.optim.batch_size, rng)
        for index, chosen in enumerate(batches[skip:], skip):
            own = part(len(chosen))
            rng = np.random.default_rng([seed, epoch, index, own.start])
            yield self._batch(self.crops, chosen[own].tolist(), rng)

    def _batch(self, crops: Crops, rows: Sequence[int], rng: np.random.Generator) -> dict[str, Any]:
        clips = [crops.clips[row] for row in rows]
        texts = draw_captions(
            [(humanml3d_views.captions(clip), clip.weights) for clip in clips], rng
        )
        return {
            **crops.draw(rows, rng),
            "captions_B": self.captions.numbers(texts),
            "names": [clip.name for clip in clips],
        }

    def loss(
        self, batch: dict[str, Any], rng: torch.Generator, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        text_BC, targets_QVV = self.captions.vectors_NC[batch["captions_B"]], None
        if self.model.training:
            text_BC = self.captions.add_noise(text_BC, self.data.text_noise, rng)
            targets_QVV = self.targets_QVV
        drop_B = draw_text_drop(self.model, len(text_BC), rng)
        seen = {**batch, "ids_BNQ": tokens_of(batch, self.codec), "text_BC": text_BC}
        found = self._compute_loss(seen, drop_B, targets_QVV, rng)
        return found.loss, {"accuracy": found.accuracy}

    @abstractmethod
    def _compute_loss(
        self,
        batch: dict[str, Any],
        drop_B: Tensor,
        targets_QVV: Tensor | None,
        rng: torch.Generator,
    ) -> TokenLoss: ...

    def _started(self, model: Network, start: str | None) -> Network:
        if start is not None:
            load_weights(model, read_checkpoint(start))
        elif self.data.init_from_codes:
            codes_QVC = self.codec.tokenizer.quantizer.codes.cpu()
            model.init_from_codebooks(codes_QVC / codes_QVC[0].square().mean().sqrt())
        return model

    def validate(self) -> dict[str, float]:
        scores = held_out_scores(
            self.loss,
            partial(self._batch, self.held_out),
            range(len(self.held_out.clips)),
            size=self.optim.batch_size,
            seed=self.optim.seed,
            device=self.device,
        )
        if self.selection is None:
            return scores
        return {**scores, "fid": self._fid(self.selection, self.codec)}

    @abstractmethod
    def _fid(self, selection: ValidationFID, codec: ResidualCodec) -> float:
        """That of what the model, which is in evaluation mode, makes of the validation clips."""

    def provenance(self) -> dict[str, Any]:
        return {"data": [self.data.clips], "text_encoder": self.encoder.name}


def _check_tokenizer(codec: ResidualCodec, recipe: MaskedRecipe | ResidualRecipe) -> None:
    """Raises ValueError where the transformer can't be trained on the tokenizer's tokens."""
    data, sizes = recipe.data, codec.tokenizer.config
    if sizes.num_codes != recipe.model.num_codes:
        raise ValueError(
            f"{data.tokenizer} has {sizes.num_codes} codes a layer; model.num_codes must be "
            f"the same, not {recipe.model.num_codes}"
        )
    if data.init_from_codes and sizes.code_dim != recipe.model.token_dim:
        raise ValueError(
            f"{data.tokenizer} has codes of {sizes.code_dim} numbers; with "
            "data.init_from_codes model.token_dim must be the same, "
            f"not {recipe.model.token_dim}"
        )


def _captions(clips: list[SoloClip], held_out: list[SoloClip]) -> list[str]:
    """Those of the training clips, then what else the others have."""
    known, others = (
        {text for clip in some for text in humanml3d_views.captions(clip)}
        for some in (clips, held_out)
    )
    return [*sorted(known), *sorted(others - known)]


class MaskedTask(_TokenTask[MaskedTransformer]):
    """Tokens of the base layer through the masked transformer."""

    children: Mapping[str, Path]

    def __init__(self, recipe: MaskedRecipe, device: torch.device) -> None:
        super().__init__(recipe, device)
        found = {"residual": recipe.data.residual, "length": recipe.data.length}
        beside = {name: Path(folder) for name, folder in found.items() if folder is not None}
        for name, folder in beside.items():
            check_child(folder, KINDS[name], recipe.data.text_encoder)
        self.children = {"tokenizer": Path(recipe.data.tokenizer), **beside}
        clips = without_mirrored(self.crops.clips)
        described = describe(recipe.data.clips, clips, humanml3d_views.captions)
        self.learned = Learned.of(described, MoMask.num_people)
        self.model = self._started(MaskedTransformer(recipe.model), recipe.start)

    def _compute_loss(
        self,
        batch: dict[str, Any],
        drop_B: Tensor,
        targets_QVV: Tensor | None,
        rng: torch.Generator,
    ) -> TokenLoss:
        ids_BN, lengths_B = batch["ids_BNQ"][..., 0], batch["lengths_B"]
        corruption = draw_corruption(lengths_B, ids_BN.shape[1], self.model.config, rng)
        return masked_loss(
            self.model,
            ids_BN,
            batch["text_BC"],
            lengths_B,
            corruption=corruption,
            drop_B=drop_B,
            targets_VV=None if targets_QVV is None else targets_QVV[0],
        )

    def _fid(self, selection: ValidationFID, codec: ResidualCodec) -> float:
        # A copy: what only generates can't be trained.
        return selection.score(MoMask(codec, copy.deepcopy(self.model), None, self.encoder))


class ResidualTask(_TokenTask[ResidualTransformer]):
    """Tokens of the other layers through the residual transformer."""

    def __init__(self, recipe: ResidualRecipe, device: torch.device) -> None:
        super().__init__(recipe, device)
        num_layers = self.codec.tokenizer.config.num_layers
        if num_layers != recipe.model.num_layers:
            raise ValueError(
                f"{recipe.data.tokenizer} has {num_layers} layers; model.num_layers must be "
                f"the same, not {recipe.model.num_layers}"
            )
        self.model = self._started(ResidualTransformer(recipe.model), recipe.start)

    def _compute_loss(
        self,
        batch: dict[str, Any],
        drop_B: Tensor,
        targets_QVV: Tensor | None,
        rng: torch.Generator,
    ) -> TokenLoss:
        return residual_loss(
            self.model,
            batch["ids_BNQ"],
            batch["text_BC"],
            batch["lengths_B"],
            layer_B=draw_layers(len(drop_B), self.model.config, rng),
            drop_B=drop_B,
            targets_QVV=targets_QVV,
        )

    @torch.no_grad()
    def _fid(self, selection: ValidationFID, codec: ResidualCodec) -> float:
        config, rng = self.model.config, np.random.default_rng(self.optim.seed)
        clips, size = range(len(self.held_out.clips)), self.optim.batch_size
        made = []
        for rows in (clips[start : start + size] for start in clips[::size]):
            batch = on_device(self._batch(self.held_out, rows, rng), codec.mean.device)
            ids_BNQ, lengths_B = batch["ids_BNQ"], batch["lengths_B"]
            text_BC = self.captions.vectors_NC[batch["captions_B"]]
            base_BN = ids_BNQ[..., 0]
            rngs = [torch.Generator().manual_seed(row) for row in rows]
            layers = residual_steps(
                self.model,
                base_BN,
                text_BC,
                lengths_B,
                noise=sample_noise(rngs, lengths_B, config.num_codes),
                known_ids=ids_BNQ,
                known_mask=torch.zeros_like(base_BN, dtype=torch.bool),
                guidance=config.guidance,
                top_k=top_k_of_ratio(config.top_k_ratio, config.num_codes),
                temperature=config.temperature,
            )
            ids_BNQ = torch.stack([base_BN, *(step.ids for step in layers)], -1)
            made += [
                codec.decode(ids_NQ[None, :length]).cpu().numpy()
                for ids_NQ, length in zip(ids_BNQ, lengths_B.tolist(), strict=True)
            ]
        return selection.score_features(made)
