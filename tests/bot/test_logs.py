import json
import logging
import sys

from bot.logs import JsonFormatter


def _line(message: str, *arguments: object, failed: bool = False) -> dict[str, str]:
    info = sys.exc_info() if failed else None
    record = logging.LogRecord("bot.studio", logging.ERROR, __file__, 1, message, arguments, info)
    line = JsonFormatter().format(record)
    assert "\n" not in line
    event: dict[str, str] = json.loads(line)
    return event


def test_an_event_is_one_json_object_on_one_line() -> None:
    event = _line("piece %s\nfailed “badly”", "abcd2345")
    assert event.pop("at").endswith("+00:00")
    assert event == {"level": "error", "logger": "bot.studio", "message": "piece abcd2345\nfailed “badly”"}


def test_an_exception_comes_with_its_traceback() -> None:
    try:
        int("by nought")
    except ValueError:
        event = _line("failed", failed=True)
    assert "ValueError: invalid literal" in event["exception"]
    assert "Traceback" in event["exception"]
