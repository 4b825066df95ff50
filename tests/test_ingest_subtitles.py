"""WebVTT and SubRip: a cue is not a turn, and a speaker stays until the next one."""

from pathlib import Path

import pytest

from mlx_cc.ingest import choose, read_folder
from mlx_cc.ingest.format import Reading
from mlx_cc.ingest.roles import resolve
from mlx_cc.ingest.source import open_file

SAMPLES = Path(__file__).parent.parent.parent / "shared" / "samples" / "subtitles"

VTT = """WEBVTT - recorded

NOTE
Created: 2025-03-10T14:05:12.000Z
00:00:00.000 --> 00:00:09.000
this is a comment

STYLE
::cue { color: red }

intro
00:00:00.500 --> 00:00:02.000 align:start
<v Speaker 0>Thank you for
<i>calling</i> &amp; waiting.</v>

00:02.400 --> 00:03.000
<v Speaker 0>How can I help?

00:00:04.500 --> 00:00:06.000
<v Speaker 1>My bill is wrong.</v> <v Speaker 0>Oh.</v>
"""
SRT = """1
00:00:00,500 --> 00:00:02,000
[speaker 0]
Thank you for

2
00:00:02,000 --> 00:00:03,000
calling.

3
00:00:04,500 --> 00:00:06,000
[speaker 1]
My bill is wrong.

4
00:00:07,500 --> 00:00:08,000
[sighs]
Again.
"""


def incoming(path, text, reading=None):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    file = open_file(path)
    chosen = choose(file)
    (found,) = chosen.read(file, reading or Reading())
    return chosen.name, found


def said(found):
    return [(turn.text, voice) for turn, voice in zip(found.conversation.turns, found.speakers, strict=True)]


def srt(*cues):
    return "\n".join(f"{n}\n00:00:{n:02},000 --> 00:00:{n:02},900\n{text}\n" for n, text in enumerate(cues, 1))


def test_webvtt_voices_markup_and_comments(tmp_path):
    name, found = incoming(tmp_path / "call.vtt", VTT)
    assert name == "webvtt"
    assert said(found) == [
        ("Thank you for calling & waiting. How can I help?", "Speaker 0"),
        ("My bill is wrong.", "Speaker 1"),
        ("Oh.", "Speaker 0"),
    ]
    call = found.conversation
    assert (call.id, call.channel, call.started_at) == ("call", "unknown", None)
    assert (call.turns[0].start_s, call.turns[0].end_s) == (0.5, 3.0)


def test_srt_speakers_are_carried_forward_and_a_sound_is_no_speaker(tmp_path):
    name, found = incoming(tmp_path / "call.srt", SRT)
    assert name == "srt"
    assert said(found) == [
        ("Thank you for calling.", "speaker 0"),
        ("My bill is wrong.", "speaker 1"),
        ("[sighs] Again.", "speaker 1"),
    ]


@pytest.mark.parametrize(("text", "name"), [(VTT, "a.vtt"), (SRT, "a.srt")])
def test_carriage_returns_a_byte_order_mark_and_any_file_name_change_nothing(tmp_path, text, name):
    _, plain = incoming(tmp_path / name, text)
    for number, changed in enumerate((text.replace("\n", "\r\n"), text.replace("\n", "\r"))):
        _, found = incoming(tmp_path / f"a{number}.txt", b"\xef\xbb\xbf" + changed.encode())
        assert said(found) == said(plain)


def test_the_caller_names_the_speakers(tmp_path):
    reading = Reading(roles={"speaker 0": "agent", "speaker 1": "customer"})
    _, found = incoming(tmp_path / "a.srt", SRT, reading)
    assert [turn.role for turn in resolve(found, reading).turns] == ["agent", "customer", "customer"]


def test_names_before_a_colon_are_speakers_when_known_or_met_twice(tmp_path):
    text = srt(
        "Agent: Hello.", "Ann Lee: My bill is wrong.", "It is: too high.", "Ann Lee: Please help.", "Note: thanks."
    )
    _, found = incoming(tmp_path / "a.srt", text)
    assert [turn.role for turn in found.conversation.turns] == ["agent", "unknown"]
    assert found.conversation.turns[1].text == "My bill is wrong. It is: too high. Please help. Note: thanks."
    assert found.names == ("Ann Lee",)


def test_a_bracketed_label_with_a_colon_is_a_speaker(tmp_path):
    _, found = incoming(tmp_path / "a.srt", srt("[SPEAKER_00]: Hello.", "[Ann]: Hi.", "(Speaker 2) Yes."))
    assert said(found) == [("Hello.", "SPEAKER_00"), ("Hi.", "Ann"), ("Yes.", "Speaker 2")]


def test_without_any_speaker_nobody_is_named_and_sentences_stay_whole(tmp_path):
    _, found = incoming(tmp_path / "a.srt", srt("My bill", "is wrong.", "Let me see."))
    assert said(found) == [("My bill is wrong.", None), ("Let me see.", None)]


def test_srt_without_blank_lines_keeps_numbers_out_of_the_text(tmp_path):
    _, found = incoming(tmp_path / "a.srt", SRT.replace("\n\n", "\n"))
    assert said(found)[0] == ("Thank you for calling.", "speaker 0")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (SRT.replace("00:00:04,500", "0:0:0:4"), "line 11: '0:0:0:4 --> 00:00:06,000' is not a cue's time"),
        (VTT.replace("00:02.400", "soon"), "line 16: 'soon --> 00:03.000' is not a cue's time"),
        ("WEBVTT\n\nNOTE nothing\n", "no turn with text"),
    ],
)
def test_a_damaged_file_is_set_aside_with_the_line(tmp_path, text, reason):
    (tmp_path / "a.vtt").write_text(text)
    rejects = []
    assert list(read_folder([tmp_path / "a.vtt"], rejects=rejects.append)) == []
    assert reason in rejects[0].reason


def test_a_time_that_runs_backwards_is_left_out(tmp_path):
    _, found = incoming(tmp_path / "a.srt", "1\n00:00:05,000 --> 00:00:02,000\nHi.\n")
    assert (found.conversation.turns[0].start_s, found.conversation.turns[0].end_s) == (5.0, None)


@pytest.mark.parametrize("suffix", ["srt", "vtt"])
def test_real_files_are_read(suffix):
    path = SAMPLES / f"dg_speakers.{suffix}"
    if not path.exists():
        pytest.skip("the recogniser's own files are not beside this repository")
    file = open_file(path)
    (found,) = choose(file).read(file, Reading())
    assert {voice.lower() for voice in found.speakers} == {"speaker 0", "speaker 1", "speaker 2"}
    assert found.conversation.turns[4].text.startswith("Drew, thank you so much. It's been our pleasure")
    assert not any("[" in turn.text or "<" in turn.text for turn in found.conversation.turns)
