"""What ten prompts for one person ask for, on people made up to show it."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from motions import point, standing
from recordings import needs_recordings, take

from duomotion.evaluation.open import person_checks
from duomotion.evaluation.open.person_checks import Person
from duomotion.evaluation.open.solo_prompts import SOLO_PROMPTS
from duomotion.motion.canonical import mirror, resample, transform
from duomotion.motion.interaction import Interaction
from duomotion.motion.rotations import yaw

FPS = 20.0
FRAMES = 80
TIME = np.arange(FRAMES) / FPS
DOWN, AHEAD = [0, -1, 0], [0, 0, 1]


def still() -> Interaction:
    """Someone who stands with their arms down."""
    motion = replace(standing(people=1, frames=FRAMES), fps=FPS)
    for side in ("left", "right"):
        for part in ("shoulder", "elbow"):
            motion = point(motion, 0, f"{side}_{part}", DOWN)
    return motion


def moved(motion: Interaction, ahead=0.0, up=0.0) -> Interaction:
    """Elsewhere by metres, each a number or one a frame."""
    way = np.stack(np.broadcast_arrays(0.0 * TIME, up, ahead), -1)
    return replace(motion, root_positions=motion.root_positions + way)


def limb(motion: Interaction, side: str, upper: str, lower: str, first, second) -> Interaction:
    return point(point(motion, 0, f"{side}_{upper}", first), 0, f"{side}_{lower}", second)


def arm(motion, side, upper, lower) -> Interaction:
    return limb(motion, side, "shoulder", "elbow", upper, lower)


def leg(motion, side, upper, lower) -> Interaction:
    return limb(motion, side, "hip", "knee", upper, lower)


def directions(x=0.0, y=0.0, z=0.0) -> np.ndarray:
    """(T, 3) of numbers for all frames or for each."""
    return np.stack(np.broadcast_arrays(x + 0 * TIME, y, z), -1)


def pulse(seconds: float, at: float = 2.0) -> np.ndarray:
    """(T,) from 0 to 1 and back."""
    return np.clip(1 - np.abs(TIME - at) / (seconds / 2), 0, 1)


def going(speed: float, steps: float) -> Interaction:
    """At m/s and so many steps a second."""
    swing = 0.4 * np.sin(np.pi * steps * TIME)
    motion = moved(still(), ahead=speed * TIME)
    for side, sign in (("left", 1), ("right", -1)):
        stride = directions(y=-1, z=sign * swing)
        motion = leg(motion, side, stride, stride)
    return motion


def walking() -> Interaction:
    return going(1.1, 2)


def running() -> Interaction:
    return going(2.6, 3)


def jumping() -> Interaction:
    return moved(still(), up=np.maximum(0, 2.4 * (TIME - 1) - 4.9 * (TIME - 1) ** 2))


def sitting() -> Interaction:
    motion = moved(still(), up=-0.4)
    for side in ("left", "right"):
        motion = leg(motion, side, AHEAD, DOWN)
    return motion


def waving() -> Interaction:
    return arm(still(), "right", [-1, 0, 0], directions(x=0.7 * np.sin(8 * TIME), y=1))


def kicking() -> Interaction:
    swing = 1.6 * pulse(0.7)
    way = directions(y=-np.cos(swing), z=np.sin(swing))
    return leg(still(), "right", way, way)


def punching() -> Interaction:
    out = pulse(0.6)
    upper = directions(y=-(1 - out), z=out - 0.3 * (1 - out))
    return arm(still(), "right", upper, directions(y=0.6 * (1 - out), z=1))


def turning() -> Interaction:
    motion = still()
    rotations = motion.rotations.copy()
    rotations[0, :, 0] = yaw(np.pi * np.clip(TIME - 1, 0, 1)) @ rotations[0, :, 0]
    return replace(motion, rotations=rotations)


def dancing() -> Interaction:
    sway = 0.8 * np.sin(4 * TIME)
    motion = arm(still(), "left", directions(x=1, y=0.4 * sway), directions(x=sway, y=1))
    return arm(motion, "right", directions(x=-1, y=-0.4 * sway), directions(x=sway, y=1))


def crawling() -> Interaction:
    motion = moved(still(), ahead=0.4 * TIME, up=-0.45)
    for side in ("left", "right"):
        motion = arm(motion, side, AHEAD, AHEAD)
        motion = leg(motion, side, AHEAD, DOWN)
    pitch = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # face down
    rotations = motion.rotations.copy()
    rotations[0, :, 0] = pitch @ rotations[0, :, 0]
    return replace(motion, rotations=rotations)


SHOWN = {
    "walk": walking,
    "run": running,
    "jump": jumping,
    "sit": sitting,
    "wave": waving,
    "kick": kicking,
    "punch": punching,
    "turn": turning,
    "dance": dancing,
    "crawl": crawling,
}
# Who does the one does the other as well.
BOTH = {("dance", "wave"), ("wave", "dance")}


@cache
def passed(prompt: str, motion: str) -> tuple[bool, tuple[str, ...], dict[str, float]]:
    result = SOLO_PROMPTS[prompt].check(SHOWN[motion]())
    return result.passed, result.failed, result.measurements


@pytest.mark.parametrize("name", SOLO_PROMPTS)
def test_who_does_it_passes_and_who_does_something_else_does_not(name):
    assert passed(name, name)[:2] == (True, ()), passed(name, name)
    others = {other for other in SHOWN if passed(name, other)[0]} - {name}
    assert {(name, other) for other in others} <= BOTH


@pytest.mark.parametrize("name", SOLO_PROMPTS)
def test_who_stands_shows_nothing(name):
    result = SOLO_PROMPTS[name].check(still())
    assert not result.passed and set(result.failed) <= result.measurements.keys()


@pytest.mark.parametrize("name", SOLO_PROMPTS)
def test_side_place_and_frame_rate_do_not_matter(name):
    check, motion = SOLO_PROMPTS[name].check, SHOWN[name]()
    _, _, expected = passed(name, name)
    for other in (mirror(motion), transform(motion, yaw(1.0), np.array([5.0, 0, 2]))):
        assert check(other).measurements == pytest.approx(expected, rel=1e-2, abs=1e-2)
    assert check(resample(motion, 30.0)).passed


@pytest.mark.parametrize(
    ("check", "motion", "failed"),
    [
        ("walk", lambda: going(2.6, 3), "top_speed"),
        ("walk", lambda: moved(still(), ahead=TIME), "steps"),
        ("walk", lambda: going(0.15, 2), "way"),
        ("run", lambda: going(1.1, 2), "top_speed"),
        ("jump", lambda: moved(still(), up=0.3), "clearance"),
        ("sit", lambda: moved(sitting(), up=0.4), "seconds"),
        ("wave", lambda: arm(still(), "right", [-1, 0, 0], [0, 1, 0]), "swings"),
        (
            "wave",
            lambda: arm(still(), "right", DOWN, directions(x=np.sin(8 * TIME), z=1)),
            "raised",
        ),
        ("kick", lambda: leg(still(), "right", AHEAD, AHEAD), "speed"),
        ("punch", lambda: arm(still(), "right", AHEAD, AHEAD), "speed"),
        ("dance", lambda: moved(dancing(), ahead=2 * TIME), "away"),
        ("crawl", lambda: moved(crawling(), ahead=-0.4 * TIME), "way"),
        ("crawl", lambda: moved(crawling(), up=0.5), "share"),
    ],
)
def test_what_it_is_not(check, motion, failed):
    result = SOLO_PROMPTS[check].check(motion())
    assert not result.passed and failed in result.failed


def test_a_clip_without_any_candidate_has_no_numbers():
    result = person_checks.punch(Person.of(still()))
    assert not result.passed and np.isnan(list(result.measurements.values())).all()


def test_checks_need_one_person_with_the_right_joints():
    with pytest.raises(ValueError, match="need one person with SMPL-22's joints, not 2 with 22"):
        SOLO_PROMPTS["walk"].check(standing(people=2, frames=FRAMES))


def test_measures_of_a_person():
    person = Person.of(walking())
    assert person.top_speed == pytest.approx(1.1, rel=1e-2)
    np.testing.assert_allclose(person.turned, 0, atol=1)
    np.testing.assert_allclose(person.lean, person.lean[0], atol=1e-3)
    assert Person.of(crawling()).lean.mean() == pytest.approx(90, abs=12)
    assert np.ptp(Person.of(turning()).turned) == pytest.approx(180, abs=1)
    assert Person.of(jumping()).clearance.max() == pytest.approx(0.29, abs=0.02)
    assert (Person.of(still()).hands_up < 0).all()


def test_prompts_are_three_wordings_each():
    assert list(SOLO_PROMPTS) == list(SHOWN)
    for prompt in SOLO_PROMPTS.values():
        assert len(set(prompt.texts)) == 3 and prompt.word and not prompt.kinds


@needs_recordings
@pytest.mark.parametrize(
    ("name", "prompt", "shown"),
    [("20_01", "dance", True), ("20_01", "walk", False), ("18_01", "run", False)],
)
def test_recorded_people(name, prompt, shown):
    assert SOLO_PROMPTS[prompt].check(take(name).person(0)).passed == shown
