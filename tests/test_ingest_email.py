"""E-mail: headers, bodies, the history below a message, and the threads of a mailbox."""

import pytest

from mlx_cc.ingest import choose, read_folder
from mlx_cc.ingest.format import Reading, Reject
from mlx_cc.ingest.shapes.quoted import parts, writer
from mlx_cc.ingest.source import open_file

AGENTS = {"acme.example": "agent"}


def letter(body, *, charset="utf-8", kind="plain", **headers):
    """A message file's bytes."""
    head = {
        "From": "Ann Lee <Ann@Home.example>",
        "To": "Acme Support <help@acme.example>",
        "Subject": "my bill",
        "Date": "Mon, 10 Mar 2025 14:05:12 -0500",
        "Message-ID": "<1@home.example>",
        "MIME-Version": "1.0",
        "Content-Type": f"text/{kind}; charset={charset}",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = [f"{name}: {value}" for name, value in head.items() if value is not None]
    return "\n".join([*lines, "", body]).encode(charset)


def incoming(tmp_path, data, name="ticket-9.eml", **reading):
    path = tmp_path / name
    path.write_bytes(data)
    file = open_file(path)
    assert choose(file).name == "email"
    found = list(choose(file).read(file, Reading(**reading)))
    return found[0] if len(found) == 1 else found


def said(found):
    return [turn.text for turn in found.conversation.turns]


def test_a_message_is_a_conversation_with_its_time_and_zone(tmp_path):
    found = incoming(tmp_path, letter("My bill is wrong.\n\nPlease help.", Content_Language="en-US"))
    call = found.conversation
    assert (call.id, call.channel, call.language, call.customer_id) == ("ticket-9", "email", "en-US", None)
    assert call.started_at.isoformat() == "2025-03-10T14:05:12-05:00"
    assert (call.turns[0].role, call.turns[0].text) == ("unknown", "My bill is wrong.\n\nPlease help.")
    assert call.turns[0].start_s == 0
    assert found.speakers == ("ann@home.example",)
    assert found.keys == ("1@home.example",)
    assert set(found.names) == {"Ann Lee", "ann@home.example", "Acme Support", "help@acme.example"}
    assert call.flags == ()


@pytest.mark.parametrize("key", ["acme.example", "@ACME.example", "Help@acme.example", "acme support"])
def test_the_caller_says_who_agents_are_by_address_domain_or_name(tmp_path, key):
    quoted = "Still wrong.\n\nOn 9 Mar 2025, at 10:00, Acme Support <help@acme.example> wrote:\n> We mended it.\n"
    found = incoming(tmp_path, letter(quoted), roles={key: "agent", "ann@home.example": "customer"})
    call = found.conversation
    assert [turn.role for turn in call.turns] == ["agent", "customer"]
    assert (call.agents, call.turns[0].agent_id) == (("help@acme.example",), "help@acme.example")
    assert call.customer_id == "ann@home.example"
    assert found.speakers == ()


HEADINGS = [
    "On Sun, Mar 9, 2025 at 6:11 PM Acme Support <help@acme.example> wrote:",
    "On Sun, Mar 9, 2025 at 6:11 PM Acme Support\n<help@acme.example>\nwrote:",
    "Am 09.03.2025 um 18:11 schrieb Acme Support <help@acme.example>:",
    "Le dim. 9 mars 2025 à 18:11, Acme Support <help@acme.example> a écrit :",
    "El dom, 9 mar 2025 a las 18:11, Acme Support (<help@acme.example>) escribió:",
    "Am So., 9. März 2025 um 18:11 Uhr schrieb Acme Support:",
    "On 9 Mar 2025, at 18:11, Acme Support wrote:",
]


@pytest.mark.parametrize("heading", HEADINGS)
@pytest.mark.parametrize("mark", ["> ", ">", ""])
def test_quoted_history_becomes_turns_oldest_first(tmp_path, heading, mark):
    older = [
        "We have looked at it.",
        "",
        "On 8 Mar 2025, at 09:00, Ann Lee <ann@home.example> wrote:",
        "> My bill is wrong.",
    ]
    body = "\n".join(["Thank you!", "", heading, "", *(f"{mark}{line}" for line in older)])
    found = incoming(tmp_path, letter(body))
    assert said(found) == ["My bill is wrong.", "We have looked at it.", "Thank you!"]
    assert found.speakers == ("ann@home.example", "help@acme.example", "ann@home.example")


@pytest.mark.parametrize(
    "block",
    [
        "-----Original Message-----\nFrom: Acme Support <help@acme.example>\nSent: Sunday, 9 March 2025 18:11\nTo: Ann\nSubject: x",
        "-----Ursprüngliche Nachricht-----\nVon: Acme Support [mailto:help@acme.example]\nGesendet: Sonntag\nAn: Ann\nBetreff: x",
        "________________________________\nDe : Acme Support <help@acme.example>\nEnvoyé : dimanche\nÀ : Ann\nObjet : x",
        "*From:* Acme Support\n*Date:* Sunday\n*To:* Ann Lee;\n Bo Diaz\n*Subject:* x",
        "De: Acme Support <help@acme.example>\nEnviado el: domingo\nPara: Ann\nAsunto: x",
    ],
)
def test_blocks_of_headers_start_an_older_message(tmp_path, block):
    found = incoming(tmp_path, letter(f"Thank you!\n\n{block}\n\nWe have looked at it.\n"))
    assert said(found) == ["We have looked at it.", "Thank you!"]
    assert found.speakers == ("help@acme.example", "ann@home.example")


def test_without_a_clear_mark_only_the_messages_own_text_is_read(tmp_path):
    body = "> somebody said this\nI do not agree.\nOn reflection I wrote: nothing.\nFrom: here it is all wrong.\n"
    assert said(incoming(tmp_path, letter(body))) == [
        "I do not agree.\nOn reflection I wrote: nothing.\nFrom: here it is all wrong."
    ]


def test_answers_below_or_between_quotes_are_the_newest_messages_own(tmp_path):
    body = "On 9 Mar 2025, at 10:00, Acme Support wrote:\n> Which month?\n\nMarch.\n\n> Which line?\n\nThe last.\n"
    assert said(incoming(tmp_path, letter(body))) == ["Which month?\nWhich line?", "March.\n\nThe last."]


def test_the_start_is_known_only_with_the_first_messages_time(tmp_path):
    undated = incoming(tmp_path, letter("Yes.\n\nOn 9 Mar 2025, at 10:00, Bo wrote:\n> Is it?\n")).conversation
    assert undated.flags == ("started_at_of_newest_message",)
    assert undated.started_at.isoformat() == "2025-03-10T14:05:12-05:00"
    assert [turn.start_s for turn in undated.turns] == [None, None]
    dated = incoming(tmp_path, letter("Yes.\n\nOn Mon, 10 Mar 2025 14:00:12 -0500, Bo wrote:\n> Is it?\n")).conversation
    assert (dated.flags, [turn.start_s for turn in dated.turns]) == ((), [0, 300])


@pytest.mark.parametrize(
    ("date", "timezone", "start"),
    [
        ("Mon, 10 Mar 2025 14:05:12 -0000", None, "2025-03-10T14:05:12+00:00"),
        ("Mon, 10 Mar 2025 14:05:12", "America/Chicago", "2025-03-10T14:05:12-05:00"),
        ("yesterday", None, None),
        (None, None, None),
    ],
)
def test_the_date_keeps_its_zone(tmp_path, date, timezone, start):
    call = incoming(tmp_path, letter("Hi.", Date=date), timezone=timezone).conversation
    assert (call.started_at and call.started_at.isoformat()) == start


def test_a_date_without_zone_asks_for_one(tmp_path):
    (tmp_path / "a.eml").write_bytes(letter("Hi.", Date="Mon, 10 Mar 2025 14:05:12"))
    rejects = []
    assert list(read_folder([tmp_path], rejects=rejects.append)) == []
    assert "has no time zone. Add its offset, or pass --timezone." in rejects[0].reason


def test_encoded_headers_and_other_charsets_are_decoded(tmp_path):
    data = letter("Gr\xfc\xdfe", charset="iso-8859-1", From="=?utf-8?q?M=C3=BCller=2C_Max?= <max@home.example>")
    found = incoming(tmp_path, data)
    assert said(found) == ["Grüße"]
    assert "Müller, Max" in found.names


def test_names_in_bare_utf8_are_read(tmp_path):
    assert "Jürgen Groß" in incoming(tmp_path, letter("Hi.", From="Jürgen Groß <j@home.example>")).names


@pytest.mark.parametrize("charset", ["utf-8", "no-such-charset"])
def test_text_that_is_not_in_its_charset_is_still_read(tmp_path, charset):
    data = letter("Gr\xfc\xdfe", charset="iso-8859-1").replace(b"iso-8859-1", charset.encode())
    assert said(incoming(tmp_path, data)) == ["Grüße"]


PARTS = """--cut
Content-Type: text/plain; charset=utf-8

{plain}
--cut
Content-Type: text/html; charset=utf-8

<p>My <b>bill</b> is&nbsp;wrong.</p><style>p {{}}</style>
--cut
Content-Type: text/plain; name=notes.txt
Content-Disposition: attachment; filename=notes.txt

not said
--cut--
"""


@pytest.mark.parametrize(("plain", "text"), [("Plain words.", "Plain words."), ("", "My bill is wrong.")])
def test_plain_text_comes_before_html_and_attachments_are_not_text(tmp_path, plain, text):
    data = letter(PARTS.format(plain=plain), Content_Type="multipart/mixed; boundary=cut")
    assert said(incoming(tmp_path, data)) == [text]


def test_history_is_found_in_html(tmp_path):
    body = (
        "<p>Thank you!</p><div><b>From:</b> Acme &lt;help@acme.example&gt;<br><b>Sent:</b> Sunday<br>"
        "<b>Subject:</b> x</div><p>We have looked at it.</p><div>On 8 Mar 2025, at 09:00, Ann Lee wrote:</div>"
        "<blockquote>My bill is wrong.</blockquote>"
    )
    found = incoming(tmp_path, letter(body, kind="html"))
    assert said(found) == ["My bill is wrong.", "We have looked at it.", "Thank you!"]
    assert found.speakers == ("ann@home.example", "help@acme.example", "ann@home.example")


def mailbox(*letters):
    return b"".join(b"From somebody Mon Mar 10 14:05:12 2025\n" + data + b"\n\n" for data in letters)


def test_a_mailbox_gives_a_conversation_for_each_thread(tmp_path):
    ours = {"From": "Acme Support <help@acme.example>", "To": "Ann Lee <ann@home.example>"}
    first = letter("My bill is wrong.\n>From March on.")
    answer = letter(
        "Mended.\n\nOn 10 Mar 2025, at 14:05, Ann Lee wrote:\n> My bill is wrong.\n",
        **ours,
        Date="Mon, 10 Mar 2025 20:05:12 +0000",
        Message_ID="<2@acme.example>",
        In_Reply_To="<1@home.example>",
    )
    last = letter(
        "Thanks.",
        Date="Tue, 11 Mar 2025 14:05:12 -0500",
        Message_ID="<3@home.example>",
        References="<1@home.example>\n <2@acme.example>",
    )
    other = letter("Another matter.", Message_ID="<9@x.example>")
    thread, alone = incoming(tmp_path, mailbox(last, other, answer, first), name="all.mbox", roles=AGENTS)
    assert said(thread) == ["My bill is wrong.\nFrom March on.", "Mended.", "Thanks."]
    assert [turn.start_s for turn in thread.conversation.turns] == [0, 3600, 86400]
    assert [turn.role for turn in thread.conversation.turns] == ["unknown", "agent", "unknown"]
    assert thread.conversation.started_at.isoformat() == "2025-03-10T14:05:12-05:00"
    assert {"1@home.example", "2@acme.example", "3@home.example"} <= {thread.conversation.id, *thread.keys}
    assert (alone.conversation.id, said(alone)) == ("9@x.example", ["Another matter."])


def test_a_thread_without_words_is_set_aside_and_the_others_are_read(tmp_path):
    found = incoming(tmp_path, mailbox(letter("", Message_ID="<7@x>"), letter("Hi.")), name="all.mbox")
    assert isinstance(found[0], Reject)
    assert "thread 1, 'my bill': has no turn with text" in found[0].reason
    assert said(found[1]) == ["Hi."]


@pytest.mark.parametrize("text", ["Agent: hi\nCustomer: hello\n", "From: here\nAgent: hi\n", '{"From": 1, "Date": 2}'])
def test_other_texts_are_not_taken_for_mail(tmp_path, text):
    (tmp_path / "a").write_text(text)
    assert choose(open_file(tmp_path / "a")).name != "email"


def test_a_very_long_history_ends():
    found = list(parts("On 1 Mar 2025, Bo wrote:\n" * 5000))
    assert len(found) < 300


def test_a_heading_names_its_writer_by_address_by_a_known_name_or_not_at_all():
    people = {"ann lee": "ann@home.example"}
    assert writer("On 9 Mar 2025, at 18:11, Bo Diaz <bo@x.example> wrote:", people) == ("bo@x.example", "Bo Diaz")
    assert writer("From: Lee, Ann\nSent: today", people) == (None, "Lee, Ann")
    assert writer("On 9 Mar 2025, ANN LEE wrote:", people)[0] == "ann@home.example"
    assert writer("-----Original Message-----", people) == (None, None)
