"""What a user should know of a clip that was generated."""

from duomotion.defaults import DEFAULT_MODELS
from duomotion.motion.interaction import Interaction
from duomotion.text.prompt import people_in

PEOPLE = {1: "one person", 2: "two people"}


def unknown_action(clip: Interaction) -> str | None:
    """That nothing like the prompt was learned; None where something was, or nobody knows."""
    if clip.reading is None or clip.reading.known:
        return None
    return (
        f"nothing like {clip.caption!r} was in the training data, {clip.reading.kind!r} is what "
        "comes nearest"
    )


def composed_action(clip: Interaction) -> str | None:
    """That only composed clips have what the prompt says; None where others do, or nobody knows."""
    if clip.reading is None or not clip.reading.composed:
        return None
    return (
        f"{clip.caption!r} is known only from clips composed of recordings of one person: often "
        "not shown"
    )


def other_people(clip: Interaction, model: str) -> str | None:
    """That a prompt is about two people and the model of this name makes one, or vice versa."""
    asked = people_in(clip.caption)
    if asked is None or asked == clip.num_people:
        return None
    return (
        f"{clip.caption!r} is about {PEOPLE[asked]}; {model} makes the motion of "
        f"{PEOPLE[clip.num_people]}, {DEFAULT_MODELS[asked]} that of {PEOPLE[asked]}"
    )
