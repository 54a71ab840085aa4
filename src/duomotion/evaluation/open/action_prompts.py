"""Whether a clip of two people shows what its prompt says, where no recorded pair does.

Each person does what the recorded people do alone, and the two are placed as the prompt says. Who
of the two does which is free. A check composes those of each person (person_checks.py) with one of
where they are; `checks.score` runs the prompts through any generator.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import numpy as np

from duomotion.evaluation.metrics.measurements import Scene
from duomotion.evaluation.open.checks import (
    CheckResult,
    Limits,
    Prompt,
    all_of,
    best_of,
    check_limits,
)
from duomotion.evaluation.open.person_checks import (
    Person,
    PersonCheck,
    balance,
    bend,
    cartwheel,
    crawl,
    crouch,
    dance,
    dribble,
    drink,
    golf,
    jump,
    kick,
    lie,
    punch,
    raise_arms,
    run,
    side_step,
    sit,
    stand,
    step_back,
    walk,
    wave,
)
from duomotion.motion.interaction import Interaction

PlaceCheck = Callable[[Scene], CheckResult]
# Metres between the pelvises where they are nearest: two people together, none inside the other.
NEAREST = (0.3, 4.0)


NEAR: Limits = {"nearest": NEAREST}


def near(scene: Scene) -> CheckResult:
    """In one scene, anywhere."""
    return check_limits(NEAR, {"nearest": float(scene.root_gap.min())})


FACE_TO_FACE: Limits = {"nearest": NEAREST, "off_partner": (0, 50)}


def face_to_face(scene: Scene) -> CheckResult:
    """Each faces the other most of the time."""
    return check_limits(
        FACE_TO_FACE,
        {
            "nearest": float(scene.root_gap.min()),
            "off_partner": float(np.median(scene.off_partner, 1).max()),
        },
    )


SIDE_BY_SIDE: Limits = {"nearest": NEAREST, "same_direction": (0, 45), "off_side": (0, 45)}


def side_by_side(scene: Scene) -> CheckResult:
    """Both face the same way most of the time, and each has the other beside them."""
    return check_limits(
        SIDE_BY_SIDE,
        {
            "nearest": float(scene.root_gap.min()),
            "same_direction": float(np.median(scene.between_headings)),
            "off_side": float(np.abs(np.median(scene.off_partner, 1) - 90).max()),
        },
    )


BEHIND: Limits = {"nearest": NEAREST, "same_direction": (0, 45), "off_leader": (0, 45)}


def behind(scene: Scene) -> CheckResult:
    """Both face the same way most of the time, the first towards the second's back."""
    return check_limits(
        BEHIND,
        {
            "nearest": float(scene.root_gap.min()),
            "same_direction": float(np.median(scene.between_headings)),
            "off_leader": float(np.median(scene.off_partner[0])),
        },
    )


APART: Limits = {"nearest": NEAREST, "opened": (1.0, inf)}


def apart(scene: Scene) -> CheckResult:
    """The way between them gets longer."""
    gap = scene.root_gap
    return check_limits(APART, {"nearest": float(gap.min()), "opened": float(gap[-1] - gap.min())})


TOWARDS: Limits = {"nearest": NEAREST, "closed": (1.0, inf)}


def towards(scene: Scene) -> CheckResult:
    """The way between them gets shorter."""
    gap = scene.root_gap
    return check_limits(TOWARDS, {"nearest": float(gap.min()), "closed": float(gap[0] - gap.min())})


ROLES: Limits = {"mixed": (0, 0)}


@dataclass(frozen=True)
class Roles:
    """The check of what two people do and where; who of them does which is free.

    Where they do different things, each may not do the other's as well: two people who both jump
    with swinging arms are not one who waves and one who jumps.

    Attributes:
        first, second: what the one and the other does.
        place: where they are, the first one first.
    """

    first: PersonCheck
    second: PersonCheck
    place: PlaceCheck

    def __call__(self, interaction: Interaction) -> CheckResult:
        """Raises ValueError unless it shows two people with SMPL-22's joints."""
        return best_of(map(self._in_order, Scene.of(interaction).orders()))

    def _in_order(self, scene: Scene) -> CheckResult:
        one, other = (Person(positions, scene.fps) for positions in scene.positions)
        parts = {
            "first": self.first(one),
            "second": self.second(other),
            "place": self.place(scene),
        }
        if self.first is not self.second:
            mixed = self.first(other).passed and self.second(one).passed
            parts["roles"] = check_limits(ROLES, {"mixed": float(mixed)})
        return all_of(parts)


ACTION_PROMPTS: dict[str, Prompt] = {
    text: Prompt(texts=(text,), check=Roles(first, second, place))
    for text, first, second, place in (
        ("one person waves and the other jumps", wave, jump, near),
        ("they jog side by side", run, run, side_by_side),
        ("one throws punches while the other steps back", punch, step_back, near),
        ("two people stand next to each other and wave", wave, wave, side_by_side),
        ("two friends face each other and jump up and down", jump, jump, face_to_face),
        ("one person kicks while the other ducks", kick, crouch, near),
        ("someone dances while the other person jogs around", dance, run, near),
        ("one crawls on hands and knees and the other walks beside", crawl, walk, side_by_side),
        ("a person runs past somebody who stands still", run, stand, near),
        ("two boxers stand side by side and punch the air", punch, punch, side_by_side),
        ("both people do a cartwheel", cartwheel, cartwheel, near),
        ("one does a cartwheel while the other raises both arms", cartwheel, raise_arms, near),
        ("a golfer swings a club and a friend stands and looks on", golf, stand, near),
        ("two golfers swing their clubs side by side", golf, golf, side_by_side),
        ("one dribbles a basketball, the other holds both hands up", dribble, raise_arms, near),
        ("two players dribble basketballs", dribble, dribble, near),
        ("one drinks from a bottle, the other stretches both arms up", drink, raise_arms, near),
        ("one takes a drink and the other one runs past", drink, run, near),
        ("one person balances on one leg and the other walks", balance, walk, near),
        ("two people stand on one leg, facing each other", balance, balance, face_to_face),
        ("one bends down to pick something up and the other waves", bend, wave, near),
        ("one picks something up from the floor while the other runs away", bend, run, apart),
        ("one person runs and the other runs close behind", run, run, behind),
        ("two people walk backwards side by side", step_back, step_back, side_by_side),
        ("two fighters stand face to face and kick", kick, kick, face_to_face),
        ("one person lies on the floor and the other walks around", lie, walk, near),
        ("one walks backwards while the other dribbles a basketball", step_back, dribble, near),
        ("two people run towards each other", run, run, towards),
        ("they run off in opposite directions", run, run, apart),
        ("one person steps aside while the other swings a golf club", side_step, golf, near),
        ("one squats down while the other one jogs past", crouch, run, near),
        ("one throws both arms up in the air and the other runs off", raise_arms, run, apart),
        ("one sits down and the other one kicks", sit, kick, near),
        ("a person sits while somebody jogs by", sit, run, near),
        ("one jumps, the other kicks", jump, kick, near),
        ("one boxes and the other kicks, facing each other", punch, kick, face_to_face),
        ("someone waves goodbye while the other person walks away", wave, walk, apart),
        ("one stands and waves as the other comes running up", wave, run, towards),
        ("one crawls across the floor while the other dances", crawl, dance, near),
        ("one person lies down, the other jumps", lie, jump, near),
    )
}  # fmt: skip
"""Forty prompts: what the one does, what the other does, and where they are."""
