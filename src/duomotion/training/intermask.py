"""What InterMask's two trainings consist of: recipes and tasks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from duomotion.data.interhuman import Clip, read_split
from duomotion.data.pairs import PairConfig, draw_example
from duomotion.data.windows import WindowConfig, WindowSampler
from duomotion.evaluation.reconstruction import mean_scores, reconstruction_scores
from duomotion.models.intermask.alternating import transformer_of
from duomotion.models.intermask.blocks import BlockDecoder, BlockEncoder, fit
from duomotion.models.intermask.codec import MotionCodec
from duomotion.models.intermask.config import (
    BlockTokenizerConfig,
    TokenizerConfig,
    TokenizerLossWeights,
)
from duomotion.models.intermask.generate import load_codec
from duomotion.models.intermask.generator_config import GeneratorConfig
from duomotion.models.intermask.objective import draw_corruption, draw_text_drop, generator_loss
from duomotion.models.intermask.tokenizer import tokenizer_loss
from duomotion.motion import features
from duomotion.text.cache import CachedEncoder
from duomotion.text.encoder import load_encoder
from duomotion.training.batch import take
from duomotion.training.config import LogConfig, OptimConfig

CODEBOOK_WINDOWS = 256
MIN_STD = 1e-3


@dataclass(frozen=True, kw_only=True)
class TokenizerData:
    """Data sets in InterHuman's layout, and the share of windows that shows lone people."""

    pairs: str = "data/interhuman"
    solo: str | None = None
    solo_share: float = 0.0
    floor: str = "each"  # see `features.encode_pair`
    windows: WindowConfig = field(default_factory=WindowConfig)
    starting_windows: int = 4000  # from which the statistics come, and all that is fitted


@dataclass(frozen=True, kw_only=True)
class TokenizerRecipe:
    """One training of the motion tokenizer; defaults are the paper's on InterHuman."""

    optim: OptimConfig
    system: str = "intermask/tokenizer"
    model: TokenizerConfig | BlockTokenizerConfig = field(default_factory=TokenizerConfig)
    losses: TokenizerLossWeights = field(default_factory=TokenizerLossWeights)
    data: TokenizerData = field(default_factory=TokenizerData)
    continuous_steps: int = 0  # at the start, without codes; these then start from clusters
    log: LogConfig = field(default_factory=LogConfig)


class TokenizerTask:
    """Windows of single people through the 2D VQ-VAE."""

    score_name = "mpjpe_mm"
    children: Mapping[str, Path] = {}

    def __init__(self, recipe: TokenizerRecipe) -> None:
        self.recipe = recipe
        data, sizes = recipe.data, recipe.model
        people = sizes.num_people if isinstance(sizes, TokenizerConfig) else 1
        windows = replace(data.windows, people=people)
        self.pairs = WindowSampler(read_split(data.pairs, "train")[0], windows)
        self.solo = WindowSampler(read_split(data.solo, "train")[0], windows) if data.solo else None
        self.held_out, _ = read_split(data.pairs, "val")
        torch.manual_seed(recipe.optim.seed)
        self.model = MotionCodec(recipe.model)
        rng = np.random.default_rng(recipe.optim.seed)
        joints_BTJD = self._draw(data.starting_windows, rng)
        statistics = features.from_joint_map(joints_BTJD)
        self.model.mean.copy_(torch.from_numpy(statistics.mean((0, 1))))
        std = np.maximum(statistics.std((0, 1)), MIN_STD)
        std[features.CONTACTS] = 1
        self.model.std.copy_(torch.from_numpy(std))
        if isinstance(recipe.model, BlockTokenizerConfig):
            self._fit(torch.from_numpy(joints_BTJD), recipe.model)

    def _fit(self, joints_BTJD: Tensor, config: BlockTokenizerConfig) -> None:
        tokenizer = self.model.tokenizer
        assert isinstance(tokenizer.encoder, BlockEncoder)
        assert isinstance(tokenizer.decoder, BlockDecoder)
        position, velocity, rotation = config.importance
        importance_D = torch.tensor([position] * 3 + [velocity] * 3 + [rotation] * 6)
        fit(
            tokenizer.encoder,
            tokenizer.quantizer,
            tokenizer.decoder,
            self.model.normalise(joints_BTJD),
            features.to_joint_map(self.model.std) * importance_D,
            torch.Generator().manual_seed(self.recipe.optim.seed),
        )

    def _draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        if self.solo is None:
            return self.pairs.draw(count, rng)
        solo = round(count * self.recipe.data.solo_share)
        return np.concatenate([self.pairs.draw(count - solo, rng), self.solo.draw(solo, rng)])

    def train_batches(self, *, seed: int, epoch: int, skip: int) -> Iterator[dict[str, Any]]:
        size = self.recipe.optim.batch_size
        windows = self.pairs.num_windows + (self.solo.num_windows if self.solo else 0)
        per_epoch = max(1, windows // size)
        for index in range(skip, per_epoch):
            rng = np.random.default_rng([seed, epoch, index])
            joints = torch.from_numpy(self._draw(size, rng))
            yield {"joints_BTJD": joints, "step": epoch * per_epoch + index}

    def loss(
        self, batch: dict[str, Any], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        tokenizer, step = self.model.tokenizer, batch["step"]
        target_BTJD = self.model.normalise(batch["joints_BTJD"])
        if step < self.recipe.continuous_steps:
            output = tokenizer.unquantized(target_BTJD)
        else:
            if self.recipe.continuous_steps and not tokenizer.quantizer.is_started:
                self._start_codebook(step)
            output = tokenizer(target_BTJD)
        total, terms = tokenizer_loss(
            output, target_BTJD, self.model.normaliser, self.recipe.losses
        )
        return total, {**terms, "perplexity": output.perplexity}

    @torch.no_grad()
    def _start_codebook(self, step: int) -> None:
        seed = self.recipe.optim.seed
        rng = np.random.default_rng([seed, step, CODEBOOK_WINDOWS])
        joints_BTJD = torch.from_numpy(self._draw(CODEBOOK_WINDOWS, rng)).to(self.model.mean)
        latents = [
            self.model.tokenizer.latents(self.model.normalise(part)).flatten(0, -2)
            for part in joints_BTJD.split(self.recipe.optim.batch_size)
        ]
        generator = torch.Generator().manual_seed(seed)
        self.model.tokenizer.quantizer.cluster(torch.cat(latents).float(), generator)

    def validate(self) -> dict[str, float]:
        """Always with codes: before they have started they are noise and score badly."""
        scores = reconstruction_scores(
            self.model.reconstruct, self.held_out, floor=self.recipe.data.floor
        )
        return mean_scores(scores.values())

    def provenance(self) -> dict[str, Any]:
        data = self.recipe.data
        return {"data": [data.pairs] + ([data.solo] if data.solo else [])}


@dataclass(frozen=True, kw_only=True)
class GeneratorData:
    """A data set of pairs, the trained tokenizer, and how captions become vectors."""

    pairs: str = "data/interhuman"
    tokenizer: str = "runs/intermask/tokenizer/best"
    text_encoder: str = "clip"
    views: int = 8  # random views of each clip that are tokenized before training starts
    text_noise: float = 0.0  # relative to the text vector's entries; for little data
    examples: PairConfig = field(default_factory=PairConfig)


@dataclass(frozen=True, kw_only=True)
class GeneratorRecipe:
    """One training of the Inter-M transformer; defaults are the paper's on InterHuman."""

    optim: OptimConfig
    system: str = "intermask/generator"
    model: GeneratorConfig = field(default_factory=GeneratorConfig)
    data: GeneratorData = field(default_factory=GeneratorData)
    log: LogConfig = field(default_factory=LogConfig)


@dataclass(frozen=True)
class TokenizedView:
    """One view of a clip: codes (2, parts, frames), a caption, the clip's name."""

    codes: Tensor
    caption: str
    name: str


class GeneratorTask:
    """Tokens of two people and a caption through the masked transformer."""

    score_name = "loss"

    def __init__(self, recipe: GeneratorRecipe) -> None:
        self.recipe = recipe
        data = recipe.data
        self.children: Mapping[str, Path] = {"tokenizer": Path(data.tokenizer)}
        codec = load_codec(Path(data.tokenizer))
        sizes = codec.tokenizer.config
        if isinstance(sizes, TokenizerConfig) and sizes.num_people > 1:
            raise ValueError(
                f"{data.tokenizer} has one token map for both people of an interaction; "
                "a generator needs a tokenizer with num_people 1"
            )
        if (sizes.num_codes, sizes.num_parts) != (recipe.model.num_codes, recipe.model.num_parts):
            raise ValueError(
                f"{data.tokenizer} has {sizes.num_codes} codes and {sizes.num_parts} parts; "
                "model.num_codes and model.num_parts must be the same"
            )
        encoder = CachedEncoder(load_encoder(data.text_encoder))
        if encoder.dim != recipe.model.text_dim:
            raise ValueError(
                f"text encoder {data.text_encoder!r} gives {encoder.dim} numbers; "
                f"model.text_dim is {recipe.model.text_dim} and must be the same"
            )
        seed = recipe.optim.seed
        self.views = _tokenized(
            codec, read_split(data.pairs, "train")[0], data.examples, data.views, seed
        )
        whole = PairConfig(floor=data.examples.floor, mirror=False)
        self.held_out = _tokenized(codec, read_split(data.pairs, "val")[0], whole, 2, seed)
        captions = sorted({view.caption for view in self.views + self.held_out})
        embedding = encoder.encode(captions)
        self.texts = {
            caption: (hidden, read)
            for caption, hidden, read in zip(
                captions, embedding.hidden_BLC, embedding.read_B, strict=True
            )
        }
        self.encoder_name = encoder.name
        torch.manual_seed(seed)
        self.model = transformer_of(recipe.model)

    def train_batches(self, *, seed: int, epoch: int, skip: int) -> Iterator[dict[str, Any]]:
        size = self.recipe.optim.batch_size
        batches = _similar_lengths(self.views, size, np.random.default_rng([seed, epoch]))
        for chosen in batches[skip:]:
            yield self._batch([self.views[index] for index in chosen])

    def _batch(self, views: list[TokenizedView]) -> dict[str, Any]:
        lengths = [view.codes.shape[-1] for view in views]
        ids = torch.zeros(len(views), 2, self.recipe.model.num_parts, max(lengths)).long()
        for row, (view, length) in enumerate(zip(views, lengths, strict=True)):
            ids[row, ..., :length] = view.codes
        hidden, read = zip(*(self.texts[view.caption] for view in views), strict=True)
        return {
            "ids_BPN": ids.flatten(2),
            "lengths_B": torch.tensor(lengths),
            "hidden_BLC": torch.stack(hidden),
            "read_B": torch.stack(read),
            "names": [view.name for view in views],
        }

    def loss(
        self, batch: dict[str, Any], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        config = self.recipe.model
        ids_BPN, lengths_B = batch["ids_BPN"], batch["lengths_B"]
        frames = ids_BPN.shape[-1] // config.num_parts
        text_BC = self.model.text_head(batch["hidden_BLC"], batch["read_B"])
        noise_BC = torch.randn(text_BC.shape, generator=generator, device=text_BC.device)
        result = generator_loss(
            self.model,
            ids_BPN,
            text_BC + self.recipe.data.text_noise * noise_BC * self.model.training,
            lengths_B,
            corruption=draw_corruption(lengths_B, frames, config, generator),
            drop_B=draw_text_drop(len(lengths_B), config, generator),
        )
        return result.loss, {"masked": result.masked, "accuracy": result.accuracy}

    def validate(self) -> dict[str, float]:
        device = next(self.model.parameters()).device
        generator = torch.Generator(device).manual_seed(self.recipe.optim.seed)
        losses, size = [], self.recipe.optim.batch_size
        for start in range(0, len(self.held_out), size):
            views = self.held_out[start : start + size]
            loss, parts = self.loss(take(self._batch(views), slice(None), device), generator)
            losses += [(loss.item(), parts["accuracy"].item())] * len(views)
        loss, accuracy = np.mean(losses, axis=0)
        return {"loss": float(loss), "accuracy": float(accuracy)}

    def provenance(self) -> dict[str, Any]:
        return {"data": [self.recipe.data.pairs], "text_encoder": self.encoder_name}


def _tokenized(
    codec: MotionCodec, clips: list[Clip], config: PairConfig, views: int, seed: int
) -> list[TokenizedView]:
    """`views` views of every clip."""
    found = []
    unit, parts = codec.tokenizer.downsampling, codec.tokenizer.num_parts
    for index, clip in enumerate(tqdm(clips, desc="tokens", unit="clip", mininterval=5)):
        rng = np.random.default_rng([seed, index])
        for _ in range(views):
            example = draw_example(clip, config, rng)
            frames = example.features.shape[1] // unit * unit
            with torch.no_grad():
                ids = codec.encode(torch.from_numpy(example.features[:, :frames]))
            found.append(TokenizedView(ids.unflatten(1, (parts, -1)), example.caption, clip.name))
    return found


def _similar_lengths(
    views: list[TokenizedView], size: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """A random order in batches whose views are of similar length, so that little is padded."""
    order = rng.permutation(len(views))
    lengths = np.array([view.codes.shape[-1] for view in views])
    batches = []
    for start in range(0, len(order), 8 * size):
        group = order[start : start + 8 * size]
        group = group[np.argsort(lengths[group], kind="stable")]
        batches += [group[k : k + size] for k in range(0, len(group), size)]
    return [batches[index] for index in rng.permutation(len(batches))]
