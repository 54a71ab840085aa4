"""People made up to show what the checks of one person look for: 4 s at 20 frames a second."""

from dataclasses import replace

import numpy as np
from motions import point, standing

from duomotion.motion.interaction import Interaction
from duomotion.motion.rotations import yaw

FPS = 20.0
FRAMES = 80
TIME = np.arange(FRAMES) / FPS
DOWN, AHEAD = [0, -1, 0], [0, 0, 1]
FACE_DOWN = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


def still() -> Interaction:
    """Someone who stands with their arms down."""
    motion = replace(standing(people=1, frames=FRAMES), fps=FPS)
    for side in ("left", "right"):
        for part in ("shoulder", "elbow"):
            motion = point(motion, 0, f"{side}_{part}", DOWN)
    return motion


def moved(motion: Interaction, ahead=0.0, up=0.0, aside=0.0) -> Interaction:
    """Elsewhere by metres, each a number or one a frame."""
    way = np.stack(np.broadcast_arrays(0.0 * TIME + aside, up, ahead), -1)
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


def rotated(motion: Interaction, rotation) -> Interaction:
    """About the pelvis, by one rotation (3, 3) or one a frame."""
    rotations = motion.rotations.copy()
    rotations[0, :, 0] = rotation @ rotations[0, :, 0]
    return replace(motion, rotations=rotations)


def turning() -> Interaction:
    return rotated(still(), yaw(np.pi * np.clip(TIME - 1, 0, 1)))


def dancing() -> Interaction:
    sway = 0.8 * np.sin(4 * TIME)
    motion = arm(still(), "left", directions(x=1, y=0.4 * sway), directions(x=sway, y=1))
    return arm(motion, "right", directions(x=-1, y=-0.4 * sway), directions(x=sway, y=1))


def crawling() -> Interaction:
    motion = moved(still(), ahead=0.4 * TIME, up=-0.45)
    for side in ("left", "right"):
        motion = arm(motion, side, AHEAD, AHEAD)
        motion = leg(motion, side, AHEAD, DOWN)
    return rotated(motion, FACE_DOWN)


def stepping_back() -> Interaction:
    return going(-0.6, 2)


def stepping_aside() -> Interaction:
    return moved(still(), aside=0.3 * TIME)


def bent_knees(motion: Interaction, angle) -> Interaction:
    """The thighs go ahead by radians and the shins back, so that the feet stay."""
    leg_length = 0.8
    for side in ("left", "right"):
        ways = (directions(y=-np.cos(angle), z=sign * np.sin(angle)) for sign in (1, -1))
        motion = leg(motion, side, *ways)
    return moved(motion, up=-leg_length * (1 - np.cos(angle)))


def bending() -> Interaction:
    down = pulse(2.0)
    motion = still()
    for joint in ("spine1", "spine2", "spine3"):
        motion = point(motion, 0, joint, directions(y=1 - down, z=down))
    for side in ("left", "right"):
        motion = arm(motion, side, DOWN, DOWN)
    return bent_knees(motion, 0.7 * down)


def crouching() -> Interaction:
    return bent_knees(still(), 0.9 * pulse(2.0))


def raising_arms() -> Interaction:
    motion = still()
    for side, aside in (("left", 0.2), ("right", -0.2)):
        motion = arm(motion, side, [aside, 1, 0], [aside, 1, 0])
    return motion


def balancing() -> Interaction:
    return leg(still(), "right", AHEAD, DOWN)


def cartwheeling() -> Interaction:
    angle = 2 * np.pi * np.clip(TIME - 1, 0, 1)
    roll = np.zeros((FRAMES, 3, 3))
    roll[:, 0, 0] = roll[:, 1, 1] = np.cos(angle)
    roll[:, 0, 1], roll[:, 1, 0], roll[:, 2, 2] = -np.sin(angle), np.sin(angle), 1
    return moved(rotated(still(), roll), aside=np.clip(TIME - 1, 0, 1))


def golfing() -> Interaction:
    angle = 1.3 * np.clip((TIME - 2) / 0.15, -1, 1)
    motion = still()
    for side, inwards in (("left", -0.5), ("right", 0.5)):
        way = directions(x=np.sin(angle) + inwards, y=-np.cos(angle), z=0.8)
        motion = arm(motion, side, way, way)
    return motion


def drinking() -> Interaction:
    up = np.clip(TIME - 1, 0, 1)
    upper = directions(x=0.2 * up, y=-1 + 0.4 * up, z=0.6 * up)
    return arm(still(), "right", upper, directions(x=0.4 * up, y=2 * up - 1, z=0.2))


def dribbling() -> Interaction:
    return arm(still(), "right", DOWN, directions(y=0.6 * np.sin(9 * TIME) - 0.3, z=1))


def lying() -> Interaction:
    return rotated(moved(still(), up=-0.8), FACE_DOWN)


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
    "stand": still,
    "step_back": stepping_back,
    "side_step": stepping_aside,
    "bend": bending,
    "crouch": crouching,
    "raise_arms": raising_arms,
    "balance": balancing,
    "cartwheel": cartwheeling,
    "golf": golfing,
    "drink": drinking,
    "dribble": dribbling,
    "lie": lying,
}
"""By the names of person_checks."""
