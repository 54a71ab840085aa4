"""Volumes around the skeleton: parts, limbs, and the surface that people see."""

# One colour a person, sRGB: apart for the colour-blind and on light and dark grounds alike.
PERSON_COLOURS = ("#e2723b", "#3f7fd6")
PERSON_NAMES = ("A", "B")
