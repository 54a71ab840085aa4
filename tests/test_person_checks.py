"""What the checks of one person look for, on people made up to show it."""

from functools import cache
from inspect import getmembers, isfunction

import numpy as np
import pytest
from persons import (
    AHEAD,
    DOWN,
    SHOWN,
    TIME,
    arm,
    balancing,
    bending,
    cartwheeling,
    crawling,
    crouching,
    dancing,
    directions,
    dribbling,
    drinking,
    going,
    golfing,
    jumping,
    leg,
    lying,
    moved,
    raising_arms,
    rotated,
    sitting,
    still,
    turning,
    walking,
)

from duomotion.evaluation.open import person_checks
from duomotion.evaluation.open.checks import CheckResult
from duomotion.evaluation.open.person_checks import Person
from duomotion.motion.canonical import mirror, resample, transform
from duomotion.motion.interaction import Interaction
from duomotion.motion.rotations import yaw

# Who does the second does the first as well; people upside down have their hands and hips anywhere.
BOTH = {
    *(("wave", "dance"), ("dance", "wave"), ("dance", "dribble"), ("raise_arms", "dance")),
    *(("walk", "step_back"), ("punch", "cartwheel"), ("turn", "cartwheel")),
    *(("stand", other) for other in ("balance", "bend", "dance", "raise_arms")),
}


def check(name: str, motion: Interaction) -> CheckResult:
    return getattr(person_checks, name)(Person.of(motion))


@cache
def checked(name: str, motion: str) -> CheckResult:
    return check(name, SHOWN[motion]())


def test_every_check_has_its_person():
    found = getmembers(person_checks, isfunction)
    own = {name for name, each in found if each.__module__ == person_checks.__name__}
    assert {name for name in own if not name.startswith("_")} == set(SHOWN)


@pytest.mark.parametrize("name", SHOWN)
def test_who_does_it_passes_and_who_does_something_else_does_not(name):
    assert checked(name, name).passed, checked(name, name)
    others = {other for other in SHOWN if checked(name, other).passed} - {name}
    assert {(name, other) for other in others} <= BOTH


@pytest.mark.parametrize("name", [name for name in SHOWN if name != "stand"])
def test_who_stands_shows_nothing_else(name):
    result = checked(name, "stand")
    assert not result.passed and set(result.failed) <= result.measurements.keys()


@pytest.mark.parametrize("name", SHOWN)
def test_side_place_and_frame_rate_do_not_matter(name):
    motion, expected = SHOWN[name](), checked(name, name).measurements
    for other in (mirror(motion), transform(motion, yaw(1.0), np.array([5.0, 0, 2]))):
        assert check(name, other).measurements == pytest.approx(expected, rel=1e-2, abs=1e-2)
    assert check(name, resample(motion, 30.0)).passed


@pytest.mark.parametrize(
    ("name", "motion", "failed"),
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
        ("stand", walking, "away"),
        ("stand", turning, "turned"),
        ("stand", dribbling, "fast"),
        ("stand", sitting, "pelvis"),
        ("step_back", walking, "way"),
        ("step_back", lambda: rotated(going(-0.6, 2), yaw(np.pi)), "way"),
        ("side_step", lambda: moved(still(), aside=0.05 * TIME), "way"),
        ("side_step", lambda: moved(still(), aside=0.3 * TIME, ahead=0.4 * TIME), "share"),
        ("bend", crouching, "lean"),
        ("bend", lambda: moved(bending(), up=0.3), "hand"),
        ("bend", lambda: bending().frames(30, 50), "upright"),
        ("crouch", bending, "pelvis"),
        ("crouch", lying, "lean"),
        ("raise_arms", lambda: arm(still(), "left", [0, 1, 0], [0, 1, 0]), "seconds"),
        ("balance", lambda: moved(balancing(), ahead=TIME), "seconds"),
        ("cartwheel", lambda: cartwheeling().frames(0, 25), "feet"),
        ("golf", lambda: golfing().frames(0, 36), "speed"),
        ("golf", lambda: arm(golfing(), "left", DOWN, DOWN), "grip"),
        ("drink", lambda: drinking().frames(50, 80), "rise"),
        ("drink", raising_arms, "seconds"),
        ("dribble", lambda: dribbling().frames(0, 25), "swings"),
        (
            "dribble",
            lambda: arm(still(), "right", DOWN, directions(y=np.sin(3 * TIME), z=1)),
            "rate",
        ),
        ("lie", lambda: moved(lying(), up=0.3), "seconds"),
        ("lie", sitting, "seconds"),
    ],
)
def test_what_it_is_not(name, motion, failed):
    result = check(name, motion())
    assert not result.passed and failed in result.failed


def test_a_clip_without_any_candidate_has_no_numbers():
    result = person_checks.punch(Person.of(still()))
    assert not result.passed and np.isnan(list(result.measurements.values())).all()


def test_measures_of_a_person():
    person = Person.of(walking())
    assert person.top_speed == pytest.approx(1.1, rel=1e-2)
    np.testing.assert_allclose(person.turned, 0, atol=1)
    np.testing.assert_allclose(person.lean, person.lean[0], atol=1e-3)
    assert Person.of(crawling()).lean.mean() == pytest.approx(90, abs=12)
    assert np.ptp(Person.of(turning()).turned) == pytest.approx(180, abs=1)
    assert Person.of(jumping()).clearance.max() == pytest.approx(0.29, abs=0.02)
    assert (Person.of(still()).hands_up < 0).all()


def test_a_person_goes_ahead_and_to_the_side():
    ahead, aside = Person.of(moved(rotated(still(), yaw(1.0)), ahead=0.5 * TIME)).course
    assert ahead.mean() == pytest.approx(0.5 * np.cos(1.0), abs=0.03)
    assert abs(aside.mean()) == pytest.approx(0.5 * np.sin(1.0), abs=0.03)
    assert Person.of(still()).seconds(TIME > 3) == pytest.approx(0.95)
