"""Stems come into their room whole, and nothing damaged does."""

import numpy as np
import pytest

from data.score import Part
from data.spaces import Space
from engine.errors import RenderFailed
from engine.render import place
from engine.render.space import room
from engine.render.stems import Group

RATE_HZ = 44_100


def _placed(stem: np.ndarray, group: Group, blocks: int) -> np.ndarray:
    where = room(Space.DRY, RATE_HZ)
    hop = where.hop_frames // group.divider
    out = np.empty((2, blocks * where.hop_frames), np.float32)
    buffer = np.empty((hop, 2), np.float32)  # one for all blocks, as FluidSynth's reader has it

    def parts():
        for index in range(blocks):
            buffer[:] = stem[index * hop : (index + 1) * hop]
            yield [buffer]

    place.place(parts(), [group], where, out)
    return out


@pytest.mark.parametrize("group", [Group((Part.PAD,), False, 2), Group((Part.BELL,), False, 1)], ids=["dark", "bright"])
def test_a_room_may_be_late_without_a_block_being_lost(group, monkeypatch):
    """A new room is made while blocks are waiting for it, which is when their source uses its arrays again."""
    hop = room(Space.DRY, RATE_HZ).hop_frames // group.divider
    stem = np.random.default_rng(6).normal(0, 0.05, (9 * hop, 2)).astype(np.float32)
    queued = _placed(stem, group, 9)
    monkeypatch.setattr(place, "_AHEAD", 0)
    assert np.array_equal(queued, _placed(stem, group, 9))
    assert all(np.abs(block).max() > 0.05 for block in np.split(queued, 9, axis=1))


@pytest.mark.parametrize("damage", [(np.nan, 0), (0, np.nan), (np.inf, 0), (np.inf, -np.inf), (-np.inf, -np.inf)])
@pytest.mark.parametrize("divider", [1, 2])
def test_one_damaged_sample_in_one_channel_is_told(damage, divider):
    group = Group((Part.SUB,), True, divider)
    hop = room(Space.DRY, RATE_HZ).hop_frames // divider
    stem = np.zeros((2 * hop, 2), np.float32)
    stem[hop + 77] = damage
    with pytest.raises(RenderFailed, match="damaged sound"):
        _placed(stem, group, 2)
