"""Checkpoints that travel inside a generator's."""

from pathlib import Path

from duomotion.checkpoint import read_recipe, text_encoder_of


def check_beside(folder: Path, system: str, text_encoder: str) -> None:
    """Make sure that a checkpoint is of a system and reads the generator's text vectors.

    Raises:
        ValueError: it is not, or does not.
    """
    recipe = read_recipe(folder)
    if recipe["system"] != system:
        raise ValueError(f"{folder} is a checkpoint of {recipe['system']!r}, not of {system!r}")
    read = text_encoder_of(recipe, folder)
    if read != text_encoder:
        raise ValueError(
            f"{folder} reads the text vectors of {read!r}; the generator's data.text_encoder is "
            f"{text_encoder!r} and must be the same"
        )
