"""Harmony, voice leading, motives and rhythm keep the rules that they claim."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.composer import motives, themes
from data.composer.harmony import IDIOMS, SHAPES, dress, strain
from data.composer.motives import Cell
from data.composer.rhythm import METERS, divide, euclid
from data.composer.stage import Arc
from data.composer.theory import MODES, Scale, adapted, nearest
from data.composer.voicing import lead

SCALES = st.builds(Scale, st.integers(0, 11), st.sampled_from(tuple(MODES.values())))
SEEDS = st.integers(0, 2**32 - 1)


def generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


@given(SCALES, st.integers(-10, 80))
def test_degree_and_pitch_are_inverse(scale: Scale, degree: int) -> None:
    assert scale.degree(scale.pitch(degree)) == degree
    assert scale.pitch(degree) % 12 in scale.pitch_classes


def test_a_chromatic_chord_replaces_the_scale_tones_beside_it() -> None:
    c_major = (0, 2, 4, 5, 7, 9, 11)
    assert adapted(c_major, (8, 0, 3)) == (0, 3, 5, 8, 11)
    assert adapted(c_major, (0, 4, 7)) == c_major


def test_strain_orders_consonance() -> None:
    fifth, triad, seventh, cluster = (0, 7), (0, 4, 7), (0, 4, 7, 11), (0, 1, 2)
    assert strain(fifth) < strain(triad) < strain(seventh) < strain(cluster)


@settings(max_examples=60)
@given(SCALES, st.sampled_from(sorted(IDIOMS)), st.integers(2, 8), SEEDS, st.floats(-1.0, 0.6))
def test_every_idiom_gives_chords_in_every_mode(scale: Scale, idiom: str, count: int, seed: int, target: float) -> None:
    rng = generator(seed)
    steps = IDIOMS[idiom](rng, scale, count)
    assert len(steps) == count
    for step in steps:
        chord = dress(rng, step, scale, dict.fromkeys(SHAPES, 1.0), target)
        assert len(chord.tones) >= 2
        assert chord.tones[0] == step.root
        assert {*chord.tones, chord.bass} <= set(chord.scale)
        if not step.quality:
            assert set(chord.tones) <= set(scale.pitch_classes)


def test_wanted_dissonance_is_approached() -> None:
    scale = Scale(0, MODES["phrygian"])
    shapes = dict.fromkeys(SHAPES, 1.0)
    step = IDIOMS["static"](generator(0), scale, 1)[0]
    calm = [strain(dress(generator(seed), step, scale, shapes, -1.0).tones) for seed in range(60)]
    harsh = [strain(dress(generator(seed), step, scale, shapes, 0.5).tones) for seed in range(60)]
    assert np.mean(harsh) > np.mean(calm) + 0.4


@settings(max_examples=80)
@given(SCALES, SEEDS, st.integers(2, 5), st.integers(36, 60))
def test_voicings_stay_in_range_and_never_cross(scale: Scale, seed: int, voices: int, low: int) -> None:
    rng = generator(seed)
    voicing: tuple[int, ...] = ()
    for step in IDIOMS["drift"](rng, scale, 6):
        chord = dress(rng, step, scale, {"triad": 1.0, "seventh": 1.0}, -0.5)
        voicing = lead(voicing, chord.tones, voices, low, low + 24)
        assert all(lower < upper for lower, upper in pairwise(voicing))
        assert all(low <= pitch <= low + 24 and pitch % 12 in chord.tones for pitch in voicing)


def test_voices_move_little_and_seldom_in_parallel() -> None:
    motions, parallels, changes = [], 0, 0
    for seed in range(60):
        rng = generator(seed)
        scale = Scale(seed % 12, MODES["aeolian"])
        voicing: tuple[int, ...] = ()
        for step in IDIOMS["turn"](rng, scale, 8):
            after = lead(voicing, dress(rng, step, scale, {"triad": 1.0}, -0.7).tones, 4, 46, 70)
            if voicing and len(after) == len(voicing):
                moves = [upper - lower for lower, upper in zip(voicing, after, strict=True)]
                motions.append(np.mean(np.abs(moves)))
                outer = after[-1] - after[0]
                parallels += moves[0] == moves[-1] != 0 and outer % 12 in {0, 7}
                changes += 1
            voicing = after
    assert np.mean(motions) < 2.2  # semitones a voice; root-position block chords would move by 4 and more
    assert parallels < 0.05 * changes


@given(SEEDS, st.sampled_from(tuple(METERS.values())), st.floats(0.0, 1.0))
def test_divisions_fill_their_span(seed: int, meter_of: object, liveliness: float) -> None:
    rng = generator(seed)
    for meter in METERS.values():
        assert sum(divide(rng, meter.bar_steps, liveliness)) == meter.bar_steps
    assert meter_of in METERS.values()


@given(st.integers(1, 16), st.integers(0, 15), st.integers(0, 40))
def test_euclidean_patterns_spread_evenly(slots: int, onsets: int, turn: int) -> None:
    onsets = min(onsets, slots)
    pattern = euclid(onsets, slots, turn)
    assert len(pattern) == slots
    assert sum(pattern) == onsets
    places = [index for index, struck in enumerate(pattern) if struck]
    gaps = {(after - before) % slots or slots for before, after in zip(places, places[1:] + places[:1], strict=True)}
    assert not gaps or max(gaps) - min(gaps) <= 1


MOTIVE = (Cell(0, 12), Cell(2, 6), Cell(1, 6), Cell(None, 12), Cell(4, 12))


def test_transformations_of_a_motive() -> None:
    degrees = [cell.degree for cell in motives.inverted(MOTIVE)]
    assert degrees == [0, -2, -1, None, -4]
    assert motives.inverted(motives.inverted(MOTIVE)) == MOTIVE
    assert motives.transposed(motives.transposed(MOTIVE, 3), -3) == MOTIVE
    assert motives.retrograde(motives.retrograde(MOTIVE)) == MOTIVE
    assert motives.steps_of(motives.augmented(MOTIVE)) == 2 * motives.steps_of(MOTIVE)
    assert motives.fragment(MOTIVE, 2) == (Cell(0, 12), Cell(2, 6), Cell(None, 30))


@settings(max_examples=60)
@given(SEEDS, st.sampled_from(sorted(METERS)), st.floats(0.1, 0.9))
def test_every_treatment_keeps_the_length_of_the_elements(seed: int, meter_name: str, liveliness: float) -> None:
    rng = generator(seed)
    contours = dict.fromkeys(motives.CONTOURS, 1.0)
    theme = themes.compose_theme(rng, METERS[meter_name], (liveliness, liveliness), contours, 0.3)
    assert len(theme.motive) >= 2
    treatments: tuple[themes.Treatment, ...] = (
        "none", "hint", "state", "vary", "develop", "augment", "second", "climax", "recall",
    )  # fmt: skip
    for treatment in treatments:
        for element in themes.treat(rng, theme, treatment):
            assert motives.steps_of(element) == theme.element_steps, treatment


def test_a_theme_comes_back() -> None:
    contours = dict.fromkeys(motives.CONTOURS, 1.0)
    for seed in range(20):
        theme = themes.compose_theme(generator(seed), METERS["4/4"], (0.4, 0.6), contours, 0.0)
        assert theme.motive in theme.elements


def test_tension_runs_from_point_to_point() -> None:
    arc = Arc(((0, 0.0), (100, 1.0), (200, 0.5)))
    assert [arc.at(step) for step in (0, 50, 100, 200, 999)] == pytest.approx([0.0, 0.5, 1.0, 0.5, 0.5])


def test_nearest_prefers_the_wanted_side() -> None:
    assert nearest(61, (0, 2), toward=1) == 62
    assert nearest(61, (0, 2), toward=-1) == 60
    with pytest.raises(ValueError, match="pitch class"):
        nearest(60, ())
