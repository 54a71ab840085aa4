import errno
import time
from dataclasses import replace

import av
import numpy as np
import pytest
from limits import largest_file
from motions import TAIL, standing, waving
from PIL import Image, ImageColor

from duomotion.body import PERSON_COLOURS
from duomotion.formats import drawing, strip, video


def near(picture: Image.Image, colour: str, within: int = 40) -> np.ndarray:
    away = np.asarray(picture, dtype=int) - ImageColor.getrgb(colour)
    return np.abs(away).max(-1) < within


@pytest.mark.parametrize("people", [2, 4])
def test_mp4(tmp_path, people):
    clip = waving(people, frames=6)
    path = tmp_path / "clip.mp4"
    video.write(clip, path)
    with av.open(str(path)) as container:
        (stream,) = container.streams.video
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert stream.average_rate == 30
        assert (stream.width, stream.height) == video.SIZE
        assert container.metadata["title"] == clip.caption
        pictures = [frame.to_image() for frame in container.decode(stream)]
    assert len(pictures) == clip.num_frames
    for colour in PERSON_COLOURS[:people]:
        assert near(pictures[-1], colour).sum() > 500
    moved = np.abs(np.asarray(pictures[0], dtype=int) - np.asarray(pictures[-1], dtype=int))
    assert (moved.max(-1) > 60).sum() > 1000


def test_gif_lasts_as_long_as_the_clip(tmp_path):
    path = tmp_path / "clip.gif"
    clip = waving(people=1, frames=7)
    video.write(clip, path)
    with Image.open(path) as picture:
        assert picture.size == video.GIF_SIZE
        total = 0
        for index in range(picture.n_frames):
            picture.seek(index)
            total += picture.info["duration"]
    assert picture.n_frames == 4
    assert total == pytest.approx(1000 * clip.seconds, abs=5)


def test_other_suffix_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.mp4 or \.gif"):
        video.write(standing(), tmp_path / "clip.avi")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["mp4", "gif"])
def test_a_full_disk_is_an_os_error_and_leaves_nothing(tmp_path, suffix):
    path = tmp_path / f"clip.{suffix}"
    with largest_file(1000), pytest.raises(OSError) as raised:
        video.write(waving(frames=6), path)
    assert (raised.value.errno, raised.value.filename) == (errno.EFBIG, str(path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["mp4", "gif"])
def test_a_frame_rate_that_no_video_has_is_refused(tmp_path, suffix):
    with pytest.raises(ValueError, match=rf"clip\.{suffix}: a video needs 0.01 frames a second"):
        video.write(replace(waving(frames=2), fps=1e-9), tmp_path / f"clip.{suffix}")
    video.write(replace(waving(frames=2), fps=video.SLOWEST), tmp_path / f"clip.{suffix}")


@pytest.mark.parametrize("people", [1, 2])
def test_camera_sees_everything(people):
    clip = waving(people=people)
    back = drawing.side_direction(clip) + np.array([0, 0.3, 0])
    points = drawing.body_points(clip)
    camera = drawing.camera_towards(points, back, (960, 540))
    pixels, depth = camera.project(points)
    assert (pixels >= 0).all() and (pixels <= (960, 540)).all()
    assert depth.min() > 0.5
    # It does not stand needlessly far away either.
    assert np.ptp(pixels, axis=0).max() > 300


def test_two_people_are_seen_side_by_side():
    clip = standing(gap=2.0)
    camera = drawing.camera_towards(
        drawing.body_points(clip), drawing.side_direction(clip), (900, 500)
    )
    pixels, depth = camera.project(clip.root_positions[:, 0])
    assert pixels[1, 0] - pixels[0, 0] > 200
    assert abs(depth[1] - depth[0]) < 0.01


def test_three_people_are_seen_side_by_side():
    clip = standing(3, gap=1.0)
    clip.root_positions[:] = clip.root_positions[[0, 2, 1]]  # the third is between the others
    assert drawing.side_direction(clip) == pytest.approx([0, 0, 1], abs=1e-6)


def test_a_long_way_has_few_lines_on_the_ground():
    clip = standing(2, gap=1e5)
    stage = drawing.Stage(clip, (90, 50))
    camera = drawing.camera_towards(drawing.body_points(clip), np.array([0, 0.3, 1]), (90, 50))
    started = time.monotonic()
    stage.ground(camera)
    assert time.monotonic() - started < 5


def first_frame(clip) -> Image.Image:
    return next(drawing.draw_frames(clip))


def test_foot_marks_show_only_on_the_ground():
    still = standing(people=1)
    (mark,) = [place for rests, place in drawing._feet_on_ground(still, 0)[:1] if rests.all()]
    assert abs(mark[:, 1]).max() < 0.1
    lifted = standing(people=1)
    lifted.root_positions[..., 1] += 0.5
    assert not any(rests.any() for rests, _ in drawing._feet_on_ground(lifted, 0))


def test_touching_hands_are_marked():
    touch = Image.new("RGB", (1, 1), drawing.TOUCH_COLOUR).getpixel((0, 0))
    colour = "#{:02x}{:02x}{:02x}".format(*touch)
    apart, together = standing(gap=3.0), standing(gap=1.66)
    assert near(first_frame(apart), colour, 20).sum() == 0
    assert near(first_frame(together), colour, 20).sum() > 50


def test_nearer_body_hides_the_farther_one():
    clip = standing(gap=0.0)
    clip.root_positions[1, :, 2] -= 1.0
    stage = drawing.Stage(clip, (400, 400))
    camera = drawing.camera_towards(drawing.body_points(clip), np.array([0, 0.01, 1]), (400, 400))
    picture = stage.paint(0, stage.bodies_at(0), camera, stage.ground(camera))
    x, y = camera.project(clip.positions[0, 0, 6])[0].astype(int)
    patch = picture.crop((x - 4, y - 4, x + 4, y + 4))
    red, _, blue = np.asarray(patch, dtype=int).mean((0, 1))
    assert red > blue + 60


def test_other_skeletons_can_be_drawn():
    picture = first_frame(waving(skeleton=TAIL, frames=2))
    assert near(picture, PERSON_COLOURS[0], 60).sum() > 300


def test_captions_are_cut_to_their_room():
    font = drawing.font(20)
    lines = drawing.wrap("word " * 80, font, 300, 2)
    assert len(lines) == 2 and lines[1].endswith("…")
    assert all(font.getlength(line) <= 300 for line in lines)
    assert drawing.wrap("a short one", font, 300, 2) == ["a short one"]
    assert drawing.wrap("x" * 200, font, 300, 2)[0].endswith("…")
    assert drawing.wrap("", font, 300, 2) == [""]
    started = time.monotonic()
    assert drawing.wrap("x" * 20_000, font, 300, 2)[0].endswith("…")
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(("frames", "columns"), [(20, 3), (2, 2)])
def test_strip(tmp_path, frames, columns):
    path = tmp_path / "strip.png"
    strip.write(waving(3, frames=frames), path, frames=3)
    with Image.open(path) as picture:
        width, height = picture.size
        assert width == columns * strip.CELL[0] + 2 * strip.EDGE
        for column in range(columns):
            left = strip.EDGE + column * strip.CELL[0]
            for top in (46, 46 + strip.CELL[1]):
                cell = picture.crop((left, top, left + strip.CELL[0], top + strip.CELL[1]))
                for colour in PERSON_COLOURS[:3]:
                    assert near(cell, colour, 60).sum() > 40
        assert height > 2 * strip.CELL[1]
