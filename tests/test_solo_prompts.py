"""What ten prompts for one person ask for."""

import pytest
from motions import standing
from persons import SHOWN
from recordings import needs_recordings, take

from duomotion.evaluation.open.solo_prompts import SOLO_PROMPTS


@pytest.mark.parametrize("name", SOLO_PROMPTS)
def test_who_does_it_passes(name):
    assert SOLO_PROMPTS[name].check(SHOWN[name]()).passed


def test_checks_need_one_person_with_the_right_joints():
    with pytest.raises(ValueError, match="need one person with SMPL-22's joints, not 2 with 22"):
        SOLO_PROMPTS["walk"].check(standing(people=2, frames=80))


def test_prompts_are_three_wordings_each():
    assert set(SOLO_PROMPTS) < set(SHOWN)
    for prompt in SOLO_PROMPTS.values():
        assert len(set(prompt.texts)) == 3 and prompt.word and not prompt.kinds


@needs_recordings
@pytest.mark.parametrize(
    ("name", "prompt", "shown"),
    [("20_01", "dance", True), ("20_01", "walk", False), ("18_01", "run", False)],
)
def test_recorded_people(name, prompt, shown):
    assert SOLO_PROMPTS[prompt].check(take(name).person(0)).passed == shown
