from __future__ import annotations

from pathlib import Path

import pytest

from data.__main__ import main as data_command
from data.composer.corpus import write_corpus


@pytest.fixture(scope="package")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pieces, one of each mood."""
    folder = tmp_path_factory.mktemp("music")
    write_corpus(folder / "midi", 8, 5, 1)
    add = ["add", str(folder / "midi"), "--licence", "CC0-1.0", "--credit", "The program"]
    assert data_command([*add, "--corpus", str(folder / "corpus")]) == 0
    return folder / "corpus"
