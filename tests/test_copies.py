"""Copies are found behind a coarse tokenizer, and nothing else is taken for one."""

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from motions import swaying

from duomotion.data.interhuman import Clip
from duomotion.evaluation.metrics.neighbours import nearest
from duomotion.evaluation.open.checks import Prompt, check_limits
from duomotion.evaluation.open.copies import Copies, Nearest, find_copies, recording_of
from duomotion.evaluation.open.opensets import PAIRS, PairMotion
from duomotion.models.base import MotionModel
from duomotion.motion.interaction import Interaction
from duomotion.motion.interhuman import INTERHUMAN
from duomotion.sampling.request import Request

TOKEN = 8


def clip(seed: int, size: float = 1.0) -> Clip:
    still = np.tile(np.array([1.0, 0, 0, 1, 0, 0]), (2, 75, 21, 1))
    return Clip(f"clip{seed}", size * swaying(seed), still, ("two people sway",))


TRAIN, TEST = [clip(seed) for seed in range(5)], [clip(seed) for seed in range(10, 16)]

KINDS = {"clip0": "sway", "clip1": "sway", "clip2": "sway", "clip3": "bow"}


class Parrot(MotionModel):
    """Replays the second training clip, or shows of every seed other people, who are taller.

    Its tokens keep the mean of their frames alone, so that what it says is far from any recording.
    """

    name, fingerprint = "parrot", "0" * 12
    min_frames, max_frames = INTERHUMAN.min_frames, INTERHUMAN.max_frames

    def answer(self, requests: Sequence[Request]) -> list[Interaction]:
        raise NotImplementedError

    def reconstruct(self, features: np.ndarray) -> np.ndarray:
        whole = features[:, : features.shape[1] // TOKEN * TOKEN]
        tokens = whole.reshape(2, -1, TOKEN, features.shape[-1])
        return np.repeat(tokens.mean(2), TOKEN, axis=1)

    def features(self, requests: Sequence[Request]) -> list[np.ndarray]:
        return [self.reconstruct(self.shown(request)) for request in requests]

    def shown(self, request: Request) -> np.ndarray:
        new = request.text == "new"
        motion = PairMotion.recorded(clip(20 + request.seed, 1.3) if new else TRAIN[1])
        return (motion.orders[1] if request.text == "swapped" else motion).features()


def nothing(made: Interaction):
    return check_limits({}, {})


@pytest.fixture(scope="module")
def found() -> Copies:
    prompts = {text: Prompt((text,), nothing) for text in ("replay", "swapped", "new")}
    data = replace(PAIRS, prompts=prompts)
    return find_copies(Parrot(), data, TRAIN, TEST, kinds=KINDS, seeds=3)


@pytest.mark.parametrize("prompt", ["replay", "swapped"])
def test_a_replay_is_a_copy_however_coarse_the_tokenizer(found, prompt):
    (motion,) = Parrot().features([Request(text=prompt, frames=75)])
    recordings = {clip.name: clip.positions for clip in TRAIN}
    assert nearest(INTERHUMAN.positions(motion), recordings)[1] > 25
    assert {each.clip for each in found.generated[prompt]} == {"clip1"}
    assert max(each.mm for each in found.generated[prompt]) < 0.01
    assert found.share(found.generated[prompt]) == 1


def test_what_training_has_not_seen_is_no_copy(found):
    assert found.share(found.generated["new"]) == 0
    assert found.share(found.held_out) <= 1 / len(TEST)
    assert found.share(found.replayed) == 1
    assert len(found.replayed) == len(TRAIN) and min(each.mm for each in found.replayed) > 1


def test_recordings_are_compared_with_others_of_their_kind(found):
    assert len(found.of_one_kind) == 3
    assert {each.clip for each in found.of_one_kind} <= {"clip0", "clip1", "clip2"}
    assert min(each.mm for each in found.of_one_kind) > 1
    assert "| training clips, to other recordings of their kind | 3 |" in found.markdown()
    assert recording_of("M18_01-03") == recording_of("18_01") == "18_01"


def test_seeds_that_say_the_same_are_not_apart(found):
    assert max(found.between_seeds["replay"]) < 0.01
    assert len(found.between_seeds["new"]) == 3 and min(found.between_seeds["new"]) > 50


def test_a_report_shows_the_limit_and_what_is_nearer(found):
    text, numbers = found.markdown(), found.as_dict()
    assert json.loads(json.dumps(numbers)) == numbers
    assert numbers["share"] == pytest.approx(2 / 3)
    assert f"nearer than {numbers['limit_mm']:.0f} mm" in text
    assert "| replay | 3/3 | 0 (0 to 0) | clip1 3x | 0 (0 to 0) |" in text
    assert "| new | 0/3 |" in text and "| held-out recordings | 6 |" in text


def test_the_limit_is_a_share_of_the_held_out_recordings():
    near, far = Nearest("a", 10.0), Nearest("b", 50.0)
    held_out = [Nearest("a", float(mm)) for mm in range(20, 121)]
    copies = Copies({"x": [near, far]}, [near], held_out, [], {"x": []})
    assert copies.limit_mm == pytest.approx(25)
    assert copies.share(held_out) == pytest.approx(5 / 101)
    assert copies.share(copies.all_generated) == 0.5
    assert copies.markdown().endswith("| a 1x, b 1x | - |")
