"""Training of evaluators of the released kinds: motions and texts that have to find each other.

InterCLIP on InterHuman (InterGen), and the evaluators of Inter-X, HumanML3D and KIT-ML (Guo et al.
2022), of which the movement encoder is trained first and by itself, as half of an autoencoder.
"""

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from duomotion.checkpoint import load_network, model_config, read_checkpoint
from duomotion.config import from_dict
from duomotion.data.humanml3d import layout_of, read_statistics, tokenizer_statistics
from duomotion.data.pairs import PairConfig, draw_example
from duomotion.data.testsets import TEST_SETS
from duomotion.models.evaluator.bigru import BiGRUConfig, BiGRUEvaluator, MovementDecoder
from duomotion.models.evaluator.embedding import padded
from duomotion.models.evaluator.interclip import InterCLIP, InterCLIPConfig, contrastive_loss
from duomotion.models.evaluator.interx import InterXEvaluator
from duomotion.models.evaluator.official import WORDS
from duomotion.models.evaluator.t2m import T2MEvaluator
from duomotion.models.evaluator.words import load_words, official_words
from duomotion.text.clip import token_ids, vocabulary
from duomotion.training.batch import Part, on_device, whole
from duomotion.training.captions import draw_caption
from duomotion.training.config import LogConfig, OptimConfig

WINDOW = 40  # frames that the movement autoencoder sees (released code)
SPARSITY = SMOOTHNESS = 0.001  # weights of its latents' size and change (released code)
MARGIN = 10.0  # between a text and the motion of another (released code)
NETWORKS: dict[str, type[BiGRUEvaluator]] = {
    "interx": InterXEvaluator,
    "humanml3d": T2MEvaluator,
    "kit-ml": T2MEvaluator,
}


@dataclass(frozen=True, kw_only=True)
class InterCLIPData:
    """InterHuman, and CLIP, whose tokens and their vectors InterCLIP begins with and keeps."""

    pairs: str = "data/interhuman"
    clip: str = ""  # a folder as `duomotion import-official clip` makes it; empty: from the hub
    examples: PairConfig = field(default_factory=PairConfig)


@dataclass(frozen=True, kw_only=True)
class InterCLIPRecipe:
    """One training of InterCLIP."""

    optim: OptimConfig
    system: Literal["evaluator/interclip"] = "evaluator/interclip"
    model: InterCLIPConfig = field(default_factory=InterCLIPConfig)
    data: InterCLIPData = field(default_factory=InterCLIPData)
    log: LogConfig = field(default_factory=LogConfig)


@dataclass(frozen=True, kw_only=True)
class WordsData:
    """A data set, the vectors of its words, and a trained movement encoder."""

    layout: Literal["interx", "humanml3d", "kit-ml"]
    folder: str
    glove: str = "glove"  # the released folder, or one of an imported evaluator
    movement: str = ""  # checkpoint of the movement autoencoder


@dataclass(frozen=True, kw_only=True)
class WordsRecipe:
    """One training of the evaluator of Inter-X, HumanML3D or KIT-ML."""

    optim: OptimConfig
    system: Literal["evaluator/interx", "evaluator/t2m"]
    model: BiGRUConfig
    data: WordsData
    log: LogConfig = field(default_factory=LogConfig)


@dataclass(frozen=True, kw_only=True)
class MovementData:
    """A data set of Inter-X, HumanML3D or KIT-ML."""

    layout: Literal["interx", "humanml3d", "kit-ml"]
    folder: str


@dataclass(frozen=True, kw_only=True)
class MovementRecipe:
    """One training of a movement autoencoder."""

    optim: OptimConfig
    model: BiGRUConfig
    data: MovementData
    system: Literal["evaluator/movement"] = "evaluator/movement"
    log: LogConfig = field(default_factory=LogConfig)


Pair = tuple[np.ndarray, str]
"""Features (P, T, F) in metres, and a text as the evaluator reads it."""


class ClipsTask(ABC):
    """Clips in random order, a view of each, and the loss of validation clips."""

    score_name = "loss"
    children: Mapping[str, Path] = {}
    needs: ClassVar[int] = 1  # clips
    model: nn.Module

    def __init__(
        self, clips: Sequence[Any], held_out: Sequence[Any], folder: str, optim: OptimConfig
    ) -> None:
        self.clips, self.held_out, self.folder, self.optim = clips, held_out, folder, optim
        for split, found in (("train", clips), ("val", held_out)):
            if len(found) < self.needs:
                raise ValueError(
                    f"{folder}: split {split!r} has {len(found)} clips that can be used; "
                    f"{self.needs} are needed"
                )
        if optim.batch_size < self.needs:
            raise ValueError(f"optim.batch_size has to be at least {self.needs}")

    @abstractmethod
    def batch(self, clips: Sequence[Any], rng: np.random.Generator) -> dict[str, Any]:
        """A random view of each clip."""

    @abstractmethod
    def loss(
        self, batch: dict[str, Any], rng: torch.Generator, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]: ...

    def train_batches(
        self, *, seed: int, epoch: int, skip: int, part: Part = whole
    ) -> Iterator[dict[str, Any]]:
        size = self.optim.batch_size
        order = np.random.default_rng([seed, epoch]).permutation(len(self.clips))
        for index in range(skip, max(1, len(order) // size)):
            rows = order[index * size : (index + 1) * size]
            own = part(len(rows))
            check_micro_batch(own, self.needs)
            rng = np.random.default_rng([seed, epoch, index, own.start])
            yield self.batch([self.clips[row] for row in rows[own]], rng)

    def validate(self) -> dict[str, float]:
        """Means over batches of the same views each time."""
        device = next(self.model.parameters()).device
        rng = np.random.default_rng(self.optim.seed)
        torch_rng = torch.Generator(device).manual_seed(self.optim.seed)
        size, found = self.optim.batch_size, []
        for start in range(0, max(1, len(self.held_out) - size + 1), size):
            batch = self.batch(self.held_out[start : start + size], rng)
            loss, parts = self.loss(on_device(batch, device), torch_rng, 0)
            found.append({"loss": loss.item()} | {name: x.item() for name, x in parts.items()})
        return {name: float(np.mean([each[name] for each in found])) for name in found[0]}

    def provenance(self) -> dict[str, Any]:
        return {"data": [self.folder]}


def check_micro_batch(own: slice, needs: int) -> None:
    """Raises ValueError where a micro-batch has fewer clips than its loss compares."""
    if (clips := own.stop - own.start) < needs:
        raise ValueError(
            f"a micro-batch has {clips} clips; {needs} are needed: use a larger optim.batch_size, "
            "fewer processes or fewer optim.micro_batches"
        )


class MatchingTask(ClipsTask):
    """Motions and texts that have to find each other in a batch.

    Attributes:
        frames: the fewest that motions are padded to.
    """

    needs = 2
    frames: int = 0

    @abstractmethod
    def drawn(self, clip: Any, rng: np.random.Generator) -> Pair:
        """A random view of a clip, and one of its texts."""

    def batch(self, clips: Sequence[Any], rng: np.random.Generator) -> dict[str, Any]:
        pairs = [self.drawn(clip, rng) for clip in clips]
        motion_BPTF, lengths_B = padded([motion for motion, _ in pairs], self.frames)
        return {
            "motion_BPTF": motion_BPTF,
            "lengths_B": lengths_B,
            "texts": [text for _, text in pairs],
            "names": [clip.name for clip in clips],
        }


class InterCLIPTask(MatchingTask):
    """InterGen's contrastive loss; the vectors of tokens and places stay CLIP's."""

    model: InterCLIP
    children: Mapping[str, Path]

    def __init__(self, recipe: InterCLIPRecipe, device: torch.device) -> None:
        data = recipe.data
        read = TEST_SETS["interhuman"].read
        clips, held_out = (read(Path(data.pairs), split)[0] for split in ("train", "val"))
        super().__init__(clips, held_out, data.pairs, recipe.optim)
        self.examples = data.examples
        tokens, places, self.tokenizer = vocabulary(data.clip or None)
        config = recipe.model
        expected = ((config.vocabulary, config.text_width), (config.text_length, config.text_width))
        if (found := (tuple(tokens.shape), tuple(places.shape))) != expected:
            raise ValueError(
                f"CLIP from {data.clip or 'the hub'} has {found[0]} and {found[1]} numbers for "
                f"tokens and places; the recipe says {expected[0]} and {expected[1]}"
            )
        torch.manual_seed(recipe.optim.seed)
        self.model = InterCLIP(config)
        text = self.model.text_encoder
        text.tokens.weight.data.copy_(tokens)
        text.positions.data.copy_(places)
        text.tokens.weight.requires_grad_(False)
        text.positions.requires_grad_(False)
        self.kept = tempfile.TemporaryDirectory()
        self.children = {WORDS: Path(self.kept.name) / WORDS}
        self.tokenizer.save_pretrained(self.children[WORDS])

    def drawn(self, clip: Any, rng: np.random.Generator) -> Pair:
        example = draw_example(clip, self.examples, rng)
        return example.features, draw_caption(example.captions, example.weights, rng)

    def loss(
        self, batch: dict[str, Any], rng: torch.Generator, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        length = len(self.model.text_encoder.positions)
        ids_BS = token_ids(self.tokenizer, batch["texts"], length).to(batch["motion_BPTF"].device)
        motion_BE = self.model.embed_motion(batch["motion_BPTF"], batch["lengths_B"])
        text_BE = self.model.embed_text(ids_BS)
        return contrastive_loss(motion_BE, text_BE), {"found": _found(motion_BE, text_BE)}


class WordsTask(MatchingTask):
    """Guo et al.'s loss with a margin; the movement encoder stays as it is."""

    model: BiGRUEvaluator
    children: Mapping[str, Path]

    def __init__(self, recipe: WordsRecipe, device: torch.device) -> None:
        data = recipe.data
        self.views = TEST_SETS[data.layout]
        clips, held_out = (
            self.views.read(Path(data.folder), split)[0] for split in ("train", "val")
        )
        super().__init__(clips, held_out, data.folder, recipe.optim)
        torch.manual_seed(recipe.optim.seed)
        self.model = NETWORKS[data.layout](recipe.model)
        self.frames = self.model.max_frames
        self._begin_with(data.movement)
        folder = Path(data.glove)
        is_ours = (folder / WORDS).is_dir()
        self.words = (
            load_words(folder / WORDS) if is_ours else official_words(folder, recipe.model.word_dim)
        )
        self.kept = tempfile.TemporaryDirectory()
        self.children = {WORDS: Path(self.kept.name) / WORDS}
        self.words.save(self.children[WORDS])

    def _begin_with(self, movement: str) -> None:
        """Take over the movement encoder, and what normalises its input."""
        if not movement:
            raise ValueError(
                "data.movement is missing: the checkpoint of a movement autoencoder, which "
                "`duomotion train evaluator/movement-interx` or another makes"
            )
        checkpoint = read_checkpoint(movement, "evaluator/movement")
        prefix, own = MovementAutoencoder.PREFIX, self.model.state_dict()
        stored = {
            name.removeprefix(prefix): tensor
            for name, tensor in checkpoint.tensors.items()
            if name.startswith(prefix)
        }
        if any(name not in own or own[name].shape != stored[name].shape for name in stored):
            raise ValueError(f"data.movement: {movement} is of another data set or size")
        self.model.load_state_dict(own | stored)
        self.model.movement_encoder.requires_grad_(False)

    def drawn(self, clip: Any, rng: np.random.Generator) -> Pair:
        query = self.views.query(clip, rng)
        return self.views.recorded(query.clip, query.seed), self.views.text(query)

    def loss(
        self, batch: dict[str, Any], rng: torch.Generator, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        self.model.movement_encoder.eval()
        device = batch["motion_BPTF"].device
        words, kinds, lengths = self.words.read(batch["texts"], self.model.max_words)
        motion_BE = self.model.embed_motion(batch["motion_BPTF"], batch["lengths_B"])
        text_BE = self.model.embed_text(words.to(device), kinds.to(device), lengths)
        shift = torch.randint(1, len(text_BE), (), generator=rng, device=device)
        own, other = margin_losses(text_BE, motion_BE, int(shift))
        parts = {"own": own.detach(), "other": other.detach()}
        return own + other, parts | {"found": _found(motion_BE, text_BE)}


def margin_losses(text_BE: Tensor, motion_BE: Tensor, shift: int) -> tuple[Tensor, Tensor]:
    """How far texts are from their own motion, and how much nearer than MARGIN to another.

    Squares, after Hadsell et al. 2006. The other motion is `shift` rows further in the batch, at
    least 1 (in the released code now and then 0, a motion's own text).
    """
    own_B = F.pairwise_distance(text_BE, motion_BE)
    other_B = F.pairwise_distance(text_BE, motion_BE.roll(-shift, 0))
    return own_B.square().mean(), (MARGIN - other_B).clamp(min=0).square().mean()


def _found(motion_BE: Tensor, text_BE: Tensor) -> Tensor:
    """Share of the motions that are nearest to their own text in the batch."""
    nearest_B = torch.cdist(motion_BE.detach(), text_BE.detach()).argmin(1)
    return (nearest_B == torch.arange(len(nearest_B), device=nearest_B.device)).float().mean()


class MovementAutoencoder(nn.Module):
    """The movement encoder of an evaluator, with what normalises its input, and a decoder."""

    PREFIX = "evaluator."

    def __init__(self, kind: type[BiGRUEvaluator], config: BiGRUConfig) -> None:
        super().__init__()
        self.evaluator = kind(config)
        del self.evaluator.text_encoder, self.evaluator.motion_encoder
        self.decoder = MovementDecoder(config, config.motion_dim + kind.num_contacts)

    def forward(self, motion: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of features (B, P, T, F): movements, what they become again, and what that should be."""
        movements = self.evaluator.movement_encoder(self.evaluator.prepare(motion))
        return movements, self.decoder(movements), self.evaluator.normalised(motion)


def load_movement(folder: Path) -> MovementAutoencoder:
    """Read a movement autoencoder's checkpoint.

    Raises:
        ValueError: the folder is no such checkpoint, or tensors are missing.
    """
    checkpoint = read_checkpoint(folder)
    data = from_dict(MovementData, checkpoint.recipe.get("data"), f"{folder}: recipe: data")
    config = model_config(checkpoint, BiGRUConfig)
    kind = NETWORKS[data.layout]
    return load_network(checkpoint, lambda sizes: MovementAutoencoder(kind, sizes), config)


class MovementTask(ClipsTask):
    """Windows of motion through few numbers and back (Guo et al. 2022)."""

    model: MovementAutoencoder

    def __init__(self, recipe: MovementRecipe, device: torch.device) -> None:
        data = recipe.data
        views = TEST_SETS[data.layout]
        read = (views.read(Path(data.folder), split)[0] for split in ("train", "val"))
        clips, held_out = (
            [
                (clip.name, motion)
                for clip in found
                if (motion := views.recorded(clip, 0)).shape[1] >= WINDOW
            ]
            for found in read
        )
        super().__init__(clips, held_out, data.folder, recipe.optim)
        torch.manual_seed(recipe.optim.seed)
        self.model = MovementAutoencoder(NETWORKS[data.layout], recipe.model)
        if isinstance(evaluator := self.model.evaluator, T2MEvaluator):
            statistics = tokenizer_statistics(
                read_statistics(data.folder), layout_of(Path(data.folder))
            )
            evaluator.mean.copy_(torch.as_tensor(statistics.mean))
            evaluator.std.copy_(torch.as_tensor(statistics.std))

    def batch(self, clips: Sequence[Any], rng: np.random.Generator) -> dict[str, Any]:
        windows = []
        for _, motion in clips:
            start = rng.integers(motion.shape[1] - WINDOW + 1)
            windows.append(motion[:, start : start + WINDOW])
        return {
            "motion_BPTF": torch.from_numpy(np.stack(windows)),
            "names": [name for name, _ in clips],
        }

    def loss(
        self, batch: dict[str, Any], rng: torch.Generator, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        movements, reconstructed, target = self.model(batch["motion_BPTF"])
        reconstruction = F.l1_loss(reconstructed, target)
        change = F.l1_loss(movements[:, 1:], movements[:, :-1])
        loss = reconstruction + SPARSITY * movements.abs().mean() + SMOOTHNESS * change
        return loss, {"reconstruction": reconstruction.detach()}
