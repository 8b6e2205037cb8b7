"""Which licences let a bot learn from music and play what it learnt to anybody."""

from __future__ import annotations

import difflib

from data.errors import CorpusProblem

# SPDX identifiers (https://spdx.org/licenses/). They allow changes and redistribution; none forbids commercial use.
ACCEPTED: tuple[str, ...] = (
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC-BY-2.0",
    "CC-BY-2.5",
    "CC-BY-3.0",
    "CC-BY-4.0",
    "CC-BY-SA-3.0",
    "CC-BY-SA-4.0",
    "CC0-1.0",
    "ISC",
    "LicenseRef-Own",  # the person who adds it made it, and allows this use
    "LicenseRef-Public-Domain",  # no one's rights any more; SPDX has no identifier for that as such
    "MIT",
    "Unlicense",
)
_EVERYDAY = {
    "public domain": "LicenseRef-Public-Domain",
    "pd": "LicenseRef-Public-Domain",
    "own": "LicenseRef-Own",
    "cc0": "CC0-1.0",
    "bsd": "BSD-3-Clause",
}


def parse_licence(text: str) -> str:
    """The SPDX identifier that a person means.

    Raises:
        CorpusProblem: no licence, or not one that allows this use; the sentence says which do.
    """
    wanted = text.strip()
    if not wanted:
        raise CorpusProblem("No licence, no import: say under which licence the music is, such as --licence CC0-1.0.")
    known = {name.lower(): name for name in ACCEPTED} | _EVERYDAY
    found = known.get(wanted.lower()) or known.get(wanted.lower().replace(" ", "-"))
    if found:
        return found
    near = difflib.get_close_matches(wanted.lower(), known, n=1, cutoff=0.7)
    hint = f" Did you mean {known[near[0]]}?" if near else ""
    raise CorpusProblem(f"'{wanted}' is not a licence that can be used here: {', '.join(ACCEPTED)}.{hint}")
