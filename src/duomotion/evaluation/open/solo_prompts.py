"""Whether a clip of one person shows what its prompt says, for ten words that can be measured.

As `prompts`, for one person: limits are set on the captioned clips of the open solo motion. Beside
each stands what 8 of 10 clips measure that have a word in their caption which begins like the
prompt's: from the 10th to the 90th percentile of the clips as `data prepare solo-open` cuts them.
Some of these show something else as well, or only something else.
"""

from dataclasses import dataclass
from functools import cached_property
from math import inf

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from duomotion.evaluation.open.checks import (
    CheckResult,
    Limits,
    Measurements,
    Prompt,
    best,
    check_limits,
)
from duomotion.motion.canonical import facing
from duomotion.motion.interaction import Interaction
from duomotion.motion.rotations import normalise
from duomotion.motion.skeleton import SMPL22

SMOOTH = 0.15  # seconds, of the way of the root
SWING = 0.1  # metres that a waving hand goes back and forth, at least


@dataclass(frozen=True, eq=False)
class Person:
    """Measurements of one person; positions (T, 22, 3) in metres, floor at height 0."""

    positions: np.ndarray
    fps: float

    @classmethod
    def of(cls, interaction: Interaction) -> "Person":
        """Raises ValueError unless it shows one person with SMPL-22's joints."""
        if interaction.num_people != 1 or not interaction.skeletons[0].same_tree(SMPL22):
            raise ValueError(
                f"these checks need one person with SMPL-22's joints, not {interaction.num_people} "
                f"with {interaction.skeletons[0].num_joints} joints"
            )
        return cls(interaction.positions[0].astype(np.float64), interaction.fps)

    def joint(self, name: str) -> np.ndarray:
        """(T, 3)."""
        return self.positions[:, SMPL22.index(name)]

    def sides(self, name: str) -> np.ndarray:
        """(T, 2, 3) of a joint on the left and on the right."""
        return np.stack([self.joint(f"left_{name}"), self.joint(f"right_{name}")], 1)

    def speed(self, points: np.ndarray) -> np.ndarray:
        """(T - 1, ...) m/s of points (T, ..., 3)."""
        return np.linalg.norm(np.diff(points, axis=0), axis=-1) * self.fps

    @cached_property
    def way(self) -> np.ndarray:
        """(T, 2) where the root is on the floor."""
        level = self.positions[:, 0, [0, 2]]
        return gaussian_filter1d(level, SMOOTH * self.fps, axis=0, mode="nearest")

    @cached_property
    def top_speed(self) -> float:
        """m/s on the floor, of the fastest second."""
        steps, second = self.speed(self.way), round(self.fps)
        sums = np.concatenate([[0], steps.cumsum()])
        return float(np.max(sums[second:] - sums[:-second], initial=0) / second)

    @cached_property
    def turned(self) -> np.ndarray:
        """(T,) degrees about the vertical that the person faces, without jumps."""
        angles = np.array([facing(pose, SMPL22) for pose in self.positions])
        return np.degrees(gaussian_filter1d(np.unwrap(angles), 2))

    @cached_property
    def forward(self) -> np.ndarray:
        """(T, 3)."""
        angle = np.radians(self.turned)
        return np.stack([np.sin(angle), 0 * angle, np.cos(angle)], -1)

    @cached_property
    def lean(self) -> np.ndarray:
        """(T,) degrees of the trunk from the vertical."""
        up = normalise(self.joint("neck") - self.joint("pelvis"))
        return np.degrees(np.arccos(up[:, 1].clip(-1, 1)))

    @cached_property
    def clearance(self) -> np.ndarray:
        """(T,) metres of the lower foot above where it usually is."""
        low = self.sides("foot")[..., 1].min(1)
        return low - np.percentile(low, 20)

    @property
    def hands_up(self) -> np.ndarray:
        """(T, 2) metres of each wrist above the pelvis."""
        return self.sides("wrist")[..., 1] - self.joint("pelvis")[:, None, 1]


WALK: Limits = {
    "way": (1.0, inf),  # 1.6 to 5.4
    "top_speed": (0.3, 2.0),  # 0.43 to 1.35
    "steps": (2, inf),  # 2 to 11
    "clearance": (0, 0.15),  # 0.01 to 0.19; some go up steps
    "lean": (0, 40),  # 3 to 32
}


def walk(interaction: Interaction) -> CheckResult:
    """Someone goes somewhere in steps, upright, without leaving the ground."""
    person = Person.of(interaction)
    return check_limits(
        WALK, {**_going(person), "clearance": float(np.percentile(person.clearance, 90))}
    )


RUN: Limits = {
    "way": (2.0, inf),  # 3.1 to 8.7
    "top_speed": (1.8, inf),  # 0.8 to 3.1; some run on the spot, or walk for most of the clip
    "steps": (2, inf),  # 3 to 15
    "lean": (0, 40),  # 4 to 26
}


def run(interaction: Interaction) -> CheckResult:
    """The same, faster than people walk."""
    return check_limits(RUN, _going(Person.of(interaction)))


def _going(person: Person) -> Measurements:
    apart = ((person.sides("ankle") * person.forward[:, None]).sum(-1) * [1, -1]).sum(1)
    wide = np.sign(apart[np.abs(apart) > 0.08])
    return {
        "way": float(np.linalg.norm(np.diff(person.way, axis=0), axis=-1).sum()),
        "top_speed": person.top_speed,
        "steps": float((np.diff(wide) != 0).sum()),
        "lean": float(np.median(person.lean)),
    }


JUMP: Limits = {
    "clearance": (0.08, inf),  # 0.09 to 0.54
    "rise": (0.1, inf),  # 0.17 to 0.64
}


def jump(interaction: Interaction) -> CheckResult:
    """Both feet leave the ground while the pelvis is above its usual height."""
    person = Person.of(interaction)
    height = person.joint("pelvis")[:, 1]
    top = int(person.clearance.argmax())
    return check_limits(
        JUMP,
        {
            "clearance": float(person.clearance[top]),
            "rise": float(height[top] - np.percentile(height, 10)),
        },
    )


SIT: Limits = {"seconds": (0.5, inf)}  # 0 to 7; 0 in stretches in which nobody sits


def sit(interaction: Interaction) -> CheckResult:
    """The pelvis is low, the thighs are level and the trunk is upright, for a while."""
    person = Person.of(interaction)
    thighs = normalise(person.sides("knee") - person.sides("hip"))
    tilt = np.degrees(np.arccos((-thighs[..., 1]).clip(-1, 1))).min(1)
    sitting = (tilt > 50) & (person.lean < 55) & (person.joint("pelvis")[:, 1] < 0.75)
    return check_limits(SIT, {"seconds": float(sitting.sum() / person.fps)})


WAVE: Limits = {
    "swings": (3, inf),  # 2 to 7
    "raised": (0.4, inf),  # 0.53 to 0.82
}


def wave(interaction: Interaction) -> CheckResult:
    """A hand goes back and forth, beside, before or above the elbow, while it is raised."""
    person = Person.of(interaction)
    wrists, elbows = person.sides("wrist"), person.sides("elbow")
    raised = wrists[..., 1] > person.sides("shoulder")[..., 1] - 0.15
    up = np.broadcast_to([0.0, 1.0, 0.0], person.forward.shape)
    axes = (np.cross(up, person.forward), person.forward, up)
    found = []
    for hand in (0, 1):
        away = gaussian_filter1d(wrists[:, hand] - elbows[:, hand], 1, axis=0)
        swings = [_swings((away * axis).sum(-1), raised[:, hand]) for axis in axes]
        found.append({"swings": float(max(swings)), "raised": float(raised[:, hand].mean())})
    return best(WAVE, found)


def _swings(place: np.ndarray, during: np.ndarray) -> int:
    """How often a (T,) series turns back by SWING or more while a (T,) mask holds."""
    turns = [*find_peaks(place, prominence=SWING)[0], *find_peaks(-place, prominence=SWING)[0]]
    return int(during[turns].sum())


KICK: Limits = {
    "height": (0.35, inf),  # 0.68 to 1.5
    "speed": (3.5, inf),  # 5.8 to 11.3
    "clearance": (0, 0.2),  # 0.02 to 0.10; some jump as well
}


def kick(interaction: Interaction) -> CheckResult:
    """One foot goes up fast while the other stands."""
    person = Person.of(interaction)
    feet = person.sides("foot")
    higher = feet[..., 1] - feet[:, ::-1, 1]
    speeds = person.speed(feet - person.joint("pelvis")[:, None])
    around = round(0.3 * person.fps)
    found = []
    for foot in (0, 1):
        top = int(higher[:, foot].argmax())
        found.append(
            {
                "height": float(higher[top, foot]),
                "speed": float(speeds[max(0, top - around) : top + around, foot].max()),
                "clearance": float(person.clearance[top]),
            }
        )
    return best(KICK, found)


PUNCH: Limits = {
    "speed": (1.4, inf),  # 1.5 to 4.5; punches to the side have none
    "straight": (0.85, 1.0),  # 0.80 to 0.99
    "reach": (0.35, inf),  # 0.37 to 0.48
}


def punch(interaction: Interaction) -> CheckResult:
    """A fist goes forward fast, between hips and head, until the arm is straight."""
    person = Person.of(interaction)
    wrists, shoulders = person.sides("wrist"), person.sides("shoulder")
    elbows, forward = person.sides("elbow"), person.forward[:, None]
    arms = np.linalg.norm(elbows - shoulders, axis=-1) + np.linalg.norm(wrists - elbows, axis=-1)
    straight = np.linalg.norm(wrists - shoulders, axis=-1) / arms
    reach = ((wrists - shoulders) * forward).sum(-1)
    from_chest = wrists - person.joint("spine3")[:, None]
    speed = (np.diff(from_chest, axis=0) * forward[:-1]).sum(-1) * person.fps
    speed[person.hands_up[:-1] < 0.1] = 0
    after = round(0.4 * person.fps)
    found = [
        {
            "speed": float(speed[peak, hand]),
            "straight": float(straight[peak : peak + after, hand].max()),
            "reach": float(reach[peak : peak + after, hand].max()),
        }
        for hand in (0, 1)
        for peak in find_peaks(speed[:, hand], height=0.5)[0]
    ]
    return best(PUNCH, found)


TURN: Limits = {"degrees": (90, inf)}  # 37 to 298: some only turn a corner


def turn(interaction: Interaction) -> CheckResult:
    """Someone comes to face another way."""
    return check_limits(TURN, {"degrees": float(np.ptp(Person.of(interaction).turned))})


DANCE: Limits = {
    "hands": (0.03, inf),  # -0.05 to 0.53
    "hand_speed": (0.3, inf),  # 0.29 to 1.5
    "away": (0, 2.2),  # 0.08 to 1.7
}


def dance(interaction: Interaction) -> CheckResult:
    """Hands are lifted and on the move, and the dancer stays about where they are."""
    person = Person.of(interaction)
    from_chest = person.sides("wrist") - person.joint("spine3")[:, None]
    away = np.linalg.norm(person.way - person.way.mean(0), axis=-1)
    return check_limits(
        DANCE,
        {
            "hands": float(person.hands_up.mean()),
            "hand_speed": float(person.speed(from_chest).mean()),
            "away": float(away.max()),
        },
    )


CRAWL: Limits = {
    "share": (0.3, inf),  # 0 to 0.76; some walk or swim
    "way": (0.4, inf),  # 0.24 to 2.4
}


def crawl(interaction: Interaction) -> CheckResult:
    """The trunk is level, the pelvis low and a hand on the floor, and it goes somewhere."""
    person = Person.of(interaction)
    on_hands = person.sides("wrist")[..., 1].min(1) < 0.25
    crawling = (person.lean > 50) & on_hands & (person.joint("pelvis")[:, 1] < 0.7)
    return check_limits(CRAWL, {"share": float(crawling.mean()), "way": _going(person)["way"]})


SOLO_PROMPTS: dict[str, Prompt] = {
    "walk": Prompt(
        texts=(
            "a person walks forward",
            "someone strolls straight ahead",
            "a man is walking at a normal pace",
        ),
        check=walk,
        word="walk",
    ),
    "run": Prompt(
        texts=("a person runs forward", "someone is running fast", "a man jogs straight ahead"),
        check=run,
        word="run",
    ),
    "jump": Prompt(
        texts=(
            "a person jumps",
            "someone leaps into the air",
            "a man jumps up and lands on both feet",
        ),
        check=jump,
        word="jump",
    ),
    "sit": Prompt(
        texts=(
            "a person sits on a chair",
            "someone takes a seat",
            "a man is sitting down",
        ),
        check=sit,
        word="sit",
    ),
    "wave": Prompt(
        texts=(
            "a person waves with the right hand",
            "someone waves hello",
            "a man raises a hand and waves to a friend",
        ),
        check=wave,
        word="wav",
    ),
    "kick": Prompt(
        texts=(
            "a person kicks with the right foot",
            "someone kicks a ball",
            "a man does a high kick",
        ),
        check=kick,
        word="kick",
    ),
    "punch": Prompt(
        texts=(
            "a person punches with the right hand",
            "someone throws several punches",
            "a man boxes, hitting straight ahead with his fists",
        ),
        check=punch,
        word="punch",
    ),
    "turn": Prompt(
        texts=(
            "a person turns around",
            "someone walks forward, then turns round and comes back",
            "a man makes a half turn",
        ),
        check=turn,
        word="turn",
    ),
    "dance": Prompt(
        texts=("a person dances", "someone is dancing happily", "a dancer shows a few moves"),
        check=dance,
        word="danc",
    ),
    "crawl": Prompt(
        texts=(
            "a person crawls on hands and knees",
            "someone is crawling on all fours",
            "a baby crawls across the floor",
        ),
        check=crawl,
        word="crawl",
    ),
}
"""Ten words; the prompt, then two paraphrases."""
