from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from data.composer.corpus import SOURCE
from data.composer.piece import compose_piece
from data.controls import CONTROLS, NOT_TOLD
from data.corpus import Piece
from data.listener import Listener, features
from data.moods import MOODS, Mood
from data.score import Note, Part, Score
from data.tokens import DELTA, DURATION
from engine.checkpoint import Checkpoint
from engine.local import LocalEngine
from engine.model import NoteLSTM
from engine.model_config import ModelConfig
from engine.originality import Index, Source, all_runs
from engine.plan import Style, plan
from engine.render import Renderer
from engine.takes import TAKES
from trainer.baselines import NGram
from trainer.cache import held_out_nats
from trainer.dataset import to_example
from trainer.evaluation import plots, report, study
from trainer.evaluation.__main__ import main, write
from trainer.evaluation.answers import compare_measures, listen_for_moods, score_held_out
from trainer.evaluation.bleu import bleu, self_bleu, words
from trainer.evaluation.moods import affect, recognition
from trainer.evaluation.spectrum import MEL_BANDS, distance_db, log_mel, mel_filters
from trainer.evaluation.study import Options
from trainer.evaluation.systems import Served, ngram_pieces, requests, serve
from trainer.originality import build_index, leave_one_author_out

OWN = [compose_piece(seed, mood) for mood in MOODS for seed in range(3)]


def piece(number: int, composer: str, source: str = "folk") -> Piece:
    own = OWN[number % len(OWN)]
    return Piece(
        sha256=f"{number:064x}", title=f"title {number}", composer=composer, source=source, licence="CC0-1.0",
        credit="", mood=own.mood, score=own.score,
    )  # fmt: skip


def test_an_index_names_its_pieces_and_takes_the_usual_percentile_where_pieces_are_few() -> None:
    index = build_index([piece(0, "Ada"), piece(1, "Anonymous"), piece(2, "program", SOURCE)])
    assert [source.title for source in index.sources] == ["title 0 by Ada (folk)", "title 1 (folk)", "title 2 (own)"]
    assert len({source.author for source in index.sources}) == 3
    assert index.human_p95 == pytest.approx(0.062)


def test_the_human_percentile_compares_pieces_with_those_of_other_authors() -> None:
    # Each tune stands in the index twice, by one author: to that author's own music nothing is compared.
    pieces = [piece(n % 20, f"author {n % 20}") for n in range(40)]
    index = build_index(pieces)
    assert index.human_p95 < 0.2
    assert all(found.copied_share < 0.3 for found in leave_one_author_out(index, pieces))
    assert index.check(pieces[3].score).copied_share == 1.0


def test_bleu_knows_transposed_copies_and_tells_strangers_apart() -> None:
    first, other = OWN[0].score, OWN[12].score
    moved = Score(tuple(Note(n.start_step, n.part, n.pitch + 1, n.duration_steps, n.velocity) for n in first.notes), 80)
    assert words(moved) == words(first)
    assert bleu(moved, [first]) == pytest.approx(1.0)
    assert bleu(other, [first]) < 0.3
    twins = self_bleu([first, moved, other])
    assert twins[0] == pytest.approx(1.0)
    assert twins[2] < 0.3


def test_a_listener_recognises_the_composers_moods_and_shuffled_labels_do_not() -> None:
    rows, moods = np.array([features(own.score) for own in OWN]), [own.mood for own in OWN]
    listener = Listener.fit(rows, moods)
    result = recognition(moods, listener.hear(rows), np.random.default_rng(1))
    assert result["accuracy"] > 0.8
    assert result["shuffled_mean"] == pytest.approx(1 / 8, abs=0.03)
    assert sum(map(sum, result["confusion"])) == len(OWN)
    assert result["shuffled_mean"] + 0.05 < result["shuffled_p99"] < 0.5
    heard = recognition([Mood.DARK] * 3, [Mood.EPIC] * 3, np.random.default_rng(1))["confusion"]
    assert heard[MOODS.index(Mood.DARK)][MOODS.index(Mood.EPIC)] == 3  # rows asked, columns heard


def test_valence_and_arousal_of_the_composers_moods_move_the_right_way() -> None:
    found = affect([own.mood for own in OWN], [own.score for own in OWN])
    assert found["valence"]["probability_high_above_low"] > 0.7
    assert found["arousal"]["probability_high_above_low"] > 0.7
    backwards = affect([own.mood for own in reversed(OWN)], [own.score for own in OWN])
    assert backwards["valence"]["probability_high_above_low"] < found["valence"]["probability_high_above_low"]


def test_a_short_piece_counts_for_the_one_excerpt_that_is_learnt_from_it() -> None:
    torch.manual_seed(1)
    model = NoteLSTM(ModelConfig(embedding=8, hidden=16, layers=1)).eval().requires_grad_(requires_grad=False)
    checkpoint = Checkpoint.of("tiny-0", model, {"limits": {"longest_pitch_run": 8}})
    served = serve(checkpoint, None, requests(8, 40, 0.9, 5), lambda: None)
    own = [piece(n, "program", SOURCE) for n in range(len(OWN))]
    short = [dataclasses.replace(piece(n, "Ada"), score=Score(OWN[n].score.notes[:79], 80)) for n in range(3)]
    found = listen_for_moods(
        [*own, *short], own, served, ([], {}), np.random.default_rng(1), lambda _what, _steps: lambda: None
    )
    for listener in ("fitted", "histograms"):
        assert found[listener]["trained_on"] == {"human_excerpts": 3, "own_excerpts": 2 * len(OWN)}
        # What a listener knows of the program's own pieces must not pass for what it knows of people's.
        assert found[listener]["held_out_accuracy"]["program"] > 0.9
        assert found[listener]["held_out_accuracy"]["people"] is None  # none are held out here
        assert found[listener]["accuracy_fitted_to_people"] <= 0.5  # of three moods at most


def test_requests_take_turns_in_mood_and_count_their_seeds() -> None:
    wanted = requests(9, 40, 0.9, 2**32 - 2)
    assert [request.mood for request in wanted] == [*MOODS, Mood.DARK]
    assert len({request.seed for request in wanted}) == 9


def test_pieces_are_served_as_the_engine_serves_them_and_copies_passed_over() -> None:
    torch.manual_seed(1)
    model = NoteLSTM(ModelConfig(embedding=8, hidden=16, layers=1)).eval().requires_grad_(requires_grad=False)
    checkpoint = Checkpoint.of("tiny-0", model, {"limits": {"longest_pitch_run": 8}})
    wanted = requests(8, 40, 0.9, 5)
    free = serve(checkpoint, None, wanted, lambda: None)
    assert [(piece.chosen.drawn, piece.originality) for piece in free] == [(TAKES, None)] * 8
    index = Index.of([all_runs(free[3].score)], [Source("learnt by heart", "x")], 0.07)
    checked = serve(checkpoint, index, wanted, lambda: None)
    assert [piece.chosen.copies for piece in checked] == [0, 0, 0, 1, 0, 0, 0, 0]
    assert [a.score == b.score for a, b in zip(free, checked, strict=True)] == [True] * 3 + [False] + [True] * 4
    assert checked[3].originality == index.check(checked[3].score)


async def test_what_is_evaluated_is_what_the_engine_makes_in_a_style_of_the_checkpoint(tmp_path: Path) -> None:
    torch.manual_seed(1)
    config = ModelConfig(embedding=8, hidden=16, layers=1, controlled=True)
    model = NoteLSTM(config).eval().requires_grad_(requires_grad=False)
    for attribute in (DELTA, DURATION):
        model.outputs[attribute].bias[:8] += 4.0  # short notes, so that the sound is made quickly
    for table in model.condition_embeddings.parameters():
        torch.nn.init.normal_(table)  # or what is told would change nothing yet
    sidecar = {"limits": {"longest_pitch_run": 8}}
    styles = {"styles": {mood: [str(Style(1, 3, 20, (2,) * len(CONTROLS)))] for mood in MOODS}}
    wanted = requests(8, 40, 0.9, 5)
    free, bound = (
        serve(Checkpoint.of("tiny-0", model, which), None, wanted, lambda: None)
        for which in (sidecar, sidecar | styles)
    )
    assert all(piece.plan.controls == (2,) * len(CONTROLS) for piece in bound)
    assert all(a.score != b.score for a, b in zip(free, bound, strict=True))
    engine = LocalEngine(Checkpoint.of("tiny-0", model, sidecar | styles), Renderer(), tmp_path, device="cpu")
    assert (await engine.compose(bound[0].request)).score == bound[0].score
    await engine.aclose()


def test_an_ngram_is_sampled_the_same_way_and_writes_what_it_learnt() -> None:
    tokens = np.array([[Part.LEAD, 8, 30 + n % 4, 8, 9] for n in range(400)])
    wanted = requests(2, 40, 0.5, 7)
    ticks: list[int] = []
    first, again = (ngram_pieces(NGram(3).fit([tokens]), wanted, lambda: ticks.append(1)) for _ in range(2))
    assert first == again
    assert len(ticks) == 4
    for score, request in zip(first, wanted, strict=True):
        assert score.tempo_bpm == plan(request).tempo_bpm
        intervals = np.diff([note.pitch for note in score.notes])
        assert {1, -3} == set(intervals[-30:].tolist())


def test_mel_filters_cover_the_spectrum_and_a_sound_is_at_no_distance_from_itself(tmp_path: Path) -> None:
    import soundfile  # noqa: PLC0415

    filters = mel_filters(np.linspace(0, 22_050, 2049))
    assert filters.shape == (MEL_BANDS, 2049)
    assert (filters.sum(1) > 0).all()
    time_s = np.arange(44_100) / 44_100
    spectra = []
    for pitch_hz in (220, 1760):
        soundfile.write(tmp_path / "tone.wav", 0.5 * np.sin(2 * np.pi * pitch_hz * time_s), 44_100)
        spectra.append(log_mel(tmp_path / "tone.wav"))
    assert distance_db(spectra[0], spectra[0]) == 0.0
    assert distance_db(spectra[0], spectra[1]) > 10
    assert int(spectra[1].mean(1).argmax()) > int(spectra[0].mean(1).argmax())


def test_pictures_are_drawn(tmp_path: Path) -> None:
    plots.draw_confusion(np.eye(8, dtype=int).tolist(), "title", tmp_path / "a.png")
    plots.draw_lines({"human": [0.1, 0.3, float("nan")], "v1": [0.2, 0.1, 0.0]}, "title", "bars", tmp_path / "b.png")
    systems = {"v1": {"median": 0.7}, "unigram": {"median": 99.0}}
    rows = [{"name": "measure", "human": {"p5": 0.1, "median": 0.5, "p95": 0.9}, "systems": systems}]
    plots.draw_measures(rows, tmp_path / "c.png")
    plots.draw_affect(dict.fromkeys(MOODS, 0.5), dict.fromkeys(MOODS, -0.5), tmp_path / "d.png")
    plots.draw_spectra([("piece", np.random.default_rng(1).random((64, 90)) * -80)], tmp_path / "e.png")
    for name in "abcde":
        with Image.open(tmp_path / f"{name}.png") as image:
            assert len(image.getcolors(1 << 24) or []) > 2


def test_a_shuffle_is_compared_with_the_excerpts_that_it_is_of() -> None:
    human = [OWN[0].score] * 38 + [OWN[n % 23 + 1].score for n in range(42)]  # the first are all of one piece
    rows = compare_measures(human, {"shuffle": human}, lambda _what, _steps: lambda: None)
    found = next(row for row in rows if row["name"] == "self-BLEU")
    assert found["systems"]["shuffle"]["median"] == found["human"]["median"] < 0.99


def test_what_a_cache_gives_is_told() -> None:
    torch.manual_seed(1)
    model = NoteLSTM(ModelConfig(embedding=8, hidden=16, layers=1, cache_share=0.2, cache_stay=0.9, cache_match=2.0))
    checkpoint = Checkpoint.of("cached-0", model.eval(), {"limits": {"longest_pitch_run": 8}})
    sides = {"test": [piece(n, f"author {n % 3}") for n in range(6)]}
    tune = tuple(Note(12 * n, Part.LEAD, 60 + n % 5, 12, 80) for n in range(60))
    sides["test"] = [dataclasses.replace(one, score=Score(tune, 80)) for one in sides["test"]]
    model.requires_grad_(requires_grad=False)
    scored = score_held_out(
        {"cached-0": checkpoint}, {}, sides, np.random.default_rng(1), lambda _what, _steps: lambda: None
    )
    assert set(scored) == {"test"}  # no piece is by the program: those by people do not count apart
    with_cache, without = (scored["test"][f"cached-0{which}"] for which in ("", " without its cache"))
    assert with_cache["nats"] == pytest.approx(
        sum(held_out_nats(model, [to_example(one, 0.0).told(NOT_TOLD) for one in sides["test"]]))
    )
    assert with_cache["nats"] < without["nats"] - 1  # the tune comes back
    assert with_cache["above"] is None
    assert without["above"] == pytest.approx([without["nats"] - with_cache["nats"]] * 2)  # all pieces are the same


def test_a_whole_study_answers_every_question_and_its_report_and_json_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    model = NoteLSTM(ModelConfig(embedding=8, hidden=16, layers=1)).eval().requires_grad_(requires_grad=False)
    checkpoint = Checkpoint.of("tiny-0", model, {"preset": "tiny", "limits": {"longest_pitch_run": 8}})
    pieces = [piece(n, f"author {n}", ("folk", SOURCE)[n % 5 == 0]) for n in range(60)]
    learnt_by_it = Index.of([all_runs(OWN[0].score)], [Source("its own music", "x")], 0.05)
    learnt_by_it.save(tmp_path / "beside")
    options = Options(tmp_path, tmp_path, tmp_path / "beside", pieces=8, length_notes=24)
    indices: list[float | None] = []

    def serve_(who: Checkpoint, index: Index | None, *others: Any) -> list[Served]:
        indices.append(index and index.human_p95)
        return serve(who, index, *others)

    monkeypatch.setattr(study, "serve", serve_)
    beside = Checkpoint.of("other-0", model, {"preset": "tiny", "limits": {"longest_pitch_run": 8}})
    steps: list[str] = []
    done = study.examine(checkpoint, beside, None, pieces, pieces, options, lambda what, _: lambda: steps.append(what))
    assert indices[1:] == [0.05]  # each is kept from copying what it has learnt itself
    write(done, tmp_path / "report", 0, lambda _what, _steps: lambda: None)
    facts = json.loads((tmp_path / "report" / "report.json").read_text())
    assert facts["exact_length"] == 1.0
    assert set(facts["nats_per_note"]["test"]) == {
        "tiny-0",
        "other-0",
        "5-gram",
        "5-gram that counts the piece too",
        "unigram",
        "tiny-0 on a shuffle of the same notes",
    }
    for side, systems in facts["nats_per_note_95"].items():
        nats = facts["nats_per_note"][side]
        assert systems["tiny-0"]["interval"][0] < nats["tiny-0"] < systems["tiny-0"]["interval"][1]
        low, high = systems["unigram"]["above"]
        assert low < nats["unigram"] - nats["tiny-0"] < high < 0  # so it is below
    assert set(facts["nats_per_note"]) == {"valid", "test", "valid, by people", "test, by people"}
    assert facts["baseline_pieces"] == 8
    assert facts["originality"]["held_out_human_excerpts"]["copied_share_max"] <= 1
    # An untrained model predicts worse than any n-gram, and the report says it.
    assert facts["nats_per_note"]["test"]["tiny-0"] > facts["nats_per_note"]["test"]["unigram"]
    assert not facts["verdicts"]["held-out nats per note below every baseline"]
    assert sum(map(sum, facts["moods"]["literature"]["confusion"])) == 8
    assert facts["originality"]["served"]["longest_run_max_notes"] <= 12
    others = {"other-0", "5-gram", "unigram"}
    for listener in ("literature", "fitted", "histograms"):
        assert set(facts["moods"][listener]["baselines"]) == others
        assert all(0 <= share <= 1 for share in facts["moods"][listener]["baselines"].values())
        low, high = facts["moods"][listener]["interval"]
        assert low <= facts["moods"][listener]["accuracy"] <= high
    assert set(facts["originality"]["baselines"]) == {*others, "shuffle"}
    assert all(set(row["systems"]) == {"tiny-0", *others, "shuffle"} for row in facts["measures"])
    text = (tmp_path / "report" / "report.md").read_text()
    for row in ("| listener | right | with shuffled labels | other-0 | 5-gram | unigram |", "| shuffle | 0."):
        assert row in text
    # Each tune of this corpus stands in it more than once.
    learnt, held_out = facts["corpus"]["held_out_learnt"], facts["corpus"]["held_out_pieces"]
    assert 0 < learnt <= held_out
    assert f"**It had learnt {learnt} of the {held_out} held-out pieces all the same.**" in text
    facts["corpus"]["held_out_learnt"] = 0
    assert "all the same" not in report.markdown(facts)
    assert "human pieces by people whose music training never saw" in text
    facts["corpus"]["held_out_by_title"] = True
    assert "human pieces that training never saw" in report.markdown(facts)
    for heading in ("Coherence: held-out nats per note", "Coherence and repetition", "Mood", "Originality", "Endings"):
        assert f"## {heading}" in text
    for picture in re.findall(r"\]\(([\w-]+\.png)\)", text):
        assert (tmp_path / "report" / picture).exists(), picture
    assert "Composing" in steps


def test_what_cannot_be_evaluated_is_said_in_one_sentence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), "--out", str(tmp_path)]) == 78
    assert main([]) == 78
    assert "There is no checkpoint" in caplog.text
    assert capsys.readouterr() == ("", "")  # no empty line of a bar that was never drawn


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["v1", "--pieces", "3"], "--pieces is at least 8"),
        (["v1", "--sounds", "-1"], "--sounds 0 or more"),
        (["v1", "--length", "15"], "--length is 16 to 2000."),
        (["v1", "--temp", "nan"], "--temp is 0.1 to 2."),
        (["v1", "--seed", "-1"], "--seed is 0 to 4294967295."),
        (["v1", "--threads", "0"], "--threads is at least 1."),
        (["--benchmark", "jsb", "none.json", "--epochs", "0"], "--epochs is at least 1."),
    ],
)
def test_a_number_out_of_range_is_one_sentence(words: list[str], says: str, caplog: pytest.LogCaptureFixture) -> None:
    assert main(words) == 78
    assert len(caplog.messages) == 1
    assert says in caplog.text


def test_a_report_that_could_not_be_kept_is_said_before_the_work(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(study, "run", lambda *_: pytest.fail("it began to work"))
    assert main(["v1", "--out", str(tmp_path / "file")]) == 78
    assert caplog.messages == [f"The figures could not be written to {tmp_path / 'file'}: File exists."]
