"""What the evaluators of HumanML3D, KIT-ML and Inter-X have in common (Guo et al. 2022).

Strided convolutions make movements of 4 frames each, and two-way recurrent networks read movements
and words. Modules have the names of the released code, so `state_dict` is the released one, with
the names of the parts (`movement_encoder.`, `text_encoder.`, `motion_encoder.`) in front.

Axes: B clips, T frames, C features, W words, E embedding.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from duomotion.config import Share, Size

FRAMES_PER_MOVEMENT = 4


@dataclass(frozen=True, kw_only=True)
class BiGRUConfig:
    """Sizes of an evaluator; defaults are those of all released ones (text-to-motion's code)."""

    motion_dim: Size  # numbers a frame that are read
    movement_width: Size = 512  # dim_movement_enc_hidden
    movement_dim: Size = 512  # dim_movement_latent
    motion_width: Size = 1024  # dim_motion_hidden
    word_dim: Size = 300  # GloVe
    tag_dim: Size = 15  # dim_pos_ohot: kinds of words
    text_width: Size = 512  # dim_text_hidden
    embedding_dim: Size = 512  # dim_coemb_hidden
    dropout: Share = 0.2  # between the convolutions


class MovementEncoder(nn.Module):
    """Motion (B, T, C) to movements (B, T // 4, movement_dim)."""

    def __init__(self, config: BiGRUConfig) -> None:
        super().__init__()
        widths = (config.motion_dim, config.movement_width, config.movement_dim)
        self.main = nn.Sequential(
            nn.Conv1d(widths[0], widths[1], 4, stride=2, padding=1),
            nn.Dropout(config.dropout),
            nn.LeakyReLU(0.2),
            nn.Conv1d(widths[1], widths[2], 4, stride=2, padding=1),
            nn.Dropout(config.dropout),
            nn.LeakyReLU(0.2),
        )
        self.out_net = nn.Linear(widths[2], widths[2])

    def forward(self, motion_BTC: Tensor) -> Tensor:
        return self.out_net(self.main(motion_BTC.transpose(1, 2)).transpose(1, 2))


class MovementDecoder(nn.Module):
    """Movements (B, M, movement_dim) to motion (B, 4 M, C); only trains the encoder."""

    def __init__(self, config: BiGRUConfig, made_dim: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose1d(config.movement_dim, config.movement_width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.ConvTranspose1d(config.movement_width, made_dim, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
        )
        self.out_net = nn.Linear(made_dim, made_dim)

    def forward(self, movements_BMC: Tensor) -> Tensor:
        return self.out_net(self.main(movements_BMC.transpose(1, 2)).transpose(1, 2))


class SequenceEncoder(nn.Module):
    """Sequences to (B, E): the last states of a GRU in both directions, through a small network."""

    def __init__(self, input_dim: int, width: int, embedding_dim: int) -> None:
        super().__init__()
        self.input_emb = nn.Linear(input_dim, width)
        self.gru = nn.GRU(width, width, batch_first=True, bidirectional=True)
        self.hidden = nn.Parameter(torch.randn(2, 1, width))  # the first states
        self.output_net = nn.Sequential(
            nn.Linear(2 * width, width),
            nn.LayerNorm(width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, embedding_dim),
        )

    def forward(self, x_BLC: Tensor, lengths_B: Tensor) -> Tensor:
        packed = pack_padded_sequence(
            self.input_emb(x_BLC), lengths_B.cpu(), batch_first=True, enforce_sorted=False
        )
        _, last = self.gru(packed, self.hidden.repeat(1, len(x_BLC), 1))
        return self.output_net(torch.cat((last[0], last[1]), -1))


class TextEncoder(SequenceEncoder):
    """Words and their kinds to (B, E)."""

    def __init__(self, config: BiGRUConfig) -> None:
        super().__init__(config.word_dim, config.text_width, config.embedding_dim)
        self.pos_emb = nn.Linear(config.tag_dim, config.word_dim)

    def forward(self, words_BWC: Tensor, tags_BWK: Tensor, lengths_B: Tensor) -> Tensor:
        return super().forward(words_BWC + self.pos_emb(tags_BWK), lengths_B)


class BiGRUEvaluator(ABC, nn.Module):
    """Embeddings (B, E) of motions and texts, in the order of the input.

    The last movements of a clip also depend on its padding, so all clips are padded to the same
    number of frames, in one batch as in another (released code).

    Attributes:
        max_frames: so many.
        max_words: of a text that are read.
        num_contacts: numbers at the end of what `normalised` gives that are not read.
    """

    max_frames: ClassVar[int]
    max_words: ClassVar[int]
    num_contacts: ClassVar[int] = 0

    def __init__(self, config: BiGRUConfig) -> None:
        super().__init__()
        self.movement_encoder = MovementEncoder(config)
        self.text_encoder = TextEncoder(config)
        self.motion_encoder = SequenceEncoder(
            config.movement_dim, config.motion_width, config.embedding_dim
        )

    @abstractmethod
    def normalised(self, motion: Tensor) -> Tensor:
        """Features (B, P, T, F) in metres as (B, T, C), those that are not read last."""

    def prepare(self, motion: Tensor) -> Tensor:
        """What the evaluator reads of features: (B, T, motion_dim)."""
        normalised_BTC = self.normalised(motion)
        return normalised_BTC[..., : normalised_BTC.shape[-1] - self.num_contacts]

    def embed_motion(self, motion: Tensor, lengths_B: Tensor) -> Tensor:
        """Of padded features and their lengths in frames; padding is read as zeros.

        Raises:
            ValueError: a clip is shorter than one movement.
        """
        if (shortest := int(lengths_B.min())) < FRAMES_PER_MOVEMENT:
            raise ValueError(
                f"the evaluator reads clips of at least {FRAMES_PER_MOVEMENT} frames; "
                f"one has {shortest}"
            )
        prepared_BTC = self.prepare(motion)
        padding_BT = torch.arange(prepared_BTC.shape[1]) >= lengths_B.cpu()[:, None]
        prepared_BTC = prepared_BTC.masked_fill(padding_BT[..., None].to(prepared_BTC.device), 0)
        movements = self.movement_encoder(prepared_BTC)
        return self.motion_encoder(movements, lengths_B // FRAMES_PER_MOVEMENT)

    def embed_text(self, words_BWC: Tensor, tags_BWK: Tensor, lengths_B: Tensor) -> Tensor:
        """Of padded word vectors, their one-hot kinds, and the number of words of each text."""
        return self.text_encoder(words_BWC, tags_BWK, lengths_B)
