"""Which part of the body a joint is, from its name and its place in the tree."""

import re
from functools import lru_cache

from duomotion.motion.skeleton import Skeleton

# Searched for in the lower-case letters of a joint's name; the first that is found decides.
_WORDS = (
    ("toe", "toe|ball"),
    ("face", "jaw|eye|brow|mouth|headend|headtop"),
    ("finger", "finger|thumb|index|middle|ring|pinky|handend|wristend"),
    ("hip", "upleg|upperleg|thigh|femur|hip(?!s)"),
    ("pelvis", "pelvis|hips|root"),
    ("ankle", "ankle|foot"),
    ("knee", "knee|leg|shin|calf|tibia"),
    ("wrist", "wrist|hand|palm"),
    ("elbow", "elbow|forearm|lowerarm|radius"),
    ("collar", "collar|clavicle"),
    ("shoulder", "shoulder|arm|humerus"),
    ("neck", "neck"),
    ("head", "head"),
    ("spine", "spine|back|chest|thorax|torso"),
)
# Two joints of one part in a row: what the upper, and what the lower of them really is.
_UPPER = {"shoulder": "collar", "hip": "pelvis"}
_LOWER = {"wrist": "finger", "ankle": "toe"}


def body_parts(skeleton: Skeleton) -> tuple[str, ...]:
    """The part each joint belongs to, "other" where its name says nothing.

    The same word means different joints in different conventions: a shoulder with an arm below it
    is the collar bone's joint (Mixamo), a foot with an ankle above it is the ball of the foot
    (SMPL), a hand below a wrist is a part of the hand (CMU), and a neck that ends the spine is the
    head (AMASS fits).
    """
    return _parts(skeleton.names, skeleton.parents)


@lru_cache(64)
def _parts(names: tuple[str, ...], parents: tuple[int, ...]) -> tuple[str, ...]:
    named = [_part(name) for name in names]
    parts = list(named)
    for joint, (part, parent) in enumerate(zip(named, parents, strict=True)):
        if parent >= 0 and named[parent] == part:
            parts[joint] = _LOWER.get(part, part)
            parts[parent] = _UPPER.get(part, parts[parent])
            if part == "neck" and joint not in parents:
                parts[joint] = "head"
    return tuple(parts)


def _part(name: str) -> str:
    letters = re.sub("[^a-z]", "", name.lower())
    return next((part for part, words in _WORDS if re.search(words, letters)), "other")
