"""Commands that end with one sentence."""


def refused(result, *words):
    """The command ended with status 2 and one sentence that holds all the words."""
    status, _, error = result
    assert status == 2, result
    assert error.startswith("duomotion: ") and len(error.strip().splitlines()) == 1, error
    for word in words:
        assert word in error, error
    return True
