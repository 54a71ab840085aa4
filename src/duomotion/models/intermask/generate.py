"""InterMask as a user meets it: a request in, an interaction out (sections 3.3 and 4.3)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from duomotion.checkpoint import load_weights, read_checkpoint
from duomotion.config import from_dict
from duomotion.models.intermask.codec import MotionCodec
from duomotion.models.intermask.config import BlockTokenizerConfig, TokenizerConfig
from duomotion.models.intermask.decoding import decode_tokens
from duomotion.models.intermask.generator_config import GeneratorConfig
from duomotion.models.intermask.network import InterMTransformer
from duomotion.motion import features
from duomotion.motion.canonical import place, placing, transform
from duomotion.motion.contacts import lock_feet
from duomotion.motion.interaction import Interaction, together
from duomotion.motion.rotations import matrix_to_sixd_interleaved
from duomotion.sampling.request import FPS, Generator, Request
from duomotion.text.cache import CachedEncoder
from duomotion.text.encoder import TextEncoder, load_encoder

SMOOTHING = 1.0  # frames, standard deviation; released code


class InterMask(Generator):
    """Tokenizer and transformer together.

    Known motion is tokenized and its tokens are kept (appendix I); one whole person may be known.
    """

    min_frames = 15
    max_frames = 300

    def __init__(
        self,
        codec: MotionCodec,
        transformer: InterMTransformer,
        encoder: TextEncoder,
        *,
        name: str = "intermask",
    ) -> None:
        self.codec, self.transformer = codec.eval(), transformer.eval()
        self.encoder = encoder
        self.name = name

    @classmethod
    def load(cls, folder: Path, *, device: str = "cpu") -> "InterMask":
        """Read a generator's checkpoint and the tokenizer's inside it.

        Raises:
            ValueError: the folder is no such checkpoint, or tensors are missing.
        """
        checkpoint = read_checkpoint(folder)
        config = from_dict(GeneratorConfig, checkpoint.recipe["model"], f"{folder}: model")
        transformer = InterMTransformer(config)
        load_weights(transformer, checkpoint)
        encoder = CachedEncoder(load_encoder(checkpoint.recipe["data"]["text_encoder"]))
        codec = load_codec(folder / "tokenizer")
        return cls(codec.to(device), transformer.to(device), encoder, name=folder.name)

    @torch.no_grad()
    def answer(self, requests: Sequence[Request]) -> list[Interaction]:
        kinds = {
            (request.known is None, not request.text, request.guidance, request.steps)
            for request in requests
        }
        if len(kinds) > 1:  # they differ in steps or guidance and can't share a batch
            return [self.answer([request])[0] for request in requests]
        device = self.codec.mean.device
        unit, parts = self.codec.tokenizer.downsampling, self.codec.tokenizer.num_parts
        lengths = [-(-request.frames // unit) for request in requests]
        shape = (len(requests), 2, parts, max(lengths))
        known_ids = torch.zeros(shape, dtype=torch.long)
        known_mask = torch.zeros(shape, dtype=torch.bool)
        for row, (request, length) in enumerate(zip(requests, lengths, strict=True)):
            if request.known is not None:
                if request.known_mask is not None and not request.known_mask.all():
                    raise ValueError(
                        f"{self.name} keeps known people as a whole; this request's mask leaves "
                        "some of their frames open"
                    )
                known_ids[row, 0, :, :length] = self._tokens(request.known, length * unit)
                known_mask[row, 0, :, :length] = True
        first = requests[0]
        ids_BPN = decode_tokens(
            self.transformer,
            self._text([request.text for request in requests]),
            torch.tensor(lengths, device=device),
            generator=[torch.Generator().manual_seed(request.seed) for request in requests],
            known_ids=known_ids.flatten(2).to(device),
            known_mask=known_mask.flatten(2).to(device),
            guidance=first.guidance,
            steps=first.steps,
        )
        ids = ids_BPN.unflatten(2, (parts, -1)).cpu()
        return [
            self._interaction(ids[row, ..., :length], request)
            for row, (request, length) in enumerate(zip(requests, lengths, strict=True))
        ]

    def reconstruct(self, features: np.ndarray) -> np.ndarray:
        return self.codec.reconstruct(features)

    def _text(self, texts: list[str]) -> Tensor | None:
        if not any(texts):
            return None
        embedding = self.encoder.encode(texts)
        device = self.codec.mean.device
        return self.transformer.text_head(
            embedding.hidden_BLC.to(device), embedding.read_B.to(device)
        )

    def _tokens(self, known: Interaction, frames: int) -> Tensor:
        """Codes (parts, frames / 4) of a person, who is put where people start."""
        known = place(known)
        missing = frames + 1 - known.num_frames
        positions = np.pad(known.positions, [(0, 0), (0, missing), (0, 0), (0, 0)], mode="edge")
        sixd = matrix_to_sixd_interleaved(known.rotations[:, :, 1:])
        sixd = np.pad(sixd, [(0, 0), (0, missing), (0, 0), (0, 0)], mode="edge")
        given = features.encode_pair(positions, sixd, floor="keep")
        ids = self.codec.encode(torch.from_numpy(given).to(self.codec.mean.device))
        return ids[0].unflatten(0, (self.codec.tokenizer.num_parts, -1)).cpu()

    def _interaction(self, codes: Tensor, request: Request) -> Interaction:
        """Codes (2, parts, frames / 4) as bodies on the ground."""
        decoded = self.codec.decode(codes.flatten(1).to(self.codec.mean.device)).cpu().numpy()
        decoded = decoded[:, : request.frames]
        smooth = gaussian_filter1d(decoded, SMOOTHING, axis=1, mode="nearest")
        bodies = lock_feet(features.decode(smooth, fps=FPS))
        if request.known is not None:
            rotation, translation = placing(request.known)
            partner = transform(bodies.person(1), rotation.T, -rotation.T @ translation)
            bodies = together([request.known, partner])
        return bodies.with_caption(request.text)


def load_codec(folder: Path) -> MotionCodec:
    """Read a tokenizer's checkpoint.

    Raises:
        ValueError: the folder is no such checkpoint, or tensors are missing.
    """
    checkpoint = read_checkpoint(folder)
    kind = TokenizerConfig | BlockTokenizerConfig
    config = from_dict(kind, checkpoint.recipe["model"], f"{folder}: model")
    codec = MotionCodec(config)
    load_weights(codec, checkpoint)
    return codec.eval()
