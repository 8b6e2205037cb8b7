"""Continuing and varying pieces: buttons, /continue, the menu of a message, plain words."""

import discord
import pytest

from bot.history import Origin, Relation, State
from data.midi import MAX_BYTES, read_midi, write_midi
from data.score import Note, Part, Score

pytestmark = [pytest.mark.simcord(settle_timeout=30.0), pytest.mark.usefixtures("closing")]

LINE = tuple(Note(6 * n, Part.KEYS, 60 + n * n % 12, 6, 84) for n in range(20))
MIDI = write_midi(Score(LINE, 90.0), title="From elsewhere")


def piece_id(message: discord.Message) -> str:
    return (message.embeds[0].footer.text or "").split(" ")[0]


async def notes(message: discord.Message) -> tuple[Note, ...]:
    (file,) = (each for each in message.attachments if each.filename.endswith(".mid"))
    return read_midi(await file.read()).score.notes


@pytest.fixture
async def piece(channel, ada) -> discord.Message:
    await ada.slash(channel, "compose", mood="dark", length=40, seed=11)
    return channel.last_message


async def test_the_continue_button_adds_notes_to_the_piece(house, channel, ben, piece) -> None:
    await ben.click(piece, label="Continue")

    answer = channel.last_message
    assert (await notes(answer))[:40] == await notes(piece)
    assert len(await notes(answer)) == 240
    record = (await house.records())[0]
    assert (record.state, record.requester.user_id) == (State.DELIVERED, str(ben.id))
    assert record.origin == Origin(piece_id(piece), Relation.CONTINUED)
    text = answer.embeds[0].description
    assert f"Continued from `{piece_id(piece)}`" in text
    assert "first 40 notes were given" in text
    assert f"/show id:{record.id}" in str(answer.embeds[0].to_dict())


async def test_the_vary_button_keeps_the_beginning(house, channel, ada, piece) -> None:
    await ada.click(piece, label="Vary")

    answer = channel.last_message
    assert (await notes(answer))[:10] == (await notes(piece))[:10]
    assert (await notes(answer))[10:] != (await notes(piece))[10:]
    assert len(await notes(answer)) == 40
    assert (await house.records())[0].origin == Origin(piece_id(piece), Relation.VARIED)
    assert "Varied from" in answer.embeds[0].description


async def test_every_button_works_on_a_continued_piece(simcord_env, channel, ada, piece) -> None:
    await ada.click(piece, label="Continue")
    continued = channel.last_message
    for label, length in (("Again", 240), ("Vary", 240), ("Continue", 440), ("Longer", 480)):
        await simcord_env.advance_time(2)
        await ada.click(continued, label=label)
        assert len(await notes(channel.last_message)) == length, label
        assert (await notes(channel.last_message))[:10] == (await notes(piece))[:10], label
    recipe = await ada.click(continued, label="Recipe")
    assert piece_id(piece) in str(recipe.response.embeds[0].to_dict())


async def test_a_continued_piece_is_shown_again_bit_for_bit(channel, ada, piece) -> None:
    await ada.click(piece, label="Continue")

    result = await ada.slash(channel, "show", id=piece_id(channel.last_message))

    assert "bit for bit" in result.response.embeds[0].description
    assert f"Continued from `{piece_id(piece)}`" in result.response.embeds[0].description


async def test_continue_takes_an_id_and_says_how_it_goes_on(house, channel, ben, piece) -> None:
    await ben.slash(channel, "continue", id=f"#{piece_id(piece).upper()}", length=16, mood="epic")

    record = (await house.records())[0]
    assert (record.request.length_notes, record.request.mood) == (56, "epic")
    assert (await notes(channel.last_message))[:40] == await notes(piece)


async def test_continue_completes_ids(channel, ada, piece) -> None:
    (offered,) = await ada.autocomplete(channel, "continue", "id", "")

    assert offered["value"] == piece_id(piece)


async def test_an_uploaded_file_is_continued(fetched, house, channel, ada) -> None:
    await ada.slash(channel, "continue", midi=("tune.MID", MIDI), length=30, mood="hopeful")
    assert fetched == ["tune.MID"]

    (record,) = await house.records()
    assert (record.request.length_notes, record.request.mood, record.request.tempo_bpm) == (50, "hopeful", 90)
    assert record.origin is None
    pitches = [note.pitch for note in await notes(channel.last_message)]
    assert pitches[:20] == [note.pitch for note in LINE]
    assert "first 20 notes were given" in channel.last_message.embeds[0].description


async def test_a_continuation_may_be_for_its_asker_alone(channel, ada, piece) -> None:
    by_id = await ada.slash(channel, "continue", id=piece_id(piece), private=True)
    by_file = await ada.slash(channel, "continue", midi=("tune.mid", MIDI), private=True)

    assert by_id.ephemeral
    assert by_file.ephemeral
    assert channel.last_message.id == piece.id


@pytest.mark.parametrize("both", [False, True])
async def test_continue_wants_a_piece_or_a_file(house, channel, ada, piece, both: bool) -> None:
    options = {"id": piece_id(piece), "midi": ("tune.mid", MIDI)} if both else {}

    result = await ada.slash(channel, "continue", **options)

    assert result.ephemeral
    assert "one of the two" in result.response.content
    assert house.engine.made == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xff\xfb\x90\x64" * 400, "not a MIDI file"),
        (b"", "not a MIDI file"),
        (MIDI[:60], "truncated"),
        (write_midi(Score((), 90.0), title="Silence"), "no notes"),
        (b"MThd" + bytes(MAX_BYTES), "larger than 2 MiB"),
    ],
    ids=["sound", "empty", "cut off", "silent", "too large"],
)
async def test_an_upload_that_cannot_be_read_is_told_to_its_sender_alone(
    fetched, house, channel, ada, content: bytes, says: str
) -> None:
    result = await ada.slash(channel, "continue", midi=("tune.mid", content))

    assert channel.last_message is None
    assert says in result.followups[0].content
    assert result.followups[0].flags.ephemeral
    assert await house.records() == []
    assert len(fetched) == (len(content) <= MAX_BYTES)


async def test_a_message_with_a_file_is_continued_from_its_menu(house, channel, ada, ben) -> None:
    message = await ada.send(channel, "listen", attachments=[("notes.txt", b"la la"), ("Tune.MIDI", MIDI)])

    await ben.context_menu(channel, "Continue this MIDI", message)

    assert [note.pitch for note in await notes(channel.last_message)][:20] == [note.pitch for note in LINE]
    assert (await house.records())[0].requester.user_id == str(ben.id)


async def test_a_message_of_the_bot_is_continued_as_the_piece_that_it_is(house, channel, ben, piece) -> None:
    await ben.context_menu(channel, "Continue this MIDI", piece)

    assert (await house.records())[0].origin == Origin(piece_id(piece), Relation.CONTINUED)
    assert (await notes(channel.last_message))[:40] == await notes(piece)


async def test_a_message_without_a_file_says_so(house, channel, ada, ben) -> None:
    message = await ada.send(channel, "listen", attachments=[("tune.mp3", b"ID3")])

    result = await ben.context_menu(channel, "Continue this MIDI", message)

    assert result.ephemeral
    assert "no MIDI file" in result.response.content
    assert await house.records() == []


async def test_somebody_elses_private_piece_is_not_there_to_be_continued(house, channel, ada, ben) -> None:
    private = await ada.slash(channel, "compose", length=16, private=True)
    hidden = piece_id(private.response)

    refused = await ben.slash(channel, "continue", id=hidden)
    allowed = await ada.slash(channel, "continue", id=hidden, length=16)

    assert refused.ephemeral
    assert "no piece" in refused.response.content
    assert allowed.ephemeral  # as private as what it comes out of
    assert [record.private for record in await house.records()] == [True, True]


@pytest.mark.parametrize("label", ["Continue", "Vary"])
async def test_a_deleted_piece_cannot_be_continued(simcord_env, house, ben, piece, label: str) -> None:
    await simcord_env.bot.studio.history.delete(piece_id(piece))

    result = await ben.click(piece, label=label)

    assert result.ephemeral
    assert "no piece" in result.response.content
    assert house.engine.made == 1


async def test_without_the_permission_to_attach_nothing_begins(simcord_env, fetched, guild, ada) -> None:
    deny = discord.PermissionOverwrite(attach_files=False)
    silent = guild.create_text_channel("silent", overwrites={simcord_env.bot.user: deny})

    result = await ada.slash(silent, "continue", midi=("tune.mid", MIDI))

    assert result.ephemeral
    assert "Attach Files" in result.response.content
    await ada.send(silent, f"{simcord_env.bot.user.mention} continue", attachments=[("tune.mid", MIDI)])
    assert "Attach Files" in silent.last_message.content
    assert fetched == []


async def test_a_killed_bot_finishes_a_continuation_whose_piece_is_gone(
    simcord_env, house, closing, channel, ada, ben, piece
) -> None:
    before = await notes(piece)
    house.engine.gate.clear()
    await ben.click(piece, label="Continue")
    await simcord_env.advance_time(3)
    notice = channel.last_message
    question = await ada.click(piece, label="Delete")
    await ada.click(question.response, label="Delete for good")
    killed = simcord_env.bot
    new = house.client_after_kill()

    await simcord_env.restart_bot(new)
    closing(new)

    (message,) = channel.history()
    assert message.id == notice.id
    assert (await notes(message))[:40] == before
    assert "first 40 notes were given" in message.embeds[0].description
    (record,) = await house.records()
    assert (record.state, record.origin) == (State.DELIVERED, None)
    await killed.close()


async def test_plain_words_continue_and_vary(simcord_env, house, channel, ada, piece) -> None:
    me = simcord_env.bot.user.mention
    asked = await ada.send(channel, f"{me} continue {piece_id(piece)} length:20 mood:epic")
    continued = channel.last_message
    await ada.send(channel, f"{me} vary {piece_id(piece)}")

    assert continued.reference.message_id == asked.id
    assert len(await notes(continued)) == 60
    assert (await notes(channel.last_message))[:10] == (await notes(piece))[:10]
    relations = [record.origin and record.origin.relation for record in await house.records()]
    assert relations == [Relation.VARIED, Relation.CONTINUED, None]


async def test_a_private_piece_is_not_continued_before_everybodys_eyes(simcord_env, house, channel, ada) -> None:
    private = await ada.slash(channel, "compose", length=16, private=True)

    await ada.send(channel, f"{simcord_env.bot.user.mention} continue {piece_id(private.response)}")

    assert "private" in channel.last_message.content
    assert house.engine.made == 1


async def test_a_file_in_a_message_to_the_bot_is_continued(simcord_env, channel, ada) -> None:
    await ada.send(channel, f"{simcord_env.bot.user.mention} continue length:16", attachments=[("tune.mid", MIDI)])

    assert len(await notes(channel.last_message)) == 36


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("continue", "id of a piece"),
        ("vary", "id of a piece"),
        ("continue nothing99", "no piece"),
        ("continue {id} lenth:30", "did you mean length"),
        ("continue {id} length:1500", "16 to 1000"),
    ],
)
async def test_mistakes_in_plain_words_are_answered(
    simcord_env, house, channel, ada, piece, text: str, says: str
) -> None:
    await ada.send(channel, f"{simcord_env.bot.user.mention} {text.format(id=piece_id(piece))}")

    assert says in channel.last_message.content
    assert house.engine.made == 1
