"""Standard output and error that may fail without the work failing."""

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO


class Lasting:
    """A text stream; once it can't be written any more, what is written to it goes nowhere."""

    def __init__(self, stream: TextIO, name: str, forgiven: type[OSError]) -> None:
        """Wrap `stream`.

        Args:
            forgiven: errors that nobody has to hear of; others are raised, once.
        """
        self._stream, self._name, self._forgiven = stream, name, forgiven
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may be any bytes

    def write(self, text: str) -> int:
        self._tried(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._tried(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _tried(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except OSError as error:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
            if not isinstance(error, self._forgiven):
                raise OSError(error.errno, error.strerror, self._name) from error


@contextmanager
def lasting_streams() -> Iterator[None]:
    """Within, who reads the output may leave early, and nothing has to read the errors."""
    before = sys.stdout, sys.stderr
    # A stream that was closed from the start is None.
    with Path(os.devnull).open("w") as nowhere:
        sys.stdout = Lasting(before[0] or nowhere, "standard output", BrokenPipeError)
        sys.stderr = Lasting(before[1] or nowhere, "standard error", OSError)
        try:
            yield
        finally:
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError):
                    stream.flush()
            sys.stdout, sys.stderr = before
