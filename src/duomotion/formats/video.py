"""Videos: .mp4 (H.264) that plays everywhere, and .gif for places that take only pictures."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from duomotion.formats.drawing import draw_frames
from duomotion.motion.interaction import Interaction
from duomotion.progress import track
from duomotion.storage import atomic_file

SIZE = (960, 540)
GIF_SIZE = (640, 360)
# Browsers slow down pictures that ask for less than 0.02 s; a gif counts in hundredths.
GIF_FPS = 15
# x264's constant quality: 18 is hard to tell from the original.
QUALITY = 20
# Frames a second; a gif can't show a picture for longer than 655 s.
SLOWEST = 0.01


def write(interaction: Interaction, path: str | Path) -> None:
    """Write an .mp4 at the clip's frame rate, or a .gif at `GIF_FPS` or less, by suffix.

    Raises:
        ValueError: the suffix is neither .mp4 nor .gif, the frame rate is below `SLOWEST`, or there
            are more than eight people.
        OSError: the file can't be written.
    """
    writers = {".mp4": _write_mp4, ".gif": _write_gif}
    writer = writers.get(Path(path).suffix.lower())
    if writer is None:
        raise ValueError(f"{path}: a video's name ends in .mp4 or .gif")
    if interaction.fps < SLOWEST:
        raise ValueError(
            f"{path}: a video needs {SLOWEST:g} frames a second or more; the motion has "
            f"{interaction.fps:g}"
        )
    with atomic_file(path) as temporary:
        writer(interaction, temporary)


def _write_mp4(interaction: Interaction, path: Path) -> None:
    rate = Fraction(interaction.fps).limit_denominator(1001)
    options = {"crf": str(QUALITY), "preset": "veryfast"}
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        container.metadata["title"] = interaction.caption
        stream = container.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for picture in _progress(interaction, SIZE):
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())


def _write_gif(interaction: Interaction, path: Path) -> None:
    step = max(1, round(interaction.fps / GIF_FPS))
    pictures = [
        picture.quantize(96, dither=Image.Dither.NONE)
        for index, picture in enumerate(_progress(interaction, GIF_SIZE))
        if index % step == 0
    ]
    # Rounded at the frames' ends, so that the whole takes as long as the clip.
    ends = np.minimum(np.arange(1, len(pictures) + 1) * step, interaction.num_frames)
    hundredths = np.diff(np.round(100 * ends / interaction.fps).astype(int), prepend=0)
    pictures[0].save(
        path,
        save_all=True,
        append_images=pictures[1:],
        duration=(10 * np.maximum(hundredths, 2)).tolist(),
        loop=0,
    )


def _progress(interaction: Interaction, size: tuple[int, int]):
    frames = draw_frames(interaction, size)
    return track(frames, "drawing", unit="frame", total=interaction.num_frames, is_kept=False)
