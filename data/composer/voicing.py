"""Voice leading: which pitches sound a chord, given those that sounded the last one."""

from __future__ import annotations

from functools import lru_cache

from data.composer.theory import fit_octave

_BEAM = 10  # partial voicings kept per voice; 200 would change 0.5 % of the voicings, 5 would change 5 %
_LOW_INTERVAL_LIMIT = 48  # below C3 close intervals are muddy (arranging textbooks' "low interval limits")


@lru_cache(maxsize=65536)
def lead(
    previous: tuple[int, ...], tones: tuple[int, ...], voices: int, low: int, high: int, spread: int = 5
) -> tuple[int, ...]:
    """The smoothest voicing of a chord.

    Each voice prefers to stay or move by step; all tones should sound, the important ones first; outer voices avoid
    moving in parallel fifths and octaves; small intervals stay out of the low register.

    Args:
        previous: the last voicing, ascending, or empty at the start of a phrase.
        tones: pitch classes in order of importance, one at least.
        voices: how many notes, 1-6.
        low: lowest MIDI pitch.
        high: highest MIDI pitch, at least an octave above `low`.
        spread: wanted semitones between neighbouring voices when there is no previous voicing.

    Returns:
        [voices] ascending pitches in [low, high]; fewer where so many do not fit.
    """
    if len(previous) != voices:
        centre = sum(previous) / len(previous) if previous else (low + high) / 2
        anchors = [round(centre + (index - (voices - 1) / 2) * spread) for index in range(voices)]
        anchors = [max(low, min(high, anchor)) for anchor in anchors]
        free = True
    else:
        anchors = list(previous)
        free = False
    beam: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    for index, anchor in enumerate(anchors):
        candidates = [
            pitch
            for pitch in range(max(low, anchor - 7), min(high, anchor + 7) + 1)
            if pitch % 12 in tones
        ]  # fmt: skip
        grown = []
        for cost, voicing in beam:
            for pitch in candidates:
                if voicing and pitch <= voicing[-1]:
                    continue
                extra = _motion_cost(pitch - anchor, free) + _spacing_cost(voicing, pitch)
                if pitch % 12 in {other % 12 for other in voicing}:
                    extra += 2.5  # a doubling is worth less than a new tone
                if not free and index == voices - 1 and voicing:
                    extra += _parallel_cost((previous[0], previous[-1]), (voicing[0], pitch))
                grown.append((cost + extra, (*voicing, pitch)))
        if grown:
            grown.sort()
            beam = grown[:_BEAM]
    missing = [(cost + _missing_cost(voicing, tones), voicing) for cost, voicing in beam if voicing]
    if not missing:
        return (fit_octave(tones[0] + 12 * (low // 12 + 1), low, high),)
    return min(missing)[1]


def _motion_cost(semitones: int, free: bool) -> float:
    distance = abs(semitones)
    if free:
        return 0.3 * distance
    return (0.0, 0.5, 0.7, 1.4, 1.9, 3.0, 4.2, 5.5)[min(distance, 7)]


def _spacing_cost(voicing: tuple[int, ...], pitch: int) -> float:
    if not voicing:
        return 0.0
    gap = pitch - voicing[-1]
    cost = 1.5 if gap == 1 else 0.0
    if gap < 7 and pitch < _LOW_INTERVAL_LIMIT:
        cost += 0.6 * (7 - gap)
    if gap > 12:
        cost += 0.7 * (gap - 12)
    return cost


def _parallel_cost(before: tuple[int, int], after: tuple[int, int]) -> float:
    """Consecutive perfect fifths or octaves between the outer voices, both moving the same way."""
    interval = (after[1] - after[0]) % 12
    moves = after[0] - before[0], after[1] - before[1]
    same = interval == (before[1] - before[0]) % 12 and interval in {0, 7}
    return 3.0 if same and moves[0] * moves[1] > 0 else 0.0


def _missing_cost(voicing: tuple[int, ...], tones: tuple[int, ...]) -> float:
    sounding = {pitch % 12 for pitch in voicing}
    wanted = tones[: len(voicing)]
    return sum(4.0 - 0.5 * index for index, tone in enumerate(wanted) if tone not in sounding)
