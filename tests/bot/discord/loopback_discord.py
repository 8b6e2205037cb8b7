"""A Discord on the loopback interface: HTTP and gateway as the bot's own process meets them, with nothing of simcord.

It knows the few routes that the bot uses, remembers every body that it was sent, and fails on request.
"""

import asyncio
import json
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import BodyPartReader, MultipartReader, WSMsgType, web

APPLICATION = "1100000000000000001"
GUILD, CHANNEL, USER = "1200000000000000001", "1200000000000000002", "1300000000000000001"
TOKEN = "MTE.loopback.token"  # noqa: S105 - of nobody
ME = {
    "id": APPLICATION,
    "username": "MusicLSTM",
    "discriminator": "0",
    "avatar": None,
    "global_name": None,
    "bot": True,
}
ADA = {"id": USER, "username": "ada", "discriminator": "0", "avatar": None, "global_name": "Ada"}
_EVERYTHING = str((1 << 50) - 1)


@dataclass
class Request:
    """What the bot sent: the JSON body (or `payload_json`) and the files by name."""

    method: str
    path: str
    body: Any = None
    files: dict[str, bytes] = field(default_factory=dict)


class LoopbackDiscord:
    """Serve with `async with`; `url` is what MUSICLSTM_DISCORD_API is set to."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.commands: list[dict[str, Any]] = []
        self.failures: deque[tuple[str, str, int]] = deque()  # method, end of path, status: answered once each
        self.identified = asyncio.Event()
        self.closed = asyncio.Event()
        self._changed = asyncio.Condition()
        self._socket: web.WebSocketResponse | None = None
        self._ids = 1_400_000_000_000_000_000
        self._sequence = 0

    async def __aenter__(self) -> "LoopbackDiscord":
        app = web.Application(client_max_size=64 << 20)
        app.router.add_get("/gateway", self._gateway)
        app.router.add_route("*", "/api/v10/{path:.*}", self._route)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        self.url = f"http://127.0.0.1:{self.port}/api/v10"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._socket is not None:
            await self._socket.close()
        await self._runner.cleanup()

    def new_id(self) -> str:
        self._ids += 1
        return str(self._ids)

    async def wait_for(self, method: str, ending: str, *, after: int = 0, seconds: float = 60) -> Request:
        """The first accepted request of that kind among those after the first `after`."""

        def found() -> Request | None:
            wanted = (r for r in self.requests[after:] if r.method == method and r.path.endswith(ending))
            return next(wanted, None)

        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(lambda: found() is not None)
        request = found()
        assert request is not None
        return request

    async def slash(self, name: str, options: list[dict[str, Any]], *, limit: int = 10 << 20) -> str:
        """Somebody uses a command; returns the interaction's token."""
        token = f"interaction-{self.new_id()}"
        command = next(each for each in self.commands if each["name"] == name)
        await self.dispatch(
            "INTERACTION_CREATE",
            {
                "id": self.new_id(),
                "application_id": APPLICATION,
                "type": 2,
                "token": token,
                "version": 1,
                "data": {"id": command["id"], "name": name, "type": 1, "options": options},
                "guild_id": GUILD,
                "channel_id": CHANNEL,
                "channel": {"id": CHANNEL, "type": 0, "name": "music", "guild_id": GUILD},
                "member": {
                    "user": ADA,
                    "roles": [],
                    "permissions": _EVERYTHING,
                    "flags": 0,
                    "deaf": False,
                    "mute": False,
                    "joined_at": "2026-01-01T00:00:00+00:00",
                },
                "app_permissions": _EVERYTHING,
                "locale": "en-US",
                "guild_locale": "en-US",
                "entitlements": [],
                "authorizing_integration_owners": {"0": GUILD},
                "context": 0,
                "attachment_size_limit": limit,
            },
        )
        return token

    async def dispatch(self, event: str, data: dict[str, Any]) -> None:
        assert self._socket is not None
        self._sequence += 1
        await self._socket.send_json({"op": 0, "t": event, "s": self._sequence, "d": data})

    async def _gateway(self, request: web.Request) -> web.WebSocketResponse:
        socket = self._socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"op": 10, "d": {"heartbeat_interval": 41_250}})
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            packet = json.loads(message.data)
            if packet["op"] == 1:
                await socket.send_json({"op": 11})
            elif packet["op"] == 2:
                self.identify = packet["d"]
                await self._welcome()
        self.closed.set()
        return socket

    async def _welcome(self) -> None:
        ready = {
            "v": 10,
            "user": ME,
            "guilds": [{"id": GUILD, "unavailable": True}],
            "session_id": "loopback",
            "resume_gateway_url": f"ws://127.0.0.1:{self.port}/gateway",
            "application": {"id": APPLICATION, "flags": 0},
        }
        await self.dispatch("READY", ready)
        everyone = {
            "id": GUILD,
            "name": "@everyone",
            "permissions": _EVERYTHING,
            "color": 0,
            "hoist": False,
            "position": 0,
            "managed": False,
            "mentionable": False,
        }
        channel = {"id": CHANNEL, "type": 0, "name": "music", "position": 0, "permission_overwrites": []}
        me = {
            "user": ME,
            "roles": [],
            "joined_at": "2026-01-01T00:00:00+00:00",
            "deaf": False,
            "mute": False,
            "flags": 0,
        }
        guild = {
            "id": GUILD,
            "name": "Station",
            "owner_id": USER,
            "member_count": 2,
            "roles": [everyone],
            "channels": [channel],
            "members": [me],
            "emojis": [],
            "stickers": [],
            "threads": [],
            "voice_states": [],
            "presences": [],
            "stage_instances": [],
            "guild_scheduled_events": [],
            "features": [],
            "premium_tier": 0,
            "verification_level": 0,
            "default_message_notifications": 0,
            "explicit_content_filter": 0,
            "mfa_level": 0,
            "nsfw_level": 0,
            "preferred_locale": "en-US",
            "system_channel_flags": 0,
            "afk_timeout": 300,
            "large": False,
        }
        await self.dispatch("GUILD_CREATE", guild)
        self.identified.set()

    async def _route(self, request: web.Request) -> web.Response:
        path = "/" + request.match_info["path"]
        if request.headers.get("Authorization", f"Bot {TOKEN}") != f"Bot {TOKEN}":
            return _json({"message": "401: Unauthorized", "code": 0}, status=401)
        got = await _read(request, path)
        for failure in self.failures:
            method, ending, status = failure
            if method == request.method and path.endswith(ending):
                self.failures.remove(failure)
                headers = {"Retry-After": "0.2"} if status == 429 else {}
                body = {"message": "failure on request", "code": 0, "retry_after": 0.2, "global": False}
                return _json(body, status=status, headers=headers)
        answer = self._answer(got)
        async with self._changed:
            self.requests.append(got)
            self._changed.notify_all()
        return web.Response(status=204) if answer is None else _json(answer)

    def _answer(self, got: Request) -> Any:
        method, path = got.method, got.path
        if path == "/users/@me":
            return ME
        if path == "/oauth2/applications/@me":
            return {
                "id": APPLICATION,
                "name": "MusicLSTM",
                "icon": None,
                "description": "",
                "bot_public": True,
                "bot_require_code_grant": False,
                "verify_key": "0" * 64,
                "flags": 0,
                "owner": ADA,
                "team": None,
                "interactions_endpoint_url": None,
            }
        if path == "/gateway/bot":
            limit = {"total": 1000, "remaining": 999, "reset_after": 0, "max_concurrency": 1}
            return {"url": f"ws://127.0.0.1:{self.port}/gateway", "shards": 1, "session_start_limit": limit}
        if path.endswith("/commands"):
            if method == "PUT":
                given = {"application_id": APPLICATION, "version": "1"}
                # Discord gives menu commands an empty description.
                self.commands = [{"description": "", **each, **given, "id": self.new_id()} for each in got.body]
            return self.commands
        if path.endswith("/callback"):
            message_id = self.new_id()
            return {"interaction": {"id": self.new_id(), "type": 2, "response_message_id": message_id}}
        if method in {"PATCH", "POST"}:
            return self._message(got)
        return None

    def _message(self, got: Request) -> dict[str, Any]:
        files = [
            {
                "id": self.new_id(),
                "filename": name,
                "size": len(data),
                "url": f"http://127.0.0.1/{name}",
                "proxy_url": "",
            }
            for name, data in got.files.items()
        ]
        now = "2026-01-01T00:00:00+00:00"
        return {
            "id": self.new_id(),
            "channel_id": CHANNEL,
            "author": ME,
            "content": got.body.get("content") or "",
            "timestamp": now,
            "edited_timestamp": None,
            "tts": False,
            "mention_everyone": False,
            "mentions": [],
            "mention_roles": [],
            "attachments": files,
            "embeds": got.body.get("embeds") or [],
            "pinned": False,
            "type": 0,
            "flags": 0,
            "components": got.body.get("components") or [],
        }


def _json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    # discord.py takes an answer for JSON only when its content type is this and nothing more.
    exact = {**(headers or {}), "Content-Type": "application/json"}
    return web.Response(body=json.dumps(body).encode(), status=status, headers=exact)


async def _read(request: web.Request, path: str) -> Request:
    got = Request(request.method, path)
    if request.content_type.startswith("multipart/"):
        reader = await request.multipart()
        assert isinstance(reader, MultipartReader)
        async for part in reader:
            assert isinstance(part, BodyPartReader)
            data = bytes(await part.read())
            if part.name == "payload_json":
                got.body = json.loads(data)
            else:
                got.files[part.filename or part.name or ""] = data
    elif request.can_read_body:
        with suppress(json.JSONDecodeError):
            got.body = json.loads(await request.read())
    return got
