"""Whatever steps the slots writes what the model says, under the musical rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data.controls import NOT_TOLD
from data.moods import Mood
from data.opening import Opening
from data.tokens import ATTRIBUTES, DELTA, PART, PITCH, IntArray, conditions
from engine.batching.native import NativeSlots
from engine.batching.slots import Slots
from engine.batching.torch_slots import TorchSlots
from engine.checkpoint import DEFAULT, Checkpoint, load_checkpoint
from engine.guidance import guided
from engine.model import NoteLSTM
from engine.note_cache import NoteCache, note_nats
from engine.plan import plan
from engine.sampler import Sampler
from engine.types import TOP_P_MIN, ComposeRequest
from tests.engine.batching.making import odd_checkpoint, piece

SLOTS = 16
MAKERS: dict[str, Callable[[Checkpoint], Slots]] = {
    "float32": lambda checkpoint: NativeSlots(checkpoint, SLOTS, precision="float32"),
    "int8": lambda checkpoint: NativeSlots(checkpoint, SLOTS, precision="int8"),
    "torch": lambda checkpoint: TorchSlots(checkpoint, SLOTS, block=8),
}


@pytest.fixture(scope="module", params=["shipped", "odd"])
def checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    return load_checkpoint(DEFAULT) if request.param == "shipped" else odd_checkpoint()


@pytest.fixture(scope="module", params=list(MAKERS))
def slots(request: pytest.FixtureRequest, checkpoint: Checkpoint) -> Iterator[Slots]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield MAKERS[request.param](checkpoint)
    torch.set_num_threads(threads)


requests = st.builds(
    ComposeRequest,
    mood=st.sampled_from(Mood),
    length_notes=st.integers(16, 32),
    temperature=st.floats(0.1, 2.0),
    top_p=st.floats(0.05, 1.0),
    seed=st.integers(0, 2**32 - 1),
)


@given(request=requests)
@settings(max_examples=8, deadline=None)
def test_the_rules_of_a_score_hold(slots: Slots, checkpoint: Checkpoint, request: ComposeRequest) -> None:
    tokens = piece(slots, 3, request)
    assert tokens.shape == (request.length_notes, len(ATTRIBUTES))
    assert (tokens >= 0).all()
    assert (tokens < [attribute.size for attribute in ATTRIBUTES]).all()
    assert tokens[0, DELTA] == 0
    chords = np.flatnonzero(tokens[1:, DELTA] == 0) + 1
    for t in chords:  # notes of one onset ascend
        assert tuple(tokens[t - 1, [PART, PITCH]]) < tuple(tokens[t, [PART, PITCH]])
    runs = np.diff(np.flatnonzero(np.concatenate(([True], np.diff(tokens[:, PITCH]) != 0, [True]))))
    assert runs.max() <= checkpoint.longest_pitch_run


def model_nats(checkpoint: Checkpoint, request: ComposeRequest, tokens: IntArray) -> np.ndarray:
    decided = plan(request, checkpoint.styles)
    rows = conditions(
        tokens,
        mood=request.mood,
        mode=decided.key.mode,
        tempo_bpm=decided.tempo_bpm,
        controls=decided.controls,
    )
    previous = np.vstack([[attribute.size for attribute in ATTRIBUTES], tokens[:-1]])
    with torch.inference_mode():
        arrays = (torch.from_numpy(array) for array in (previous, rows, tokens))
        return note_nats(NoteLSTM.of(checkpoint), *arrays).numpy()


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 2e-4), ("int8", 0.35)])
def test_native_steps_agree_with_the_model_at_every_attribute(
    checkpoint: Checkpoint, precision: str, tolerance: float
) -> None:
    """Teacher-forced over a piece that is nothing like what was trained, and over one of the model's own."""
    slots = NativeSlots(checkpoint, SLOTS, precision="int8" if precision == "int8" else "float32")
    slots.keep_nats()
    request = ComposeRequest(mood=Mood.TENSE, length_notes=120, seed=1)
    rng = np.random.default_rng(1)
    strange = np.stack([rng.integers(attribute.size, size=120) for attribute in ATTRIBUTES], axis=1)
    for tokens in (strange, piece(slots, 0, request)):
        slots.begin(7, request, plan(request, checkpoint.styles), opening=tokens)
        slots.run(120)
        np.testing.assert_array_equal(slots.tokens(7), tokens)
        difference = slots.nats(7) - model_nats(checkpoint, request, tokens)
        assert np.abs(difference).max() < tolerance
        assert abs(difference.sum(axis=1).mean()) < tolerance / 4


def test_the_logits_of_a_step_are_the_models(checkpoint: Checkpoint) -> None:
    slots = NativeSlots(checkpoint, SLOTS, precision="float32")
    request = ComposeRequest(mood=Mood.HOPEFUL, length_notes=40, seed=9, temperature=1.3)
    decided = plan(request, checkpoint.styles)
    slots.begin(2, request, decided)
    model, cache = NoteLSTM.of(checkpoint), NoteCache(checkpoint.config)
    for t in range(40):
        slots.run(1)
        tokens = slots.tokens(2)
        # conditions() reads the length off the tokens, so the rest of the piece stands there as anything
        whole = np.concatenate([tokens, np.zeros((39 - t, 5), np.int64)])
        mode, tempo_bpm = decided.key.mode, decided.tempo_bpm
        told = conditions(whole, mood=request.mood, mode=mode, tempo_bpm=tempo_bpm, controls=decided.controls)
        untold = conditions(whole, mood=None, mode=mode, tempo_bpm=tempo_bpm, controls=NOT_TOLD)
        previous = np.vstack([[attribute.size for attribute in ATTRIBUTES], tokens[:-1]])
        note = torch.from_numpy(tokens[t])
        with torch.inference_mode():
            both = torch.from_numpy(np.stack([told, untold])[:, : t + 1])
            hidden, _ = model(torch.from_numpy(np.stack([previous, previous])), both)
            cache.look(hidden[0, t])
            for attribute, got in enumerate(slots.logits(2)):
                logits = model.attribute_logits(attribute, hidden[:, t], note.expand(2, -1))
                alone = guided(*logits, checkpoint.config.guidance)
                allowed = np.isfinite(got)
                assert allowed.any()
                shares = [
                    torch.log_softmax(each[allowed], 0) for each in (torch.from_numpy(got), cache.mix(attribute, alone))
                ]
                torch.testing.assert_close(*shares, atol=3e-4, rtol=3e-4)
                cache.choose(attribute, int(note[attribute]), alone)
        cache.keep(tokens[t].tolist())


@pytest.mark.parametrize("seed", range(6))
def test_native_float32_writes_the_notes_of_the_reference(checkpoint: Checkpoint, seed: int) -> None:
    request = ComposeRequest(
        mood=list(Mood)[seed], length_notes=60, seed=seed, temperature=0.4 + 0.3 * seed, top_p=0.95 - 0.12 * seed
    )
    slots = NativeSlots(checkpoint, 3, precision="float32")
    reference = Sampler(checkpoint, device="cpu").sample(request, plan(request))
    np.testing.assert_array_equal(piece(slots, 1, request), reference)


@pytest.mark.parametrize("seed", range(3))
def test_torch_writes_the_notes_of_the_reference_where_the_likeliest_alone_is_left(
    checkpoint: Checkpoint, seed: int
) -> None:
    """It spends its random numbers in another way, which shows nowhere when there is nothing to choose."""
    request = ComposeRequest(mood=list(Mood)[seed], length_notes=60, seed=seed, top_p=TOP_P_MIN)
    reference = Sampler(checkpoint, device="cpu").sample(request, plan(request))
    np.testing.assert_array_equal(piece(TorchSlots(checkpoint, 1, block=1), 0, request), reference)


def test_the_likeliest_value_is_there_to_draw_however_small_the_nucleus(slots: Slots) -> None:
    request = ComposeRequest(length_notes=16, seed=3, top_p=TOP_P_MIN)
    likeliest = piece(slots, 3, request)
    for top_p in (1e-38, 1e-46):
        object.__setattr__(request, "top_p", top_p)  # which no request can have
        np.testing.assert_array_equal(piece(slots, 3, request), likeliest)


def test_an_opening_is_kept_and_continued(slots: Slots) -> None:
    request = ComposeRequest(length_notes=40, seed=4)
    opening = piece(slots, 0, ComposeRequest(length_notes=20, seed=5))
    slots.begin(1, request, plan(request), opening=opening)
    while slots.run(7):
        pass
    tokens = slots.tokens(1)
    assert len(tokens) == 40
    np.testing.assert_array_equal(tokens[:20], opening)


def test_a_continuation_is_the_references(checkpoint: Checkpoint) -> None:
    opening = piece(NativeSlots(checkpoint, 1), 0, ComposeRequest(length_notes=20, seed=5))
    request = ComposeRequest(length_notes=50, seed=4, opening=Opening.of(opening))
    slots = NativeSlots(checkpoint, 3, precision="float32")
    slots.begin(2, request, plan(request), opening=opening)
    slots.run(50)
    np.testing.assert_array_equal(slots.tokens(2), Sampler(checkpoint, device="cpu").sample(request, plan(request)))


def test_another_drawing_of_a_request_is_another_piece(slots: Slots) -> None:
    request = ComposeRequest(length_notes=40, seed=4, temperature=1.2)
    slots.begin(0, request, plan(request))
    slots.begin(1, request, plan(request), attempt=1)
    while slots.run(16):
        pass
    assert not np.array_equal(slots.tokens(0), slots.tokens(1))


def test_stopping_keeps_what_was_written_and_frees_the_slot(slots: Slots) -> None:
    request = ComposeRequest(length_notes=2000, seed=4)
    slots.begin(5, request, plan(request))
    slots.run(8)
    slots.stop(5)
    written = slots.written(5)
    while slots.run(8):
        pass
    assert slots.written(5) == written
    assert slots.finished().all()


def test_more_pieces_than_one_tile_or_vector_holds_are_all_the_same_as_alone(checkpoint: Checkpoint) -> None:
    crowd = NativeSlots(checkpoint, 67)
    alone = NativeSlots(checkpoint, 1)
    wanted = [ComposeRequest(length_notes=16 + n % 5, seed=n, mood=list(Mood)[n % 8]) for n in range(67)]
    for slot, request in enumerate(wanted):
        crowd.begin(slot, request, plan(request))
    while crowd.run(3):
        pass
    for slot, request in enumerate(wanted):
        np.testing.assert_array_equal(crowd.tokens(slot), piece(alone, 0, request))


def has_avx2() -> bool:
    try:
        return " avx2 " in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


@pytest.mark.skipif(not has_avx2(), reason="compiles for AVX2 and runs it")
def test_int8_writes_the_same_notes_with_other_vectors(checkpoint: Checkpoint) -> None:
    """Integer sums are exact and every other operation is the same one, so the width of a vector shows nowhere."""
    here, haswell = NativeSlots(checkpoint, 3), NativeSlots(checkpoint, 3, target="-march=haswell")
    for seed in range(8):
        request = ComposeRequest(length_notes=80, seed=seed, mood=list(Mood)[seed], temperature=1.1)
        np.testing.assert_array_equal(piece(here, seed % 3, request), piece(haswell, 1, request))
