"""Who spoke: labels, guesses from the words, and when nothing is guessed."""

import json
import re
from collections import Counter

import pytest
from conftest import ROOT

from benchmarks.roles import measure
from mlx_cc.conversation import Conversation, Turn
from mlx_cc.ingest import cues, read_folder
from mlx_cc.ingest.format import Incoming, Reading
from mlx_cc.ingest.roles import guess_roles, look_swapped, name_in, resolve, role_of
from mlx_cc.ingest.text import parse

SHARED = ROOT.parent / "shared"
SAMPLES = SHARED / "samples"
OTHER = {"agent": "customer", "customer": "agent"}

TALKS = {
    "en": (
        "Thank you for calling Northwind Home, this is Dana. How can I help?",
        "Hi, I'm calling about my bill. I was charged twice.",
        "I'm sorry to hear that. Can I have your account number, please?",
        "Sure, it's 4471.",
    ),
    "es": (
        "Gracias por llamar a Luz Norte, le atiende Marta. ¿En qué puedo ayudarle?",
        "Hola, llamo porque me cobraron dos veces en mi factura.",
        "Lamento las molestias. ¿Me puede indicar su número de cliente?",
        "Sí, es el 4471. No puedo entrar en mi cuenta tampoco.",
    ),
    "fr": (
        "Merci d'avoir appelé Clairville, Sophie à votre service. Comment puis-je vous aider ?",
        "Bonjour, je vous appelle parce que je n'ai pas reçu ma commande.",
        "Je comprends votre inquiétude. Pouvez-vous me donner votre numéro de dossier ?",
        "C'est le 4471. J'aimerais savoir où est mon colis.",
    ),
    "de": (
        "Guten Tag, Sie sprechen mit Herrn Busch. Wie kann ich Ihnen helfen?",
        "Ich rufe an, weil mein Internet nicht funktioniert.",
        "Das tut mir leid. Wie lautet Ihre Kundennummer?",
        "Die Kundennummer ist 4471. Ich habe auch eine Frage zu meiner Rechnung.",
    ),
    "pt": (
        "Obrigada por ligar para a Rede Azul, em que posso ajudar?",
        "Estou ligando porque não consigo acessar minha conta.",
        "Sinto muito pelo transtorno. O senhor pode me informar o CPF, por gentileza?",
        "Pode sim. Eu queria também a segunda via da minha fatura.",
    ),
    "zh": (
        "您好，感谢您的来电，请问有什么可以帮您？",
        "我的订单还没收到，怎么回事？",
        "非常抱歉，请您提供一下您的订单号，我帮您查一下。",
        "号码是4471，我想退货。",
    ),
}


def talk(texts, labels="AB"):
    """An incoming conversation of voices that take turns."""
    turns = tuple(Turn(role="unknown", text=text) for text in texts)
    speakers = tuple(labels[n % len(labels)] for n in range(len(texts)))
    return Incoming(Conversation(id="c", turns=turns), speakers=speakers)


def roles(conversation):
    return [turn.role for turn in conversation.turns]


# Labels


@pytest.mark.parametrize(
    ("labels", "role"),
    [("Agent Agente Kundenberater Mitarbeiter Atendente Operador conseiller Téléconseiller 客服 坐席", "agent"),
     ("Client Cliente Kunde KUNDIN 客户 顾客 用户", "customer"), ("机器人 IVR", "bot"), ("Système", "system")],
)  # fmt: skip
def test_labels_are_known_in_six_languages(labels, role):
    assert {role_of(label) for label in labels.split()} == {role}


def test_names_are_told_from_other_labels():
    labels = ["Ann Lee", "Speaker 1", "SPEAKER_00", "Agent", "Cliente (José)", "Supervisor", "A", "张三", "发言人1"]
    assert [name for label in labels if (name := name_in(label))] == ["Ann Lee", "José", "张三"]


# The guess


@pytest.mark.parametrize("language", TALKS)
@pytest.mark.parametrize("first", ["agent", "customer"])
def test_the_words_tell_agent_from_customer_whoever_speaks_first(language, first):
    texts = TALKS[language] if first == "agent" else TALKS[language][1:]
    got = resolve(talk(texts), Reading())
    assert roles(got) == [first, OTHER[first]] * 2 if first == "agent" else [first, OTHER[first], first]
    assert all(0.8 <= turn.role_confidence <= 0.99 for turn in got.turns)
    assert got.flags == ()


def test_recognised_speech_needs_no_punctuation_and_may_cut_a_phrase_in_two():
    texts = ["thank you for", "calling acme how can", "i help you", "id like to change my", "flight"]
    found = guess_roles([("0", None)] * 3 + [("1", None)] * 2, texts)
    assert {voice[0]: role for voice, (role, _) in found.items()} == {"0": "agent", "1": "customer"}


@pytest.mark.parametrize(
    "texts",
    [
        ("Nice weather today.", "Yes, the sun is out.", "See you tomorrow then.", "Bye."),
        ("Check display switch functional.", "Copy. Display is on.", "Take power to two switches off.", "In work."),
        ("Hello.", "Hello."),
        ("How can I help?", "How can I help you?", "Is there anything else?", "Anything else I can do for you?"),
    ],
)
def test_talk_that_does_not_say_is_left_unknown_with_a_flag(texts):
    got = resolve(talk(texts), Reading())
    assert "customer" not in roles(got)
    assert "unknown" in roles(got)
    assert all(turn.role_confidence is None for turn in got.turns if turn.role == "unknown")
    assert got.flags == ("roles_unknown",)


def test_one_voice_that_says_everything_is_nobody_s():
    got = resolve(talk(TALKS["en"], labels="A"), Reading())
    assert roles(got) == ["unknown"] * 4


def test_turns_without_a_label_get_no_role():
    found = talk(TALKS["en"])
    got = resolve(found._replace(speakers=("A", "B", "A", None)), Reading())
    assert roles(got) == ["agent", "customer", "agent", "unknown"]
    assert roles(resolve(found._replace(speakers=()), Reading())) == ["unknown"] * 4


def test_an_announcement_is_the_bot_s_and_a_second_agent_an_agent():
    announced = "This call may be recorded. For billing, press one. Para español, marque dos."
    second = "Thank you for holding, this is Lee from billing. How can I help? Can I have your account number?"
    got = resolve(talk((announced, *TALKS["en"][:2], second, TALKS["en"][1]), labels="IABCB"), Reading())
    assert roles(got) == ["bot", "agent", "customer", "agent", "customer"]


def test_a_chatbot_is_never_an_agent():
    texts = ("Hi, I'm your virtual assistant. How can I help you?", "I want to cancel my order.",
             "I can help you with that. Can I have your order number?", "It's 4471.")  # fmt: skip
    assert set(roles(resolve(talk(texts), Reading()))[::2]) <= {"bot", "unknown"}


def test_where_one_role_is_said_the_other_is_looked_for():
    found = talk(TALKS["en"])
    turns = tuple(Turn(role="agent" if n % 2 == 0 else "unknown", text=text) for n, text in enumerate(TALKS["en"]))
    got = resolve(Incoming(Conversation(id="c", turns=turns), speakers=(None, "B") * 2), Reading())
    assert roles(got) == roles(resolve(found, Reading()))
    assert [turn.role_confidence is None for turn in got.turns] == [True, False] * 2


def test_the_caller_s_word_goes_before_any_guess_and_swap_turns_what_the_file_says():
    found = talk(TALKS["en"])
    got = resolve(found, Reading(roles={"A": "customer", "B": "agent"}))
    assert roles(got) == ["customer", "agent"] * 2
    assert got.flags == ("roles_look_swapped",)
    assert {turn.role_confidence for turn in got.turns} == {None}
    said = Incoming(got)
    swapped = resolve(said, Reading(swap=True))
    assert roles(swapped) == ["agent", "customer"] * 2
    assert swapped.flags == ()


def test_roles_that_the_text_contradicts_are_flagged_and_kept():
    wrong = tuple(Turn(role="customer" if n % 2 == 0 else "agent", text=text) for n, text in enumerate(TALKS["en"]))
    got = resolve(Incoming(Conversation(id="c", turns=wrong)), Reading())
    assert got.flags == ("roles_look_swapped",)
    assert got.turns == wrong
    right = Conversation(id="c", turns=tuple(Turn(role=OTHER[turn.role], text=turn.text) for turn in wrong))
    assert resolve(Incoming(right), Reading()) is right


def test_a_phrase_matches_as_its_notation_says():
    assert cues.plain("¿En qué  puedo\nayudarle? I'd") == "en que puedo ayudarle id"
    assert cues.heard(["Could I have your FULL name?"]).keys() == {"asks who is there"}
    assert cues.heard(["I have your parcel. Could I have your order number? May I, please, have your name?"]) == {
        "asks for details": 2,
        "speaks of what the customer has": 2,
    }
    assert cues.heard(["thank you for calling me back"]).keys() == {"thanks for the help"}
    assert cues.heard(["thank you for", "calling"]) == Counter()


@pytest.mark.parametrize("cue", cues.CUES, ids=lambda cue: cue.name)
def test_every_phrase_of_a_cue_is_heard(cue):
    """Or, where another cue has a longer phrase that begins alike, that one."""
    for phrase in " ".join(cue.phrases.split()).split(" | "):
        words = [re.sub(r"[?*]", "", word).split("/")[0] for word in phrase.split() if word != "..."]
        assert cues.heard([" ".join(words).replace("...", "")]), phrase


# Text transcripts


def read_text(tmp_path, text, **options):
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    rejects = []
    found = list(read_folder([tmp_path / "a.txt"], Reading(**options), rejects=rejects.append))
    return found, [str(reject) for reject in rejects]


def test_speakers_by_name_or_number_are_read_and_guessed(tmp_path):
    for names in ("Ann Ben", "Speaker_1 Speaker_2", "张三 李四"):
        one, two = names.replace("_", " ", 2).split(" ", 1) if "_" not in names else ("Speaker 1", "Speaker 2")
        text = "\n".join(f"{(one, two)[n % 2]}: {line}" for n, line in enumerate(TALKS["en"]))
        (got,), rejects = read_text(tmp_path, text)
        assert rejects == []
        assert roles(got) == ["agent", "customer"] * 2
        assert [turn.text for turn in got.turns] == list(TALKS["en"])


def test_two_unknown_labels_that_alternate_are_speakers_and_a_lone_one_is_an_error(tmp_path):
    (got,), rejects = read_text(tmp_path, "Ann: Hello there\nBen: Hello\n")
    assert (roles(got), got.flags, rejects) == (["unknown", "unknown"], ("roles_unknown",), [])
    for text in (
        "Ann: Hello there\n",
        "Agent: hi\nNote: call back\n",
        "Agent: hi\nCustomer: hello\nNote: a\nNote: b\n",
    ):
        found, (reason,) = read_text(tmp_path, text)
        assert found == []
        assert "unknown speaker" in reason


def test_a_speaker_met_again_beside_known_ones_stays_unknown_unless_clear(tmp_path):
    text = "Agent: hi\nCustomer: hello\nSupervisor: may I?\nAgent: yes\nSupervisor: fine\n"
    (got,), _ = read_text(tmp_path, text)
    assert roles(got) == ["agent", "customer", "unknown", "agent", "unknown"]


def test_the_caller_can_name_a_label_s_role_in_text(tmp_path):
    (got,), _ = read_text(tmp_path, "Ann: Hello\nBen: Hello\n", roles={"Ann": "agent", "Ben": "customer"})
    assert roles(got) == ["agent", "customer"]
    (got,), _ = read_text(tmp_path, "Agent: Hello\nClient: Hello\n", roles={"Agent": "customer", "Client": "agent"})
    assert roles(got) == ["customer", "agent"]


def test_a_full_width_colon_parts_speaker_and_text(tmp_path):
    (got,), _ = read_text(tmp_path, "[00:03] 客服：您好\n顾客：我的订单还没到\n订单号码是：123\n")
    assert [(turn.role, turn.text) for turn in got.turns] == [
        ("agent", "您好"),
        ("customer", "我的订单还没到\n订单号码是：123"),
    ]


def test_parse_guesses_too_and_leaves_open_what_is_not_clear():
    assert roles(parse("Ann: How can I help?\nBen: I'm calling about my order.\n")) == ["agent", "customer"]
    assert roles(parse("just words")) == ["unknown"]


# Real conversations


@pytest.mark.parametrize("name", ["star", "tau_airline", "multidogo", "natcs"])
def test_confident_guesses_on_real_conversations_are_right(name):
    path = SHARED / "data" / f"{name}.jsonl.gz"
    if not path.exists():
        pytest.skip("the labelled conversations are not beside this repository")
    n = measure(path, every={"star": 12, "multidogo": 25}.get(name, 1))
    answered = n.right.total() + n.wrong.total()
    assert n.conversations > 100
    assert n.wrong.total() <= 0.005 * answered
    assert answered / n.voices > {"star": 0.85, "tau_airline": 0.95, "multidogo": 0.1, "natcs": 0.0}[name]
    assert n.falsely_swapped == 0
    if name in ("star", "tau_airline"):
        assert n.found_swapped > 0.7 * n.conversations


def real(name):
    path = SAMPLES / name
    if not path.exists():
        pytest.skip("the platforms' own files are not beside this repository")
    return path.read_text(encoding="utf-8")


def contact_lens():
    found = json.loads(real("amazon_connect/google_devkit_aws_transcript.json"))
    return [(turn["ParticipantId"], turn["Content"]) for turn in found["Transcript"]], {
        "AGENT": "agent",
        "CUSTOMER": "customer",
    }


def call_analytics():
    found = json.loads(real("aws_pca/testfile.json"))
    # The file says spk_0 is the agent; "Thank you for calling" is spk_1's.
    return [(turn["SegmentSpeaker"], turn["OriginalText"]) for turn in found["SpeechSegments"]], {
        "spk_1": "agent",
        "spk_0": "customer",
    }


def insights():
    found = json.loads(real("google_ccai/conversation_entries_from_readme.json"))
    return [(turn["role"], turn["text"]) for turn in found["entries"]], {"AGENT": "agent", "CUSTOMER": "customer"}


@pytest.mark.parametrize("source", [contact_lens, call_analytics, insights])
def test_real_calls_without_labels_get_the_right_roles_and_swapped_ones_a_flag(source):
    said, truth = source()
    found = guess_roles([(label, None) for label, _ in said], [text for _, text in said])
    assert {label: role for (label, _), (role, _) in found.items()} == truth
    turns = [Turn(role=truth[label], text=text) for label, text in said]
    assert not look_swapped(turns)
    assert look_swapped([Turn(role=OTHER[turn.role], text=turn.text) for turn in turns])


def test_talk_between_astronauts_stays_unknown():
    deepgram = json.loads(real("deepgram/dg_utterances.json"))["results"]["utterances"]
    assembly = json.loads(real("assemblyai/assemblyai_utterances.json"))["utterances"]
    whisper = json.loads(real("whisper/whisper_timestamped.json"))["segments"]
    for said in (
        [(str(turn["speaker"]) if "speaker" in turn else "0", turn["transcript"]) for turn in deepgram],
        [(turn["speaker"], turn["text"]) for turn in assembly],
        [("A", turn["text"]) for turn in whisper],
        re.findall(r"<v ([^>]*)>(.*)", real("subtitles/dg_speakers.vtt")),
    ):
        assert len(said) > 0
        assert guess_roles([(label, None) for label, _ in said], [text for _, text in said]) == {}


@pytest.mark.parametrize(
    ("name", "expected", "flags"),
    [
        ("aws_pca/testfile.json", {"agent", "customer"}, ("roles_look_swapped",)),
        ("amazon_connect/google_devkit_aws_transcript.json", {"agent", "customer"}, ()),
        ("google_ccai/conversation_entries_from_readme.json", {"agent", "customer"}, ()),
        ("subtitles/dg_speakers.srt", {"unknown"}, ("roles_unknown",)),
        ("whisper/whisper_timestamped.json", {"unknown"}, ("roles_unknown",)),
    ],
)
def test_real_files_come_through_the_door_with_their_roles_and_flags(name, expected, flags):
    real(name)
    (got,) = read_folder([SAMPLES / name], Reading(), rejects=pytest.fail)
    assert (set(roles(got)), got.flags) == (expected, flags)
    swapped = next(read_folder([SAMPLES / name], Reading(swap=True), rejects=pytest.fail))
    assert roles(swapped) == [OTHER.get(role, role) for role in roles(got)]
    assert ("roles_look_swapped" in swapped.flags) == (not flags)
