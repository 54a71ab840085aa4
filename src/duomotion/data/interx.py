"""Inter-X: the published files into arrays of 30 frames a second, and these for training.

As published (Xu et al. 2024), SMPL-X poses at 120 frames a second in axis-angle:

ROOT/motions/NAME/P1.npz, P2.npz      pose_body (T, 21, 3), pose_lhand and pose_rhand (T, 15, 3),
                                      root_orient (T, 3), trans (T, 3) metres, Y up
ROOT/texts/NAME.txt                   one caption a line
ROOT/texts_processed/NAME.txt         the same with tagged words, as evaluators read them; optional,
                                      made by the authors' preprocess/3_text_process.py
ROOT/annots/interaction_order.pkl     for each NAME who acts, 0: P1, 1: P2; optional
ROOT/splits/{train,val,test}.txt      one NAME a line

Prepared: ROOT/motions/NAME.npy (T, 56, 6) float32, row by row the axis-angle of a joint of SMPL-X
and in row 55 the translation, first of one person, then of the other; splits as above; texts with
tagged words where there are any; ROOT/actors.txt with `NAME 0` or `NAME 1` a line, who acts.
Motions may be in shards instead (data/shards.py), as rotations and translations of `InterxClip`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from duomotion.data import composed, interhuman, shards
from duomotion.data.captions import read_caption
from duomotion.data.interhuman import SPLITS, Problem
from duomotion.motion.interaction import Interaction
from duomotion.motion.interhuman import twist
from duomotion.motion.interx import INTERX, NUM_ROTATIONS, body
from duomotion.official.reading import read_plain_pickle
from duomotion.progress import track
from duomotion.reading import read_arrays
from duomotion.storage import atomic_file

EVERY = 4  # published frames, 120 to 30 a second
TOO_LONG = 1000  # frames; released loaders skip clips of so many
PEOPLE = ("P1", "P2")
TEXTS = ("texts_processed", "texts")  # what comes first is read
ACTORS = "actors.txt"
ORDER = "annots/interaction_order.pkl"
FINGERS = 15
SHAPES = {"rotations": (2, None, NUM_ROTATIONS, 3, 3), "translations": (2, None, 3)}
ARRAYS = {
    "root_orient": 1,
    "pose_body": 21,
    "pose_lhand": FINGERS,
    "pose_rhand": FINGERS,
    "trans": 1,
}


@dataclass(frozen=True)
class InterxClip:
    """One recording of two people.

    Attributes:
        name: its file name without suffix.
        rotations: (2, T, 55, 3, 3) float32, local, the root's in the world.
        translations: (2, T, 3) float32 metres.
        captions: descriptions, any of which fits.
        words: the tagged words of each; empty where nobody tagged them.
        actor: 0 or 1, to whom the other one reacts; None where nobody says.
    """

    name: str
    rotations: np.ndarray
    translations: np.ndarray
    captions: tuple[str, ...]
    words: tuple[str, ...]
    actor: int | None = None

    @property
    def num_frames(self) -> int:
        return self.rotations.shape[1]


def read_split(root: str | Path, split: str) -> tuple[list[InterxClip], list[Problem]]:
    """All clips of a prepared split that can be used, and why the others can't.

    Raises:
        ValueError: the folder has no such split file, none of its clips can be used, or its
            actors.txt is no list of names and 0 or 1.
    """
    clips, problems = interhuman.split_with(read_clip, root, split)
    actors = read_actors(Path(root))
    return [replace(clip, actor=actors.get(clip.name)) for clip in clips], problems


def check(root: str | Path) -> tuple[int, list[Problem]]:
    """How many prepared clips of all splits can be used, and what is wrong with the others."""
    return interhuman.check(root, read_clip)


def read_clip(root: Path, name: str) -> InterxClip | Problem:
    """One prepared clip, or what is wrong with it."""
    try:
        rotations, translations = clip_arrays(root, name).values()
    except ValueError as error:
        return Problem(name, str(error))
    try:
        captions = [read_caption(line) for line in _lines(root, name)]
    except ValueError as error:
        return Problem(name, f"texts/{name}.txt: {error}")
    return InterxClip(
        name,
        rotations,
        translations,
        tuple(caption.text for caption in captions),
        tuple(caption.words for caption in captions),
    )


def clip_arrays(root: Path, name: str) -> dict[str, np.ndarray]:
    """The arrays of an `InterxClip`.

    Raises:
        ValueError: what is wrong with them.
    """
    stored = shards.find(root)
    if stored is not None:
        arrays = stored.read(name, SHAPES)
        _check_frames(arrays["translations"].shape[1])
        return arrays
    label = f"motions/{name}.npy"
    raw = interhuman.read_floats(root / label, label, (INTERX.num_joints, 2 * 3))
    _check_frames(len(raw))
    people = np.stack([raw[..., :3], raw[..., 3:]])
    vectors = people[:, :, :NUM_ROTATIONS]
    matrices = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix()
    return {
        "rotations": matrices.reshape(*vectors.shape, 3).astype(np.float32),
        "translations": people[:, :, -1].astype(np.float32),
    }


def _check_frames(count: int) -> None:
    if not INTERX.min_frames <= count < TOO_LONG:
        raise ValueError(f"it has {count} frames, not {INTERX.min_frames} to {TOO_LONG - 1}")


def read_actors(root: Path) -> dict[str, int]:
    """Who acts, by clip, as a prepared data set says; empty where it does not.

    Raises:
        ValueError: a line is none of NAME and 0 or 1.
    """
    path, actors = root / ACTORS, {}
    for number, line in enumerate(interhuman.read_lines(path) if path.is_file() else [], 1):
        name, _, actor = line.partition(" ")
        if actor not in ("0", "1"):
            raise ValueError(f"{path}, line {number}: 'NAME 0' or 'NAME 1' is expected")
        actors[name] = int(actor)
    return actors


def write_actors(root: Path, actors: Mapping[str, int]) -> None:
    """Add to a prepared data set who acts."""
    lines = [f"{name} {actor}" for name, actor in actors.items()]
    interhuman.write_lines(root / ACTORS, lines)


def _published_actors(source: Path) -> dict[str, int] | Problem:
    """The same as published; the pickle's numbers are read and nothing else."""
    path = source / ORDER
    if not path.is_file():
        return {}
    try:
        order = read_plain_pickle(path)
    except ValueError as error:
        return Problem(ORDER, str(error))
    if not isinstance(order, dict) or any(actor not in (0, 1) for actor in order.values()):
        return Problem(ORDER, "of each clip it should say 0, where P1 acts, or 1, where P2 does")
    return {str(name): int(actor) for name, actor in order.items()}


def _lines(root: Path, name: str) -> tuple[str, ...]:
    """The clip's lines of text, with tagged words where there are any; ValueError without one."""
    places = (root / folder / f"{name}.txt" for folder in TEXTS)
    found = next((path for path in places if path.is_file()), None)
    if found is None or not (lines := interhuman.read_lines(found)):
        raise ValueError("it has no caption")
    return tuple(lines)


def write_clip(root: Path, name: str, people: Interaction, captions: Iterable[str]) -> None:
    """Add two people on SMPL-X to a prepared data set; captions may have tagged words.

    As the authors do it, every person's lowest joint over the clip is put at the height of the
    others', on the neutral body, and the first person's first translation becomes zero.
    """
    neutral, _ = body()
    on_neutral = replace(people, skeletons=(neutral,) * people.num_people)
    translations = people.root_positions.astype(np.float64)
    translations[..., 1] -= on_neutral.positions[..., 1].min((1, 2))[:, None]
    translations -= translations[0, 0].copy()
    flat = people.rotations.reshape(-1, 3, 3)
    vectors = Rotation.from_matrix(flat).as_rotvec().reshape(*people.rotations.shape[:3], 3)
    rows = np.concatenate([vectors, translations[:, :, None]], 2)
    with atomic_file(root / "motions" / f"{name}.npy") as path:
        np.save(path, np.concatenate(list(rows), -1, dtype=np.float32))
    interhuman.write_lines(root / "texts" / f"{name}.txt", captions)


def prepare(source: str | Path, target: str | Path) -> list[Problem]:
    """Make a prepared data set; returns what had to be left out.

    Args:
        source: Inter-X as published; or a data set of pairs in InterHuman's layout, whose people
            are put on the neutral SMPL-X body with hands at rest.
        target: the folder to be written.

    Raises:
        ValueError: the folder is neither, or nothing in it can be used.
        OSError: the target can't be written.
    """
    source, target = Path(source), Path(target)
    read = _converted if (source / "motions_processed").is_dir() else _published
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    problems = []
    for split in SPLITS:
        for name in track(interhuman.split_names(source, split), split, unit="clip"):
            found = read(source, name)
            if isinstance(found, Problem):
                problems.append(found)
                continue
            people, captions = found
            write_clip(target, name, people, captions)
            splits[split].append(name)
    interhuman.check_any(splits, problems, source)
    for split, names in splits.items():
        interhuman.write_lines(target / "splits" / f"{split}.txt", names)
    composed.copy_mark(source, target)
    actors = _published_actors(source)
    if isinstance(actors, Problem):
        problems.append(actors)
    elif actors:
        kept = chain.from_iterable(splits.values())
        write_actors(target, {name: actors[name] for name in kept if name in actors})
    return problems


Captioned = tuple[Interaction, tuple[str, ...]]


def _published(source: Path, name: str) -> Captioned | Problem:
    try:
        captions = _lines(source, name)
    except ValueError as error:
        return Problem(name, f"texts/{name}.txt: {error}")
    people = []
    for person in PEOPLE:
        path = source / "motions" / name / f"{person}.npz"
        try:
            people.append(_read_person(path))
        except OSError as error:
            return Problem(name, f"{person}.npz can't be read: {error.strerror or error}")
        except ValueError as error:
            return Problem(name, str(error).replace(str(path), path.name))
    lengths = {len(rows) for rows in people}
    if len(lengths) != 1:
        return Problem(name, f"the people have {' and '.join(map(str, lengths))} frames")
    rows = np.stack(people)
    vectors = rows[:, :, :-1]
    rotations = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix()
    neutral, pelvis = body()
    roots = rows[:, :, -1] + pelvis
    return Interaction(roots, rotations.reshape(*vectors.shape, 3), (neutral,) * 2), captions


def _read_person(path: Path) -> np.ndarray:
    """(T, 56, 3) axis-angle of SMPL-X's joints and the translation, at 30 frames a second."""
    arrays = read_arrays(path, ARRAYS)
    if missing := [name for name in ARRAYS if name not in arrays]:
        raise ValueError(f"{path} has no array named {', '.join(missing)}")
    frames = len(np.atleast_1d(arrays["trans"]))
    parts = {}
    for name, joints in ARRAYS.items():
        array = arrays[name]
        if not np.issubdtype(array.dtype, np.floating) or array.size != frames * joints * 3:
            raise ValueError(
                f"{path} has {name} of {array.dtype} {array.shape}, "
                f"not float ({frames}, {joints}, 3)"
            )
        if not np.isfinite(array).all():
            raise ValueError(f"{path} has {name} that is not finite")
        parts[name] = array.reshape(frames, joints, 3)[::EVERY].astype(np.float64)
    face = np.zeros((len(parts["trans"]), 3, 3))
    order = (parts["root_orient"], parts["pose_body"], face, parts["pose_lhand"])
    return np.concatenate([*order, parts["pose_rhand"], parts["trans"]], 1)


def _converted(source: Path, name: str) -> Captioned | Problem:
    clip = interhuman.read_clip(source, name)
    if isinstance(clip, Problem):
        return clip
    if len(clip.positions) != len(PEOPLE):
        return Problem(name, "it shows one person")
    if not clip.captions:
        return Problem(name, "no caption describes all of it")
    people = Interaction.from_positions(clip.positions, twist(clip.sixd))
    return INTERX.bodies(people), clip.captions
