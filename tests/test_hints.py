"""Words that are no command: what was probably meant."""

import pytest
from refusals import refused

import duomotion


def test_the_version(run):
    assert run("--version") == (0, f"duomotion {duomotion.__version__}\n", "")


def test_no_words_show_the_commands(run):
    status, printed, _ = run()
    assert status == 0 and "generate" in printed and "evaluate" in printed


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["genrate", "hi"], "did you mean generate?"),
        (["Generate", "hi"], "did you mean generate?"),
        (["import_oficial"], "did you mean import-official?"),
        (["xyz"], "there are generate, react"),
        (["xyz", "--out", "o"], "there are generate, react"),
        (["two people hug", "--seconds", "3"], 'duomotion generate "two people hug"'),
        (["two", "people", "hug", "--seconds", "3"], 'duomotion generate "two people hug"'),
    ],
)
def test_words_that_are_no_command(run, words, hint):
    assert refused(run(*words), f"no command is called {words[0]!r}", hint)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("generate two people hug", 'duomotion generate "two people hug"'),
        ("generate two people hug --seconds 3", 'duomotion generate "two people hug"'),
        ("generate waves --partner a person bows", '--partner "a person bows"'),
        ("react A.bvh --text they shake hands", '--text "they shake hands"'),
        ("react --text they shake hands --seed 3", '--text "they shake hands"'),
        ("react A.bvh B.bvh", "takes one file, not A.bvh, B.bvh"),
    ],
)
def test_prompts_without_quotes(run, words, hint):
    assert refused(run(*words.split()), hint)


@pytest.mark.parametrize("words", [["react", "--text", "hi", "a.bvh"], ["react", "a.bvh"]])
def test_a_file_may_stand_behind_a_sentence(run, words):
    assert refused(run(*words), "a.bvh: No such file")
