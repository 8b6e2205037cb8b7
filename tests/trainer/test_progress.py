"""The curves, read back from the files that TensorBoard reads."""

from __future__ import annotations

import dataclasses
import io
import json
import struct
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import masked_crc32c

from engine.errors import StorageProblem
from tests.trainer.test_loop import CPU, SMALL, TRAIN, VALID
from trainer.loop import Report, Run
from trainer.progress import EventLog, JsonProgress

Points = dict[str, list[tuple[int, float]]]  # (notes, value) of each curve

REPORT = Report(
    epoch=1,
    epochs=2,
    notes=100,
    total_notes=1000,
    train_nats=8.0,
    valid_nats=None,
    best_nats=None,
    notes_per_s=50.0,
    learning_rate=0.01,
)


def events(file: Path) -> list[Event]:
    """TFRecords (https://www.tensorflow.org/tutorials/load_data/tfrecord): length, its checksum, data, its checksum."""
    stream, found = io.BytesIO(file.read_bytes()), []
    while header := stream.read(8):
        assert struct.unpack("<I", stream.read(4))[0] == masked_crc32c(header)
        data = stream.read(struct.unpack("<Q", header)[0])
        assert struct.unpack("<I", stream.read(4))[0] == masked_crc32c(data)
        found.append(Event.FromString(data))
    return found


def curves(folder: Path) -> Points:
    """What TensorBoard shows: a start makes it forget what older files have from that step on."""
    found: Points = {}
    for file in sorted(folder.iterdir()):
        for event in events(file):
            if event.session_log.status == SessionLog.START:
                found = {tag: [point for point in points if point[0] < event.step] for tag, points in found.items()}
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def test_a_run_draws_its_losses_its_rate_and_its_speed(tmp_path: Path) -> None:
    reports: list[Report] = []
    with EventLog(tmp_path / "curves") as log:

        def report(now: Report) -> None:
            log(now)
            reports.append(now)

        Run(SMALL, tmp_path, CPU).train(TRAIN, VALID, report)
    shown = curves(tmp_path / "curves")
    valid = [(now.notes_in_all, now.valid_nats) for now in reports if now.valid_nats is not None]
    assert [notes for notes, _ in shown["nats per note/valid"]] == [notes for notes, _ in valid]
    assert [nats for _, nats in shown["nats per note/valid"]] == pytest.approx([nats for _, nats in valid], rel=1e-6)
    assert len(shown["nats per note/train, epoch"]) == SMALL.epochs
    assert all(rate == pytest.approx(SMALL.learning_rate) for _, rate in shown["learning rate"])
    assert all(speed > 0 for _, speed in shown["notes per second"])
    assert len(shown["nats per note/train"]) == len(reports) - SMALL.epochs


def test_the_curve_of_the_loss_is_of_the_notes_since_the_point_before(tmp_path: Path) -> None:
    with EventLog(tmp_path) as log:
        log(REPORT)
        log(dataclasses.replace(REPORT, notes=300, train_nats=6.0))  # 8 nats for 100 notes, 5 for 200
    assert curves(tmp_path)["nats per note/train"] == [(100, 8.0), (300, 5.0)]


def test_a_resumed_run_goes_on_with_the_same_curves(tmp_path: Path) -> None:
    with EventLog(tmp_path) as log:
        for notes in (100, 200, 300):
            log(dataclasses.replace(REPORT, notes=notes, train_nats=8.0))
    with EventLog(tmp_path) as log:
        for notes in (200, 300, 400):
            log(dataclasses.replace(REPORT, notes=notes, train_nats=7.0))
    assert [notes for notes, _ in curves(tmp_path)["learning rate"]] == [100, 200, 300, 400]
    assert dict(curves(tmp_path)["nats per note/train"])[300] == pytest.approx(7.0)


def test_curves_that_cannot_be_written_stop_with_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageProblem, match="curves"), EventLog(tmp_path / "file") as log:
        log(REPORT)


def test_programs_get_a_json_object_a_line() -> None:
    stream = io.StringIO()
    with JsonProgress(stream) as progress:
        progress(REPORT)
    assert json.loads(stream.getvalue()) == {"event": "progress"} | dataclasses.asdict(REPORT)
