"""Whether a clip shows what its prompt says, for ten prompts that can be measured.

A check composes measurements of two people (measurements.py) and compares them with limits set on
the real clips of the open pairs; beside each limit stands what the real clips of its kinds measure.
It does not ask a network, and the order of the people does not matter. `checks.score` runs prompts
through any generator. The last three wordings of each are by a writer who knew neither the captions
nor the other words that models train with.

All real clips of a check's kinds pass it. Of the 228 real clips, those of other kinds fail it, but
for a pull up from a seat, which passes as a pull, and eleven other salsa figures that hold a turn
under a raised hand.
"""

from math import inf

import numpy as np
from scipy.signal import find_peaks

from duomotion.evaluation.metrics.measurements import Scene, gaps, segment_gap
from duomotion.evaluation.open.checks import (
    CheckResult,
    Limits,
    Measurements,
    Prompt,
    best,
    check_limits,
)
from duomotion.motion.interaction import Interaction
from duomotion.motion.runs import runs

# Hands whose middles are this close touch, in metres; palms in real handshakes are 0.06 apart.
PALM_CONTACT = 0.25
HANDS = ((0, 0), (0, 1), (1, 0), (1, 1))


HANDSHAKE: Limits = {
    "seconds": (0.6, 3.0),  # 1.37
    "height": (-0.65, -0.12),  # -0.39
    "off_partner": (0, 60),  # 40
    "root_gap": (0.5, 1.3),  # 0.81
    "root_speed": (0, 0.6),  # 0.32
    "lean": (0, 25),  # 4.75
    "other_hands": (0.5, inf),  # 1.17
}


def handshake(interaction: Interaction) -> CheckResult:
    """Both people's right (or left) hands stay together, waist to chest high, face to face."""
    scene = Scene.of(interaction)
    return best(HANDSHAKE, (_handshake(scene, hand) for hand in (0, 1)))


def _handshake(scene: Scene, hand: int) -> Measurements:
    touching = scene.palm_gaps[:, hand, hand] < PALM_CONTACT
    held = _during(scene, touching)
    other = 1 - hand
    return {
        "seconds": scene.seconds(touching),
        "height": float(scene.palm_heights[:, held, hand].mean()),
        "off_partner": float(np.median(scene.off_partner[:, held], 1).max()),
        "root_gap": float(np.median(scene.root_gap[held])),
        "root_speed": float(scene.root_speeds[:, held].mean()),
        "lean": float(np.median(scene.lean[:, held], 1).max()),
        "other_hands": float(np.median(scene.palm_gaps[held, other, other])),
    }


HIGH_FIVE: Limits = {
    "height": (-0.05, inf),  # 0.07 to 0.46
    "palm_gap": (0, PALM_CONTACT),  # 0.02 to 0.05
    "seconds": (0.03, 1.2),  # 0.17 to 0.93
    "approach": (0.2, inf),  # 0.31 to 1.55
    "off_partner": (0, 100),  # 32 to 82
    "root_gap": (0.75, 1.3),  # 0.85 to 0.99
}


def high_five(interaction: Interaction) -> CheckResult:
    """Hands on the same side come together above the shoulders, briefly, and part again."""
    scene = Scene.of(interaction)
    found = (
        _high_five(scene, hand, touch)
        for hand in (0, 1)
        for touch in _touches(scene.palm_gaps[:, hand, hand])
    )
    return best(HIGH_FIVE, found)


def _high_five(scene: Scene, hand: int, touch: tuple[int, int]) -> Measurements:
    """Of one time that the hands touch. `approach` is how far they were apart a second around."""
    start, stop = touch
    gap = scene.palm_gaps[:, hand, hand]
    around = round(scene.fps)
    before, after = gap[max(0, start - around) : start + 1], gap[stop - 1 : stop + around]
    top = start + int(scene.palm_heights[:, start:stop, hand].min(0).argmax())
    return {
        "height": float(scene.palm_heights[:, top, hand].min()),
        "palm_gap": float(gap[start:stop].min()),
        "seconds": (stop - start) / scene.fps,
        "approach": float(min(before.max(), after.max()) - gap[start:stop].min()),
        "off_partner": float(scene.off_partner[:, top].max()),
        "root_gap": float(scene.root_gap[top]),
    }


PULL: Limits = {
    "seconds": (1.0, inf),  # 2.67 to 4.60
    "stretch": (0.95, 2.0),  # 1.14 to 1.47
    "lean": (14, 60),  # 24 to 31
    "dragged": (0.4, inf),  # 1.68 to 1.97
    "turned": (0, 200),  # 45 to 101
    "root_speed": (0, 1.2),  # 0.55 to 0.70
}


def pull(interaction: Interaction) -> CheckResult:
    """One person holds the other's forearm and moves them at arm's length; somebody leans."""
    scene = Scene.of(interaction)
    return best(PULL, (_pull(order, *pair) for order in scene.orders() for pair in HANDS))


def _pull(scene: Scene, hand: int, arm: int) -> Measurements:
    elbow, palm = scene.sides("elbow")[1, :, arm], scene.palms[1, :, arm]
    holding = segment_gap(scene.palms[0, :, hand], elbow, palm) < 0.22
    held = _during(scene, holding)
    path = scene.roots[1, held]
    return {
        "seconds": scene.seconds(holding),
        "stretch": float(np.median(scene.root_gap[held])),
        "lean": float(np.percentile(scene.lean[:, held], 90, axis=1).max()),
        "dragged": float((path[-1] - path[0]) @ scene.towards[1, held][0]),
        "turned": float(np.ptp(scene.headings[:, held], axis=1).max()),
        "root_speed": float(scene.root_speeds[:, held].mean()),
    }


COMFORT: Limits = {
    "seconds": (1.5, inf),  # 3.53 to 5.43
    "partner_hands_away": (0.35, inf),  # 0.46 to 0.58
    "partner_hands_height": (-inf, -0.25),  # -0.56 to -0.36
    "root_speed": (0, 0.45),  # 0.09 to 0.25
    "hand_speed": (0, 0.6),  # 0.13 to 0.44
}


def comfort(interaction: Interaction) -> CheckResult:
    """One person's hand rests on the other's shoulder or upper back; the other lets it happen."""
    scene = Scene.of(interaction)
    return best(COMFORT, (_comfort(order, hand) for order in scene.orders() for hand in (0, 1)))


def _comfort(scene: Scene, hand: int) -> Measurements:
    palm, neck = scene.palms[0, :, hand], scene.joint("neck")[1]
    ends = [*np.moveaxis(scene.sides("shoulder")[1], 1, 0), scene.joint("spine3")[1]]
    resting = np.min([segment_gap(palm, neck, end) for end in ends], axis=0) < 0.25
    held = _during(scene, resting)
    upper = [scene.sides("shoulder")[0], scene.sides("elbow")[0], scene.sides("wrist")[0]]
    body = np.concatenate([*upper, scene.joint("spine3")[0][:, None]], 1)
    return {
        "seconds": scene.seconds(resting),
        "partner_hands_away": float(np.median(gaps(scene.palms[1], body)[held].min((1, 2)))),
        "partner_hands_height": float(np.median(scene.palm_heights[1, held].max(-1))),
        "root_speed": float(scene.root_speeds[:, held].mean()),
        "hand_speed": float(np.median(scene.relative_speeds("wrist")[0, held, hand])),
    }


MARCH: Limits = {
    "speed": (0.6, inf),  # 0.98 to 1.06
    "same_direction": (0, 30),  # 2.34 to 4.17
    "root_gap": (0.4, 1.5),  # 0.68 to 0.76
    "beside": (45, 135),  # 93 to 94
    "in_step": (0.7, 1),  # 0.98 to 0.99
    "stride": (1.2, inf),  # 1.46 to 1.49
    "arm_swing": (0.25, inf),  # 0.36 to 0.37
    "alternating_arms": (-1, -0.1),  # -0.52 to -0.36
}


def march(interaction: Interaction) -> CheckResult:
    """Side by side, ahead, in step, with long strides and arms that swing up in turn."""
    scene = Scene.of(interaction)
    ankles = scene.sides("ankle")[..., [0, 2]]
    angle = np.radians(scene.headings)
    ahead = np.stack([np.sin(angle), np.cos(angle)], -1)
    stride = ((ankles[:, :, 0] - ankles[:, :, 1]) * ahead).sum(-1)
    wrists = scene.wrist_heights
    moved = np.linalg.norm(scene.roots[:, -1] - scene.roots[:, 0], axis=-1)
    measured = {
        "speed": float(moved.min() / interaction.seconds),
        "same_direction": float(np.median(scene.between_headings)),
        "root_gap": float(np.median(scene.root_gap)),
        "beside": float(np.median(scene.off_partner)),
        "in_step": _correlation(stride[0], stride[1]),
        "stride": float(np.ptp(stride, axis=1).min()),
        "arm_swing": float(np.ptp(wrists, axis=1).min()),
        "alternating_arms": max(_correlation(*person.T) for person in wrists),
    }
    return check_limits(MARCH, measured)


CHICKEN_DANCE: Limits = {
    "flaps": (3, inf),  # 5.00
    "squat": (0.15, inf),  # 0.27 to 0.47
    "hands_up": (0.7, 1),  # 0.88 to 1.00
    "off_partner": (0, 45),  # 1.85 to 4.04
    "root_gap": (0.7, 2.5),  # 1.31 to 1.37
    "palm_gap": (0.2, inf),  # 0.49 to 0.58
    "wander": (0, 0.6),  # 0.18 to 0.25
}


def chicken_dance(interaction: Interaction) -> CheckResult:
    """Both face each other on the spot, hands up, flap their elbows, and bend their knees deep."""
    scene = Scene.of(interaction)
    elbows = (scene.sides("elbow") - scene.sides("shoulder"))[..., 1].mean(-1)
    wander = np.linalg.norm(scene.roots - scene.roots[:, :1], axis=-1)
    measured = {
        "flaps": float(min(len(find_peaks(height, prominence=0.03)[0]) for height in elbows)),
        "squat": float(np.ptp(scene.stature, axis=1).min()),
        "hands_up": float((scene.palm_heights.mean(-1) > -0.2).mean(1).min()),
        "off_partner": float(np.median(scene.off_partner, 1).max()),
        "root_gap": float(np.median(scene.root_gap)),
        "palm_gap": float(scene.palm_gaps.min()),
        "wander": float(wander.max()),
    }
    return check_limits(CHICKEN_DANCE, measured)


SALSA_TURN: Limits = {
    "turned": (120, inf),  # 129 to 571
    "root_gap": (0, 1.3),  # 0.44 to 0.89
    "upright": (0.8, inf),  # 1.05 to 1.10
}


def salsa_turn(interaction: Interaction) -> CheckResult:
    """One person turns around while a hand of theirs is held up by the partner."""
    scene = Scene.of(interaction)
    found = (
        _turn_under(order, pair, high)
        for order in scene.orders()
        for pair in HANDS
        for high in _raised(order, *pair)
    )
    return best(SALSA_TURN, found)


def _raised(scene: Scene, first: int, second: int) -> list[tuple[int, int]]:
    """When two hands are joined above the shoulders of the second person."""
    shoulders = scene.sides("shoulder")[1, :, :, 1].mean(-1)
    height = scene.palms[0, :, first, 1] - shoulders
    return runs((scene.palm_gaps[:, first, second] < 0.3) & (height > 0.1))


def _turn_under(scene: Scene, pair: tuple[int, int], high: tuple[int, int]) -> Measurements:
    held = slice(*high)
    return {
        "turned": float(np.ptp(scene.headings[1, held])),
        "root_gap": float(np.median(scene.root_gap[held])),
        "upright": float(np.median(scene.stature[:, held], 1).min()),
    }


ARM_WRESTLE: Limits = {
    "seconds": (1.5, inf),  # 6.53
    "lean_towards": (15, 90),  # 39
    "pushed": (0.12, inf),  # 0.63
    "elbow_under_hand": (0, inf),  # 0.19
    "off_partner": (0, 60),  # 24
    "root_speed": (0, 0.35),  # 0.18
    "other_hands": (0.35, inf),  # 0.60
}


def arm_wrestle(interaction: Interaction) -> CheckResult:
    """Clasped hands are forced from side to side while both lean in with low elbows."""
    scene = Scene.of(interaction)
    return best(ARM_WRESTLE, (_arm_wrestle(scene, hand) for hand in (0, 1)))


def _arm_wrestle(scene: Scene, hand: int) -> Measurements:
    clasped = scene.palm_gaps[:, hand, hand] < PALM_CONTACT
    held = _during(scene, clasped)
    grip = scene.palms[:, held, hand].mean(0)
    across = np.stack([scene.towards[0, held, 1], -scene.towards[0, held, 0]], -1)
    middle = scene.roots[:, held].mean(0)
    side = ((grip[:, [0, 2]] - middle) * across).sum(-1)
    under = (scene.palms - scene.sides("elbow"))[:, held, hand, 1]
    other = 1 - hand
    return {
        "seconds": scene.seconds(clasped),
        "lean_towards": float(-np.median(scene.lean_away[:, held], 1).max()),
        "pushed": float(np.ptp(side)),
        "elbow_under_hand": float(np.median(under, 1).min()),
        "off_partner": float(np.median(scene.off_partner[:, held], 1).max()),
        "root_speed": float(scene.root_speeds[:, held].mean()),
        "other_hands": float(np.median(scene.palm_gaps[held, other, other])),
    }


QUARREL: Limits = {
    "fast_hands": (1.4, inf),  # 1.50 to 2.66
    "fastest_hands": (2.1, inf),  # 2.34 to 3.98
    "raised": (0.3, 1),  # 0.62 to 0.88
    "facing": (0.5, 1),  # 0.57 to 1.00
    "root_gap": (0.5, 1.7),  # 0.80 to 1.47
    "palm_gap": (0.2, inf),  # 0.27 to 0.74
    "stance": (0, 0.15),  # 0.04 to 0.09
    "upright": (0.85, inf),  # 1.12 to 1.15
}


def quarrel(interaction: Interaction) -> CheckResult:
    """Standing close, without touching, both gesture with fast raised hands at each other."""
    scene = Scene.of(interaction)
    speed = np.percentile(scene.relative_speeds("wrist").max(-1), 90, axis=1)
    measured = {
        "fast_hands": float(speed.min()),
        "fastest_hands": float(speed.max()),
        "raised": float((scene.wrist_heights.max(-1) > 0.12).mean(1).max()),
        "facing": float((scene.off_partner.min(0) < 45).mean()),
        "root_gap": float(np.median(scene.root_gap)),
        "palm_gap": float(scene.palm_gaps.min()),
        "stance": float(np.ptp(np.percentile(scene.stature, (5, 95), axis=1), axis=0).max()),
        "upright": float(np.median(scene.stature, 1).min()),
    }
    return check_limits(QUARREL, measured)


LINK_ARMS: Limits = {
    "linked": (0.6, 1),  # 1.00
    "same_direction": (0, 45),  # 4.02
    "beside": (45, 135),  # 93
    "bent": (0, 150),  # 119
    "speed": (0.3, inf),  # 1.20
}


def link_arms(interaction: Interaction) -> CheckResult:
    """Side by side the same way, an elbow of one hooked into a bent elbow of the other."""
    scene = Scene.of(interaction)
    return best(LINK_ARMS, map(_link_arms, scene.orders()))


def _link_arms(scene: Scene) -> Measurements:
    """Of the first person's left arm and the second's right."""
    arms = (0, 1)
    elbows = [scene.sides("elbow")[person, :, arm] for person, arm in enumerate(arms)]
    linked = np.linalg.norm(elbows[0] - elbows[1], axis=-1) < 0.2
    return {
        "linked": float(linked.mean()),
        "same_direction": float(np.median(scene.between_headings)),
        "beside": float(np.median(scene.off_partner)),
        "bent": float(max(np.median(_elbow(scene, *arm)) for arm in enumerate(arms))),
        "speed": float(scene.root_speeds.mean()),
    }


def _elbow(scene: Scene, person: int, arm: int) -> np.ndarray:
    """(T,) angle in the elbow, 180 degrees when the arm is straight."""
    joint = scene.sides("elbow")[person, :, arm]
    upper = scene.sides("shoulder")[person, :, arm] - joint
    lower = scene.sides("wrist")[person, :, arm] - joint
    cosine = (upper * lower).sum(-1)
    cosine /= np.linalg.norm(upper, axis=-1) * np.linalg.norm(lower, axis=-1)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def _during(scene: Scene, mask: np.ndarray) -> slice:
    """The longest run of a (T,) mask; the whole clip where it never holds."""
    start, stop = scene.span(mask)
    return slice(start, stop) if stop else slice(0, len(mask))


def _touches(gap: np.ndarray) -> list[tuple[int, int]]:
    """Every run of a (T,) gap below PALM_CONTACT; the closest frame where there is none."""
    closest = int(gap.argmin())
    return runs(gap < PALM_CONTACT) or [(closest, closest + 1)]


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's, of two (T,) series; 0 when one of them does not change."""
    if min(np.ptp(one), np.ptp(other)) < 1e-6:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


PROMPTS: dict[str, Prompt] = {
    "handshake": Prompt(
        texts=(
            "two people meet and shake hands",
            "a handshake between two people",
            "one person holds out the right hand and the other shakes it",
            "two colleagues greet each other by clasping right hands",
            "a man walks up and offers a woman his hand, which she shakes",
            "business partners step forward and seal the deal with a firm handshake",
        ),
        check=handshake,
        kinds=("handshake",),
    ),
    "high five": Prompt(
        texts=(
            "two people give each other a high five",
            "two friends walk up and high five",
            "one person raises a hand and the other slaps it in a high five",
            "two teammates slap their palms together up in the air",
            "friends step in and clap their raised hands together to celebrate",
            "a player raises his open hand and his buddy smacks it with his own",
        ),
        check=high_five,
        kinds=("high five",),
    ),
    "pull": Prompt(
        texts=(
            "one person pulls the other by the arm",
            "someone drags another person away who does not want to come",
            "a person tugs at the other's arm while the other resists",
            "a woman tugs on a man's arm while he refuses to move",
            "someone drags a reluctant friend along by the wrist",
            "a guy grabs her arm and yanks, but she leans back and struggles",
        ),
        check=pull,
        kinds=("pull",),
    ),
    "comfort": Prompt(
        texts=(
            "one person comforts the other with a hand on the shoulder",
            "a person consoles a sad friend",
            "someone puts their hands on the other's shoulders to comfort them",
            "a man consoles his sad friend by patting her shoulder",
            "she gently lays her hand on his shoulder to cheer him up",
            "someone is upset and their friend touches their shoulder to reassure them",
        ),
        check=comfort,
        kinds=("comfort",),
    ),
    "march": Prompt(
        texts=(
            "two people march like soldiers",
            "two soldiers march next to each other",
            "two people march forward side by side in step",
            "a pair of soldiers parade next to each other in step",
            "two guards stride forward in formation, swinging their arms stiffly",
            "two troops walk in military step, shoulder to shoulder",
        ),
        check=march,
        kinds=("march",),
    ),
    "chicken dance": Prompt(
        texts=(
            "two people do the chicken dance",
            "two people flap their elbows in the chicken dance",
            "facing each other, two dancers do a chicken dance",
            "a couple flap their elbows like wings and wiggle to the birdie song",
            "two party guests dance like chickens, making beaks with their hands",
            "both friends do that silly wedding dance where you flap like a chicken",
        ),
        check=chicken_dance,
        kinds=("chicken dance",),
    ),
    "salsa turn": Prompt(
        texts=(
            "two people dance salsa and one turns under the raised arm",
            "in salsa, one dancer turns under the joined hands",
            "a salsa dancer spins under the partner's raised hand",
            "a man leads his salsa partner into a spin beneath his lifted hand",
            "latin dancers hold hands and she twirls under his arm",
            "a couple is salsa dancing and he spins her around under their hands",
        ),
        check=salsa_turn,
        kinds=("salsa turn", "salsa spin"),
        word="under",
    ),
    "arm wrestling": Prompt(
        texts=(
            "two people arm wrestle",
            "two people compete in arm wrestling",
            "they lock hands across a table and arm wrestle",
            "two guys lock hands on a table and try forcing each other's arm down",
            "seated rivals grip hands and try to pin each other's forearm to the table",
            "two friends test their strength with elbows on the table and hands gripped",
        ),
        check=arm_wrestle,
        kinds=("arm wrestle",),
    ),
    "quarrel": Prompt(
        texts=(
            "two people quarrel",
            "two people argue angrily with each other",
            "two people have a heated argument and wave their hands",
            "a couple stands arguing and waving their hands angrily",
            "two neighbors yell at each other and point fingers",
            "two angry people face each other in a heated argument, gesturing wildly",
        ),
        check=quarrel,
        kinds=("quarrel",),
    ),
    "linked arms": Prompt(
        texts=(
            "two people walk with their arms linked",
            "two friends walk arm in arm",
            "two people link arms and stroll next to each other",
            "a couple strolls along arm in arm",
            "two friends go for a walk with their elbows hooked together",
            "an old lady holds on to her husband's bent arm as they walk together",
        ),
        check=link_arms,
        kinds=("link arms",),
    ),
}
