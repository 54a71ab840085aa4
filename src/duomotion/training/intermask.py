"""What InterMask's two trainings consist of: recipes and tasks."""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from duomotion.checkpoint import load_weights, read_checkpoint
from duomotion.data.layouts import VIEWS
from duomotion.data.pairs import PairConfig
from duomotion.data.windows import WindowConfig
from duomotion.evaluation.reconstruction import mean_scores, reconstruction_scores
from duomotion.losses.masked import draw_text_drop
from duomotion.models.intermask.alternating import transformer_of
from duomotion.models.intermask.codec import MotionCodec
from duomotion.models.intermask.config import (
    PartTokenizerConfig,
    TokenizerConfig,
    TokenizerLossWeights,
)
from duomotion.models.intermask.generate import load_codec
from duomotion.models.intermask.generator_config import GeneratorConfig
from duomotion.models.intermask.objective import draw_corruption, generator_loss
from duomotion.models.intermask.parts import PartTokenizer
from duomotion.models.intermask.tokenizer import MotionTokenizer, TokenizerOutput
from duomotion.models.intermask.tokenizer_loss import interx_tokenizer_loss, tokenizer_loss
from duomotion.motion import features
from duomotion.text.anchors import ANCHORS, save_anchors
from duomotion.text.cache import cached_encoder
from duomotion.text.encoder import TextEmbedding
from duomotion.training.batch import similar_lengths
from duomotion.training.beside import check_beside
from duomotion.training.config import LogConfig, OptimConfig
from duomotion.training.validation import held_out_scores

CODEBOOK_WINDOWS = 256


@dataclass(frozen=True, kw_only=True)
class TokenizerData:
    """Data sets in the tokenizer's layout, and the share of windows that shows lone people."""

    pairs: str = "data/interhuman"
    solo: str | None = None
    solo_share: float = 0.0
    windows: WindowConfig = field(default_factory=WindowConfig)
    starting_windows: int = 4000  # from which the statistics come, and all that is fitted


@dataclass(frozen=True, kw_only=True)
class TokenizerRecipe:
    """One training of the motion tokenizer; defaults are the paper's on InterHuman."""

    optim: OptimConfig
    system: str = "intermask/tokenizer"
    model: TokenizerConfig | PartTokenizerConfig = field(default_factory=TokenizerConfig)
    losses: TokenizerLossWeights = field(default_factory=TokenizerLossWeights)
    data: TokenizerData = field(default_factory=TokenizerData)
    continuous_steps: int = 0  # at the start, without codes; these then start from clusters
    log: LogConfig = field(default_factory=LogConfig)

    def __post_init__(self) -> None:
        if self.continuous_steps and isinstance(self.model, PartTokenizerConfig):
            raise ValueError("continuous_steps must be 0 for a tokenizer that starts fitted")


class TokenizerTask:
    """Windows of single people through the 2D VQ-VAE."""

    score_name = "mpjpe_mm"
    children: Mapping[str, Path] = {}

    def __init__(self, recipe: TokenizerRecipe) -> None:
        self.recipe = recipe
        data, sizes = recipe.data, recipe.model
        people = sizes.num_people if isinstance(sizes, TokenizerConfig) else 1
        windows = replace(data.windows, people=people)
        torch.manual_seed(recipe.optim.seed)
        self.model = MotionCodec(recipe.model)
        views = VIEWS[self.model.layout.NAME]
        self.pairs = views.windows(views.read_split(data.pairs, "train")[0], windows)
        self.solo = (
            views.windows(views.read_split(data.solo, "train")[0], windows) if data.solo else None
        )
        held_out, _ = views.read_split(data.pairs, "val")
        self.held_out = {clip.name: views.whole(clip, data.windows.floor) for clip in held_out}
        rng = np.random.default_rng(recipe.optim.seed)
        joints_BTJD = self._draw(data.starting_windows, rng)
        if isinstance(self.model.tokenizer, PartTokenizer):
            generator = torch.Generator().manual_seed(recipe.optim.seed)
            self.model.tokenizer.fit(torch.from_numpy(joints_BTJD), generator)
        elif self.model.layout is features:
            found = features.measured(features.from_joint_map(joints_BTJD))
            self.model.mean.copy_(torch.from_numpy(found.mean))
            self.model.std.copy_(torch.from_numpy(found.std))

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
        target_BTJD = self.model.normalise(batch["joints_BTJD"])
        output = self._output(target_BTJD, batch["step"])
        if self.model.layout is features:
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
        generator = torch.Generator().manual_seed(seed)
        tokenizer.quantizer.cluster(torch.cat(latents).float(), generator)

    def validate(self) -> dict[str, float]:
        """Always with codes: before they have started they are noise and score badly."""
        scores = reconstruction_scores(self.model.reconstruct, self.held_out, self.model.layout)
        return mean_scores(scores.values())

    def provenance(self) -> dict[str, Any]:
        data = self.recipe.data
        return {"data": [data.pairs] + ([data.solo] if data.solo else [])}


@dataclass(frozen=True, kw_only=True)
class GeneratorData:
    """A data set of pairs, the trained tokenizer, and how captions become vectors."""

    pairs: str = "data/interhuman"
    tokenizer: str = "runs/intermask/tokenizer/best"
    length: str | None = None  # checkpoint of a length estimator to go with the generator
    text_encoder: str = "clip"
    views: int = 8  # random views of each clip that are tokenized before training starts
    text_noise: float = 0.0  # stands for other words, see `GeneratorTask.reworded`
    text_anchors: bool = False  # texts are read through the training captions, see text.anchors
    examples: PairConfig = field(default_factory=PairConfig)


@dataclass(frozen=True, kw_only=True)
class GeneratorRecipe:
    """One training of the Inter-M transformer; defaults are the paper's on InterHuman."""

    optim: OptimConfig
    system: str = "intermask/generator"
    model: GeneratorConfig = field(default_factory=GeneratorConfig)
    data: GeneratorData = field(default_factory=GeneratorData)
    start: str | None = None  # checkpoint of a generator whose weights training starts with
    log: LogConfig = field(default_factory=LogConfig)


@dataclass(frozen=True)
class TokenizedView:
    """One view of a clip: codes (2, parts, frames), captions that fit, the clip's name."""

    codes: Tensor
    captions: tuple[str, ...]
    name: str


class GeneratorTask:
    """Tokens of two people and a caption through the masked transformer."""

    score_name = "loss"

    def __init__(self, recipe: GeneratorRecipe) -> None:
        self.recipe = recipe
        data = recipe.data
        children = {"tokenizer": Path(data.tokenizer)}
        if data.length is not None:
            children["length"] = Path(data.length)
            check_beside(children["length"], "length", data.text_encoder)
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
        if isinstance(sizes, PartTokenizerConfig) != recipe.model.part_codes:
            raise ValueError(
                f"model.part_codes is {recipe.model.part_codes}; it must be true where the rows of "
                f"a tokenizer have codes of their own and false elsewhere, as in {data.tokenizer}"
            )
        codebooks = None
        if isinstance(codec.tokenizer, PartTokenizer):
            codebooks = [part.codebook for part in codec.tokenizer.quantizers]
            widest = max(codebook.shape[1] for codebook in codebooks)
            if recipe.model.token_dim < widest:
                raise ValueError(
                    f"model.token_dim must be at least {widest}, the channels of the codes of "
                    f"{data.tokenizer}, not {recipe.model.token_dim}"
                )
        encoder = cached_encoder(data.text_encoder, dim=recipe.model.text_dim)
        seed = recipe.optim.seed
        read_split = VIEWS[codec.layout.NAME].read_split
        self.views = _tokenized(
            codec, read_split(data.pairs, "train")[0], data.examples, data.views, seed
        )
        whole = replace(data.examples, mirror=False, tempo=(1.0, 1.0), shortest=1.0)
        self.held_out = _tokenized(codec, read_split(data.pairs, "val")[0], whole, 2, seed)
        self.captions = sorted({text for view in self.views for text in view.captions})
        others = {text for view in self.held_out for text in view.captions}
        captions = [*self.captions, *sorted(others - set(self.captions))]
        embedding = encoder.encode(captions)
        self.texts = {
            caption: (hidden, read)
            for caption, hidden, read in zip(
                captions, embedding.hidden_BLC, embedding.read_B, strict=True
            )
        }
        self.encoder_name = encoder.name
        if data.text_anchors:
            self.kept = tempfile.TemporaryDirectory()
            children[ANCHORS] = Path(self.kept.name) / ANCHORS
            known = slice(len(self.captions))
            anchors = TextEmbedding(embedding.hidden_BLC[known], embedding.read_B[known])
            save_anchors(children[ANCHORS], anchors)
        self.children: Mapping[str, Path] = children
        torch.manual_seed(seed)
        self.model = transformer_of(recipe.model)
        if recipe.start is not None:
            load_weights(self.model, read_checkpoint(recipe.start))
        elif codebooks is not None:
            self.model.start_from(codebooks)

    def train_batches(self, *, seed: int, epoch: int, skip: int) -> Iterator[dict[str, Any]]:
        size = self.recipe.optim.batch_size
        lengths = [view.codes.shape[-1] for view in self.views]
        batches = similar_lengths(lengths, size, np.random.default_rng([seed, epoch]))
        for index, chosen in enumerate(batches[skip:], skip):
            rng = np.random.default_rng([seed, epoch, index])
            yield self._batch([self.views[index] for index in chosen], rng)

    def _batch(self, views: list[TokenizedView], rng: np.random.Generator) -> dict[str, Any]:
        lengths = [view.codes.shape[-1] for view in views]
        ids = torch.zeros(len(views), 2, self.recipe.model.num_parts, max(lengths)).long()
        for row, (view, length) in enumerate(zip(views, lengths, strict=True)):
            ids[row, ..., :length] = view.codes
        captions = [view.captions[rng.integers(len(view.captions))] for view in views]
        hidden, read = zip(*(self.texts[caption] for caption in captions), strict=True)
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
        if self.model.training and self.recipe.data.text_noise:
            text_BC = self.reworded(text_BC, generator)
        result = generator_loss(
            self.model,
            ids_BPN,
            text_BC,
            lengths_B,
            corruption=draw_corruption(lengths_B, frames, config, generator),
            drop_B=draw_text_drop(len(lengths_B), config.cond_drop, generator),
        )
        return result.loss, {"masked": result.masked, "accuracy": result.accuracy}

    def reworded(self, text_BC: Tensor, generator: torch.Generator) -> Tensor:
        """Text vectors moved by `text_noise` times the way from one random caption to another.

        The noise has twice the captions' covariance, so it goes where sentences differ.
        """
        device = text_BC.device
        pairs_2B = torch.randint(
            len(self.captions), (2, len(text_BC)), generator=generator, device=device
        )
        ends = [[self.texts[self.captions[index]] for index in row] for row in pairs_2B.tolist()]
        start_BC, end_BC = (
            self.model.text_head(
                torch.stack([hidden for hidden, _ in row]).to(device),
                torch.stack([read for _, read in row]).to(device),
            )
            for row in ends
        )
        return text_BC + self.recipe.data.text_noise * (end_BC - start_BC)

    def validate(self) -> dict[str, float]:
        return held_out_scores(
            self.loss,
            self._batch,
            self.held_out,
            size=self.recipe.optim.batch_size,
            seed=self.recipe.optim.seed,
            device=next(self.model.parameters()).device,
        )

    def provenance(self) -> dict[str, Any]:
        return {"data": [self.recipe.data.pairs], "text_encoder": self.encoder_name}


def _tokenized(
    codec: MotionCodec, clips: list[Any], config: PairConfig, views: int, seed: int
) -> list[TokenizedView]:
    """`views` views of every clip."""
    found = []
    unit, parts = codec.tokenizer.downsampling, codec.tokenizer.num_parts
    draw = VIEWS[codec.layout.NAME].example
    for index, clip in enumerate(tqdm(clips, desc="tokens", unit="clip", mininterval=5)):
        rng = np.random.default_rng([seed, index])
        for _ in range(views):
            example = draw(clip, config, rng)
            frames = example.features.shape[1] // unit * unit
            with torch.no_grad():
                ids = codec.encode(torch.from_numpy(example.features[:, :frames]))
            found.append(TokenizedView(ids.unflatten(1, (parts, -1)), example.captions, clip.name))
    return found
