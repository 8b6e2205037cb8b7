"""A small sample of `python -m benchmarks.fuzz_sound`, which tries 5,000."""

import random
import tempfile

import pytest

from benchmarks.fuzz_sound import _good_files, fuzz, mutated


@pytest.fixture
def scratch():
    before = tempfile.tempdir
    yield
    tempfile.tempdir = before


@pytest.mark.usefixtures("scratch")
def test_forty_mutated_files_do_no_harm(tmp_path):
    sources = [str(path) for path in _good_files(tmp_path / "good")]
    outcomes = fuzz(sources, 1, range(40), str(tmp_path))
    assert sum(outcomes.values()) == 40
    assert not [outcome for outcome in outcomes if outcome.isupper()]
    assert {"refused", "played"} <= set(outcomes)
    assert not list((tmp_path / "work").iterdir())


def test_mutations_differ_and_are_reproducible():
    data = bytes(range(200))
    some = [mutated(data, random.Random(index)) for index in range(20)]
    assert len(set(some)) > 15
    assert some == [mutated(data, random.Random(index)) for index in range(20)]
