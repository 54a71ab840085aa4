"""The process of a worker. It imports nothing that counts threads before it has said how many."""

import os
import signal
from multiprocessing.connection import Connection

from duomotion.signals import ENDING


def serve(connection: Connection) -> None:
    """Do what comes through the connection and send back the outcome, until it is closed.

    Signals that end a command are left to the command.
    """
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    try:
        while True:
            work, *arguments = connection.recv()
            try:
                outcome = work(*arguments)
            except Exception as error:
                outcome = error
            connection.send(outcome)
    except (EOFError, OSError):
        return
