"""FBX through Blender's Python module, `pip install duomotion[blender]`, and .glb files between.

Blender runs in a process of its own: a file that makes it crash ends in one sentence.
"""

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from duomotion.formats import gltf, gltf_reading
from duomotion.formats.gltf_container import LARGEST_FILE
from duomotion.motion.interaction import Interaction
from duomotion.reading import open_file
from duomotion.storage import atomic_file

PATIENCE = 600.0  # seconds
SCRIPT = Path(__file__).with_name("blender_script.py")


def read(
    paths: str | Path | Sequence[str | Path], *, scale: float | None = None, up: str = "auto"
) -> Interaction:
    """Read the people of one file, or of several, as `duomotion.formats.gltf_reading.read`.

    Raises:
        ValueError: Blender's Python module is not installed, Blender can't read a file, or as
            reading .glb does.
        OSError: a file can't be read.
    """
    paths = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    with tempfile.TemporaryDirectory() as folder:
        converted = [Path(folder) / f"{number}.glb" for number in range(len(paths))]
        for path, target in zip(paths, converted, strict=True):
            open_file(path, limit=LARGEST_FILE).close()
            _run_blender(path, path, target)
        try:
            return gltf_reading.read(converted, scale=scale, up=up)
        except ValueError as problem:
            sentence = str(problem)
            for path, target in zip(paths, converted, strict=True):
                sentence = sentence.replace(str(target), str(path))
            raise ValueError(sentence) from None


def write(interaction: Interaction, path: str | Path) -> None:
    """Write an .fbx file: an armature and a skinned body for each person.

    Raises:
        ValueError: Blender's Python module is not installed, or there are more than eight people.
        OSError: the file can't be written.
    """
    with tempfile.TemporaryDirectory() as folder, atomic_file(path) as temporary:
        source, target = Path(folder) / "clip.glb", Path(folder) / "clip.fbx"
        gltf.write(interaction, source)
        _run_blender(path, source, target, interaction.fps, interaction.num_frames)
        temporary.write_bytes(target.read_bytes())


def _run_blender(path: str | Path, *words: object) -> None:
    if importlib.util.find_spec("bpy") is None:
        raise ValueError(
            f"{path}: .fbx needs Blender's Python module: pip install 'duomotion[blender]'; "
            ".glb and .bvh need nothing"
        )
    command = [sys.executable, str(SCRIPT), *map(str, words)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise ValueError(f"{path}: Blender did not finish in {PATIENCE:g} s") from None
    if done.returncode or not Path(str(words[1])).is_file():
        lines = done.stderr.strip().splitlines() or ["it stopped without a word"]
        raise ValueError(f"{path}: Blender can't convert it: {lines[-1][:200]}")
