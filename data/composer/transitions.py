"""What leads into a new section: a run up the scale, a tremolo, a swell, or a stroke on the new downbeat."""

from __future__ import annotations

import numpy as np

from data.composer.chance import between, pick, weighed
from data.composer.stage import Stage
from data.composer.theory import fit_octave, nearest
from data.score import Part

_KINDS = {
    Part.PLUCK: {"run": 3.0, "stroke": 1.0},
    Part.STRINGS: {"run": 1.0, "tremolo": 2.0, "swell": 1.0},
    Part.TEXTURE: {"swell": 2.0, "stroke": 1.0},
    Part.BELL: {"run": 1.0, "stroke": 2.0},
    Part.CHOIR: {"swell": 1.0},
    Part.KEYS: {"run": 1.0, "stroke": 1.0},
}


class Transition:
    """One kind of lead-in on one part, used whenever the next section is at least as tense as the end of this one."""

    def __init__(self, rng: np.random.Generator, part: Part, low: int, high: int) -> None:
        self.part, self.low, self.high = part, low, high
        self.kind = weighed(rng, _KINDS[part])
        self.length_steps = pick(rng, (24, 24, 36, 48))
        self.tick_steps = pick(rng, (3, 3, 4, 6))
        self.loudness = between(rng, 0.75, 0.9)

    def write(self, stage: Stage) -> None:
        """Write the end of this section, or the first stroke of the next."""
        start, end = stage.end - self.length_steps, stage.end
        if end > stage.frame.arc.points[-1][0]:
            return  # nothing leads into the ending
        if start < stage.start or stage.tension(end) < stage.tension(end - 1) - 0.02:
            return
        target = nearest(self.high - 4, (stage.chord(end - 1).bass, stage.scale.tonic))
        match self.kind:
            case "run":
                self._run(stage, start, end, target)
            case "tremolo":
                pitch = fit_octave(target - 12, self.low, self.high)
                for index, step in enumerate(range(start, end, self.tick_steps)):
                    growth = 0.5 + 0.5 * index * self.tick_steps / self.length_steps
                    stage.draft.add(
                        self.part, step, pitch, self.tick_steps, stage.velocity(step, self.loudness * growth)
                    )
            case "swell":
                third = self.length_steps // 3
                for index in range(3):
                    step = start + third * index
                    velocity = stage.velocity(step, self.loudness * (0.5 + 0.25 * index))
                    for pitch in sorted({target, nearest(target - 6, stage.chord(step).tones)}):
                        stage.draft.add(self.part, step, pitch, third, velocity)
            case "stroke":
                for pitch in sorted({target, nearest(target - 12, stage.chord(end - 1).tones)}):
                    stage.draft.add(self.part, end, pitch, 48, stage.velocity(end, self.loudness))

    def _run(self, stage: Stage, start: int, end: int, target: int) -> None:
        count = self.length_steps // self.tick_steps
        scale = stage.chord(end - 1).scale
        pitches = [target]
        while len(pitches) < count:
            pitches.append(nearest(pitches[-1] - 2, scale))
        for index, pitch in enumerate(reversed(pitches)):
            step = start + index * self.tick_steps
            growth = 0.55 + 0.45 * index / count
            length = min(2 * self.tick_steps, end - step)
            in_range = fit_octave(pitch, self.low - 5, self.high)
            stage.draft.add(self.part, step, in_range, length, stage.velocity(step, self.loudness * growth))
