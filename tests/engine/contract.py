"""What every Engine promises. A suite inherits `EngineContract` and gives it an `engine` fixture."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
import soundfile
from symusic import Score as ReadScore

from data.moods import Mood
from data.opening import last_notes
from engine.errors import EngineClosed
from engine.types import ComposeRequest, Engine, Progress, Stage


class EngineContract:
    @pytest.fixture
    def request_(self) -> ComposeRequest:
        return ComposeRequest(mood=Mood.AMBIENT, length_notes=24, seed=3, tempo_bpm=180)

    async def test_a_piece_is_what_was_asked_for(self, engine: Engine, request_: ComposeRequest) -> None:
        piece = await engine.compose(request_)
        assert piece.request is request_
        assert len(piece.score.notes) == request_.length_notes
        assert piece.score.tempo_bpm == 180
        assert sum(len(track.notes) for track in ReadScore.from_midi(piece.midi).tracks) == request_.length_notes
        (signature,) = ReadScore.from_midi(piece.midi).key_signatures  # sharps in circle of fifths, and whether minor
        assert (7 * signature.key + 9 * signature.tonality) % 12 == piece.key.tonic
        assert bool(signature.tonality) == (piece.key.mode == "minor")
        sound = soundfile.info(piece.wav)
        assert sound.duration == pytest.approx(piece.duration_s, abs=0.1)
        assert sound.duration >= piece.score.duration_s - 0.1
        assert piece.roll_png.startswith(b"\x89PNG")
        assert piece.title

    async def test_the_same_request_is_the_same_piece(self, engine: Engine, request_: ComposeRequest) -> None:
        first, second = await engine.compose(request_), await engine.compose(request_)
        assert first.midi == second.midi
        assert first.score == second.score
        assert (first.title, first.key, first.checkpoint_id) == (second.title, second.key, second.checkpoint_id)

    async def test_a_piece_begins_with_its_opening(self, engine: Engine, request_: ComposeRequest) -> None:
        parent = await engine.compose(request_)
        request = ComposeRequest(
            mood=Mood.AMBIENT,
            length_notes=40,
            seed=9,
            tempo_bpm=180,
            key=parent.key,
            opening=last_notes(parent.score, parent.key, 24),
        )
        piece = await engine.compose(request)
        assert len(piece.score.notes) == 40
        assert piece.key == parent.key
        given, kept = parent.score.notes, piece.score.notes[:24]
        # A note that still sounds is cut short where the continuation strikes its pitch again.
        struck = {(note.part, note.pitch): note.start_step for note in reversed(piece.score.notes[24:])}
        for before, after in zip(given, kept, strict=True):
            end_step = min(before.end_step, struck.get((before.part, before.pitch), before.end_step))
            assert after == dataclasses.replace(before, duration_steps=end_step - before.start_step)
        other = await engine.compose(dataclasses.replace(request, seed=10, id="anther22"))
        assert other.score.notes[24:] != piece.score.notes[24:]
        assert (await engine.compose(request)).midi == piece.midi

    async def test_progress_goes_from_notes_to_sound(self, engine: Engine, request_: ComposeRequest) -> None:
        seen: list[Progress] = []
        await engine.compose(request_, seen.append)
        await asyncio.sleep(0)
        stages = [progress.stage for progress in seen if progress.stage is not Stage.QUEUED]
        assert stages == sorted(stages, key=list(Stage).index)
        assert {Stage.SAMPLING, Stage.RENDERING} <= set(stages)
        for stage in (Stage.SAMPLING, Stage.RENDERING):
            done = [progress.done for progress in seen if progress.stage is stage]
            assert done == sorted(done)

    async def test_a_cancelled_piece_leaves_nothing_and_the_engine_goes_on(
        self, engine: Engine, request_: ComposeRequest
    ) -> None:
        started = asyncio.Event()
        task = asyncio.create_task(engine.compose(ComposeRequest(length_notes=2000, seed=1), lambda _: started.set()))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len((await engine.compose(request_)).score.notes) == 24

    async def test_a_closed_engine_takes_nothing_more(self, engine: Engine, request_: ComposeRequest) -> None:
        await engine.aclose()
        await engine.aclose()
        with pytest.raises(EngineClosed):
            await engine.compose(request_)
