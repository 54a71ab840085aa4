"""Text encoders by name."""

import re
from functools import cache

from duomotion.text.clip import ClipEncoder, ClipVectorEncoder
from duomotion.text.encoder import TextEncoder
from duomotion.text.sentence import SentenceEncoder

CLIP_ENCODERS = {"clip": ClipEncoder, "clip-vector": ClipVectorEncoder}
_NAME = re.compile(
    r"(?P<kind>sentence|clip|clip-vector)(:(?P<source>.+?))?(@(?P<weights>[0-9a-f]{12}))?"
)

_sentence_encoder = cache(SentenceEncoder)  # frozen, so one is enough for a process


def load_encoder(name: str) -> TextEncoder:
    """The encoder called `name`.

    Args:
        name: `sentence`; `clip` (states of all positions); `clip-vector` (the one that CLIP
            compares with images); either of these, `:` and a local folder or a hub id; or the
            `.name` of an encoder, which ends in `@` and twelve digits that its weights must answer
            to.

    Raises:
        ValueError: no encoder has this name, or its weights can't be had or are not those named.
    """
    parts = _NAME.fullmatch(name)
    if parts is None or (parts["kind"] == "sentence" and parts["source"]):
        raise ValueError(
            f"there is no text encoder {name!r}; known are 'sentence', 'clip', "
            "'clip-vector', 'clip:FOLDER_OR_HUB_ID' and 'clip-vector:FOLDER_OR_HUB_ID'"
        )
    if parts["kind"] == "sentence":
        encoder = _sentence_encoder()
    else:
        encoder = CLIP_ENCODERS[parts["kind"]](parts["source"])
    if parts["weights"] and encoder.name != name:
        raise ValueError(
            f"the text encoder {name!r} was asked for, but the weights found are those of "
            f"{encoder.name!r}"
        )
    return encoder
