"""InterMask as a user meets it: a request in, an interaction out (sections 3.3 and 4.3)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from duomotion.checkpoint import load_network, model_config, read_checkpoint
from duomotion.models.intermask.alternating import transformer_of
from duomotion.models.intermask.codec import MotionCodec
from duomotion.models.intermask.config import PartTokenizerConfig, TokenizerConfig
from duomotion.models.intermask.decoding import decode_tokens
from duomotion.models.intermask.generator_config import GeneratorConfig
from duomotion.models.intermask.network import InterMTransformer
from duomotion.models.layers.acceleration import accelerate
from duomotion.models.length import LengthEstimator, load_length_estimator
from duomotion.motion.contacts import lock_feet, settle
from duomotion.motion.interaction import Interaction
from duomotion.precision import Precision, weight_type
from duomotion.sampling.known import Given, kept_tokens
from duomotion.sampling.request import Generator, Request
from duomotion.text.anchors import anchored
from duomotion.text.cache import cached_encoder
from duomotion.text.encoder import TextEncoder, fingerprint

SMOOTHING = 1.0  # frames, standard deviation; released code


class InterMask(Generator):
    """Tokenizer and transformer together.

    Known motion is tokenized and its tokens are kept (appendix I); what is generated then joins the
    known frames, which come back as they were given.
    """

    def __init__(
        self,
        codec: MotionCodec,
        transformer: InterMTransformer,
        encoder: TextEncoder,
        *,
        length: LengthEstimator | None = None,
        name: str = "intermask",
        precision: Precision = "auto",
    ) -> None:
        self.codec = accelerate(codec)
        kind = weight_type(precision, codec.mean.device, transformer.config.width)
        self.transformer = accelerate(transformer.to(kind))
        self.precision = str(kind).removeprefix("torch.")
        self.frame_unit = codec.tokenizer.downsampling
        self.min_frames, self.max_frames = codec.layout.MIN_FRAMES, codec.layout.MAX_FRAMES
        self.encoder = encoder
        self.length = length.eval() if length is not None else None
        self.name = name

    @classmethod
    def load(
        cls, folder: Path, *, device: str = "cpu", precision: Precision = "auto"
    ) -> "InterMask":
        """Read a generator's checkpoint and those of a tokenizer and a length estimator inside it.

        Raises:
            ValueError: the folder is no such checkpoint, tensors are missing, or parts of it do not
                belong together.
        """
        checkpoint = read_checkpoint(folder)
        config = model_config(checkpoint, GeneratorConfig)
        transformer = load_network(checkpoint, transformer_of, config)
        encoder = cached_encoder(checkpoint.text_encoder, dim=config.text_dim)
        codec = load_codec(folder / "tokenizer")
        tokens = codec.tokenizer.config
        if (tokens.num_codes, tokens.num_parts) != (config.num_codes, config.num_parts):
            raise ValueError(
                f"{folder} speaks {config.num_codes} codes of {config.num_parts} parts, its "
                f"tokenizer {tokens.num_codes} of {tokens.num_parts}"
            )
        length = folder / "length"
        return cls(
            codec.to(device),
            transformer.to(device),
            anchored(encoder, folder),
            length=(
                load_length_estimator(length, text_dim=config.text_dim) if length.exists() else None
            ),
            name=folder.name,
            precision=precision,
        )

    @property
    def fingerprint(self) -> str:
        networks = (fingerprint(self.codec), fingerprint(self.transformer))
        settings = (self.transformer.config, self.encoder.name)
        return hashlib.sha256(repr((*networks, *settings)).encode()).hexdigest()[:12]

    def answer(self, requests: Sequence[Request]) -> list[Interaction]:
        givens = [Given.of(request, self.codec.layout) for request in requests]
        known = [
            self._known_tokens(given, request)
            for given, request in zip(givens, requests, strict=True)
        ]
        return [
            self._interaction(self._decoded(codes, request), request, given)
            for codes, request, given in zip(
                self._codes(requests, known), requests, givens, strict=True
            )
        ]

    def features(self, requests: Sequence[Request]) -> list[np.ndarray]:
        codes = self._codes(requests, [KnownTokens()] * len(requests))
        return [self._decoded(each, request) for each, request in zip(codes, requests, strict=True)]

    @torch.no_grad()
    def reactions(
        self, requests: Sequence[Request], actors: Sequence[np.ndarray], people: Sequence[int]
    ) -> list[np.ndarray]:
        unit, parts = self.frame_unit, self.codec.tokenizer.num_parts
        known = []
        for actor, person in zip(actors, people, strict=True):
            held = np.minimum(np.arange(-(-len(actor) // unit) * unit), len(actor) - 1)
            motion = torch.from_numpy(actor[None, held]).to(self.codec.mean)
            ids = self.codec.encode(motion)[0].unflatten(0, (parts, -1)).cpu()
            whole = torch.ones(ids.shape[-1], dtype=torch.bool)
            known.append(KnownTokens(((person, ids, whole),)))
        codes = self._codes(requests, known)
        return [
            self._decoded(each, request)[1 - person]
            for each, request, person in zip(codes, requests, people, strict=True)
        ]

    def _codes(self, requests: Sequence[Request], known: Sequence["KnownTokens"]) -> list[Tensor]:
        """(2, parts, tokens) of each request."""
        return self.in_batches(self._batch_of_codes, requests, known)

    @torch.no_grad()
    def _batch_of_codes(
        self, requests: Sequence[Request], known: Sequence["KnownTokens"]
    ) -> Sequence[Tensor]:
        """(2, parts, tokens) of each request; all have the same `batch_key`."""
        device, first = self.codec.mean.device, requests[0]
        parts, length = self.codec.tokenizer.num_parts, -(-first.frames // self.frame_unit)
        known_ids = torch.zeros(len(requests), 2, parts, length, dtype=torch.long)
        known_mask = torch.zeros(known_ids.shape, dtype=torch.bool)
        for row, given in enumerate(known):
            for person, ids, kept in given.people:
                known_ids[row, person] = ids
                known_mask[row, person] = kept
        ids_BPN = decode_tokens(
            self.transformer,
            self._text([request.text for request in requests]),
            torch.full((len(requests),), length, device=device),
            generator=[torch.Generator().manual_seed(request.seed) for request in requests],
            known_ids=_first_first(known_ids, known).flatten(2).to(device),
            known_mask=_first_first(known_mask, known).flatten(2).to(device),
            guidance=first.guidance,
            steps=first.steps,
        )
        return _first_first(ids_BPN.unflatten(2, (parts, -1)).cpu(), known).unbind()

    @torch.no_grad()
    def _decoded(self, codes: Tensor, request: Request) -> np.ndarray:
        """Features (2, T, F) in metres of codes (2, parts, tokens)."""
        decoded = self.codec.decode(codes.flatten(1).to(self.codec.mean.device)).cpu().numpy()
        return decoded[:, : request.frames]

    @torch.no_grad()
    def lengths(self, texts: Sequence[str], seed: int) -> list[int]:
        if self.length is None:
            return super().lengths(texts, seed)
        text_BC = self.encoder.encode(list(texts)).vectors
        drawn = self.length.draw(text_BC, [torch.Generator().manual_seed(seed) for _ in texts])
        return [min(max(frames, self.min_frames), self.max_frames) for frames in drawn]

    def bodies(self, interaction: Interaction) -> Interaction:
        return self.codec.layout.bodies(interaction)

    def reconstruct(self, features: np.ndarray) -> np.ndarray:
        return self.codec.reconstruct(features)

    def _text(self, texts: list[str]) -> Tensor | None:
        if not any(texts):
            return None
        embedding = self.encoder.encode(texts)
        weight = self.transformer.text_projection.weight
        rows = zip(
            embedding.hidden_BLC.to(weight).split(1),
            embedding.read_B.to(weight.device).split(1),
            strict=True,
        )
        # One by one: how products are rounded depends on how many rows they have.
        return torch.cat([self.transformer.text_head(hidden, read) for hidden, read in rows])

    def _known_tokens(self, given: Given | None, request: Request) -> "KnownTokens":
        if given is None:
            return KnownTokens()
        unit, parts = self.frame_unit, self.codec.tokenizer.num_parts
        frames = -(-request.frames // unit) * unit + 1
        people = []
        for person in given.people:
            motion = torch.from_numpy(self.codec.layout.encode(given.alone(person, frames)))
            ids = self.codec.encode(motion.to(self.codec.mean.device))
            kept = torch.from_numpy(kept_tokens(given.mask[person], unit))
            people.append((person, ids[0].unflatten(0, (parts, -1)).cpu(), kept))
        return KnownTokens(tuple(people), given.first)

    def _interaction(
        self, decoded: np.ndarray, request: Request, given: Given | None
    ) -> Interaction:
        """Features (2, T, F) as bodies on the ground, known frames as they were given."""
        smooth = gaussian_filter1d(decoded, SMOOTHING, axis=1, mode="nearest")
        bodies = self.codec.layout.decode(smooth, fps=self.fps)
        if given is None:
            bodies = lock_feet(settle(self.codec.layout.grounded(bodies)))
        else:
            bodies = given.joined(settle(given.taken_back(bodies)))
        return bodies.with_caption(request.text)


@dataclass(frozen=True)
class KnownTokens:
    """What is known of a clip on the level of tokens.

    Attributes:
        people: a person, their codes (parts, tokens) and which tokens (tokens,) to keep.
        first: whose start is the origin.
    """

    people: tuple[tuple[int, Tensor, Tensor], ...] = ()
    first: int = 0


def _first_first(x_BP: Tensor, known: Sequence[KnownTokens]) -> Tensor:
    """(B, P, ...) with people swapped where the second's start is the origin; its own inverse."""
    swapped = torch.tensor([each.first == 1 for each in known])
    return torch.where(swapped.view(-1, *[1] * (x_BP.ndim - 1)), x_BP.flip(1), x_BP)


def load_codec(folder: Path) -> MotionCodec:
    """Read a tokenizer's checkpoint.

    Raises:
        ValueError: the folder is no such checkpoint, or tensors are missing.
    """
    checkpoint = read_checkpoint(folder)
    config = model_config(checkpoint, TokenizerConfig | PartTokenizerConfig)
    return load_network(checkpoint, MotionCodec, config)
