"""InterCLIP, InterHuman's evaluator: texts and motions of two people in one space (InterGen).

It reads motions in metres, not normalised, and texts through a transformer of its own, so that it
needs CLIP's tokenizer but none of CLIP's weights.

Axes: B clips, P the 2 people, T frames, F the 262 features, S text positions, E embedding.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from duomotion.config import Count, Share, Size, Within
from duomotion.models.layers.positional import sinusoid_sequence
from duomotion.models.layers.transformer import post_norm_transformer

NUM_CONTACTS = 4  # at the end of the features


@dataclass(frozen=True, kw_only=True)
class MotionEncoderConfig:
    """Defaults are the released evaluator's (InterGen, configs/eval_model.yaml and code).

    Raises:
        ValueError: the heads do not divide the width.
    """

    num_people: Literal[1, 2] = 2
    # Of a person and frame; the last four, contacts, are not read.
    num_features: Annotated[int, Within(NUM_CONTACTS + 1, 2**20)] = 262
    width: Size = 1024  # LATENT_DIM
    num_layers: Count = 8  # NUM_LAYERS
    num_heads: Count = 8  # NUM_HEADS
    feedforward: Size = 2048  # FF_SIZE; of InterCLIP's text encoder too
    dropout: Share = 0.1  # DROPOUT; of InterCLIP's text encoder too
    embedding_dim: Size = 512  # released code

    def __post_init__(self) -> None:
        if self.width % self.num_heads or self.width % 2:
            raise ValueError(
                f"width {self.width} must be even and a multiple of num_heads {self.num_heads}"
            )


@dataclass(frozen=True, kw_only=True)
class InterCLIPConfig(MotionEncoderConfig):
    """What the text encoder adds; defaults are the released evaluator's."""

    vocabulary: Size = 49408  # CLIP's, as are the next two
    text_length: Size = 77
    text_width: Size = 768
    text_layers: Count = 8  # released code
    text_heads: Count = 8  # released code

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.text_width % self.text_heads:
            raise ValueError(
                f"text_width {self.text_width} must be a multiple of text_heads {self.text_heads}"
            )


class MotionEncoder(nn.Module):
    """A transformer's output at a learned query, which precedes the frames."""

    def __init__(self, config: MotionEncoderConfig) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(1, config.width))
        self.input = nn.Linear(
            config.num_people * (config.num_features - NUM_CONTACTS), config.width
        )
        self.transformer = post_norm_transformer(
            config.width,
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            feedforward=config.feedforward,
            dropout=config.dropout,
        )
        self.norm = nn.LayerNorm(config.width)
        self.output = nn.Linear(config.width, config.embedding_dim)

    def forward(self, motion_BPTF: Tensor, lengths_B: Tensor) -> Tensor:
        """(B, E), not yet scaled."""
        frames = self.input(motion_BPTF[..., :-NUM_CONTACTS].transpose(1, 2).flatten(2))
        x = torch.cat((self.query.expand(len(frames), 1, -1), frames), 1)
        x = x + sinusoid_sequence(*x.shape[1:], device=x.device)
        padded = torch.arange(x.shape[1], device=x.device) > lengths_B[:, None]
        encoded = self.transformer(x, src_key_padding_mask=padded)
        return self.output(self.norm(encoded[:, 0]))


class TextEncoder(nn.Module):
    """A transformer's output at the end of a text; it also attends to the padding."""

    def __init__(self, config: InterCLIPConfig) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.vocabulary, config.text_width)
        self.positions = nn.Parameter(0.01 * torch.randn(config.text_length, config.text_width))
        self.transformer = post_norm_transformer(
            config.text_width,
            num_layers=config.text_layers,
            num_heads=config.text_heads,
            feedforward=config.feedforward,
            dropout=config.dropout,
        )
        self.norm = nn.LayerNorm(config.text_width)
        self.output = nn.Linear(config.text_width, config.embedding_dim)

    def forward(self, ids_BS: Tensor) -> Tensor:
        """(B, E), not yet scaled."""
        encoded = self.transformer(self.tokens(ids_BS) + self.positions)
        rows_B = torch.arange(len(ids_BS), device=ids_BS.device)
        return self.output(self.norm(encoded[rows_B, ids_BS.argmax(-1)]))


class InterCLIP(nn.Module):
    """Embeddings (B, E) of motions and texts, close to each other where they belong together.

    All are `latent_scale` long.
    """

    def __init__(self, config: InterCLIPConfig) -> None:
        super().__init__()
        self.motion_encoder = MotionEncoder(config)
        self.text_encoder = TextEncoder(config)
        self.latent_scale = nn.Parameter(torch.ones(1))

    def embed_motion(self, motion_BPTF: Tensor, lengths_B: Tensor) -> Tensor:
        """Of features in metres; contacts and padding are not read."""
        return self._scaled(self.motion_encoder(motion_BPTF, lengths_B))

    def embed_text(self, ids_BS: Tensor) -> Tensor:
        """Of CLIP's token ids, padded with 0 to the text length; a text's end is the largest."""
        return self._scaled(self.text_encoder(ids_BS))

    def _scaled(self, raw_BE: Tensor) -> Tensor:
        return self.latent_scale * F.normalize(raw_BE, dim=-1)


def contrastive_loss(motion_BE: Tensor, text_BE: Tensor) -> Tensor:
    """Mean cross entropy of finding a motion's text, and a text's motion, in the batch.

    Logits are inner products, so their scale is the square of `latent_scale`.
    """
    logits = motion_BE @ text_BE.T
    targets = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2


PREFIX = "model."
"""Of all names in the released Lightning checkpoint."""

SINUSOIDS = "motion_encoder.sequence_pos_encoder.pe"
"""Buffer of the released checkpoint that follows from the width."""
MAX_POSITIONS = 2000

# Beginning of a released name -> of ours.
NAMES = {
    "latent_scale": "latent_scale",
    "motion_encoder.query_token": "motion_encoder.query",
    "motion_encoder.embed_motion.": "motion_encoder.input.",
    "motion_encoder.transformer.": "motion_encoder.transformer.",
    "motion_encoder.out_ln.": "motion_encoder.norm.",
    "motion_encoder.out.": "motion_encoder.output.",
    "token_embedding.": "text_encoder.tokens.",
    "positional_embedding": "text_encoder.positions",
    "textTransEncoder.": "text_encoder.transformer.",
    "text_ln.": "text_encoder.norm.",
    "out.": "text_encoder.output.",
}


def from_official(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """State of our `InterCLIP` from the released one, with or without `PREFIX`.

    Raises:
        ValueError: a name that the released evaluator doesn't have.
    """
    bare = {name.removeprefix(PREFIX): tensor for name, tensor in state.items()}
    return {_translate(name, NAMES): bare[name] for name in bare if name != SINUSOIDS}


def to_official(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Released state, without `PREFIX`, from ours; undoes `from_official`."""
    names = {ours: official for official, ours in NAMES.items()}
    width, device = len(state["motion_encoder.norm.bias"]), state["latent_scale"].device
    table = sinusoid_sequence(MAX_POSITIONS, width, device=device)
    official = {_translate(name, names): tensor for name, tensor in state.items()}
    return official | {SINUSOIDS: table}


def _translate(name: str, names: dict[str, str]) -> str:
    for before, after in names.items():
        if name.startswith(before):
            return after + name.removeprefix(before)
    raise ValueError(f"InterCLIP checkpoint: there is no place for the tensor {name!r}")
