"""MoMask as a user meets it: a request in, the motion of one person out (section 3.4)."""

import copy
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from duomotion.checkpoint import load_network, model_config, read_checkpoint
from duomotion.models.layers.acceleration import accelerate
from duomotion.models.length import LengthEstimator, load_length_estimator
from duomotion.models.momask.codec import ResidualCodec, load_codec
from duomotion.models.momask.config import MaskedConfig, ResidualConfig
from duomotion.models.momask.decoding import decode_tokens
from duomotion.models.momask.network import MaskedTransformer, ResidualTransformer
from duomotion.motion.contacts import lock_feet, settle
from duomotion.motion.humanml3d import SoloLayout
from duomotion.motion.interaction import Interaction
from duomotion.precision import Precision, weight_type
from duomotion.sampling.known import Given, carried, kept_tokens
from duomotion.sampling.request import Generator, Request
from duomotion.text.cache import cached_encoder
from duomotion.text.encoder import TextEncoder, fingerprint


class MoMask(Generator):
    """Tokenizer, masked and residual transformer together; without the latter the base layer alone.

    Known motion is tokenized and its tokens are kept in all layers (figure 6, inpainting); what is
    generated then joins the known frames, which come back as they were given. The released script
    (edit_t2m.py) keeps tokens of the base layer only and generates those of all other layers, and
    gives back what is decoded.

    Raises:
        ValueError: the tokenizer is not one of a single person.
    """

    num_people = 1

    def __init__(
        self,
        codec: ResidualCodec,
        masked: MaskedTransformer,
        residual: ResidualTransformer | None,
        encoder: TextEncoder,
        *,
        length: LengthEstimator | None = None,
        name: str = "momask",
        precision: Precision = "auto",
    ) -> None:
        people = codec.tokenizer.config.num_people
        if not isinstance(codec.layout, SoloLayout) or people != 1:
            raise ValueError(
                f"the tokenizer has one sequence of tokens for {people} people in the layout "
                f"{codec.layout.NAME}; MoMask makes the motion of one person in HumanML3D's or "
                "KIT-ML's layout"
            )
        self.layout = codec.layout
        kind = weight_type(precision, codec.mean.device, masked.config.width)
        self.codec = accelerate(codec)
        self.masked = accelerate(masked.to(kind))
        self.precision = str(kind).removeprefix("torch.")
        self.residual = accelerate(residual.to(kind)) if residual is not None else None
        self.fps = self.layout.FPS
        self.min_frames, self.max_frames = self.layout.MIN_FRAMES, self.layout.MAX_FRAMES
        self.frame_unit = codec.tokenizer.downsampling
        self.encoder = encoder
        self.length = length.eval() if length is not None else None
        self.name = name

    @classmethod
    def load(cls, folder: Path, *, device: str = "cpu", precision: Precision = "auto") -> "MoMask":
        """Read a masked transformer's checkpoint and those inside it.

        They are of the tokenizer and, where they are there, of the residual transformer and of a
        length estimator.

        Raises:
            ValueError: the folder is no such checkpoint, tensors are missing, or parts of it do not
                belong together.
        """
        checkpoint = read_checkpoint(folder)
        config = model_config(checkpoint, MaskedConfig)
        masked = load_network(checkpoint, MaskedTransformer, config)
        codec = load_codec(folder / "tokenizer")
        residual = folder / "residual"
        length = folder / "length"
        model = cls(
            codec.to(device),
            masked.to(device),
            load_residual(residual).to(device) if residual.exists() else None,
            cached_encoder(checkpoint.text_encoder, dim=config.text_dim),
            length=(
                load_length_estimator(length, text_dim=config.text_dim) if length.exists() else None
            ),
            name=folder.name,
            precision=precision,
        )
        _check_parts(model, folder)
        return model

    def base_alone(self) -> "MoMask":
        """The same model without its residual transformer (table 1, base)."""
        base = copy.copy(self)
        base.residual = None
        return base

    @property
    def fingerprint(self) -> str:
        parts = [self.codec, self.masked, *([] if self.residual is None else [self.residual])]
        configs = [self.masked.config, None if self.residual is None else self.residual.config]
        settings = (*map(fingerprint, parts), *configs, self.encoder.name)
        return hashlib.sha256(repr(settings).encode()).hexdigest()[:12]

    def answer(self, requests: Sequence[Request]) -> list[Interaction]:
        givens = [Given.of(request, self.layout) for request in requests]
        return [
            self._interaction(self._decoded(ids, request), request, given)
            for ids, request, given in zip(
                self._ids(requests, givens), requests, givens, strict=True
            )
        ]

    def features(self, requests: Sequence[Request]) -> list[np.ndarray]:
        ids = self._ids(requests, [None] * len(requests))
        return [self._decoded(each, request) for each, request in zip(ids, requests, strict=True)]

    def lengths(self, texts: Sequence[str], seed: int) -> list[int]:
        if self.length is None:
            return super().lengths(texts, seed)
        text_BC = self.encoder.encode(list(texts)).vectors
        with torch.no_grad():
            drawn = self.length.draw(text_BC, [torch.Generator().manual_seed(seed) for _ in texts])
        return [min(max(frames, self.min_frames), self.max_frames) for frames in drawn]

    def bodies(self, interaction: Interaction) -> Interaction:
        return self.layout.bodies(interaction)

    def reconstruct(self, features: np.ndarray) -> np.ndarray:
        return self.codec.reconstruct(features)

    def _ids(self, requests: Sequence[Request], givens: Sequence[Given | None]) -> list[Tensor]:
        """(N, Q) of each request."""
        return self.in_batches(self._batch_of_ids, requests, givens)

    @torch.no_grad()
    def _batch_of_ids(
        self, requests: Sequence[Request], givens: Sequence[Given | None]
    ) -> Sequence[Tensor]:
        """(N, Q) of each request; all have the same `batch_key`."""
        device, first = self.codec.mean.device, requests[0]
        length = -(-first.frames // self.frame_unit)
        layers = 1 if self.residual is None else self.residual.config.num_layers
        known_ids = torch.zeros(len(requests), length, layers, dtype=torch.long)
        known_mask = torch.zeros(known_ids.shape[:2], dtype=torch.bool)
        for row, given in enumerate(givens):
            if given is not None:
                motion = self.layout.encode(given.alone(0, length * self.frame_unit + 1))
                ids = self.codec.encode(torch.from_numpy(motion).to(device))
                kept = kept_tokens(given.mask[0], self.frame_unit)
                known_ids[row] = ids[0, :, :layers]
                known_mask[row] = torch.from_numpy(kept)
        texts = [request.text for request in requests]
        ids_BNQ = decode_tokens(
            self.masked,
            self.encoder.encode(texts).vectors.to(device) if any(texts) else None,
            torch.full((len(requests),), length, device=device),
            residual=self.residual,
            generator=[torch.Generator().manual_seed(request.seed) for request in requests],
            known_ids=known_ids.to(device),
            known_mask=known_mask.to(device),
            guidance=first.guidance,
            steps=first.steps,
        )
        return ids_BNQ.unbind()

    @torch.no_grad()
    def _decoded(self, ids_NQ: Tensor, request: Request) -> np.ndarray:
        """Features (1, T, F) of the layout."""
        return self.codec.decode(ids_NQ[None]).cpu().numpy()[:, : request.frames]

    def _interaction(
        self, decoded: np.ndarray, request: Request, given: Given | None
    ) -> Interaction:
        """Features (1, T, F) as a body on the ground, known frames as they were given."""
        bodies = self.layout.decode(self.layout.planted(decoded), fps=self.fps)
        if given is None:
            bodies = lock_feet(settle(self.layout.grounded(bodies)))
        else:
            placed = carried(given.taken_back(bodies), given.known, given.mask)
            bodies = given.joined(settle(placed))
        return bodies.with_caption(request.text)


def load_residual(folder: Path) -> ResidualTransformer:
    """Read a residual transformer's checkpoint.

    Raises:
        ValueError: the folder is no such checkpoint, or tensors are missing.
    """
    checkpoint = read_checkpoint(folder)
    config = model_config(checkpoint, ResidualConfig)
    return load_network(checkpoint, ResidualTransformer, config)


def _check_parts(model: MoMask, folder: Path) -> None:
    sizes = model.codec.tokenizer.config
    codes = {
        "tokenizer": sizes.num_codes,
        "masked transformer": model.masked.config.num_codes,
    }
    if model.residual is not None:
        codes["residual transformer"] = model.residual.config.num_codes
        if model.residual.config.num_layers > sizes.num_layers:
            raise ValueError(
                f"{folder}: the residual transformer makes {model.residual.config.num_layers} "
                f"layers of tokens, the tokenizer has {sizes.num_layers}"
            )
    if len(set(codes.values())) > 1:
        found = ", ".join(f"{name} {count}" for name, count in codes.items())
        raise ValueError(f"{folder}: its parts have different numbers of codes: {found}")
