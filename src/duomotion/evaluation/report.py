"""What every protocol gives."""

from collections.abc import Mapping
from typing import Any, Protocol

Content = str | dict[str, Any] | bytes
"""Of a file: a text, what becomes JSON, or a picture."""


class Report(Protocol):
    """What a protocol found."""

    def files(self) -> Mapping[str, Content]:
        """By file name; the first is for whoever asked."""
        ...
