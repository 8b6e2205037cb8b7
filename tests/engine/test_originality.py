from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from data.keys import transpose
from data.score import Note, Part, Score
from data.tokens import DELTA, DURATION
from engine.checkpoint import Checkpoint
from engine.errors import CheckpointProblem, SetupProblem
from engine.local import LocalEngine
from engine.model import NoteLSTM
from engine.model_config import ModelConfig
from engine.originality import FILE, Index, Source, all_runs, lines, runs
from engine.render import Renderer
from engine.types import COPIED_RUN_LIMIT_NOTES, ComposeRequest, Composition, Originality

GAPS = (3, 6, 6, 9, 12, 12, 18, 24)


def tune(seed: int, length: int, part: Part = Part.LEAD, low: int = 55, high: int = 79) -> list[Note]:
    """A random walk: music that no other seed repeats."""
    rng = np.random.default_rng(seed)
    notes, onset, pitch = [], 0, (low + high) // 2
    for _ in range(length):
        pitch = int(np.clip(pitch + rng.choice([-7, -5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 7]), low, high))
        gap = int(rng.choice(GAPS))
        notes.append(Note(onset, part, pitch, gap, 80))
        onset += gap
    return notes


def chords(seed: int, length: int) -> list[Note]:
    rng = np.random.default_rng(seed)
    return [
        Note(24 * at, Part.PAD, int(pitch), 24, 60)
        for at in range(length)
        for pitch in sorted(rng.choice(np.arange(48, 72), 4, replace=False))
    ]


def score(*voices: list[Note]) -> Score:
    return Score(tuple(sorted(note for voice in voices for note in voice)), 80)


def later(notes: list[Note], steps: int) -> list[Note]:
    return [Note(n.start_step + steps, n.part, n.pitch, n.duration_steps, n.velocity) for n in notes]


def index_of(*scores: Score, authors: tuple[str, ...] = (), human_p95: float = 0.07) -> Index:
    names = authors or tuple(f"author {i}" for i in range(len(scores)))
    return Index.of([all_runs(s) for s in scores], [Source(f"piece {i}", n) for i, n in enumerate(names)], human_p95)


LIBRARY = [score(tune(seed, 120), chords(seed, 40)) for seed in range(6)]
INDEX = index_of(*LIBRARY)


def test_new_music_shares_nothing_and_is_acceptable() -> None:
    found = INDEX.check(score(tune(100, 200), chords(100, 50)))
    assert found.longest_copied_run_notes == 0
    assert found.copied_share < 0.01
    assert found.acceptable


@given(piece=st.sampled_from(LIBRARY), semitones=st.integers(-20, 20), tempo=st.integers(30, 240))
@settings(max_examples=20, deadline=None)
def test_a_copy_is_found_in_any_key_and_tempo(piece: Score, semitones: int, tempo: int) -> None:
    found = INDEX.check(transpose(Score(piece.notes, tempo), semitones))
    assert found.copied_share == 1.0
    assert found.longest_copied_run_notes >= 100
    assert found.closest_title == f"piece {LIBRARY.index(piece)}"
    assert not found.acceptable


@pytest.mark.parametrize(("factor", "share"), [(2, 0.8), (3, 0.3), (4, 0.8)])  # thrice is off the grid of the tokens
def test_a_copy_in_longer_note_values_is_found(factor: int, share: float) -> None:
    stretched = [Note(n.start_step * factor, n.part, n.pitch, n.duration_steps, 80) for n in LIBRARY[2].notes]
    found = INDEX.check(score(stretched))
    assert found.copied_share > share
    assert found.longest_copied_run_notes > 3 * COPIED_RUN_LIMIT_NOTES
    assert found.closest_title == "piece 2"


def test_a_copied_tune_is_found_on_another_sound_under_new_chords() -> None:
    stolen = [Note(n.start_step, Part.KEYS, n.pitch, n.duration_steps, 80) for n in tune(3, 40)]
    found = INDEX.check(score(stolen, chords(200, 40), tune(201, 30, Part.SUB, 28, 45)))
    assert found.longest_copied_run_notes == 40
    assert found.closest_title == "piece 3"


def test_copied_chords_are_found_under_a_new_tune() -> None:
    found = INDEX.check(score(chords(4, 10), tune(202, 60)))
    assert found.longest_copied_run_notes >= 40
    assert found.closest_title == "piece 4"


@pytest.mark.parametrize("length", [9, 12, 13, 30])
def test_a_stretch_out_of_a_piece_counts_its_notes(length: int) -> None:
    stolen = tune(5, 120)[50 : 50 + length]
    before = tune(204, 40)  # ends in another time than the one before the stolen notes
    found = INDEX.check(score(before, later(stolen, before[-1].end_step - stolen[0].start_step)))
    assert found.longest_copied_run_notes == length
    assert found.acceptable == (length <= COPIED_RUN_LIMIT_NOTES and found.copied_share <= found.human_p95)


def test_a_stretch_is_looked_for_in_one_piece_and_not_patched_together() -> None:
    first, second = tune(0, 120)[:12], tune(1, 120)[:12]
    found = INDEX.check(score(first, later(second, first[-1].end_step)))
    assert found.longest_copied_run_notes == 12


def test_scales_and_repeated_notes_are_no_copies() -> None:
    def scale(notes: int) -> Score:
        return score([Note(6 * i, Part.LEAD, 40 + (i % 24), 6, 80) for i in range(notes)])

    assert index_of(scale(100)).check(scale(60)).longest_copied_run_notes == 0


@pytest.mark.parametrize(("figure", "copied"), [((0, 1, 3), 0), ((0, 1, 3, 6), 60)])
def test_a_figure_says_something_from_four_different_intervals_on(figure: tuple[int, ...], copied: int) -> None:
    again = score([Note(6 * i, Part.LEAD, 60 + figure[i % len(figure)], 6, 80) for i in range(60)])
    assert index_of(again).check(again).longest_copied_run_notes == copied


def test_what_follows_changes_no_run_before_it() -> None:
    whole = next(lines(score(chords(1, 6), later(tune(2, 9), 150))))  # it begins with a chord: no time is before it
    before = runs(whole[:-1]).hashes.tolist()
    assert runs(whole).hashes.tolist()[:-1] == before


def test_the_melody_of_a_part_is_what_nothing_higher_sounds_beside() -> None:
    tune_above = [Note(6 * i, Part.KEYS, 80 - 5 * i, 6, 80) for i in range(4)]  # each begins where a higher one ends
    bass = [Note(6 * i + 3, Part.KEYS, 40, 3, 80) for i in range(4)]
    texture, melody = lines(score(tune_above, bass))
    assert (len(texture), melody.tolist()) == (8, [[note.start_step, note.pitch] for note in tune_above])


def test_what_three_authors_have_written_is_idiom_and_what_one_wrote_three_times_is_not() -> None:
    shared = tune(7, 40)
    pieces = [score(shared, chords(300 + i, 12)) for i in range(3)]
    new = score(shared, chords(400, 30))
    assert index_of(*pieces).check(new).longest_copied_run_notes == 0
    assert index_of(*pieces, authors=("one", "one", "two")).check(new).longest_copied_run_notes == 40


def test_drums_and_short_pieces_share_nothing() -> None:
    drums = score([Note(12 * i, Part.PULSE, 36 + i % 5, 12, 90) for i in range(50)])
    for piece in (drums, score(tune(1, 8)), Score((), 60)):
        assert INDEX.check(piece) == Originality(0.0, 0, None, INDEX.human_p95)
        assert index_of(drums).check(piece).copied_share == 0.0


def test_what_is_a_pieces_own_is_never_rounded_up() -> None:
    almost, none, human = (Originality(share, 9, "x", 0.062) for share in (0.0001, 1.0, 0.034))
    assert [found.own_percent for found in (almost, none, human)] == [99, 0, 96]
    assert human.human_own_percent == 93


def test_an_author_can_be_left_out() -> None:
    piece = LIBRARY[1]
    assert INDEX.check_runs(all_runs(piece), without_author="author 1").copied_share < 0.01
    assert INDEX.check_runs(all_runs(piece), without_author="author 2").copied_share == 1.0


def test_two_indices_join_and_know_the_music_of_both_once() -> None:
    first, second = index_of(*LIBRARY[:3], human_p95=0.08), index_of(*LIBRARY[1:2], human_p95=0.05)
    renamed = Index.of([all_runs(LIBRARY[4])], [Source("another", "somebody")], 0.05)
    joined = first.joined(renamed).joined(first)
    assert joined.human_p95 == 0.05
    assert len(joined.sources) == 4
    assert len(joined.hashes) == len(first.hashes) + len(renamed.hashes)
    assert joined.check(LIBRARY[4]).closest_title == "another"
    assert joined.check(LIBRARY[2]).copied_share == 1.0
    assert joined.check(LIBRARY[5]).longest_copied_run_notes == 0
    assert first.joined(second).sources == first.sources


def test_an_index_is_the_same_after_saving_and_loading(tmp_path: Path) -> None:
    INDEX.save(tmp_path)
    loaded = Index.load(tmp_path)
    assert loaded is not None
    assert loaded.human_p95 == INDEX.human_p95
    for piece in (*LIBRARY, score(tune(0, 30), tune(500, 60, Part.BELL))):
        assert loaded.check(piece) == INDEX.check(piece)


def test_a_checkpoint_may_ship_no_index_but_a_damaged_one_is_told(tmp_path: Path) -> None:
    assert Index.load(tmp_path) is None
    INDEX.save(tmp_path)
    whole = (tmp_path / FILE).read_bytes()
    for damaged in (b"", whole[:100], whole[: len(whole) // 2]):
        (tmp_path / FILE).write_bytes(damaged)
        with pytest.raises(CheckpointProblem, match="damaged"):
            Index.load(tmp_path)


async def test_the_engine_passes_over_what_copies_and_tells_how_original_a_piece_is(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = NoteLSTM(ModelConfig(embedding=8, hidden=16, layers=1)).eval().requires_grad_(requires_grad=False)
    for attribute in (DELTA, DURATION):
        model.outputs[attribute].bias[:8] += 4.0  # short notes, so that the sound is made quickly
    checkpoint = Checkpoint.of("tiny-0", model, {"limits": {"longest_pitch_run": 8}})
    request = ComposeRequest(seed=5, length_notes=40, tempo_bpm=200)

    async def compose(index: Index) -> Composition:
        engine = LocalEngine(checkpoint, Renderer(), tmp_path, originality=index, device="cpu")
        try:
            return await engine.compose(request)
        finally:
            await engine.aclose()

    first = await compose(index_of(score(tune(1, 100))))
    # The training music has what was served, as a model would serve it that had learnt it by heart.
    index = index_of(score(tune(1, 100)), first.score)
    assert not index.check(first.score).acceptable
    piece = await compose(index)
    assert piece.score != first.score
    assert piece.originality == index.check(piece.score)
    assert piece.originality.acceptable


@pytest.mark.parametrize(
    "change",
    [
        {"owners": lambda owners: owners + 1},
        {"owners": lambda owners: owners[:-1]},
        {"counts": lambda counts: counts[::-1].copy()},
        {"low": lambda low: low[::-1].copy()},
        {"human_p95": lambda _: "nan"},
        {"sources": lambda _: "[]"},
    ],
)
def test_an_index_whose_parts_do_not_belong_together_is_damaged(tmp_path: Path, change: dict[str, Any]) -> None:
    INDEX.save(tmp_path)
    with safe_open(tmp_path / FILE, framework="numpy") as file:
        about = file.metadata()
        tensors = {name: file.get_tensor(name) for name in ("counts", "low", "owners")}
    for name, how in change.items():
        place = tensors if name in tensors else about
        place[name] = how(place[name])
    save_file(tensors, tmp_path / FILE, about)
    with pytest.raises(CheckpointProblem, match="damaged"):
        Index.load(tmp_path)


def test_an_index_numbers_no_more_pieces_than_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.originality.PIECES_MAX", len(LIBRARY))
    INDEX.joined(INDEX)
    with pytest.raises(SetupProblem, match="take fewer"):
        INDEX.joined(Index.of([all_runs(LIBRARY[0])], [Source("another", "another")], 0.1))
