"""The published protocols of InterHuman with InterCLIP: InterGen's and InterMask's `evaluate`.

In every repeat the test clips are drawn twice, each time in random order, with one of their
captions and, where they are long, a random stretch of ten seconds. What is scored belongs to one of
the draws and FID compares it with the other, so that the recorded motion has an FID too. A model is
asked for motions as long as the clips of its draw; features are read as its network makes them.

Source: released code of InterGen (tools/eval.py, datasets/interhuman.py) and InterMask (eval.py).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from duomotion.checkpoint import environment
from duomotion.data.interhuman import Clip, read_split
from duomotion.distributed import Processes
from duomotion.evaluation.benchmark import Row
from duomotion.evaluation.embedding import Embedder, InterCLIPEmbedder
from duomotion.evaluation.metrics import Multimodality, in_the_evaluators_space
from duomotion.evaluation.protocols import INTERGEN, INTERMASK, Protocol
from duomotion.evaluation.sources import Ask, Kept
from duomotion.motion.features import MAX_FRAMES, NUM_FEATURES, encode_pair
from duomotion.sampling.request import BATCH_SIZE, Generator, Request

PROTOCOLS = {"intergen": INTERGEN, "intermask": INTERMASK}
GROUND_TRUTH = "ground truth"
MEASURED = ("r1", "r2", "r3", "fid", "mm_dist", "diversity", "multimodality")

Source = Callable[[Sequence[Ask]], list[np.ndarray]]
"""Features (2, T, 262) in metres for each ask."""


class Features(NamedTuple):
    """(2, T, 262) in metres."""

    features: np.ndarray


class Generated(Kept[Features]):
    """What a model's network makes, kept on disk."""

    kind = Features
    batch = BATCH_SIZE

    def __init__(
        self, model: Generator, folder: Path, processes: Processes, *, frame_unit: int
    ) -> None:
        super().__init__(model, folder, processes)
        self.frame_unit = frame_unit

    def make(self, asks: Sequence[Ask]) -> list[Features]:
        requests = [Request(text=ask.text, frames=self.frames(ask), seed=ask.seed) for ask in asks]
        made = self.model.features(requests)
        if (width := made[0].shape[-1]) != NUM_FEATURES:
            raise ValueError(
                f"{self.model.name} makes {width} features a frame; InterHuman's evaluator reads "
                f"{NUM_FEATURES}"
            )
        return [Features(each) for each in made]

    def frames(self, ask: Ask) -> int:
        """As many as the clip's features, rounded down to whole units."""
        return (ask.clip.num_frames - 1) // self.frame_unit * self.frame_unit

    def source(self, asks: Sequence[Ask]) -> list[np.ndarray]:
        """Raises ValueError where the model's features are not InterHuman's."""
        return [made.features for made in self(asks)]


def recorded(asks: Sequence[Ask]) -> list[np.ndarray]:
    """The clips as the released loader gives them, either person first."""
    found = []
    for ask in asks:
        features = encode_pair(ask.clip.positions, ask.clip.sixd, floor="each")
        found.append(features[:: np.random.default_rng(ask.seed).choice([-1, 1])])
    return found


class Evaluation:
    """Test clips, evaluator and protocol.

    Args:
        clips: the test split; those that don't fill a pool are left out, others in each repeat.

    Raises:
        ValueError: there are fewer clips or repeats than the protocol needs, or a clip shows one
            person.
    """

    def __init__(self, embedder: Embedder, clips: Sequence[Clip], protocol: Protocol) -> None:
        self.embedder, self.clips, self.protocol = embedder, list(clips), protocol
        if protocol.repeats < 2:
            raise ValueError(
                f"a confidence interval needs 2 repeats or more, not {protocol.repeats}"
            )
        pools = -(-protocol.diversity_pairs // protocol.pool)
        needed = max(pools * protocol.pool, protocol.multimodality_texts)
        if len(clips) < needed:
            raise ValueError(
                f"the published protocol needs at least {needed} test clips, not {len(clips)}"
            )
        if alone := [clip.name for clip in clips if len(clip.positions) != 2]:
            raise ValueError(f"these test clips don't show two people: {', '.join(alone[:5])}")

    def rows(self, sources: Mapping[str, Source], *, varied: Mapping[str, Source]) -> list[Row]:
        """Score all sources on the same draws.

        Args:
            varied: those of the sources that make another motion of a text with another seed.
        """
        scores: dict[str, list[dict[str, float]]] = {name: [] for name in sources}
        for repeat in range(self.protocol.repeats):
            rng = np.random.default_rng(repeat)
            others, asks, repeated = self.draw(rng), self.draw(rng), self.draw_repeated(rng)
            reference_NE = self.embedder.motions(recorded(others))
            texts_NE = self.embedder.texts([ask.text for ask in asks])
            for name, source in sources.items():
                made_NE = self.embedder.motions(source(asks))
                found = in_the_evaluators_space(
                    self.protocol,
                    reference_ND=reference_NE,
                    compared_ND=made_NE,
                    texts_NE=texts_NE,
                    made_NE=made_NE,
                    rng=np.random.default_rng(repeat),
                )
                if name in varied:
                    found["multimodality"] = self._multimodality(varied[name], repeated, repeat)
                scores[name].append(found)
        return [Row.over(name, found) for name, found in scores.items()]

    def draw(self, rng: np.random.Generator) -> list[Ask]:
        """One view of each clip, in random order, as many as fill pools."""
        count = len(self.clips) // self.protocol.pool * self.protocol.pool
        chosen = rng.permutation(len(self.clips))[:count]
        return [_view(self.clips[index], rng) for index in chosen]

    def draw_repeated(self, rng: np.random.Generator) -> list[Ask]:
        """For some clips, one view with several seeds, one after the other."""
        texts, samples = self.protocol.multimodality_texts, self.protocol.multimodality_samples
        views = [_view(self.clips[i], rng) for i in rng.permutation(len(self.clips))[:texts]]
        return [ask._replace(seed=seed) for ask in views for seed in _seeds(rng, samples)]

    def _multimodality(self, source: Source, asks: Sequence[Ask], repeat: int) -> float:
        metric, made_NE = Multimodality(self.protocol), self.embedder.motions(source(asks))
        metric.update(made_NE.reshape(-1, self.protocol.multimodality_samples, made_NE.shape[-1]))
        return metric.value(np.random.default_rng(repeat))


def _view(clip: Clip, rng: np.random.Generator) -> Ask:
    """A random order of people, stretch, caption and seed."""
    start = rng.integers(max(1, clip.num_frames - MAX_FRAMES))
    cut = (slice(None, None, rng.choice([-1, 1])), slice(start, start + MAX_FRAMES))
    seen = replace(clip, positions=clip.positions[cut], sixd=clip.sixd[cut])
    return Ask(seen, clip.captions[rng.integers(len(clip.captions))], _seeds(rng, 1)[0])


def _seeds(rng: np.random.Generator, count: int) -> list[int]:
    return rng.integers(2**31, size=count).tolist()


@dataclass(frozen=True)
class Report:
    """What a published protocol found: the recorded motion first, then models."""

    rows: tuple[Row, ...]
    facts: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Numbers only, for JSON."""
        rows = {row.name: row.as_dict() for row in self.rows}
        return {"rows": rows, "facts": self.facts}


def run(
    models: Mapping[str, Generator],
    data: str | Path,
    embedder: Embedder,
    protocol: str,
    *,
    folder: Path,
    repeats: int | None = None,
    processes: Processes | None = None,
) -> Report:
    """Score models by name with a published protocol on a data set in InterHuman's layout.

    Args:
        protocol: "intergen" or "intermask"; they differ in lengths and in multimodality's scale.
        folder: where generated motions are kept, in a folder a model.
        repeats: the protocol's if left out; fewer are quicker and less certain.

    Raises:
        ValueError: the data set is not there or too small, the evaluator is another one, or a model
            makes other features than InterHuman's.
    """
    if not isinstance(embedder, InterCLIPEmbedder):
        raise ValueError(
            f"{embedder.name} is not InterCLIP, the evaluator of InterHuman's published numbers; "
            "`duomotion import-official interclip` makes its folder"
        )
    processes = processes or Processes(torch.device("cpu"))
    chosen = PROTOCOLS[protocol]
    if repeats is not None:
        chosen = replace(chosen, repeats=repeats)
    clips, problems = read_split(data, "test")
    evaluation = Evaluation(embedder, clips, chosen)
    made = {
        name: Generated(
            model,
            folder / f"{model.name}-{model.fingerprint}-{protocol}",
            processes,
            frame_unit=chosen.frame_unit,
        ).source
        for name, model in models.items()
    }
    rows = evaluation.rows({GROUND_TRUTH: recorded, **made}, varied=made)
    facts = {
        "protocol": {"name": protocol, **asdict(chosen)},
        "evaluator": embedder.name,
        "data": str(data),
        "clips": len(clips),
        "unusable": [problem.name for problem in problems],
        "repeats": chosen.repeats,
        **environment(processes.device),
    }
    return Report(tuple(rows), facts)
