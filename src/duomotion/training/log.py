"""The record of a training: a JSON-lines file, and TensorBoard beside it."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from duomotion.storage import atomic_file, errors_about, remove_leftovers

RECORDS = "log.jsonl"


def read_records(path: str | Path) -> list[dict[str, Any]]:
    """The whole records of a log; a last line that a killed writer cut is left out.

    Raises:
        ValueError: a line is no record; the sentence names it.
        OSError: the log can't be read.
    """
    records = []
    for number, line in enumerate(Path(path).read_bytes().splitlines(keepends=True), start=1):
        if not line.endswith(b"\n"):
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict) or not isinstance(record.get("step"), int):
            raise ValueError(f"{path}, line {number}: is no record of a training; delete the line")
        records.append(record)
    return records


class Log:
    """Appends one JSON object a line to `folder`/log.jsonl.

    Records past `step`, left by a training that was cut after its last checkpoint, are dropped, so
    that a resumed training's log reads like an uninterrupted one's.
    """

    def __init__(self, folder: Path, *, step: int, tensorboard: bool) -> None:
        self.path = folder / RECORDS
        remove_leftovers(self.path)
        kept = read_records(self.path) if self.path.exists() else []
        with atomic_file(self.path) as temporary:
            lines = [json.dumps(record) + "\n" for record in kept if record["step"] <= step]
            temporary.write_text("".join(lines))
        self._file = self.path.open("a")
        self._board = None
        if tensorboard:
            from torch.utils.tensorboard.writer import SummaryWriter

            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append {"step": step, **values}; the line is on its way to the disk on return.

        Raises:
            OSError: the disk is full.
        """
        with errors_about(self.path):
            self._file.write(json.dumps({"step": step, **values}) + "\n")
            self._file.flush()
        if self._board is not None:
            with errors_about(self._board.log_dir):
                for name, value in values.items():
                    self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Raises OSError when TensorBoard's last events can't be written."""
        with suppress(OSError):  # of a line that `write` has failed with
            self._file.close()
        if self._board is not None:
            with errors_about(self._board.log_dir):
                self._board.close()
