"""Speech recognisers' files: who spoke, when a turn ends, and what such a file does not say."""

import json
from pathlib import Path

import pytest

from mlx_cc.ingest import choose, read_folder
from mlx_cc.ingest.format import Reading
from mlx_cc.ingest.roles import name_in, resolve
from mlx_cc.ingest.shapes.utterances import Utterance
from mlx_cc.ingest.shapes.voices import language, merged
from mlx_cc.ingest.source import open_file

SAMPLES = Path(__file__).parent.parent.parent / "shared" / "samples"

DEEPGRAM = {
    "metadata": {"request_id": "req-1", "sha256": "00", "created": "2025-03-10T14:05:12.000Z", "channels": 1},
    "results": {
        "channels": [{"alternatives": [{"transcript": "all", "confidence": 0.9, "words": []}]}],
        "utterances": [
            {"start": 0.0, "end": 2.0, "channel": 0, "transcript": "Thank you for calling.", "speaker": 0},
            {"start": 2.9, "end": 3.5, "channel": 0, "transcript": "How can I help?", "speaker": 0},
            {"start": 5.0, "end": 7.0, "channel": 0, "transcript": "My bill is wrong.", "speaker": 1},
            {"start": 8.5, "end": 9.0, "channel": 0, "transcript": "Hello?", "speaker": 1},
        ],
    },
}
ASSEMBLYAI = {
    "id": "job-1",
    "language_code": "en_us",
    "acoustic_model": "assemblyai_default",
    "status": "completed",
    "text": "Thank you for calling. My bill is wrong.",
    "words": [{"text": "Thank", "start": 100, "end": 300, "speaker": "A"}],
    "utterances": [
        {"speaker": "A", "text": "Thank you for calling.", "start": 100, "end": 2000},
        {"speaker": "B", "text": "My bill is wrong.", "start": 2600, "end": 4250},
    ],
}
WHISPERX = {
    "segments": [
        {"start": 0.1, "end": 2.0, "text": " Thank you for calling.", "words": [], "speaker": "SPEAKER_00"},
        {"start": 2.2, "end": 3.0, "text": " How can I help?", "words": [], "speaker": "SPEAKER_00"},
        {"start": 3.4, "end": 4.0, "text": " My bill is wrong.", "words": [], "speaker": "SPEAKER_01"},
    ],
    "word_segments": [],
    "language": "en",
}


def incoming(path, content, reading=None):
    """The format's name and the one thing it reads from a file."""
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    file = open_file(path)
    chosen = choose(file)
    (found,) = chosen.read(file, reading or Reading())
    return chosen.name, found


def rejected(path, content):
    """The reason a file is set aside."""
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    rejects = []
    assert list(read_folder([path], rejects=rejects.append)) == []
    return rejects[0].reason


def said(conversation):
    return [(turn.text, turn.start_s, turn.end_s) for turn in conversation.turns]


@pytest.mark.parametrize(
    ("content", "format", "labels"),
    [
        (DEEPGRAM, "deepgram", ("0", "1")),
        (ASSEMBLYAI, "assemblyai", ("A", "B")),
        (WHISPERX, "whisper", ("SPEAKER_00", "SPEAKER_01")),
        (WHISPERX["segments"], "whisper", ("SPEAKER_00", "SPEAKER_01")),
    ],
)
def test_a_recognisers_file_has_voices_and_no_roles_no_names_and_no_start(tmp_path, content, format, labels):
    name, found = incoming(tmp_path / "call-7.json", content)
    assert name == format
    call = found.conversation
    assert (call.id, call.channel, call.started_at, found.names) == ("call-7", "voice", None, ())
    assert {turn.role for turn in call.turns} == {"unknown"}
    assert tuple(dict.fromkeys(found.speakers)) == labels
    assert call.turns[0].text.startswith("Thank you for calling.")


@pytest.mark.parametrize(
    ("content", "labels"), [(DEEPGRAM, ("0", "1")), (ASSEMBLYAI, ("A", "B")), (WHISPERX, ("SPEAKER_00", "SPEAKER_01"))]
)
def test_the_caller_names_the_voices(tmp_path, content, labels):
    reading = Reading(roles=dict(zip(labels, ("customer", "agent"), strict=True)))
    _, found = incoming(tmp_path / "a.json", content, reading)
    call = resolve(found, reading)
    assert [call.turns[0].role, call.turns[-1].role] == ["customer", "agent"]


def test_deepgram_turns_are_one_voice_without_a_second_of_silence(tmp_path):
    _, found = incoming(tmp_path / "a.json", DEEPGRAM)
    assert said(found.conversation) == [
        ("Thank you for calling. How can I help?", 0.0, 3.5),
        ("My bill is wrong.", 5.0, 7.0),
        ("Hello?", 8.5, 9.0),
    ]
    assert found.keys == ("req-1",)


def test_deepgram_channels_are_the_voices_of_a_file_with_several(tmp_path):
    def channel(*words):
        timed = [{"word": w, "punctuated_word": w, "start": s, "end": s + 0.4, "speaker": 0} for w, s in words]
        return {"alternatives": [{"transcript": "x", "words": timed}], "detected_language": "es"}

    results = {"channels": [channel(("Hola,", 0.0), ("diga.", 0.5)), channel(("Buenas", 1.2), ("tardes.", 1.7))]}
    _, found = incoming(tmp_path / "a.json", {"metadata": {"request_id": "r"}, "results": results})
    assert found.speakers == ("0", "1")
    assert [turn.text for turn in found.conversation.turns] == ["Hola, diga.", "Buenas tardes."]
    assert found.conversation.language == "es"


def test_deepgram_without_words_gives_the_transcript(tmp_path):
    results = {"channels": [{"alternatives": [{"transcript": "Hello there."}]}]}
    _, found = incoming(tmp_path / "a.json", {"results": results, "metadata": {"request_id": "r"}})
    assert said(found.conversation) == [("Hello there.", None, None)]


def test_a_large_deepgram_answer_is_known_by_its_first_part(tmp_path):
    padded = {"metadata": {**DEEPGRAM["metadata"], "padding": "x" * 70_000}, "results": DEEPGRAM["results"]}
    assert incoming(tmp_path / "a.json", padded)[0] == "deepgram"


def test_assemblyai_times_are_milliseconds(tmp_path):
    _, found = incoming(tmp_path / "a.json", ASSEMBLYAI)
    assert said(found.conversation) == [("Thank you for calling.", 0.1, 2.0), ("My bill is wrong.", 2.6, 4.25)]
    assert (found.conversation.language, found.keys) == ("en-US", ("job-1",))


def test_assemblyai_without_utterances_gives_its_words_then_its_text(tmp_path):
    _, found = incoming(tmp_path / "a.json", {**ASSEMBLYAI, "utterances": None})
    assert (said(found.conversation), found.speakers) == ([("Thank", 0.1, 0.3)], ("A",))
    _, found = incoming(tmp_path / "b.json", {**ASSEMBLYAI, "utterances": None, "words": None})
    assert said(found.conversation) == [("Thank you for calling. My bill is wrong.", None, None)]
    assert found.speakers == (None,)


def test_an_unfinished_assemblyai_job_says_so(tmp_path):
    job = {"id": "j", "status": "error", "error": "no audio", "audio_url": "https://a", "words": None, "text": None}
    assert "its status is 'error' (no audio)" in rejected(tmp_path / "a.json", job)


def test_whisper_without_voices_joins_only_what_goes_on_in_the_same_sentence(tmp_path):
    segments = [
        {"id": 0, "seek": 0, "start": 0, "end": 2, "text": " My bill is wrong,", "avg_logprob": -0.2},
        {"id": 1, "seek": 0, "start": 2, "end": 4, "text": " and it was last month.", "avg_logprob": -0.2},
        {"id": 2, "seek": 0, "start": 4, "end": 5, "text": " Let me see.", "avg_logprob": -0.2},
    ]
    content = json.dumps({"text": " x", "segments": segments, "language": "en"}).replace("-0.2", "NaN")
    name, found = incoming(tmp_path / "a.json", content)
    assert name == "whisper"
    assert [turn.text for turn in found.conversation.turns] == [
        "My bill is wrong, and it was last month.",
        "Let me see.",
    ]
    assert found.speakers == (None, None)


def test_a_label_that_names_a_role_says_it_and_a_persons_name_is_to_be_redacted(tmp_path):
    segments = [
        {"start": 0, "end": 1, "text": "Hi.", "speaker": "Agent (Ann Lee)"},
        {"start": 2, "end": 3, "text": "Hello.", "speaker": "Bo Diaz"},
    ]
    _, found = incoming(tmp_path / "a.json", {"segments": segments})
    assert [turn.role for turn in found.conversation.turns] == ["agent", "unknown"]
    assert found.speakers == (None, "Bo Diaz")
    assert found.names == ("Ann Lee", "Bo Diaz")


@pytest.mark.parametrize("value", [-1, "x", None, [], 1e300, True])
def test_a_time_that_can_not_be_leaves_the_turn_without_it(tmp_path, value):
    segments = [{"start": 1.0, "end": value, "text": "Hi.", "speaker": "A"}]
    _, found = incoming(tmp_path / "a.json", {"segments": segments})
    assert said(found.conversation) == [("Hi.", 1.0, None)]


def test_overlapping_speech_is_put_in_order_of_start():
    pieces = [
        Utterance("a", None, "A", 2.6, 3.0),
        Utterance("b", None, "B", 2.5, 4.0),
        Utterance("c", None, "A", 3.5, 3.2),
    ]
    assert [(turn.text, turn.end_s) for turn in merged(pieces)] == [("b", 4.0), ("a c", 3.0)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"results": []}, "results: expected `object`, got `array`"),
        ({"results": {"channels": [{"alternatives": [{"words": [{"speaker": {}}]}]}]}}, "speaker"),
        ({"results": {"channels": [], "utterances": []}}, "no turn with text"),
    ],
)
def test_a_damaged_deepgram_answer_is_set_aside_with_the_place(tmp_path, change, reason):
    assert reason in rejected(tmp_path / "a.json", {**DEEPGRAM, **change})


@pytest.mark.parametrize(
    "other",
    [
        [{"id": "a", "turns": [{"role": "agent", "text": "hi", "start": 1}]}],
        {"id": "a", "turns": [{"role": "agent", "text": "hi", "start_s": 1}]},
        {"conversationId": "c", "participants": [{"sessions": [{"segments": [{"segmentStart": "x", "text": "y"}]}]}]},
        {"results": {"items": [{"alternatives": [{"content": "hi"}]}], "transcripts": [{"transcript": "hi"}]}},
    ],
)
def test_other_json_is_not_taken_for_a_recognisers(tmp_path, other):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(other))
    assert choose(open_file(path)).name not in ("deepgram", "assemblyai", "whisper")


@pytest.mark.parametrize(
    ("code", "tag"),
    [
        ("en", "en"),
        ("en_us", "en-US"),
        ("zh-hans-CN", "zh-Hans-CN"),
        ("es-419", "es-419"),
        ("english", None),
        (7, None),
    ],
)
def test_language_codes_become_tags(code, tag):
    assert language(code) == tag


@pytest.mark.parametrize("voice", ["SPEAKER_00", "speaker 1", "0", "A", "spk_1", "Agent", "Customer 2", "Caller (2)"])
def test_a_generic_label_is_nobodys_name(voice):
    assert name_in(voice) is None


@pytest.mark.parametrize(
    ("sample", "format", "turns", "voices"),
    [
        ("deepgram/dg_utterances.json", "deepgram", 2, {None}),
        ("assemblyai/assemblyai_utterances.json", "assemblyai", 1, {"A"}),
        ("whisper/whisper_timestamped.json", "whisper", 2, {None}),
    ],
)
def test_real_files_are_read(sample, format, turns, voices):
    path = SAMPLES / sample
    if not path.exists():
        pytest.skip("the platforms' own files are not beside this repository")
    file = open_file(path)
    assert choose(file).name == format
    (found,) = choose(file).read(file, Reading())
    assert (len(found.conversation.turns), set(found.speakers)) == (turns, voices)
    assert found.conversation.turns[-1].text.endswith("opportunities that we have today.")
