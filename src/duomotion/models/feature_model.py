"""Models whose network makes the features of a layout: all of a model but the sampling itself.

Axes: P people, T frames, F features, C text vector.
"""

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from duomotion.body.separation import separated
from duomotion.checkpoint import Checkpoint
from duomotion.models.base import MotionModel
from duomotion.models.batches import in_batches
from duomotion.models.progress import OnStep
from duomotion.motion.contacts import lock_feet, snap_to_floor
from duomotion.motion.holds import hold_hands
from duomotion.motion.interaction import Interaction
from duomotion.motion.layout import Layout
from duomotion.motion.normaliser import Normaliser
from duomotion.sampling.known import KnownMotion, align_root_path
from duomotion.sampling.request import Request, Sampling
from duomotion.text.anchors import anchored
from duomotion.text.cache import cached_encoder
from duomotion.text.encoder import TextEncoder, fingerprint


class LengthEstimator(Protocol):
    """What draws how long what a text says takes."""

    def draw(self, text_BC: Tensor, rngs: list[torch.Generator], /) -> list[int]:
        """Lengths in frames, each drawn from its text's distribution with its own generator."""
        ...


@dataclass(frozen=True)
class KnownFeatures:
    """Known motion as a network sees it; who is at the origin first is person 0.

    Attributes:
        features_PTF: in the layout's units, T whole units of the model's frames. Where nothing is
            known between known frames, motion is filled in; behind the last frame it is held;
            people of whom nothing is known have zeros.
        mask_PT: bool, True where a frame is known; no longer than the motion that is asked for.
    """

    features_PTF: np.ndarray
    mask_PT: np.ndarray

    @property
    def people(self) -> list[int]:
        """Those of whom something is known."""
        return np.flatnonzero(self.mask_PT.any(1)).tolist()

    def imposed(self, features_PTF: np.ndarray) -> np.ndarray:
        """Other features with the known frames in them."""
        made_PTF, frames = features_PTF.copy(), self.mask_PT.shape[1]
        made_PTF[:, :frames][self.mask_PT] = self.features_PTF[:, :frames][self.mask_PT]
        return made_PTF

    def swapped(self) -> "KnownFeatures":
        """The same with people in the other order."""
        return KnownFeatures(np.flip(self.features_PTF, 0).copy(), np.flip(self.mask_PT, 0).copy())


def known_tensors(
    known: Sequence[KnownFeatures | None], frames: int, normaliser: Normaliser
) -> tuple[Tensor, Tensor] | None:
    """Normalised features (B, P, T, F) and where they are known, (B, P, T, 1) bool.

    None where nothing is known of any clip.
    """
    given = [each for each in known if each is not None]
    if not given:
        return None
    people, _, width = given[0].features_PTF.shape
    values = torch.zeros(len(known), people, frames, width)
    mask = torch.zeros(len(known), people, frames, 1, dtype=torch.bool)
    for row, each in enumerate(known):
        if each is not None:
            mask[row, :, : each.mask_PT.shape[1], 0] = torch.from_numpy(each.mask_PT)
            values[row] = torch.from_numpy(each.features_PTF)
    normalised = normaliser.normalise(values.to(normaliser.mean))
    return normalised, mask.to(normalised.device)


class FeatureModel(MotionModel):
    """Answers requests by `sample`."""

    def __init__(
        self,
        name: str,
        layout: Layout,
        encoder: TextEncoder,
        networks: Sequence[nn.Module],
        *,
        length: LengthEstimator | None = None,
        frame_unit: int = 1,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Set what all such models have.

        Args:
            layout: of the features.
            networks: all that what the model makes depends on but for `length`, in evaluation mode;
                a `config` that one has counts too.
            length: None where the text does not decide the length.
            dtype: of the network that generates.
        """
        self.name, self.layout, self.encoder, self.networks = name, layout, encoder, networks
        self.length, self.frame_unit = length, frame_unit
        self.fps = layout.fps
        self.min_frames, self.max_frames = layout.min_frames, layout.max_frames
        self.precision = str(dtype).removeprefix("torch.")

    @abstractmethod
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
        """Features (P, T, F) of each clip in the layout's units, the same as if it were alone.

        Args:
            texts: none of them is empty, or all are.
            frames: T, whole units of the model's frames.
            rngs: the source of each clip's randomness, on the CPU.
            sampling: `tuned`, with what the user has set.
            on_step: called after each iteration.
        """

    def refine(self, features_PTF: np.ndarray) -> np.ndarray:
        """What is done to features before they become bodies; published evaluators don't see it."""
        return features_PTF

    @property
    def fingerprint(self) -> str:
        length = [self.length] if isinstance(self.length, nn.Module) else []
        networks = [*self.networks, *length]
        configs = [getattr(network, "config", None) for network in networks]
        settings = (*map(fingerprint, networks), *configs, self.encoder.name, self.tuned)
        return hashlib.sha256(repr(settings).encode()).hexdigest()[:12]

    def answer(
        self, requests: Sequence[Request], *, on_step: OnStep | None = None
    ) -> list[Interaction]:
        known = [KnownMotion.of(request, self.layout) for request in requests]
        made = self._sampled(
            requests,
            [
                self._known_features(each, request)
                for each, request in zip(known, requests, strict=True)
            ],
            [each is not None and each.reference_person == 1 for each in known],
            on_step,
        )
        return [
            self._interaction(self.refine(features), request, each)
            for features, request, each in zip(made, requests, known, strict=True)
        ]

    def features(self, requests: Sequence[Request]) -> list[np.ndarray]:
        return self._sampled(requests, [None] * len(requests), [False] * len(requests))

    def reactions(
        self, requests: Sequence[Request], actors: Sequence[np.ndarray], people: Sequence[int]
    ) -> list[np.ndarray]:
        known = []
        for actor, person in zip(actors, people, strict=True):
            held = np.minimum(np.arange(self._whole_units(len(actor))), len(actor) - 1)
            features_PTF = np.zeros((self.num_people, len(held), actor.shape[1]), actor.dtype)
            features_PTF[person] = actor[held]
            mask_PT = np.zeros((self.num_people, len(actor)), bool)
            mask_PT[person] = True
            known.append(KnownFeatures(features_PTF, mask_PT))
        made = self._sampled(requests, known, [False] * len(requests))
        return [features[1 - person] for features, person in zip(made, people, strict=True)]

    def lengths(self, texts: Sequence[str], seed: int) -> list[int]:
        if self.length is None:
            return super().lengths(texts, seed)
        text_BC = self.encoder.encode(list(texts)).vectors
        with torch.no_grad():
            drawn = self.length.draw(text_BC, [torch.Generator().manual_seed(seed) for _ in texts])
        return [min(max(frames, self.min_frames), self.max_frames) for frames in drawn]

    def bodies(self, interaction: Interaction) -> Interaction:
        return self.layout.bodies(interaction)

    def _sampled(
        self,
        requests: Sequence[Request],
        known: Sequence[KnownFeatures | None],
        swap_to_reference: Sequence[bool],
        on_step: OnStep | None = None,
    ) -> list[np.ndarray]:
        """Features (P, T, F) of each request.

        Args:
            swap_to_reference: whether the second person's start is the origin; the network sees
                that person as the first.
        """

        def make(batch: list[int]) -> list[np.ndarray]:
            first = requests[batch[0]]
            made = self.sample(
                [requests[i].text for i in batch],
                self._whole_units(first.frames),
                [
                    each.swapped() if each is not None and swap_to_reference[i] else each
                    for i in batch
                    for each in [known[i]]
                ],
                rngs=[torch.Generator().manual_seed(requests[i].seed) for i in batch],
                sampling=first.sampling.resolved(self.tuned, self.name),
                on_step=on_step,
            )
            return [
                features[:: -1 if swap_to_reference[i] else 1, : requests[i].frames]
                for i, features in zip(batch, made, strict=True)
            ]

        return in_batches([self.batch_key(request) for request in requests], make)

    def _whole_units(self, frames: int) -> int:
        return -(-frames // self.frame_unit) * self.frame_unit

    def _known_features(self, known: KnownMotion | None, request: Request) -> KnownFeatures | None:
        """In the order in which people are given."""
        if known is None:
            return None
        frames = self._whole_units(request.frames)
        features_PTF = np.zeros((self.num_people, frames, self.layout.num_features), np.float32)
        for person in known.people:
            given = known.filled_person(person, frames + 1)
            features_PTF[person] = self.layout.encode(given)[0]
        return KnownFeatures(features_PTF, known.fixed(self.num_people))

    def finish(self, clip: Interaction, request: Request) -> Interaction:
        """With hands that meet where they nearly do, and bodies that are not in each other."""
        sampling = request.sampling.resolved(self.tuned, self.name)
        if not (sampling.join_hands or sampling.avoid_collisions or sampling.contacts):
            return clip
        known = KnownMotion.of(request, self.layout)
        fixed_PT = None if known is None else known.fixed(clip.num_people)
        if sampling.join_hands:
            clip = hold_hands(clip, fixed_PT)
        if not (sampling.avoid_collisions or sampling.contacts):
            return clip
        return separated(
            clip,
            fixed_PT,
            contacts=sampling.contacts or (),
            avoid_collisions=bool(sampling.avoid_collisions),
        )

    def _interaction(
        self, features_PTF: np.ndarray, request: Request, known: KnownMotion | None
    ) -> Interaction:
        """Bodies on the ground, known frames as they were given."""
        bodies = self.layout.decode(features_PTF, fps=self.fps)
        if known is None:
            bodies = lock_feet(snap_to_floor(self.layout.grounded(bodies)))
        else:
            bodies = known.to_world(bodies)
            if self.layout.accumulates_root:
                bodies = align_root_path(bodies, known.known, known.mask)
            bodies = known.joined(snap_to_floor(bodies))
        return bodies.with_caption(request.text)


def load_encoder(checkpoint: Checkpoint, dim: int) -> TextEncoder:
    """The text encoder that a checkpoint's network reads, with the captions that go with it.

    Raises:
        ValueError: there is no such encoder, or it gives vectors of another size.
    """
    return anchored(cached_encoder(checkpoint.text_encoder, dim=dim), checkpoint.folder)


def text_vectors(
    encoder: TextEncoder,
    text_head: Callable[[Tensor, Tensor], Tensor],
    texts: Sequence[str],
    weight: Tensor,
) -> Tensor | None:
    """(B, C) what a trained head makes of texts; None where they are empty.

    One by one: how products are rounded depends on how many rows they have.

    Args:
        weight: one of the network's, of the type and on the device that the head computes with.
    """
    if not any(texts):
        return None
    embedding = encoder.encode(list(texts))
    hidden_BLC, index_B = embedding.hidden_BLC.to(weight), embedding.pool_index_B.to(weight.device)
    rows = zip(hidden_BLC.split(1), index_B.split(1), strict=True)
    return torch.cat([text_head(*row) for row in rows])
