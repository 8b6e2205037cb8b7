"""The arrows of the architecture: dependencies point down, and front doors stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"torch", "discord"}

# Package -> first-party packages that its modules may import.
MAY_IMPORT = {
    "data": {"data"},
    "engine": {"data", "engine"},
    "trainer": {"data", "engine", "trainer"},
    "bot": {"bot", "data", "engine"},
}
# Third-party packages that a whole package keeps away from.
NEVER = {"data": HEAVY, "engine": {"discord"}, "trainer": {"discord"}, "bot": {"torch"}}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_dependencies_point_down(package: str) -> None:
    forbidden = (set(MAY_IMPORT) - MAY_IMPORT[package]) | NEVER[package]
    for path in modules(package):
        wrong = {name for name in imported(path) if name.split(".")[0] in forbidden}
        assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}"


def test_the_trainer_reaches_into_the_engine_only_for_the_model_and_what_makes_music_from_it() -> None:
    allowed = {"checkpoint", "errors", "model", "model_config", "note_cache", "originality", "plan", "render"}
    allowed |= {"sampler", "types"}
    for path in modules("trainer"):
        # What is evaluated is what is served, by whatever serves it.
        serving = {"batching", "takes"} if "evaluation" in path.parts else set()
        parts = {name.split(".")[1] for name in imported(path) if name.startswith("engine.")}
        assert parts <= allowed | serving, f"{path.relative_to(ROOT)} imports {sorted(parts - allowed)}"


def test_the_bot_asks_the_engine_for_nothing_that_loads_pytorch() -> None:
    heavy = {f"engine.{path.stem}" for path in (ROOT / "engine").glob("*.py") if "torch" in imported(path)}
    assert "engine.model" in heavy
    for path in modules("bot"):
        wrong = {name for name in imported(path) if name in heavy or name.startswith("engine.batching")}
        assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}"


def test_only_discords_own_package_knows_discord() -> None:
    for path in modules("bot"):
        if "discord" not in path.relative_to(ROOT / "bot").parts[:-1]:
            assert not {name for name in imported(path) if name.split(".")[0] == "discord"}, path


@pytest.mark.parametrize(
    ("module", "never"),
    [
        ("data.corpus", HEAVY),
        ("data.composer", HEAVY),
        ("data.__main__", HEAVY),
        ("engine.types", HEAVY),
        ("engine.local", HEAVY),
        ("engine.batching.writing", HEAVY),
        ("bot.studio", HEAVY),
        ("bot.cli", HEAVY),
        ("trainer.pipeline", {"discord"}),
    ],
)
def test_importing_loads_nothing_heavy(module: str, never: set[str]) -> None:
    code = f"import sys, {module}; print(*({never!r} & sys.modules.keys()))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_no_file_grows_without_a_reason(package: str) -> None:
    for path in modules(package):
        lines = path.read_text(encoding="utf-8").count("\n")
        assert lines <= 400, f"{path.relative_to(ROOT)} has {lines} lines: is it one thing?"
