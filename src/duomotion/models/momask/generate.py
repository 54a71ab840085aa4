"""MoMask as a model: known motion and a text in, features out (section 3.4)."""

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from duomotion.checkpoint import Checkpoint, load_network, model_config, read_checkpoint
from duomotion.models.children import load_length_estimator
from duomotion.models.feature_model import (
    FeatureModel,
    KnownFeatures,
    LengthEstimator,
    load_encoder,
)
from duomotion.models.layers.acceleration import accelerate
from duomotion.models.momask.codec import ResidualCodec, load_codec
from duomotion.models.momask.config import MaskedConfig, ResidualConfig
from duomotion.models.momask.decoding import decode_tokens
from duomotion.models.momask.network import MaskedTransformer, ResidualTransformer
from duomotion.models.progress import OnStep
from duomotion.motion.humanml3d import SoloLayout
from duomotion.precision import Precision, weight_type
from duomotion.sampling.known import kept_tokens
from duomotion.sampling.request import Sampling
from duomotion.text.encoder import TextEncoder


class MoMask(FeatureModel):
    """Tokenizer, masked and residual transformer together; without the latter the base layer alone.

    Known motion is tokenized and its tokens are kept in all layers (figure 6, inpainting). The
    released script (edit_t2m.py) keeps tokens of the base layer only, generates those of all other
    layers, and returns known frames as decoded.

    Raises:
        ValueError: the tokenizer is not one of a single person.
    """

    num_people = 1
    layout: SoloLayout

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
                f"{codec.layout.name}; MoMask makes the motion of one person in HumanML3D's or "
                "KIT-ML's layout"
            )
        dtype = weight_type(precision, codec.mean.device, masked.config.width)
        self.codec, self.masked = accelerate(codec), accelerate(masked.to(dtype))
        self.residual = accelerate(residual.to(dtype)) if residual is not None else None
        super().__init__(
            name,
            codec.layout,
            encoder,
            (self.codec, self.masked, *([] if self.residual is None else [self.residual])),
            length=length,
            frame_unit=codec.tokenizer.downsampling,
            dtype=dtype,
        )

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
        masked = masked_from(checkpoint)
        config = masked.config
        residual = folder / "residual"
        model = cls(
            load_codec(folder / "tokenizer").to(device),
            masked.to(device),
            load_residual(residual).to(device) if residual.exists() else None,
            load_encoder(checkpoint, config.text_dim),
            length=load_length_estimator(folder, text_dim=config.text_dim),
            name=folder.name,
            precision=precision,
        )
        _check_parts(model, folder)
        return model

    def base_alone(self) -> "MoMask":
        """The same model without its residual transformer (table 1, base)."""
        base = copy.copy(self)
        base.residual, base.networks = None, (self.codec, self.masked)
        return base

    @property
    def tuned(self) -> Sampling:
        config = self.masked.config
        return Sampling(steps=config.steps, guidance=config.guidance, variety=1.0)

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
        ids_BNQ = decode_tokens(
            self.masked,
            self.encoder.encode(list(texts)).vectors.to(device) if any(texts) else None,
            torch.full((len(texts),), length, device=device),
            residual=self.residual,
            rng=rngs,
            known_ids=known_ids.to(device),
            known_mask=known_mask.to(device),
            guidance=sampling.guidance,
            steps=sampling.steps,
            variety=sampling.variety or 1.0,
            on_step=on_step,
        )
        return [self.codec.decode(ids_1NQ).cpu().numpy() for ids_1NQ in ids_BNQ.split(1)]

    def refine(self, features_PTF: np.ndarray) -> np.ndarray:
        return self.layout.fix_root_from_contacts(features_PTF)

    def reconstruct(self, features: np.ndarray) -> np.ndarray:
        return self.codec.reconstruct(features)

    def reconstruct_by_layers(self, features: np.ndarray) -> list[np.ndarray]:
        return self.codec.reconstruct_by_layers(features)

    def _known_tokens(
        self, known: Sequence[KnownFeatures | None], length: int
    ) -> tuple[Tensor, Tensor]:
        """Codes (B, N, Q) and which of them to keep (B, N)."""
        layers = 1 if self.residual is None else self.residual.config.num_layers
        ids = torch.zeros(len(known), length, layers, dtype=torch.long)
        mask = torch.zeros(ids.shape[:2], dtype=torch.bool)
        for row, given in enumerate(known):
            if given is not None:
                motion = torch.from_numpy(given.features_PTF).to(self.codec.mean.device)
                ids[row] = self.codec.encode(motion)[0, :, :layers]
                kept = kept_tokens(given.mask_PT[0], self.frame_unit)
                mask[row] = torch.from_numpy(kept)
        return ids, mask


def masked_from(checkpoint: Checkpoint) -> MaskedTransformer:
    """The masked transformer of a checkpoint.

    Raises:
        ValueError: it is no such checkpoint, or tensors are missing.
    """
    config = model_config(checkpoint, MaskedConfig)
    return load_network(checkpoint, MaskedTransformer, config)


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
                f"{folder}: the residual transformer generates {model.residual.config.num_layers} "
                f"layers of tokens, the tokenizer has {sizes.num_layers}"
            )
    if len(set(codes.values())) > 1:
        found = ", ".join(f"{name} {count}" for name, count in codes.items())
        raise ValueError(f"{folder}: its parts have different numbers of codes: {found}")
