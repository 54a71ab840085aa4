"""Whether a clip of one person shows what its prompt says, for ten words that can be measured.

As `prompts`, for one person; the checks are those of `person_checks`.
"""

from collections.abc import Callable

from duomotion.evaluation.open.checks import CheckResult, Prompt
from duomotion.evaluation.open.person_checks import (
    Person,
    PersonCheck,
    crawl,
    dance,
    jump,
    kick,
    punch,
    run,
    sit,
    turn,
    walk,
    wave,
)
from duomotion.motion.interaction import Interaction


def alone(check: PersonCheck) -> Callable[[Interaction], CheckResult]:
    """The check of an interaction; it raises ValueError unless that shows one person."""
    return lambda interaction: check(Person.of(interaction))


SOLO_PROMPTS: dict[str, Prompt] = {
    "walk": Prompt(
        texts=(
            "a person walks forward",
            "someone strolls straight ahead",
            "a man is walking at a normal pace",
        ),
        check=alone(walk),
        word="walk",
    ),
    "run": Prompt(
        texts=("a person runs forward", "someone is running fast", "a man jogs straight ahead"),
        check=alone(run),
        word="run",
    ),
    "jump": Prompt(
        texts=(
            "a person jumps",
            "someone leaps into the air",
            "a man jumps up and lands on both feet",
        ),
        check=alone(jump),
        word="jump",
    ),
    "sit": Prompt(
        texts=(
            "a person sits on a chair",
            "someone takes a seat",
            "a man is sitting down",
        ),
        check=alone(sit),
        word="sit",
    ),
    "wave": Prompt(
        texts=(
            "a person waves with the right hand",
            "someone waves hello",
            "a man raises a hand and waves to a friend",
        ),
        check=alone(wave),
        word="wav",
    ),
    "kick": Prompt(
        texts=(
            "a person kicks with the right foot",
            "someone kicks a ball",
            "a man does a high kick",
        ),
        check=alone(kick),
        word="kick",
    ),
    "punch": Prompt(
        texts=(
            "a person punches with the right hand",
            "someone throws several punches",
            "a man boxes, hitting straight ahead with his fists",
        ),
        check=alone(punch),
        word="punch",
    ),
    "turn": Prompt(
        texts=(
            "a person turns around",
            "someone walks forward, then turns round and comes back",
            "a man makes a half turn",
        ),
        check=alone(turn),
        word="turn",
    ),
    "dance": Prompt(
        texts=("a person dances", "someone is dancing happily", "a dancer shows a few moves"),
        check=alone(dance),
        word="danc",
    ),
    "crawl": Prompt(
        texts=(
            "a person crawls on hands and knees",
            "someone is crawling on all fours",
            "a baby crawls across the floor",
        ),
        check=alone(crawl),
        word="crawl",
    ),
}
"""Ten words; the prompt, then two paraphrases."""
