"""InterMask as a model: known motion and a text in, features out (sections 3.3 and 4.3)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from duomotion.checkpoint import Checkpoint, load_network, model_config, read_checkpoint
from duomotion.models.children import load_length_estimator
from duomotion.models.feature_model import (
    FeatureModel,
    KnownFeatures,
    LengthEstimator,
    load_encoder,
    text_vectors,
)
from duomotion.models.intermask.alternating import transformer_of
from duomotion.models.intermask.codec import MotionCodec, load_codec
from duomotion.models.intermask.config import InterMConfig
from duomotion.models.intermask.decoding import decode_tokens
from duomotion.models.intermask.network import InterMTransformer
from duomotion.models.layers.acceleration import accelerate
from duomotion.models.layers.pair_features import NUM_PEOPLE
from duomotion.models.progress import OnStep
from duomotion.precision import Precision, weight_type
from duomotion.sampling.known import kept_tokens
from duomotion.sampling.request import Sampling
from duomotion.text.encoder import TextEncoder

SMOOTHING = 1.0  # frames, standard deviation; released code


class InterMask(FeatureModel):
    """Tokenizer and transformer together.

    Known motion is tokenized and its tokens are kept (appendix I).
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
        dtype = weight_type(precision, codec.mean.device, transformer.config.width)
        self.codec, self.transformer = accelerate(codec), accelerate(transformer.to(dtype))
        super().__init__(
            name,
            codec.layout,
            encoder,
            (self.codec, self.transformer),
            length=length,
            frame_unit=codec.tokenizer.downsampling,
            dtype=dtype,
        )

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
        transformer = transformer_from(checkpoint)
        config = transformer.config
        encoder = load_encoder(checkpoint, config.text_dim)
        codec = load_codec(folder / "tokenizer")
        tokens = codec.tokenizer.config
        if (tokens.num_codes, tokens.num_parts) != (config.num_codes, config.num_parts):
            raise ValueError(
                f"{folder} has {config.num_codes} codes of {config.num_parts} parts, its tokenizer "
                f"{tokens.num_codes} of {tokens.num_parts}; they must be the same"
            )
        return cls(
            codec.to(device),
            transformer.to(device),
            encoder,
            length=load_length_estimator(folder, text_dim=config.text_dim),
            name=folder.name,
            precision=precision,
        )

    @property
    def tuned(self) -> Sampling:
        config = self.transformer.config
        return Sampling(
            steps=config.steps,
            guidance=config.guidance,
            variety=1.0,
            reaction_steps=config.reaction_steps,
            attempts=config.attempts,
            avoid_collisions=True,
            join_hands=True,
            contacts=(),
        )

    @torch.no_grad()
    def sample(
        self,
        texts: Sequence[str],
        frames: int,
        known: Sequence[KnownFeatures | None],
        *,
        rngs: Sequence[torch.Generator],
        sampling: Sampling,
        on_step: OnStep | None = None,
    ) -> Sequence[np.ndarray]:
        device, length = self.codec.mean.device, frames // self.frame_unit
        known_ids, known_mask = self._known_tokens(known, length)
        ids_BPN = decode_tokens(
            self.transformer,
            self._text(texts),
            torch.full((len(texts),), length, device=device),
            rng=rngs,
            known_ids=known_ids.to(device),
            known_mask=known_mask.to(device),
            steps=sampling.steps,
            reaction_steps=sampling.reaction_steps,
            guidance=sampling.guidance,
            variety=sampling.variety or 1.0,
            on_step=on_step,
        )
        return [self.codec.decode(ids_PN).cpu().numpy() for ids_PN in ids_BPN]

    def refine(self, features_PTF: np.ndarray) -> np.ndarray:
        return gaussian_filter1d(features_PTF, SMOOTHING, axis=1, mode="nearest")

    def reconstruct(self, features: np.ndarray) -> np.ndarray:
        return self.codec.reconstruct(features)

    def _known_tokens(
        self, known: Sequence[KnownFeatures | None], length: int
    ) -> tuple[Tensor, Tensor]:
        """Codes and which of them to keep, (B, P, N) each."""
        parts = self.codec.tokenizer.num_parts
        ids = torch.zeros(len(known), NUM_PEOPLE, parts, length, dtype=torch.long)
        mask = torch.zeros(ids.shape, dtype=torch.bool)
        for row, given in enumerate(known):
            if given is None:
                continue
            for person in given.people:
                motion_1TF = torch.from_numpy(given.features_PTF[person : person + 1])
                found = self.codec.encode(motion_1TF.to(self.codec.mean.device))
                ids[row, person] = found[0].unflatten(0, (parts, -1)).cpu()
                kept = kept_tokens(given.mask_PT[person], self.frame_unit)
                mask[row, person] = torch.from_numpy(kept)
        return ids.flatten(2), mask.flatten(2)

    def _text(self, texts: Sequence[str]) -> Tensor | None:
        transformer = self.transformer
        weight = transformer.text_projection.weight
        return text_vectors(self.encoder, transformer.text_head, texts, weight)


def transformer_from(checkpoint: Checkpoint) -> InterMTransformer:
    """The transformer of a generator's checkpoint.

    Raises:
        ValueError: it is no such checkpoint, or tensors are missing.
    """
    return load_network(checkpoint, transformer_of, model_config(checkpoint, InterMConfig))
