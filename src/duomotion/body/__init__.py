"""Volumes around the skeleton: parts, limbs, and the surface that people see."""

# One colour a person, sRGB: apart for the colour-blind and on light and dark grounds alike.
PERSON_COLOURS = (
    "#e2723b", "#3f7fd6", "#2f9e6e", "#b65fc0", "#c9a227", "#5c6b80", "#c43d5c", "#37a9bd",
)  # fmt: skip
PERSON_NAMES = tuple("ABCDEFGH")
MAX_PEOPLE = len(PERSON_NAMES)


def person_names(count: int) -> tuple[str, ...]:
    """A letter for each of so many people.

    Raises:
        ValueError: there are more people than letters.
    """
    if count > MAX_PEOPLE:
        raise ValueError(f"the motion has {count} people; files hold at most {MAX_PEOPLE}")
    return PERSON_NAMES[:count]
