"""What InterMask's two trainings consist of: recipes and tasks."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from duomotion.checkpoint import load_weights, read_checkpoint
from duomotion.data.layouts import VIEWS
from duomotion.data.windows import WindowConfig
from duomotion.models.captioned_pairs import CaptionedPairs, CaptionedTask, PairData
from duomotion.models.intermask.alternating import transformer_of
from duomotion.models.intermask.codec import MotionCodec, load_codec
from duomotion.models.intermask.config import (
    InterMConfig,
    PartTokenizerConfig,
    TokenizerConfig,
    TokenizerLossWeights,
)
from duomotion.models.intermask.generate import InterMask
from duomotion.models.intermask.network import InterMTransformer
from duomotion.models.intermask.objective import draw_corruption, generator_loss
from duomotion.models.intermask.part_tokenizer import PartTokenizer
from duomotion.models.intermask.tokenized import tokenized
from duomotion.models.intermask.tokenizer import MotionTokenizer, TokenizerOutput
from duomotion.models.intermask.tokenizer_loss import interx_tokenizer_loss, tokenizer_loss
from duomotion.models.layers.acceleration import accelerate
from duomotion.motion.errors import mean_scores, reconstruction_scores
from duomotion.motion.interhuman import INTERHUMAN
from duomotion.sampling.guidance import draw_text_drop
from duomotion.training.batch import Part, whole
from duomotion.training.config import LogConfig, OptimConfig

CODEBOOK_WINDOWS = 256


@dataclass(frozen=True, kw_only=True)
class TokenizerData:
    """Data sets in the tokenizer's layout, and the share of windows from clips of one person."""

    pairs: str = "data/interhuman"
    solo: str | None = None
    solo_share: float = 0.0
    windows: WindowConfig = field(default_factory=WindowConfig)
    starting_windows: int = 4000  # for the statistics and for fitting the first weights


@dataclass(frozen=True, kw_only=True)
class TokenizerRecipe:
    """One training of the motion tokenizer; defaults are the released code's on InterHuman."""

    optim: OptimConfig
    system: str = "intermask/tokenizer"
    model: TokenizerConfig | PartTokenizerConfig = field(default_factory=TokenizerConfig)
    losses: TokenizerLossWeights = field(default_factory=TokenizerLossWeights)
    data: TokenizerData = field(default_factory=TokenizerData)
    continuous_steps: int = 0  # first steps, not quantized; then codes start as cluster centres
    log: LogConfig = field(default_factory=LogConfig)

    def __post_init__(self) -> None:
        if self.continuous_steps and isinstance(self.model, PartTokenizerConfig):
            raise ValueError("continuous_steps must be 0 for a tokenizer that starts fitted")


class TokenizerTask:
    """Windows of single people through the 2D VQ-VAE."""

    score_name = "mpjpe_mm"
    children: Mapping[str, Path] = {}

    def __init__(self, recipe: TokenizerRecipe, device: torch.device) -> None:
        self.recipe = recipe
        data, sizes = recipe.data, recipe.model
        self.people = sizes.num_people if isinstance(sizes, TokenizerConfig) else 1
        windows = replace(data.windows, people=self.people)
        torch.manual_seed(recipe.optim.seed)
        self.model = MotionCodec(recipe.model)
        views = VIEWS[self.model.layout.name]
        self.pairs = views.windows(views.read_motions(data.pairs, "train")[0], windows)
        self.solo = (
            views.windows(views.read_motions(data.solo, "train")[0], windows) if data.solo else None
        )
        held_out, _ = views.read_motions(data.pairs, "val")
        self.held_out = {clip.name: views.whole(clip, data.windows.floor) for clip in held_out}
        rng = np.random.default_rng(recipe.optim.seed)
        joints_BTJD = self._draw(data.starting_windows, rng)
        if isinstance(self.model.tokenizer, PartTokenizer):
            torch_rng = torch.Generator().manual_seed(recipe.optim.seed)
            self.model.tokenizer.fit(torch.from_numpy(joints_BTJD), torch_rng)
        elif self.model.layout is INTERHUMAN:
            found = INTERHUMAN.fit_normaliser(INTERHUMAN.from_joint_map(joints_BTJD))
            self.model.mean.copy_(torch.from_numpy(found.mean))
            self.model.std.copy_(torch.from_numpy(found.std))

    def _draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        if self.solo is None:
            return self.pairs.draw(count, rng)
        solo = round(count * self.recipe.data.solo_share)
        return np.concatenate([self.pairs.draw(count - solo, rng), self.solo.draw(solo, rng)])

    def train_batches(
        self, *, seed: int, epoch: int, skip: int, part: Part = whole
    ) -> Iterator[dict[str, Any]]:
        size, people = self.recipe.optim.batch_size, self.people
        own = part(size // people)
        windows = self.pairs.num_windows + (self.solo.num_windows if self.solo else 0)
        per_epoch = max(1, windows // size)
        for index in range(skip, per_epoch):
            rng = np.random.default_rng([seed, epoch, index, own.start])
            joints = torch.from_numpy(self._draw(people * (own.stop - own.start), rng))
            yield {"joints_BPTJD": joints.unflatten(0, (-1, people))}

    def loss(
        self, batch: dict[str, Any], rng: torch.Generator, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        target_BTJD = self.model.normalise(batch["joints_BPTJD"].flatten(0, 1))
        output = self._output(target_BTJD, step)
        if self.model.layout is INTERHUMAN:
            total, terms = tokenizer_loss(
                output, target_BTJD, self.model.normaliser, self.recipe.losses
            )
        else:
            total, terms = interx_tokenizer_loss(output, target_BTJD, self.recipe.losses)
        return total, {**terms, "perplexity": output.perplexity}

    def _output(self, target_BTJD: Tensor, step: int) -> TokenizerOutput:
        tokenizer = self.model.tokenizer
        if isinstance(tokenizer, MotionTokenizer):
            if step < self.recipe.continuous_steps:
                return tokenizer.unquantized(target_BTJD)
            if self.recipe.continuous_steps and not tokenizer.quantizer.is_started:
                self._start_codebook(tokenizer, step)
        return tokenizer(target_BTJD)

    @torch.no_grad()
    def _start_codebook(self, tokenizer: MotionTokenizer, step: int) -> None:
        seed = self.recipe.optim.seed
        rng = np.random.default_rng([seed, step, CODEBOOK_WINDOWS])
        joints_BTJD = torch.from_numpy(self._draw(CODEBOOK_WINDOWS, rng)).to(self.model.mean)
        latents = [
            tokenizer.latents(self.model.normalise(part)).flatten(0, -2)
            for part in joints_BTJD.split(self.recipe.optim.batch_size)
        ]
        torch_rng = torch.Generator().manual_seed(seed)
        tokenizer.quantizer.cluster(torch.cat(latents).float(), torch_rng)

    def validate(self) -> dict[str, float]:
        """Always with codes: before they have started they are noise and score badly."""
        scores = reconstruction_scores(self.model.reconstruct, self.held_out, self.model.layout)
        return mean_scores(scores.values())

    def provenance(self) -> dict[str, Any]:
        data = self.recipe.data
        return {"data": [data.pairs] + ([data.solo] if data.solo else [])}


@dataclass(frozen=True, kw_only=True)
class GeneratorData(PairData):
    """The data, and the trained tokenizer.

    Views that are drawn before training are tokenized then; others zero-padded, on the device.
    """

    tokenizer: str = "runs/intermask/tokenizer/best"


@dataclass(frozen=True, kw_only=True)
class GeneratorRecipe:
    """One training of the Inter-M transformer; defaults are the released code's on InterHuman."""

    optim: OptimConfig
    system: str = "intermask/generator"
    model: InterMConfig = field(default_factory=InterMConfig)
    data: GeneratorData = field(default_factory=GeneratorData)
    start: str | None = None  # checkpoint of a generator whose weights training starts with
    log: LogConfig = field(default_factory=LogConfig)


class GeneratorTask(CaptionedTask):
    """Tokens of two people and a caption through the masked transformer."""

    recipe: GeneratorRecipe
    reported = ("accuracy",)

    def __init__(self, recipe: GeneratorRecipe, device: torch.device) -> None:
        data = recipe.data
        self.codec = accelerate(load_codec(Path(data.tokenizer)))
        _check_tokenizer(self.codec, recipe)
        pairs = CaptionedPairs(
            data,
            layout=self.codec.layout.name,
            text_dim=recipe.model.text_dim,
            seed=recipe.optim.seed,
            unit=self.codec.tokenizer.downsampling,
            prepare=partial(tokenized, self.codec),
        )
        super().__init__(recipe, device, pairs, {"tokenizer": Path(data.tokenizer)})
        self.model = _initial_network(recipe, self.codec)
        self.codec.to(device)

    def generator(self) -> InterMask:
        return InterMask(self.codec, copy.deepcopy(self.model), self.pairs.encoder)

    def loss(
        self, batch: dict[str, Any], rng: torch.Generator, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        config, lengths_B = self.recipe.model, batch["lengths_B"]
        ids_BPN = batch["ids_BPN"] if "ids_BPN" in batch else self._ids(batch["motion_BPTF"])
        frames = ids_BPN.shape[-1] // config.num_parts
        text_BC = self.pairs.text_vectors(
            batch, rng, text_head=self.model.text_head, is_training=self.model.training
        )
        result = generator_loss(
            self.model,
            ids_BPN,
            text_BC,
            lengths_B,
            corruption=draw_corruption(lengths_B, frames, config, rng),
            drop_B=draw_text_drop(self.model, len(lengths_B), rng),
        )
        return result.loss, {"masked": result.masked, "accuracy": result.accuracy}

    @torch.no_grad()
    def _ids(self, motion_BPTF: Tensor) -> Tensor:
        """(B, 2, N), with anything behind the end of a clip."""
        with torch.autocast(self.device.type, enabled=False):
            return self.codec.encode(motion_BPTF.flatten(0, 1)).unflatten(0, (-1, 2))


def _check_tokenizer(codec: MotionCodec, recipe: GeneratorRecipe) -> None:
    """Raises ValueError where a generator can't be trained on the tokenizer's tokens."""
    folder, sizes = recipe.data.tokenizer, codec.tokenizer.config
    if isinstance(sizes, TokenizerConfig) and sizes.num_people > 1:
        raise ValueError(
            f"{folder} has one token map for both people of an interaction; "
            "a generator needs a tokenizer with num_people 1"
        )
    if (sizes.num_codes, sizes.num_parts) != (recipe.model.num_codes, recipe.model.num_parts):
        raise ValueError(
            f"{folder} has {sizes.num_codes} codes and {sizes.num_parts} parts; "
            "model.num_codes and model.num_parts must be the same"
        )
    if isinstance(sizes, PartTokenizerConfig) != recipe.model.per_part_codebooks:
        raise ValueError(
            f"model.per_part_codebooks is {recipe.model.per_part_codebooks}; it must be true where "
            f"the rows of a tokenizer have codes of their own and false elsewhere, as in {folder}"
        )
    if isinstance(codec.tokenizer, PartTokenizer):
        widest = max(part.codebook.shape[1] for part in codec.tokenizer.quantizers)
        if recipe.model.token_dim < widest:
            raise ValueError(
                f"model.token_dim must be at least {widest}, the channels of the codes of "
                f"{folder}, not {recipe.model.token_dim}"
            )


def _initial_network(recipe: GeneratorRecipe, codec: MotionCodec) -> InterMTransformer:
    """The network that training starts with: new, or a trained one's weights."""
    torch.manual_seed(recipe.optim.seed)
    network = transformer_of(recipe.model)
    if recipe.start is not None:
        load_weights(network, read_checkpoint(recipe.start))
    elif isinstance(codec.tokenizer, PartTokenizer):
        network.init_from_codebooks([part.codebook for part in codec.tokenizer.quantizers])
    return network
