"""The README says what there is: every command, option, mood, space and setting, and the checkpoints' numbers."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from bot.options import OPTIONS
from bot.settings import documented
from data.moods import MOODS
from data.spaces import SPACES
from engine.checkpoint import BUILT_IN, SIDECAR, load_checkpoint
from trainer.evaluation import report

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    """The commands of the launcher, as its own help lists them."""
    help_text = subprocess.run([ROOT / "run", "help"], capture_output=True, text=True, check=True).stdout
    return re.findall(r"^  \./run (\w+)", help_text, flags=re.MULTILINE)


def test_the_readme_leads_with_the_two_commands() -> None:
    code = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)[0].splitlines()
    assert [line.split("#")[0].strip() for line in code] == [
        "./run compose mood:dark length:200 temp:0.9",
        "./run test",
    ]


def test_every_command_is_in_the_readme_and_in_the_launcher() -> None:
    launcher = (ROOT / "run").read_text(encoding="utf-8")
    assert len(commands()) >= 8
    for command in commands():
        assert f"`./run {command}" in README, command
        assert re.search(rf"\b{command}\b.*\) ;;", launcher), command


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_option_is_in_the_readme(option: object) -> None:
    assert f"| `{option.name}` |" in README  # type: ignore[attr-defined]


def test_every_slash_command_is_in_the_readme() -> None:
    tree = json.loads((ROOT / "tests/bot/discord/command_tree.json").read_text(encoding="utf-8"))
    slash_commands = [command["name"] for command in tree if command.get("type", 1) == 1]
    assert "compose" in slash_commands
    for name in slash_commands:
        assert f"`/{name}`" in README, name


def test_every_mood_and_space_is_in_the_readme() -> None:
    for word in (*MOODS, *SPACES):
        assert f"`{word}`" in README, word


def test_every_setting_is_in_the_readme_and_in_the_example() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    for setting in documented():
        assert f"| `{setting.variable}` | {f'`{setting.default}`' if setting.default else ''} |" in README, setting
        assert re.search(rf"^#?\s?{setting.variable}=", example, flags=re.MULTILINE), setting


def test_every_link_into_the_repository_leads_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_every_file_that_the_readme_points_to_exists() -> None:
    for name in re.findall(r"`((?:bot|data|engine|trainer)/[\w./]*)`", README):
        assert (ROOT / name).exists(), name


def test_the_results_are_those_of_the_checkpoints() -> None:
    for sidecar in sorted(BUILT_IN.glob(f"*/{SIDECAR}")):
        about = json.loads(sidecar.read_text(encoding="utf-8"))
        assert f"{about['metrics']['valid_nats_per_note']:.2f}" in README, sidecar


def test_the_results_are_those_of_the_evaluation() -> None:
    page = (ROOT / "docs/evaluation/README.md").read_text(encoding="utf-8").replace("*", "")
    facts = json.loads((ROOT / "docs/evaluation/v2/report.json").read_text(encoding="utf-8"))
    assert facts["checkpoint"] == load_checkpoint(BUILT_IN / "v2").id
    for row, system in {
        "unigram": "unigram",
        "5-gram": "5-gram",
        "5-gram that counts the piece too": "5-gram that counts the piece too",
        "MusicLSTM-v1": load_checkpoint(BUILT_IN / "v1").id,
        "MusicLSTM-v2 without its cache": f"{facts['checkpoint']} without its cache",
        "MusicLSTM-v2": facts["checkpoint"],
    }.items():
        cells = re.findall(rf"^\| {row} \|(.*)\|$", README, flags=re.MULTILINE)[0].replace("*", "").split("|")
        sides = ("valid, by people", "test, by people", "valid")
        found = [facts["nats_per_note"][side][system] for side in sides]
        assert [cell.strip() for cell in cells] == [f"{nats:.2f}" for nats in found]
        assert f"{found[0]:.3f} · {found[1]:.3f}" in page, system
    heard = [facts["moods"][listener]["accuracy"] for listener in ("fitted", "histograms", "literature")]
    for share in heard:
        assert f"{100 * share:.1f} %" in README
        assert f"{100 * share:.1f} %" in page
    low, high = facts["moods"]["histograms"]["interval"]
    assert f"(95 % interval {100 * low:.0f} to {100 * high:.0f} %)" in " ".join(README.split())


def test_the_report_is_what_the_program_writes() -> None:
    folder = ROOT / "docs/evaluation/v2"
    facts = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert report.markdown(facts) == (folder / "report.md").read_text(encoding="utf-8")
    assert report.verdicts(facts) == facts["verdicts"]


def test_the_speeds_are_those_of_the_benchmark() -> None:
    published = (ROOT / "docs/bench/README.md").read_text(encoding="utf-8")
    table, ours = (
        re.findall(r"<!-- engine: .*? -->\n(.*?)<!-- /engine -->", page, re.DOTALL) for page in (published, README)
    )
    assert table == ours  # the first is compared with engine.json in tests/benchmarks
    assert len(table) == 1


def test_every_direct_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned = {
        re.split(r"[=;\[]", line)[0].strip().lower().replace("_", "-").replace(".", "-")
        for name in ("requirements.txt", "requirements-dev.txt")
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    for requirement in wanted:
        name = re.split(r"[=<>\[]", requirement)[0].lower().replace("_", "-").replace(".", "-")
        assert name in pinned, requirement
