"""HumanML3D's and KIT-ML's published layout on disk: reading, checking, making it from joints.

data/amass.py has HumanML3D's joints from AMASS. KIT-ML's are those of MMM's reference model; what
its joint angles in XML files lack, the geometry of that model, is not at hand.

ROOT/new_joint_vecs/NAME.npy     (T, 263) or (T, 251) float, see motion/humanml3d.py
ROOT/texts/NAME.txt              a caption a line: caption#word/TAG word/TAG#start#end
ROOT/{train,val,test}.txt        one NAME a line; others such as train_val.txt may be there
ROOT/Mean.npy, Std.npy           (263,) or (251,)

Vectors may be in shards instead (data/shards.py), as features.

A caption whose start and end, in seconds, are not both 0 describes a stretch, which becomes a clip
of its own. The mirrored copy of NAME is called MNAME.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from duomotion.data import interhuman, shards, sources
from duomotion.data.captions import Caption, parse_caption
from duomotion.data.interhuman import SPLITS, Problem
from duomotion.motion.humanml3d import HUMANML3D, KIT, SOLO_LAYOUTS, SoloLayout
from duomotion.motion.normaliser import Normaliser
from duomotion.progress import track
from duomotion.reading import array_shape
from duomotion.storage import atomic_file
from duomotion.text.augment import mirror_text

STRETCH_FPS = 20  # of a caption's start and end, in KIT-ML too (released code)
TOO_LONG = 200  # frames; released loaders skip clips of so many
FEAT_BIAS = 5.0  # weight of root and contacts in a tokenizer's training (released code)
REFERENCES = {HUMANML3D.name: "000021", KIT.name: "03950"}  # whose bones all clips get


@dataclass(frozen=True)
class SoloClip:
    """A recording of one person, or a stretch of one.

    Attributes:
        name: its file name without suffix; of a stretch with its number behind.
        layout: what the numbers mean.
        features: (T, F) float32, in the layout's unit, not normalised.
        captions: any of which fits.
        weights: how often each is drawn; empty where all are drawn alike.
    """

    name: str
    layout: SoloLayout
    features: np.ndarray
    captions: tuple[Caption, ...]
    weights: tuple[float, ...] = ()

    @property
    def num_frames(self) -> int:
        return len(self.features)


def read_split(root: str | Path, split: str) -> tuple[list[SoloClip], list[Problem]]:
    """All clips of a split that can be used, and why the others can't.

    Raises:
        ValueError: the folder has no such split file, or none of its clips can be used.
    """
    return interhuman.apart(_split(Path(root), split), f"{root}: split {split!r}")


def read_motions(
    root: str | Path, split: str, *, at_least: int
) -> tuple[dict[str, np.ndarray], list[Problem]]:
    """Whole clips by name, (T, F) each, of `at_least` frames and captioned or not.

    These are what a tokenizer is trained on (Guo et al. 2024, released code). Stretches of their
    own, and a longest length, are for those who read captions.

    Raises:
        ValueError: the folder has no such split file, or none of its clips can be used.
    """
    root = Path(root)
    names, layout = interhuman.split_names(root, split), layout_of(root)
    found = (_read_motion(root, name, layout, at_least) for name in names)
    motions, problems = interhuman.apart(found, f"{root}: split {split!r}")
    return dict(motions), problems


def _read_motion(
    root: Path, name: str, layout: SoloLayout, at_least: int
) -> tuple[str, np.ndarray] | Problem:
    try:
        features = _read_features(root, name, layout)
    except ValueError as error:
        return Problem(name, str(error))
    if len(features) < at_least:
        return Problem(name, f"it has {len(features)} frames, fewer than {at_least}")
    return name, features


def without_mirrored(clips: Sequence[SoloClip]) -> list[SoloClip]:
    """The clips that are no mirrored copies of others among them."""
    names = {clip.name for clip in clips}
    return [clip for clip in clips if not (clip.name[0] == "M" and clip.name[1:] in names)]


def check(root: str | Path) -> tuple[int, list[Problem]]:
    """How many clips of all splits can be used, and what is wrong with the others."""
    found = [item for split in SPLITS for item in _split(Path(root), split)]
    problems = [item for item in found if isinstance(item, Problem)]
    return len(found) - len(problems), problems


def _split(root: Path, split: str) -> Iterator[SoloClip | Problem]:
    names = interhuman.split_names(root, split)
    layout = layout_of(root)
    for name in names:
        yield from read_clip(root, name, layout)


def layout_of(root: Path) -> SoloLayout:
    """The layout that the width of a folder's vectors tells.

    Raises:
        ValueError: there is no file of vectors of a known width.
    """
    for width in _widths(root):
        for layout in SOLO_LAYOUTS:
            if width == layout.num_features:
                return layout
    widths = " or ".join(str(layout.num_features) for layout in SOLO_LAYOUTS)
    raise ValueError(
        f"{root}/new_joint_vecs has no .npy file of vectors of {widths} numbers; is it a data set? "
        "`duomotion data prepare` makes one"
    )


def _widths(root: Path) -> Iterator[int]:
    """Of the vectors of each clip that can be read; who reads a damaged one says so."""
    if (stored := shards.find(root)) is not None:
        for name in stored.files:
            with suppress(ValueError):
                yield stored.read(name, {"features": (None, None)})["features"].shape[1]
    for path in sorted((root / "new_joint_vecs").glob("*.npy")):
        with suppress(ValueError, OSError):
            yield from array_shape(path)[1:2]


def read_clip(root: Path, name: str, layout: SoloLayout) -> list[SoloClip | Problem]:
    """A clip and its captioned stretches, and what is wrong with any of these."""
    try:
        features = _read_features(root, name, layout)
        check_length(len(features), layout)
        lines = read_text(root, name)
        weights = sources.caption_weights(root, name, len(lines))
    except ValueError as error:
        return [Problem(name, str(error))]
    found: list[SoloClip | Problem] = []
    whole = []
    for number, (line, weight) in enumerate(zip(lines, weights, strict=True), 1):
        try:
            caption, start, end = parse_caption(line)
            if start == end == 0:
                whole.append((caption, weight))
                continue
            stretch = features[int(start * STRETCH_FPS) : int(end * STRETCH_FPS)]
            check_length(len(stretch), layout)
        except ValueError as error:
            found.append(Problem(name, f"texts/{name}.txt, line {number}: {error}"))
            continue
        found.append(SoloClip(f"{name}-{number}", layout, stretch, (caption,)))
    if whole:
        found.insert(0, SoloClip(name, layout, features, *zip(*whole, strict=True)))
    return found


def _read_features(root: Path, name: str, layout: SoloLayout) -> np.ndarray:
    shape = (layout.num_features,)
    stored = shards.find(root)
    if stored is not None:
        return stored.read(name, {"features": (None, *shape)})["features"]
    label = f"new_joint_vecs/{name}.npy"
    return interhuman.read_floats(root / label, label, shape).astype(np.float32)


def clip_arrays(root: Path, name: str, layout: SoloLayout) -> dict[str, np.ndarray]:
    """The array of a `SoloClip` that is no stretch; raises ValueError where it can't be used."""
    return {"features": _read_features(root, name, layout)}


def check_length(frames: int, layout: SoloLayout) -> None:
    """Raises ValueError where released loaders would skip a clip of so many frames."""
    if not layout.min_frames <= frames < TOO_LONG:
        raise ValueError(f"it has {frames} frames, not {layout.min_frames} to {TOO_LONG - 1}")


def read_text(root: Path, name: str) -> list[str]:
    """The lines of a clip's captions.

    Raises:
        ValueError: there is none.
    """
    path = root / "texts" / f"{name}.txt"
    lines = interhuman.read_lines(path) if path.is_file() else []
    if not lines:
        raise ValueError("it has no caption in texts/")
    return lines


# statistics ----------------------------------------------------------------------------------


def read_statistics(root: str | Path) -> Normaliser:
    """Mean.npy and Std.npy of a data set.

    Raises:
        ValueError: one is missing, or does not fit the vectors.
    """
    layout = layout_of(Path(root))
    found = []
    for name in ("Mean.npy", "Std.npy"):
        row = interhuman.read_floats(Path(root) / name, f"{root}/{name}", ())
        if len(row) != layout.num_features:
            raise ValueError(f"{root}/{name} has {len(row)} numbers, not {layout.num_features}")
        found.append(row.astype(np.float32))
    if not (found[1] > 0).all():
        raise ValueError(f"{root}/Std.npy is not above 0 everywhere")
    return Normaliser(*found)


def statistics(motions: Iterable[np.ndarray], layout: SoloLayout) -> Normaliser:
    """Mean and standard deviation over all frames of motions (T, F).

    The numbers of a block have one deviation, the mean of theirs; a block that never changes has 1.
    """
    frames, total, squares = 0, np.zeros(layout.num_features), np.zeros(layout.num_features)
    for motion in motions:
        exact = motion.astype(np.float64)
        frames += len(exact)
        total += exact.sum(0)
        squares += (exact**2).sum(0)
    mean = total / frames
    std = np.sqrt(np.maximum(squares / frames - mean**2, 0))
    for block in layout.blocks:
        std[block] = std[block].mean() or 1.0
    return Normaliser(mean.astype(np.float32), std.astype(np.float32))


def tokenizer_statistics(of_data: Normaliser, layout: SoloLayout) -> Normaliser:
    """Those that tokenizers are trained with (Guo et al. 2024): root and contacts weigh more."""
    std = of_data.std.copy()
    std[layout.root_features] /= FEAT_BIAS
    std[layout.blocks.contacts] /= FEAT_BIAS
    return Normaliser(of_data.mean, std)


# making a data set ---------------------------------------------------------------------------


class Joints(Protocol):
    """Where the joints of a data set's clips come from."""

    @property
    def names(self) -> Collection[str]:
        """Of all clips; mirrored copies may be among them."""
        ...

    def read(self, name: str) -> np.ndarray:
        """(T, J, 3) float64 in the layout's unit and frame rate, Y up.

        Raises:
            ValueError: there are none, or they can't be used.
        """
        ...


class JointFolder:
    """A folder with NAME.npy (T, J or more, 3) a clip.

    Raises:
        ValueError: there is no such folder.
    """

    def __init__(self, source: Path, layout: SoloLayout) -> None:
        self.source, self.layout = source, layout
        if not (source / "joints").is_dir():
            raise ValueError(
                f"{source} has no folder joints with a .npy file (T, {layout.num_joints}, 3) a "
                "clip; a folder that has new_joint_vecs is prepared already and is read as it is"
            )
        self.names: Collection[str] = {path.stem for path in (source / "joints").glob("*.npy")}

    def read(self, name: str) -> np.ndarray:
        label = f"joints/{name}.npy"
        return read_joints(self.source / label, label, self.layout)


def read_joints(path: Path, label: str, layout: SoloLayout) -> np.ndarray:
    """The layout's joints (T, J, 3) float64 of a .npy file that may hold more.

    Raises:
        ValueError: what is wrong with the file, which `label` names.
    """
    joints = interhuman.read_floats(path, label, (None, 3)).astype(np.float64)
    if joints.shape[1] < layout.num_joints:
        raise ValueError(f"{label} has {joints.shape[1]} joints, not {layout.num_joints}")
    return joints[:, : layout.num_joints]


def prepare(
    source: str | Path, target: str | Path, layout: SoloLayout, joints: Joints | None = None
) -> list[Problem]:
    """Make a data set from joints; returns what had to be left out.

    All clips get the bones of the reference clip, or where that is not there the layout's own. Each
    clip that is trained on has a mirrored copy; others have one where their split lists it.

    Args:
        source: texts/ and {train,val,test}.txt as in the layout; without the last all clips are to
            train on. Of a mirrored copy without a text the words are those of the clip, mirrored.
        target: the folder to be written.
        layout: what to make.
        joints: of the clips; None: joints/NAME.npy in `source`.

    Raises:
        ValueError: there are no joints, or those of the reference clip or of all clips can't be
            used.
        OSError: the target can't be written.
    """
    source, target = Path(source), Path(target)
    joints = JointFolder(source, layout) if joints is None else joints
    lengths = _reference(joints, layout)
    splits: dict[str, list[str]] = {}
    problems = []
    for split, names in _listed(source, joints).items():
        plain = [name for name in names if not _is_mirrored(name, joints)]
        has_mirrored = split == "train" or len(plain) < len(names)
        splits[split] = []
        for name in track(plain, split, unit="clip"):
            try:
                lines = read_text(source, name)
                splits[split] += write_clip(
                    target,
                    name,
                    layout,
                    _read(joints, name),
                    lines,
                    lengths_J=lengths,
                    mirrored=_mirrored_text(source, name, lines) if has_mirrored else None,
                    published_turns=True,
                )
            except ValueError as error:
                problems.append(Problem(name, str(error)))
    interhuman.check_any(splits, problems, source)
    finish(target, layout, splits)
    return problems


def write_clip(
    root: Path,
    name: str,
    layout: SoloLayout,
    joints_TJ3: np.ndarray,
    lines: Iterable[str],
    *,
    lengths_J: np.ndarray | None = None,
    mirrored: Iterable[str] | None = None,
    published_turns: bool = False,
) -> list[str]:
    """Add a clip, and its mirrored copy, to a data set; returns their names.

    The copy is made of the mirrored joints as any clip is of its own, so both have the same bones
    (released code): a limb that is longer on the left is so in the copy too.

    Args:
        joints_TJ3: in the layout's unit and frame rate, Y up, anywhere.
        lines: captions as in texts/.
        lengths_J: the bones that the clip gets; None: its own.
        mirrored: captions of the mirrored copy; None: no copy.
        published_turns: see `SoloLayout.encode_joints`.

    Raises:
        ValueError: a leg has no length.
        OSError: a file can't be written.
    """
    views = {name: (joints_TJ3, lines)}
    if mirrored is not None:
        views[f"M{name}"] = (layout.mirror(joints_TJ3), mirrored)
    features = {}
    for view, (joints, _) in views.items():
        if lengths_J is not None:
            joints = layout.retarget(joints, lengths_J)
        placed = layout.placed(joints)
        features[view] = layout.encode_joints(placed, published_turns=published_turns)
    for view, (_, texts) in views.items():
        with atomic_file(root / "new_joint_vecs" / f"{view}.npy") as path:
            np.save(path, features[view])
        interhuman.write_lines(root / "texts" / f"{view}.txt", texts)
    return list(views)


def finish(root: Path, layout: SoloLayout, splits: dict[str, list[str]]) -> None:
    """Write the split files, and the statistics of what is trained on.

    The published statistics are of all clips; these leave out those that are held out.
    """
    for split in SPLITS:
        interhuman.write_lines(root / f"{split}.txt", splits.get(split, []))
    names = splits.get("train") or [name for split in splits.values() for name in split]
    motions = (np.load(root / "new_joint_vecs" / f"{name}.npy") for name in names)
    found = statistics(motions, layout)
    for file, row in (("Mean.npy", found.mean), ("Std.npy", found.std)):
        with atomic_file(root / file) as path:
            np.save(path, row)


def _listed(source: Path, joints: Joints) -> dict[str, list[str]]:
    """Names by split."""
    found = {
        split: interhuman.split_names(source, split)
        for split in SPLITS
        if (source / f"{split}.txt").is_file()
    }
    return found or {"train": sorted(joints.names)}


def _is_mirrored(name: str, joints: Joints) -> bool:
    return name.startswith("M") and name[1:] in joints.names


def _mirrored_text(source: Path, name: str, lines: Iterable[str]) -> list[str]:
    if (source / "texts" / f"M{name}.txt").is_file():
        return read_text(source, f"M{name}")
    return list(map(mirror_text, lines))


def _reference(joints: Joints, layout: SoloLayout) -> np.ndarray:
    name = REFERENCES[layout.name]
    if name not in joints.names:
        return layout.reference_lengths
    try:
        return layout.lengths(_read(joints, name)[0])
    except ValueError as error:
        raise ValueError(f"all clips get the bones of {name}, but {error}") from None


def _read(joints: Joints, name: str) -> np.ndarray:
    found = joints.read(name)
    if len(found) < 2:
        raise ValueError(f"it has {len(found)} frames of joints, fewer than 2")
    return found
