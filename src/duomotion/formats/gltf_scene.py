"""The nodes of a .glb file of a stranger, posed by its animations."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from duomotion.formats import limits
from duomotion.formats.gltf_container import Container

MAX_NODES = 20_000
FPS = 30.0  # of files without animation
WAYS: dict[str, tuple[str, list[float]]] = {
    "translation": ("VEC3", [0, 0, 0]),
    "rotation": ("VEC4", [0, 0, 0, 1]),
    "scale": ("VEC3", [1, 1, 1]),
}
TOO_LARGE = 1e9  # no place in any unit


@dataclass
class _Track:
    """What moves one node in one way: values (K, 3 or 4) at times (K,) in seconds."""

    times: np.ndarray
    values: np.ndarray
    interpolation: str


class Scene:
    """The nodes of a file, posed by its animations."""

    def __init__(self, file: Container) -> None:
        self.file, self.path = file, file.path
        self.nodes = file.items("nodes")
        if len(self.nodes) > MAX_NODES:
            raise ValueError(f"{self.path}: {len(self.nodes)} nodes; at most {MAX_NODES} are read")
        self.parents, self.order = self._tree()
        self.tracks = self._tracks()
        times = [track.times for track in self.tracks.values()]
        self.fps = self._rate(times)
        self.start = min((each[0] for each in times), default=0.0)
        seconds = max((each[-1] for each in times), default=0.0) - self.start
        if seconds * self.fps > limits.MAX_ROTATIONS:
            raise ValueError(f"{self.path}: {seconds:g} s of motion are too much")
        self.frames = round(seconds * self.fps) + 1

    def _tree(self) -> tuple[list[int], list[int]]:
        """The parent of each node, -1 for none, and all nodes depth first."""
        parents = [-1] * len(self.nodes)
        children = [self.file.indices(node, "children", self.nodes) for node in self.nodes]
        for parent, joined in enumerate(children):
            for child in joined:
                if parents[child] >= 0:
                    raise ValueError(f"{self.path}: node {child} hangs on two nodes")
                parents[child] = parent
        order, waiting = [], [n for n in reversed(range(len(parents))) if parents[n] < 0]
        while waiting:
            order.append(waiting.pop())
            waiting += reversed(children[order[-1]])
        if len(order) < len(parents):
            raise ValueError(f"{self.path}: nodes hang on each other in a circle")
        return parents, order

    def _tracks(self) -> dict[tuple[int, str], _Track]:
        """What moves the nodes, by node and glTF's name of the way."""
        found: dict[tuple[int, str], _Track] = {}
        for animation in self.file.items("animations"):
            samplers = self.file.items("samplers", animation)
            for channel in self.file.items("channels", animation):
                target = channel.get("target")
                if not isinstance(target, dict) or "node" not in target:
                    continue
                if (way := str(target.get("path"))) not in WAYS:
                    continue
                key = (self.file.index(target, "node", self.nodes), way)
                if key not in found:
                    sampler = samplers[self.file.index(channel, "sampler", samplers)]
                    found[key] = self._track(sampler, way)
        return found

    def _track(self, sampler: dict[str, Any], way: str) -> _Track:
        times = self.file.array(sampler, "input", "SCALAR")
        values = self.file.array(sampler, "output", WAYS[way][0])
        interpolation = sampler.get("interpolation", "LINEAR")
        if interpolation not in ("LINEAR", "STEP", "CUBICSPLINE"):
            raise ValueError(f"{self.path}: interpolation {interpolation!r:.40} is not known")
        if interpolation == "CUBICSPLINE":  # tangent, value and tangent of each key
            if len(values) % 3:
                raise ValueError(f"{self.path}: a spline has {len(values)} values, not 3 a key")
            values = values.reshape(-1, 3, values.shape[-1])
        if len(times) != len(values) or not (np.diff(times) > 0).all() or times[0] < 0:
            raise ValueError(f"{self.path}: the times of an animation don't fit its values")
        return _Track(times, values, interpolation)

    def _rate(self, times: list[np.ndarray]) -> float:
        """What our own files state; else as dense as the keys of the longest track are."""
        stated = self._stated("fps")
        if isinstance(stated, int | float):
            return limits.check_fps(self.path, "fps", stated)
        longest = max(times, key=len, default=np.zeros(1))
        if len(longest) < 2:
            return FPS
        rate = 1 / float(np.median(np.diff(longest)))
        rate = round(rate) if abs(rate - round(rate)) < 0.01 * rate else round(rate, 3)
        return limits.check_fps(self.path, "the rate of the keys", rate)

    def _stated(self, name: str) -> object:
        """What `asset.extras` says under a name; None for nothing."""
        asset = self.file.document.get("asset")
        extras = asset.get("extras") if isinstance(asset, dict) else None
        return extras.get(name) if isinstance(extras, dict) else None

    @property
    def caption(self) -> str:
        """What our own files state."""
        caption = self._stated("caption")
        return caption[: limits.LONGEST_CAPTION] if isinstance(caption, str) else ""

    def local(self, node: int, *, is_moving: bool = True) -> np.ndarray:
        """(T, 4, 4) of a node in its parent, or (1, 4, 4) as it is stored."""
        held = self.nodes[node]
        if "matrix" in held:
            return self.file.numbers(held, "matrix", np.eye(4).ravel().tolist()).reshape(1, 4, 4).mT
        ways = {}
        for way, (_, default) in WAYS.items():
            track = self.tracks.get((node, way)) if is_moving else None
            if track is None:
                ways[way] = self.file.numbers(held, way, default)[None]
            else:
                ways[way] = _sampled(track, self.start + np.arange(self.frames) / self.fps, way)
        turns = ways["rotation"]
        if not (np.linalg.norm(turns, axis=-1) > 1e-6).all():
            raise ValueError(f"{self.path}: node {node} has a rotation that is none")
        matrices = np.zeros((max(map(len, ways.values())), 4, 4))
        matrices[:, :3, :3] = Rotation.from_quat(turns).as_matrix() * ways["scale"][:, None]
        matrices[:, :3, 3], matrices[:, 3, 3] = ways["translation"], 1
        return matrices

    def world(self, wanted: set[int], *, is_moving: bool = True) -> dict[int, np.ndarray]:
        """(T, 4, 4) of nodes in the world, or (1, 4, 4) as they are stored."""
        needed: set[int] = set()
        for node in wanted:
            while node >= 0 and node not in needed:
                needed.add(node)
                node = self.parents[node]
        limits.check_rotations(self.path, self.frames, len(needed))
        found: dict[int, np.ndarray] = {}
        for node in self.order:
            if node in needed:
                local = self.local(node, is_moving=is_moving)
                parent = self.parents[node]
                found[node] = found[parent] @ local if parent >= 0 else local
                if not (np.abs(found[node]) < TOO_LARGE).all():
                    raise ValueError(f"{self.path}: node {node} is too far away or too large")
        return found


def _sampled(track: _Track, times: np.ndarray, way: str) -> np.ndarray:
    """Values of a track at some times; before its first and after its last key it stands still."""
    keys, values = track.times, track.values
    times = np.clip(times, keys[0], keys[-1])
    low = np.clip(np.searchsorted(keys, times, side="right") - 1, 0, max(len(keys) - 2, 0))
    if len(keys) == 1:
        return values[:1] if track.interpolation != "CUBICSPLINE" else values[:1, 1]
    if track.interpolation == "STEP":
        return values[np.searchsorted(keys, times, side="right") - 1]
    gap = (keys[low + 1] - keys[low])[:, None]
    part = (times - keys[low])[:, None] / gap
    if track.interpolation == "CUBICSPLINE":
        (_, first, leaving), (arriving, second, _) = (
            values[at].swapaxes(0, 1) for at in (low, low + 1)
        )
        square, cube = part**2, part**3
        return (
            (2 * cube - 3 * square + 1) * first
            + gap * (cube - 2 * square + part) * leaving
            + (3 * square - 2 * cube) * second
            + gap * (cube - square) * arriving
        )
    if way == "rotation" and (np.linalg.norm(values, axis=-1) > 1e-6).all():
        return Slerp(keys, Rotation.from_quat(values))(times).as_quat()
    return values[low] * (1 - part) + values[low + 1] * part
