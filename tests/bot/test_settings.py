import subprocess
import sys
from pathlib import Path

import pytest

from bot.errors import SettingsProblem
from bot.settings import ROOT, documented, load_settings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in documented():
        monkeypatch.delenv(setting.variable, raising=False)


def test_without_environment_everything_lives_under_var() -> None:
    settings = load_settings(env_file=None)
    assert settings.discord_token is None
    assert settings.database == ROOT / "var/history.db"
    assert settings.pieces_dir == ROOT / "var/pieces"


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env = tmp_path / ".env"
    env.write_text("DISCORD_TOKEN=from-file\nMUSICLSTM_USER_WAITING=2\nMUSICLSTM_CHECKPOINT=\nSOMETHING_ELSE=1\n")
    monkeypatch.setenv("MUSICLSTM_USER_WAITING", "3")
    settings = load_settings(env)
    assert settings.user_waiting == 3
    assert settings.checkpoint is None
    assert settings.discord_token is not None
    assert settings.discord_token.get_secret_value() == "from-file"
    assert "from-file" not in repr(settings)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        (
            "MUSICLSTM_USER_WAITING",
            "0",
            "MUSICLSTM_USER_WAITING cannot be '0': it should be greater than or equal to 1.",
        ),
        ("MUSICLSTM_QUEUE_LIMIT", "many", "MUSICLSTM_QUEUE_LIMIT cannot be 'many': it should be a valid integer"),
        (
            "MUSICLSTM_DISCORD_API",
            "foo",
            "MUSICLSTM_DISCORD_API cannot be 'foo': it should be an address such as http://127.0.0.1:8080/api/v10.",
        ),
        ("MUSICLSTM_SLOT", "3", "MUSICLSTM_SLOT is no setting (did you mean MUSICLSTM_SLOTS?)."),
        ("MUSICLSTM_LOG_LEVEL", "loud", "MUSICLSTM_LOG_LEVEL cannot be 'loud': it should be 'debug', 'info'"),
    ],
)
def test_a_bad_value_is_told_in_one_sentence(
    variable: str, value: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsProblem) as caught:
        load_settings(env_file=None)
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)


def test_an_unreadable_file_is_told_in_one_sentence(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    env.write_bytes(b"DISCORD_TOKEN=\xff\xfe\n")
    with pytest.raises(SettingsProblem, match="cannot be read"):
        load_settings(env)


def test_every_setting_is_in_the_example_file_with_its_description() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    for setting in documented():
        assert f"{setting.variable}={setting.default}\n" in example
        assert f"# {setting.says}\n" in example
        assert setting.says


def test_importing_settings_reads_nothing() -> None:
    code = "import os; os.environ['MUSICLSTM_LOG_LEVEL'] = 'loud'; import bot.settings"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_a_path_may_begin_with_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MUSICLSTM_DATABASE", "~/pieces.db")
    assert load_settings(env_file=None).database == tmp_path / "pieces.db"


def test_what_a_platform_puts_into_the_environment_is_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSICLSTM_PORT", "tcp://10.0.0.1:80")
    monkeypatch.setenv("MUSICLSTM_SERVICE_HOST", "10.0.0.1")
    load_settings(env_file=None)


def test_a_home_of_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSICLSTM_DATABASE", "~nobody-of-that-name/x.db")
    with pytest.raises(SettingsProblem, match="home folder"):
        load_settings(env_file=None)


def test_a_misspelt_name_in_the_file_is_told(tmp_path: Path) -> None:
    (env := tmp_path / ".env").write_text("MUSICLSTM_SOUNDFONTS=x.sf2\n")
    with pytest.raises(SettingsProblem, match="did you mean MUSICLSTM_SOUNDFONT"):
        load_settings(env)
