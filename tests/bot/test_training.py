import asyncio
import fcntl
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.errors import NotFound
from bot.training import Training
from bot.training_run import TrainingRun, is_locked
from engine.errors import Busy, InvalidRequest, SetupProblem, StorageProblem
from engine.types import ComposeRequest
from tests.bot.conftest import ADA, BEN, House

# In the place of the trainer: says and makes what it does, in an instant, and stops where a file tells it to.
TRAINER = """
import json, pathlib, signal, sys, time
arguments = sys.argv[1:]
here = pathlib.Path(__file__).parent
out = pathlib.Path(arguments[arguments.index("--out") + 1]) if "--out" in arguments else None
signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
with (here / "calls").open("a") as calls:
    calls.write(" ".join(arguments) + "\\n")
if "data" in arguments:
    given = sorted(pathlib.Path(arguments[arguments.index("add") + 1]).iterdir())
    (here / "given.mid").write_bytes(b"".join(path.read_bytes() for path in given))
if "trainer" in arguments:
    for epoch in (1, 2):
        for notes, valid in ((500, None), (1000, 5.5 - epoch)):
            print(json.dumps({"event": "progress", "epoch": epoch, "epochs": 2, "notes": notes, "total_notes": 1000,
                              "train_nats": 6.0 - epoch, "valid_nats": valid, "best_nats": valid,
                              "notes_per_s": 100.0}), flush=True)
            while (here / "wait").exists() and epoch == 1 and notes == 1000:
                time.sleep(0.01)
    if (here / "fail").exists():
        sys.exit("The loss is not a number; try another seed.")
    out.mkdir(parents=True)
    (out / "model.json").write_text("{}")
elif "trainer.evaluation" in arguments:
    if (here / "fail to evaluate").exists():
        sys.exit("There is no held-out music.")
    out.mkdir(parents=True)
    row = lambda own, current, shuffle=False: {"human": {}, "systems": {
        "own": {"inside": own}, "v1-vvvvvvvv": {"inside": current}, "shuffle": {"inside": shuffle}}}
    (out / "report.json").write_text(json.dumps({
        "checkpoint": "own",
        "nats_per_note": {"valid": {"own": 3.5, "v1-vvvvvvvv": 4.5, "5-gram": 5.0}},
        "measures": [row(True, True), row(False, True), row(False, False, True), {"systems": {"own": {"error": 1}}}],
        "originality": {"served": {"copied_share_p95": 0.05}, "held_out_human": {"copied_share_p95": 0.12}},
        "verdicts": {"held out": True, "endings": False},
    }))
"""

REPORT = (Path(__file__).parents[2] / "docs/evaluation/v2/report.json").read_text(encoding="utf-8")


class Bench:
    def __init__(self, house: House) -> None:
        self.house = house
        self.folder = house.folder
        (self.folder / "trainer.py").write_text(TRAINER)
        (self.folder / "corpus").mkdir()
        (self.folder / "wait").touch()
        self.open()

    def open(self) -> None:
        """As a bot that has just started has it."""
        self.training = Training(
            self.house.history,
            folder=self.folder / "training",
            checkpoints_dir=self.folder / "checkpoints",
            corpus=self.folder / "corpus",
            pieces_dir=self.house.pieces_dir,
            python=(sys.executable, str(self.folder / "trainer.py")),
        )

    async def start(self, *, favourites: bool = False) -> TrainingRun:
        return await self.training.start(ADA, epochs=2, current=Path("engine/checkpoints/v1"), favourites=favourites)

    async def until(self, condition: Callable[[TrainingRun], bool]) -> TrainingRun:
        async with asyncio.timeout(20):
            while True:
                run = await self.training.latest()
                if run is not None and condition(run):
                    return run
                await asyncio.sleep(0.02)

    def go_on(self) -> None:
        (self.folder / "wait").unlink()

    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()


@pytest.fixture
async def bench(house: House) -> Bench:
    return Bench(house)


async def test_a_retraining_is_watched_to_its_candidate_and_the_verdicts(bench: Bench) -> None:
    assert await bench.training.latest() is None
    begun, refused = await asyncio.gather(bench.start(), bench.start(), return_exceptions=True)
    assert isinstance(begun, TrainingRun)
    assert begun.state == "running"
    assert isinstance(refused, Busy)
    run = await bench.until(lambda run: run.share == 0.5)
    assert (run.state, run.epoch, run.epochs) == ("running", 1, 2)
    assert (run.train_nats, run.valid_nats, run.remaining_s) == (5.0, 4.5, 10.0)
    with pytest.raises(Busy, match="running already"):
        await bench.start()
    bench.go_on()
    run = await bench.until(lambda run: run.state != "running")
    assert (run.state, run.valid_nats, run.share) == ("finished", 3.5, 1.0)
    assert (run.checkpoint / "model.json").exists()
    assert run.verdicts == {"held out": True, "endings": False}
    assert run.comparison is not None
    assert (run.comparison.current, run.comparison.nats) == ("v1-vvvvvvvv", (3.5, 4.5))
    assert (run.comparison.inside, run.comparison.telling) == ((1, 2), 2)
    assert run.comparison.copied_share == (0.05, 0.12)
    train, evaluate = bench.calls()
    assert "--epochs 2" in train
    assert f"{run.checkpoint} --beside engine/checkpoints/v1" in evaluate
    assert [entry.action for entry in await bench.house.studio.servers.audit(None)] == ["retrain"]


async def test_a_failure_is_told_with_the_trainers_own_sentence(bench: Bench) -> None:
    (bench.folder / "fail").touch()
    bench.go_on()
    await bench.start()
    run = await bench.until(lambda run: run.state != "running")
    assert (run.state, run.sentence) == ("failed", "The loss is not a number; try another seed.")
    assert not run.checkpoint.exists()


async def test_a_candidate_that_could_not_be_evaluated_is_one_all_the_same(bench: Bench) -> None:
    (bench.folder / "fail to evaluate").touch()
    bench.go_on()
    await bench.start()
    run = await bench.until(lambda run: run.state != "running")
    assert (run.state, run.verdicts, run.comparison) == ("finished", {}, None)
    assert (run.checkpoint / "model.json").exists()
    with (bench.folder / "training" / run.id / "lock").open() as another:
        fcntl.flock(another, fcntl.LOCK_SH)  # who looks at the same time
        assert not is_locked(bench.folder / "training" / run.id)


async def test_it_can_be_cancelled(bench: Bench) -> None:
    await bench.start()
    await bench.until(lambda run: run.share == 0.5)
    async with asyncio.timeout(20):  # its step obeys, and need not be killed
        assert (await bench.training.cancel(BEN)).state == "cancelled"
    with pytest.raises(NotFound):
        await bench.training.cancel(BEN)
    assert (await bench.training.recover()) == await bench.training.latest()
    assert len(bench.calls()) == 1


async def test_cancelled_before_it_has_begun_it_stays_cancelled(bench: Bench) -> None:
    await bench.start()
    assert (await bench.training.cancel(BEN)).state == "cancelled"
    recovered = await bench.training.recover()
    assert recovered is not None
    assert recovered.state == "cancelled"


async def test_it_goes_on_while_the_bot_restarts(bench: Bench) -> None:
    await bench.start()
    await bench.until(lambda run: run.share == 0.5)
    bench.open()
    recovered = await bench.training.recover()
    assert recovered is not None
    assert recovered.state == "running"
    with pytest.raises(Busy):
        await bench.start()
    bench.go_on()
    assert (await bench.until(lambda run: run.state != "running")).state == "finished"
    assert len(bench.calls()) == 2


async def test_one_that_went_down_with_the_machine_is_resumed(bench: Bench) -> None:
    run = await bench.start()
    await bench.until(lambda run: run.share == 0.5)
    os.kill(int((bench.folder / "training" / run.id / "pid").read_text()), signal.SIGKILL)
    assert (await bench.training.recover() or run).state == "running"  # its step lives on and holds the lock
    bench.go_on()
    await bench.until(lambda run: run.state == "interrupted")
    bench.open()
    assert (await bench.training.recover() or run).state == "running"
    assert (await bench.until(lambda run: run.state != "running")).state == "finished"
    assert [call.split()[1] for call in bench.calls()] == ["trainer", "trainer.evaluation"]  # what was made is kept


async def test_training_that_was_not_finished_is_started_again_with_resume(bench: Bench) -> None:
    run = await bench.start()
    await bench.until(lambda run: run.share == 0.5)
    (bench.folder / "fail").touch()  # the orphan makes nothing
    os.kill(int((bench.folder / "training" / run.id / "pid").read_text()), signal.SIGKILL)
    bench.go_on()
    await bench.until(lambda run: run.state == "interrupted")
    (bench.folder / "fail").unlink()
    await bench.training.recover()
    assert (await bench.until(lambda run: run.state != "running")).state == "finished"
    assert bench.calls()[1].endswith("--resume")


async def test_favourites_of_those_who_consented_are_learnt_too_and_not_kept(bench: Bench) -> None:
    studio = bench.house.studio
    piece = await studio.compose(ComposeRequest(length_notes=16), ADA)
    other = await studio.compose(ComposeRequest(length_notes=16), BEN)
    lost = await studio.compose(ComposeRequest(length_notes=16), ADA)
    lost.midi.unlink()
    for each, who in ((piece, ADA), (other, BEN), (lost, ADA)):
        await studio.library.set_favourite(each.record, who)
    await studio.privacy.set_training_consent(ADA, given=True)
    run = await bench.start(favourites=True)
    folder = bench.folder / "training" / run.id
    assert [path.name for path in (folder / "favourites").iterdir()] == [piece.midi.name]
    bench.go_on()
    await bench.until(lambda run: run.state == "finished")
    async with asyncio.timeout(5):
        while any((folder / name).exists() for name in ("favourites", "corpus")):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)
    assert "Ada" not in (folder / "job.json").read_text()
    add, train, _ = bench.calls()
    assert "data add" in add
    assert "--licence CC0-1.0" in add
    assert f"--corpus {folder / 'corpus'}" in add
    assert f"--corpus {folder / 'corpus'}" in train
    assert not any((bench.folder / "corpus").iterdir())


async def test_what_cannot_be_started_is_told_in_one_sentence(bench: Bench) -> None:
    current = Path("engine/checkpoints/v1")
    with pytest.raises(InvalidRequest, match="v1 or v2"):
        await bench.training.start(ADA, preset="v9", current=current)
    with pytest.raises(InvalidRequest, match="1 to 200"):
        await bench.training.start(ADA, epochs=0, current=current)
    (bench.folder / "corpus").rmdir()
    with pytest.raises(SetupProblem, match="There is no corpus"):
        await bench.start()
    assert await bench.training.latest() is None


async def test_half_a_line_of_progress_is_passed_over(bench: Bench) -> None:
    run = await bench.start()
    bench.go_on()
    await bench.until(lambda run: run.state == "finished")
    with (bench.folder / "training" / run.id / "progress.jsonl").open("a") as progress:
        progress.write(json.dumps({"event": "progress"})[:-4])
    assert (await bench.training.latest() or run).share == 1.0


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"checkpoint": "own", "nats_per_note": [], "measures": [{}]}'])
async def test_an_evaluation_that_says_little_has_no_figures(bench: Bench, text: str) -> None:
    run = await bench.start()
    bench.go_on()
    await bench.until(lambda run: run.state == "finished")
    (bench.folder / "training" / run.id / "evaluation" / "report.json").write_text(text)
    run = await bench.training.get(run.id)
    assert (run.state, run.verdicts, run.comparison) == ("finished", {}, None)


async def test_the_report_of_a_real_evaluation_is_understood(bench: Bench) -> None:
    run = await bench.start()
    bench.go_on()
    await bench.until(lambda run: run.state == "finished")
    (bench.folder / "training" / run.id / "evaluation" / "report.json").write_text(REPORT)
    found = (await bench.training.get(run.id)).comparison
    assert found is not None
    assert found.current.startswith("v1-")
    assert found.nats[0] < found.nats[1]
    assert found.inside[0] == found.telling > 0


async def test_what_the_import_took_and_refused_is_told(bench: Bench) -> None:
    run = await bench.start()
    bench.go_on()
    await bench.until(lambda run: run.state == "finished")
    said = {"accepted": 2, "known": 1, "quarantined": [{"file": "upload-3.mid", "reason": "too few notes"}]}
    with (bench.folder / "training" / run.id / "progress.jsonl").open("a") as progress:
        progress.write(json.dumps(said) + "\n")
    run = await bench.training.get(run.id)
    assert (run.imported, run.refused) == (3, ("upload-3.mid: too few notes",))


async def test_a_step_whose_job_was_killed_can_be_cancelled(bench: Bench) -> None:
    run = await bench.start()
    await bench.until(lambda run: run.share == 0.5)
    os.kill(int((bench.folder / "training" / run.id / "pid").read_text()), signal.SIGKILL)
    async with asyncio.timeout(5):
        while True:  # until this process, whose child it was, has taken note of its end
            try:
                os.kill(int((bench.folder / "training" / run.id / "pid").read_text()), 0)
            except ProcessLookupError:
                break
            await asyncio.sleep(0.02)
    assert (await bench.training.cancel(ADA)).state == "cancelled"


async def test_a_damaged_record_of_a_run_hides_no_other(bench: Bench) -> None:
    run = await bench.start()
    bench.go_on()
    await bench.until(lambda run: run.state == "finished")
    for name in ("20990101-000000", "20200101-000000"):
        (bench.folder / "training" / name).mkdir()
        (bench.folder / "training" / name / "job.json").write_text("")
    found = await bench.training.recover()
    assert found is not None
    assert found.id == run.id


async def test_nothing_is_kept_of_a_run_that_could_not_begin(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bot.training._copy", full)
    with pytest.raises(StorageProblem, match="No space left"):
        await bench.start(favourites=True)
    assert not any((bench.folder / "training").iterdir())


async def test_an_interrupted_run_keeps_its_music_until_another_has_followed_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await bench.start(favourites=True)
    await bench.until(lambda run: run.share == 0.5)
    folder = bench.folder / "training" / run.id
    os.killpg(int((folder / "pid").read_text()), signal.SIGKILL)
    await bench.until(lambda run: run.state == "interrupted")
    with monkeypatch.context() as patch:
        resumed: list[bool] = []
        patch.setattr("bot.training._spawn", lambda run, _: resumed.append((run / "corpus").exists()))
        await bench.training.recover()
        assert resumed == [True]
    bench.house.later(seconds=5)
    bench.go_on()
    await bench.start()
    await bench.until(lambda run: run.state == "finished")
    assert (folder / "corpus").exists()
    await bench.training.recover()
    assert not (folder / "corpus").exists()
