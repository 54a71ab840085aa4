"""Forty prompts for two people, on pairs of people made up to show them."""

import numpy as np
import pytest
from motions import standing
from persons import FRAMES, SHOWN, TIME, jumping, moved, still, waving
from recordings import needs_recordings, take

from duomotion.data.open_pairs import segments
from duomotion.evaluation.metrics.measurements import Scene
from duomotion.evaluation.open import action_prompts
from duomotion.evaluation.open.action_prompts import ACTION_PROMPTS, Roles
from duomotion.evaluation.open.checks import best_of
from duomotion.evaluation.open.person_checks import jump, wave
from duomotion.motion.canonical import swap, transform
from duomotion.motion.interaction import Interaction, together
from duomotion.motion.rotations import yaw

ABOUT_FACE = yaw(np.pi)
FIRST, MIDDLE, LAST = 0, FRAMES // 2, FRAMES - 1
# For each place: who turns round, and where the second is from the first, (x, z) in metres, when.
PLACES = {
    "near": ((), (1.0, 0.0), MIDDLE),
    "face_to_face": ((1,), (0.0, 1.2), MIDDLE),
    "side_by_side": ((), (1.0, 0.0), MIDDLE),
    "behind": ((), (0.0, 1.5), MIDDLE),
    "apart": ((0,), (0.0, 0.8), FIRST),
    "towards": ((1,), (0.0, 1.0), LAST),
}


def pair(first: Interaction, second: Interaction, place: str) -> Interaction:
    turned, (x, z), frame = PLACES[place]
    people = [
        _turned(person) if number in turned else person
        for number, person in enumerate((first, second))
    ]
    start, end = (person.root_positions[0, frame] for person in people)
    offset = (start - end + [x, 0, z]) * [1, 0, 1]
    return together([people[0], transform(people[1], np.eye(3), offset)])


def _turned(person: Interaction) -> Interaction:
    return transform(person, ABOUT_FACE, np.zeros(3))


def made(roles: Roles) -> list[Interaction]:
    return [SHOWN[check.__name__]() for check in (roles.first, roles.second)]


@pytest.mark.parametrize("text", ACTION_PROMPTS)
def test_who_does_it_passes_in_either_order(text):
    roles = ACTION_PROMPTS[text].check
    motion = pair(*made(roles), roles.place.__name__)
    result = roles(motion)
    assert result.passed, result
    assert result.measurements == pytest.approx(roles(swap(motion)).measurements)


@pytest.mark.parametrize("text", ACTION_PROMPTS)
def test_one_who_does_nothing_or_is_elsewhere_fails(text):
    roles = ACTION_PROMPTS[text].check
    first, second = made(roles)
    place = roles.place.__name__
    idle = moved(still(), up=-0.4)  # upright, but too low to be who stands
    failed = roles(pair(first, idle, place)).failed
    assert any(name.startswith(("first", "second")) for name in failed)
    far = transform(second, np.eye(3), np.array([30.0, 0, 0]))
    assert any("place" in name for name in roles(together([first, far])).failed)


def test_two_who_do_both_are_not_one_of_each():
    roles = Roles(wave, jump, action_prompts.near)
    hop = jumping().root_positions[..., 1] - still().root_positions[..., 1]
    both = moved(waving(), up=hop[0])
    assert roles(pair(waving(), jumping(), "near")).passed
    assert roles(pair(both, jumping(), "near")).passed
    assert roles(pair(both, both, "near")).failed == ("roles mixed",)


@pytest.mark.parametrize(
    ("place", "motion", "failed"),
    [
        ("near", lambda: together([still(), still()]), "nearest"),
        ("face_to_face", lambda: pair(still(), still(), "side_by_side"), "off_partner"),
        ("side_by_side", lambda: pair(still(), still(), "behind"), "off_side"),
        ("side_by_side", lambda: pair(still(), _turned(still()), "near"), "same_direction"),
        ("behind", lambda: pair(still(), still(), "side_by_side"), "off_leader"),
        ("behind", lambda: pair(still(), still(), "face_to_face"), "same_direction"),
        ("apart", lambda: pair(going_on(), going_on(), "towards"), "opened"),
        ("towards", lambda: pair(going_on(), going_on(), "apart"), "closed"),
    ],
)
def test_where_they_are_not(place, motion, failed):
    check = getattr(action_prompts, place)
    results = [check(scene) for scene in Scene.of(motion()).orders()]
    assert failed in best_of(results).failed


def going_on() -> Interaction:
    return moved(still(), ahead=TIME)


def test_the_follower_is_the_one_behind():
    scene = Scene.of(pair(going_on(), going_on(), "behind"))
    assert action_prompts.behind(scene).passed
    assert not action_prompts.behind(scene.swapped()).passed


def test_two_people_are_needed():
    prompt = next(iter(ACTION_PROMPTS.values()))
    with pytest.raises(ValueError, match="two people"):
        prompt.check(standing(people=1, frames=FRAMES))


def test_forty_prompts_none_of_which_was_trained():
    trained = {text.lower().rstrip(".") for p in segments() for text in p.captions + p.words}
    assert len(ACTION_PROMPTS) == 40
    for text, prompt in ACTION_PROMPTS.items():
        assert prompt.texts == (text,) and text not in trained
        assert not prompt.kinds


@needs_recordings
@pytest.mark.parametrize("name", ["18_01", "20_01", "20_11", "22_01"])
def test_recorded_pairs_show_none(name):
    motion = take(name).frames(0, 300)
    assert [text for text, prompt in ACTION_PROMPTS.items() if prompt.check(motion).passed] == []
