"""The trainings of MoMask's transformers: recipes and tasks."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from duomotion.checkpoint import load_weights, read_checkpoint
from duomotion.data import humanml3d_views
from duomotion.data.humanml3d import SoloClip, without_mirrored
from duomotion.data.kinds import describe
from duomotion.losses.masked import soft_targets
from duomotion.models.children import check_child, load_embedder
from duomotion.models.layers.acceleration import accelerate
from duomotion.models.momask.codec import ResidualCodec, load_codec
from duomotion.models.momask.config import MaskedConfig, ResidualConfig
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
from duomotion.sampling.guidance import draw_text_drop
from duomotion.sampling.masking import top_k_of_ratio
from duomotion.sampling.tokens import sample_noise
from duomotion.text.cache import cached_encoder
from duomotion.text.learned import Learned
from duomotion.training.batch import Part, on_device, similar_lengths, whole
from duomotion.training.captions import CaptionVectors, draw_captions
from duomotion.training.config import LogConfig, OptimConfig
from duomotion.training.validation import ValidationFID, held_out_scores

KINDS = {"residual": "momask/residual", "length": "length/estimator"}


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
