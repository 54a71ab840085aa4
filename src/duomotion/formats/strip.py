"""A clip at a glance (.png): moments side by side, seen from the side and from above."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from duomotion.formats import drawing
from duomotion.motion.interaction import Interaction
from duomotion.storage import atomic_file

CELL = (230, 300)
EDGE = 12
UP = np.array([0.0, 1.0, 0.0])
# Metres that a picture must show around the people at the least.
MIN_REACH = 0.7


def write(interaction: Interaction, path: str | Path, frames: int = 8) -> None:
    """Write a .png with `frames` moments, evenly spread from the first frame to the last.

    All pictures of a row are seen from the same direction and at the same scale; the view follows
    the people, the lines on the ground are half a metre apart and show how they move.

    Raises:
        ValueError: there are more than eight people.
        OSError: the file can't be written.
    """
    picture = draw(interaction, frames)
    with atomic_file(path) as temporary:
        picture.save(temporary)


def draw(interaction: Interaction, frames: int = 8) -> Image.Image:
    """The strip as an RGB picture; fewer moments where the clip has fewer frames."""
    last = interaction.num_frames - 1
    moments = sorted({round(f) for f in np.linspace(0, last, min(frames, last + 1))})
    side = drawing.side_direction(interaction)
    stages = drawing.Stage(interaction, CELL)
    centres, points = _around_people(interaction)
    cameras = [
        drawing.camera_towards(points, direction, CELL, margin=0.9)
        for direction in (side + 0.12 * UP, UP + 1e-3 * side)
    ]
    title, small = drawing.font(19), drawing.font(14)
    width, height = CELL
    top = EDGE + 34 if interaction.caption else EDGE
    size = (width * len(moments) + 2 * EDGE, top + 2 * height + 30)
    strip = Image.new("RGB", size, drawing.BACKGROUND)
    pen = ImageDraw.Draw(strip)
    if interaction.caption:
        (line,) = drawing.wrap(interaction.caption, title, size[0] - 2 * EDGE, 1)
        pen.text((EDGE, EDGE), line, fill=drawing.INK, font=title)
    for column, frame in enumerate(moments):
        bodies = stages.bodies_at(frame)
        left = EDGE + column * width
        for row, camera in enumerate(cameras):
            there = camera.moved(centres[frame])
            cell = stages.paint(frame, bodies, there, stages.ground(there))
            strip.paste(cell, (left, top + row * height))
        if column:
            pen.line([left, top, left, size[1]], fill=drawing.GRID)
        time = f"{frame / interaction.fps:.2f} s"
        at = (left + width / 2, top + 2 * height + 15)
        pen.text(at, time, fill=drawing.FAINT_INK, font=small, anchor="mm")
    return strip


def _around_people(interaction: Interaction) -> tuple[np.ndarray, np.ndarray]:
    """The place (T, 3) on the ground between the people, and all joints (N, 3) as seen from it."""
    joints = interaction.positions.astype(np.float64)
    centres = joints[:, :, 0].mean(0) * [1.0, 0.0, 1.0]
    around = (joints - centres[None, :, None]).reshape(-1, 3)
    corners = MIN_REACH * np.array([[1, 0, 1], [1, 0, -1], [-1, 0, 1], [-1, 0, -1]])
    return centres, np.concatenate([around, around + 0.2 * UP, corners])
