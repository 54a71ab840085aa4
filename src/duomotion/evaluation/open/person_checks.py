"""Whether one person does what a word says, alone or as one of two.

`solo_prompts` and `action_prompts` are made of these checks. Limits are set on recordings of one
person. Beside each stands what 8 of 10 clips measure that have the word in their caption: from the
10th to the 90th percentile, up to `crawl` of the clips as `data prepare solo-open` cuts them, from
`stand` on of all captioned stretches of the solo recordings, of at most 10 s and at 20 frames a
second. Some of these show something else as well, or only something else. What is measured does
not depend on the frame rate: the same stretches at 30 frames a second pass equally often.
"""

from collections.abc import Callable
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
    best,
    check_limits,
)
from duomotion.motion.canonical import facing
from duomotion.motion.interaction import Interaction
from duomotion.motion.rotations import normalise
from duomotion.motion.runs import runs
from duomotion.motion.skeleton import SMPL22

SMOOTH = 0.15  # seconds, of the way of the root
TURN_SMOOTH = 0.1  # seconds, of where it faces
HAND_SMOOTH = 0.05  # seconds, of the way of the hands
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
        return np.degrees(gaussian_filter1d(np.unwrap(angles), TURN_SMOOTH * self.fps))

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

    @cached_property
    def course(self) -> tuple[np.ndarray, np.ndarray]:
        """(T - 1,) m/s of the root ahead and to the side."""
        steps = np.diff(self.way, axis=0) * self.fps
        ahead = self.forward[:-1, [0, 2]]
        return (steps * ahead).sum(-1), (steps * ahead[:, ::-1] * [1, -1]).sum(-1)

    def seconds(self, mask: np.ndarray) -> float:
        """The longest time that a (T,) mask holds."""
        return max((stop - start for start, stop in runs(mask)), default=0) / self.fps

    @property
    def away(self) -> float:
        """Metres on the floor from where the person is on average, at most."""
        return float(np.linalg.norm(self.way - self.way.mean(0), axis=-1).max())

    @property
    def hands_up(self) -> np.ndarray:
        """(T, 2) metres of each wrist above the pelvis."""
        return self.sides("wrist")[..., 1] - self.joint("pelvis")[:, None, 1]


PersonCheck = Callable[[Person], CheckResult]


WALK: Limits = {
    "way": (1.0, inf),  # 1.6 to 5.4
    "top_speed": (0.3, 2.0),  # 0.43 to 1.35
    "steps": (2, inf),  # 2 to 11
    "clearance": (0, 0.15),  # 0.01 to 0.19; some go up steps
    "lean": (0, 40),  # 3 to 32
}


def walk(person: Person) -> CheckResult:
    """Someone goes somewhere in steps, upright, without leaving the ground."""
    return check_limits(
        WALK, {**_going(person), "clearance": float(np.percentile(person.clearance, 90))}
    )


RUN: Limits = {
    "way": (2.0, inf),  # 3.1 to 8.7
    "top_speed": (1.8, inf),  # 0.8 to 3.1; some run on the spot, or walk for most of the clip
    "steps": (2, inf),  # 3 to 15
    "lean": (0, 40),  # 4 to 26
}


def run(person: Person) -> CheckResult:
    """The same, faster than people walk."""
    return check_limits(RUN, _going(person))


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


def jump(person: Person) -> CheckResult:
    """Both feet leave the ground while the pelvis is above its usual height."""
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


def sit(person: Person) -> CheckResult:
    """The pelvis is low, the thighs are level and the trunk is upright, for a while."""
    thighs = normalise(person.sides("knee") - person.sides("hip"))
    tilt = np.degrees(np.arccos((-thighs[..., 1]).clip(-1, 1))).min(1)
    sitting = (tilt > 50) & (person.lean < 55) & (person.joint("pelvis")[:, 1] < 0.75)
    return check_limits(SIT, {"seconds": float(sitting.sum() / person.fps)})


WAVE: Limits = {
    "swings": (3, inf),  # 2 to 7
    "raised": (0.4, inf),  # 0.53 to 0.82
}


def wave(person: Person) -> CheckResult:
    """A hand goes back and forth, beside, before or above the elbow, while it is raised."""
    wrists, elbows = person.sides("wrist"), person.sides("elbow")
    raised = wrists[..., 1] > person.sides("shoulder")[..., 1] - 0.15
    up = np.broadcast_to([0.0, 1.0, 0.0], person.forward.shape)
    axes = (np.cross(up, person.forward), person.forward, up)
    found = []
    for hand in (0, 1):
        away = gaussian_filter1d(
            wrists[:, hand] - elbows[:, hand], HAND_SMOOTH * person.fps, axis=0
        )
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


def kick(person: Person) -> CheckResult:
    """One foot goes up fast while the other stands."""
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


def punch(person: Person) -> CheckResult:
    """A fist goes forward fast, between hips and head, until the arm is straight."""
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


def turn(person: Person) -> CheckResult:
    """Someone comes to face another way."""
    return check_limits(TURN, {"degrees": float(np.ptp(person.turned))})


DANCE: Limits = {
    "hands": (0.03, inf),  # -0.05 to 0.53
    "hand_speed": (0.3, inf),  # 0.29 to 1.5
    "away": (0, 2.2),  # 0.08 to 1.7
}


def dance(person: Person) -> CheckResult:
    """Hands are lifted and on the move, and the dancer stays about where they are."""
    from_chest = person.sides("wrist") - person.joint("spine3")[:, None]
    return check_limits(
        DANCE,
        {
            "hands": float(person.hands_up.mean()),
            "hand_speed": float(person.speed(from_chest).mean()),
            "away": person.away,
        },
    )


CRAWL: Limits = {
    "share": (0.3, inf),  # 0 to 0.76; some walk or swim
    "way": (0.4, inf),  # 0.24 to 2.4
}


def crawl(person: Person) -> CheckResult:
    """The trunk is level, the pelvis low and a hand on the floor, and it goes somewhere."""
    on_hands = person.sides("wrist")[..., 1].min(1) < 0.25
    crawling = (person.lean > 50) & on_hands & (person.joint("pelvis")[:, 1] < 0.7)
    return check_limits(CRAWL, {"share": float(crawling.mean()), "way": _going(person)["way"]})


STAND: Limits = {
    "away": (0, 0.35),  # 0 to 0.15
    "fast": (0, 1.2),  # 0.07 to 2.5
    "turned": (0, 60),  # 0.7 to 32
    "pelvis": (0.75, inf),  # 0.90 to 0.95
    "lean": (0, 25),  # 2 to 8
}


def stand(person: Person) -> CheckResult:
    """Someone stays where they are, upright, and moves little."""
    limbs = np.concatenate([person.sides("wrist"), person.sides("ankle")], 1)
    return check_limits(
        STAND,
        {
            "away": person.away,
            "fast": float(np.percentile(person.speed(limbs).max(1), 95)),
            "turned": float(np.ptp(person.turned)),
            "pelvis": float(person.joint("pelvis")[:, 1].min()),
            "lean": float(np.median(person.lean)),
        },
    )


STEP_BACK: Limits = {"way": (0.6, inf)}  # 0 to 3.4; some only in another stretch


def step_back(person: Person) -> CheckResult:
    """Someone goes backwards."""
    ahead, _ = person.course
    gone = np.cumsum(ahead) / person.fps
    return check_limits(STEP_BACK, {"way": float((np.maximum.accumulate(gone) - gone).max())})


SIDE_STEP: Limits = {
    "way": (0.5, inf),  # 0.26 to 3.5
    "share": (0.6, 1),  # 0.27 to 0.99; some go ahead as well
}


def side_step(person: Person) -> CheckResult:
    """Someone goes to the side without turning there."""
    ahead, aside = person.course
    gone = np.cumsum(aside) / person.fps
    return check_limits(
        SIDE_STEP,
        {
            "way": float(np.ptp(gone)),
            "share": float(np.abs(aside).sum() / max(np.hypot(ahead, aside).sum(), 1e-6)),
        },
    )


BEND: Limits = {
    "hand": (-inf, 0.5),  # 0.15 to 0.86; some bend an arm or a knee, or only a little
    "lean": (35, inf),  # 6 to 93
    "upright": (0.1, 1),  # 0.06 to 1
}


def bend(person: Person) -> CheckResult:
    """A hand goes down towards the floor and the trunk with it, and the person stands as well."""
    low = person.sides("wrist")[..., 1].min(1)
    bottom = int(low.argmin())
    upright = (person.joint("pelvis")[:, 1] > 0.75) & (person.lean < 35)
    return check_limits(
        BEND,
        {
            "hand": float(low[bottom]),
            "lean": float(person.lean[bottom]),
            "upright": float(upright.mean()),
        },
    )


CROUCH: Limits = {
    "pelvis": (0.2, 0.7),  # 0.45 to 0.87; some duck their head
    "depth": (0.2, inf),  # 0.03 to 0.54; some stay down
    "lean": (0, 75),  # 12 to 58
}


def crouch(person: Person) -> CheckResult:
    """The pelvis goes down on bent knees."""
    height = person.joint("pelvis")[:, 1]
    bottom = int(height.argmin())
    return check_limits(
        CROUCH,
        {
            "pelvis": float(height[bottom]),
            "depth": float(height.max() - height[bottom]),
            "lean": float(person.lean[bottom]),
        },
    )


RAISE_ARMS: Limits = {"seconds": (0.3, inf)}  # 0 to 4.3


def raise_arms(person: Person) -> CheckResult:
    """Both hands are higher than the head for a while, and the trunk is upright."""
    over = person.sides("wrist")[..., 1].min(1) > person.joint("head")[:, 1]
    return check_limits(RAISE_ARMS, {"seconds": person.seconds(over & (person.lean < 45))})


BALANCE: Limits = {"seconds": (1.5, inf)}  # 0 to 5.7; some hop or walk on one foot


def balance(person: Person) -> CheckResult:
    """One foot stays in the air and the other where it is on the floor."""
    feet = person.sides("ankle")
    speeds = person.speed(feet)
    found = []
    for foot in (0, 1):
        lifted = feet[1:, foot, 1] - feet[1:, 1 - foot, 1] > 0.12
        found.append({"seconds": person.seconds(lifted & (speeds[:, 1 - foot] < 0.5))})
    return best(BALANCE, found)


CARTWHEEL: Limits = {
    "head": (-inf, -0.1),  # -0.60 to -0.49
    "feet": (0.1, inf),  # 0.50 to 0.82
}


def cartwheel(person: Person) -> CheckResult:
    """The head is lower than the pelvis and both feet are higher, for a moment."""
    pelvis = person.joint("pelvis")[:, 1]
    feet = person.sides("ankle")[..., 1].min(1) - pelvis
    top = int(feet.argmax())
    return check_limits(
        CARTWHEEL,
        {"head": float((person.joint("head")[:, 1] - pelvis)[top]), "feet": float(feet[top])},
    )


GOLF: Limits = {
    "speed": (3.0, inf),  # 0.18 to 5.1; some place the ball or pick it up
    "sweep": (0.6, inf),  # 0.10 to 0.91
    "grip": (0, 0.3),  # 0.11 to 0.14
    "low": (-inf, 0.1),  # -0.09 to -0.02
}


def golf(person: Person) -> CheckResult:
    """Both hands together swing down fast and past the hips."""
    wrists = person.sides("wrist")
    grip = np.linalg.norm(wrists[:, 0] - wrists[:, 1], axis=-1)
    middle = wrists.mean(1) - person.joint("pelvis")
    speeds, around = person.speed(middle), round(0.4 * person.fps)
    fastest = int(speeds.argmax())
    swing = slice(max(0, fastest - around), fastest + around + 1)
    path = middle[swing]
    return check_limits(
        GOLF,
        {
            "speed": float(speeds[fastest]),
            "sweep": float(np.linalg.norm(path - path[0], axis=-1).max()),
            "grip": float(np.median(grip[swing])),
            "low": float(path[:, 1].min()),
        },
    )


DRINK: Limits = {
    "seconds": (0.4, inf),  # 0 to 3.8
    "rise": (0.25, inf),  # 0.32 to 0.74
}


def drink(person: Person) -> CheckResult:
    """A hand goes up to the mouth and stays there."""
    head, wrists = person.joint("head"), person.sides("wrist")
    found = []
    for hand in (0, 1):
        gap = np.linalg.norm(wrists[:, hand] - head, axis=-1)
        seconds = person.seconds(gap < 0.3)
        rise = float(np.ptp(person.hands_up[:, hand]))
        found.append({"seconds": seconds, "rise": rise})
    return best(DRINK, found)


DRIBBLE: Limits = {
    "swings": (4, inf),  # 2 to 15; some shoot or carry the ball
    "rate": (1.5, inf),  # 0.85 to 2.7, a second in which the hand is there
}


def dribble(person: Person) -> CheckResult:
    """A hand before the body, lower than the shoulders, goes down and up again and again."""
    wrists, shoulders = person.sides("wrist"), person.sides("shoulder")
    ahead = ((wrists - person.joint("pelvis")[:, None]) * person.forward[:, None]).sum(-1)
    held = (ahead > 0.1) & (wrists[..., 1] < shoulders[..., 1] - 0.05)
    found = []
    for hand in (0, 1):
        swings = _swings(_smooth_hand(person, person.hands_up[:, hand]), held[:, hand])
        seconds = max(held[:, hand].sum(), 1) / person.fps
        found.append({"swings": float(swings), "rate": float(swings / seconds)})
    return best(DRIBBLE, found)


LIE: Limits = {"seconds": (0.5, inf)}  # 0 to 4.8; some have got up


def lie(person: Person) -> CheckResult:
    """The trunk is level and on the floor, for a while."""
    low = np.maximum(person.joint("pelvis")[:, 1], person.joint("spine3")[:, 1]) < 0.4
    return check_limits(LIE, {"seconds": person.seconds(low & (person.lean > 55))})


def _smooth_hand(person: Person, away: np.ndarray) -> np.ndarray:
    """Where a hand is (T, ...), without the trembling of single frames."""
    return gaussian_filter1d(away, HAND_SMOOTH * person.fps, axis=0)
