"""Contact records: one per contact from several reports, joined to its transcript."""

import json
import pickle
import sys
from datetime import UTC, datetime, timedelta

import pytest

from mlx_cc import ingest
from mlx_cc.conversation import Conversation, Label, Turn
from mlx_cc.ingest import read_folder
from mlx_cc.ingest.contacts import Contacts, Joined
from mlx_cc.ingest.format import Incoming, Reading

NOON = datetime(2025, 3, 10, 12, tzinfo=UTC)
REPORT = """
import msgspec
from mlx_cc.ingest.contacts import Contact
from mlx_cc.ingest.format import ContactFormat, Reject
from mlx_cc.errors import UserError

def read(file, reading):
    for number, line in file.lines():
        if number == 1:
            if b"broken" in line:
                raise UserError("can't be read at all.")
            continue
        try:
            yield msgspec.json.decode(line, type=Contact)
        except msgspec.DecodeError as fault:
            yield Reject(str(file.path), number, str(fault))

CONTACTS = ContactFormat("NAME", lambda path, head: head.startswith(b"#NAME"), read)
"""


@pytest.fixture
def report(tmp_path, monkeypatch):
    """A function that writes a report of a kind and returns the folder of all of them."""
    formats, folder = tmp_path / "formats", tmp_path / "reports"
    formats.mkdir()
    folder.mkdir()
    kinds = ("ledger", "form")
    for kind in kinds:
        (formats / f"{kind}.py").write_text(REPORT.replace("NAME", kind))
    monkeypatch.setattr(ingest, "__path__", [*ingest.__path__, str(formats)])
    ingest.all_contact_formats.cache_clear()

    def write(*contacts, kind="ledger", name=None):
        path = folder / (name or f"{len(list(folder.iterdir()))}.report")
        lines = [f"#{kind}", *(c if isinstance(c, str) else json.dumps(c, default=str) for c in contacts)]
        path.write_text("\n".join(lines))
        return folder

    yield write
    ingest.all_contact_formats.cache_clear()
    for kind in kinds:
        sys.modules.pop(f"mlx_cc.ingest.{kind}", None)


def read(folder, **options):
    rejects = []
    return Contacts([folder], rejects=rejects.append, **options), [str(reject) for reject in rejects]


def call(id="c1", keys=(), names=(), **fields):
    turns = (Turn(role="agent", text="hi"), Turn(role="customer", text="hello"))
    return Incoming(Conversation(id=id, turns=turns, **fields), names, keys)


def at(days):
    return (NOON + timedelta(days=days)).isoformat()


def joined(contacts, **fields):
    return contacts.join(call(**fields)).conversation


# The join


def test_a_contact_fills_what_the_transcript_lacks_and_rules_over_times_and_disposition(report):
    contact = {
        "id": "c1", "platform": "ours", "channel": "voice", "language": "en", "customer_id": "+15550100", "agents": ["a7"],
        "team": "north", "queue": "billing", "started_at": at(0), "timezone": "America/Chicago", "queue_wait_s": 30,
        "hold_s": 5, "after_call_work_s": 20, "handle_time_s": 300, "disposition": "refund", "names": ["Ann Lee"],
    }  # fmt: skip
    contacts, rejects = read(report(contact))
    assert rejects == []
    bare = contacts.join(call(names=("Ben",)))
    assert bare.names == ("Ben", "Ann Lee")
    got = bare.conversation
    assert (got.platform, got.channel, got.language, got.customer_id) == ("ours", "voice", "en", "+15550100")
    assert (got.agents, got.team, got.queue, got.timezone, got.started_at) == (
        ("a7",),
        "north",
        "billing",
        "America/Chicago",
        NOON,
    )
    own = joined(contacts, channel="chat", queue="own", agents=("x",), queue_wait_s=1.0, disposition="mine", hold_s=1.0)
    assert (own.channel, own.queue, own.agents) == ("chat", "own", ("x",))
    assert (own.queue_wait_s, own.hold_s, own.after_call_work_s, own.handle_time_s) == (30, 5, 20, 300)
    assert own.disposition == "refund"
    assert own.flags == ()


def test_contacts_are_found_by_id_and_by_keys_either_way(report):
    folder = report(
        {"id": "c1", "queue": "one"}, {"id": "k2", "queue": "two", "keys": ["rec-2"]}, {"id": "k3", "keys": ["c3"]}
    )
    contacts, _ = read(folder)
    assert joined(contacts, id="c1").queue == "one"
    assert joined(contacts, id="rec-2").queue == "two"
    assert joined(contacts, id="x", keys=("k2",)).queue == "two"
    assert joined(contacts, id="y", keys=("nothing", "rec-2")).queue == "two"
    lost = joined(contacts, id="z", keys=("nothing",))
    assert (lost.queue, lost.flags) == (None, ("no_contact_record",))
    assert contacts.report() == {
        "contacts": 3,
        "matched": 4,
        "only_transcript": 1,
        "only_contact": 1,
        "ambiguous": 0,
        "superseded": 0,
        "examples": {"only_transcript": ["z"], "only_contact": ["k3"], "ambiguous": []},
    }


def test_two_contacts_that_fit_are_joined_to_neither_unless_one_has_the_id(report):
    folder = report(
        {"id": "k1", "queue": "one", "keys": ["shared"]}, {"id": "k2", "queue": "two", "keys": ["shared", "c9"]},
        {"id": "c9", "queue": "nine"},
    )  # fmt: skip
    contacts, _ = read(folder)
    for unclear in (joined(contacts, id="shared"), joined(contacts, id="x", keys=("k1", "k2"))):
        assert (unclear.queue, unclear.flags) == (None, ("contact_ambiguous",))
    assert joined(contacts, id="c9").queue == "nine"
    assert contacts.report()["ambiguous"] == 2
    assert contacts.report()["examples"]["ambiguous"] == ["shared", "x"]


def test_a_conversation_read_again_loses_the_flag_of_a_contact_found_since(report):
    contacts, _ = read(report({"id": "c1", "queue": "one"}))
    assert joined(contacts, flags=("no_contact_record", "other")).flags == ("other",)
    assert joined(contacts, id="x", flags=("no_contact_record",)).flags == ("no_contact_record",)


def test_the_better_source_keeps_its_label_and_the_report_wins_a_tie(report):
    labels = {
        "csat": {"value": 2, "source": "survey"},
        "quality": {"value": {"score": 50}, "source": "platform"},
        "churn": {"value": 9, "source": "platform"},
    }
    contacts, _ = read(report({"id": "c1", "labels": labels}))
    got = joined(
        contacts,
        labels={
            "csat": Label(value=5, source="survey"),
            "quality": Label(value={"score": 80}, source="human_qa"),
            "churn": Label(value=70, source="teacher"),
        },
    )
    assert (got.label("csat"), got.label("quality"), got.label("churn")) == (2, {"score": 80}, 9)


# One record per contact


def test_the_newest_record_counts_whatever_the_order_and_its_gaps_are_filled(report):
    old = {"id": "c1", "updated_at": at(0), "queue": "old", "disposition": "open"}
    new = {"id": "c1", "updated_at": at(1), "queue": "new"}
    for first, second in ((old, new), (new, old)):
        contacts, _ = read(report(first, second, name="one.report"))
        got = joined(contacts)
        assert (got.queue, got.disposition) == ("new", "open")
        assert contacts.report()["superseded"] == 1


def test_without_update_times_the_later_record_counts(report):
    contacts, _ = read(report({"id": "c1", "queue": "first"}, {"id": "c1", "queue": "second", "updated_at": None}))
    assert joined(contacts).queue == "second"


def test_different_reports_fill_each_other_s_gaps_and_their_labels_are_merged(report):
    report({"id": "c1", "queue": "billing", "agents": ["a"], "updated_at": at(1), "names": ["Ann"], "keys": ["k"]})
    folder = report(
        {"id": "c1", "team": "north", "queue": "other", "channel": "chat", "updated_at": at(0), "names": ["Ben"],
         "labels": {"quality": {"value": {"score": 80}, "source": "human_qa"}}},
        kind="form",
    )  # fmt: skip
    report({"id": "c1", "labels": {"csat": {"value": 4, "source": "survey"}}}, kind="form")
    contacts, _ = read(folder)
    found = contacts.join(call(id="k"))
    got = found.conversation
    assert (got.queue, got.agents, got.team, got.channel) == ("billing", ("a",), "north", "chat")
    assert (got.label("quality"), got.label("csat")) == ({"score": 80}, 4)
    assert set(found.names) == {"Ann", "Ben"}


def test_a_record_of_the_contact_counts_before_a_newer_one_about_it(report):
    record = {"id": "c1", "agents": ["tom"], "started_at": at(0), "updated_at": at(0)}
    form = {"id": "c1", "agents": ["286b"], "team": "north", "updated_at": at(3)}
    for first, second in ((record, form), (form, record)):
        report(first, name="1.report")
        contacts, _ = read(report(second, name="2.report", kind="form"))
        assert (joined(contacts).agents, joined(contacts).team) == (("tom",), "north")


def test_what_cannot_be_read_is_rejected_and_the_rest_counts(report, tmp_path):
    folder = report({"id": "c1", "queue": "one"}, "{}", {"id": "c2"})
    (folder / "b.report").write_text("#ledger broken\n")
    (folder / "c.png").write_bytes(b"\x89PNG\r\n\0\0")
    (folder / "d.report").write_text("")
    contacts, rejects = read(folder)
    assert len(contacts) == 2
    assert [reject.split("reports/")[1].split(":")[0] for reject in rejects] == [
        "0.report, line 3", "b.report", "c.png", "d.report",
    ]  # fmt: skip
    assert "can't be read at all" in rejects[1]
    assert "ledger" in rejects[2] or "null bytes" in rejects[2] or "UTF-8" in rejects[2]


# First contact or follow-up


def test_the_report_and_the_chain_say_whether_it_is_a_follow_up(report):
    folder = report(
        {"id": "first"}, {"id": "second", "previous_contact_id": "first"}, {"id": "alone"},
        {"id": "said", "previous_contact_id": "first", "is_followup": False},
        {"id": "itself", "previous_contact_id": "itself"},
    )  # fmt: skip
    contacts, _ = read(folder)
    found = {id: joined(contacts, id=id) for id in ("first", "second", "alone", "said", "itself")}
    assert {id: got.is_followup for id, got in found.items()} == {
        "first": False, "second": True, "alone": None, "said": False, "itself": None,
    }  # fmt: skip
    assert found["second"].previous_contact_id == "first"
    assert found["itself"].previous_contact_id is None
    assert not any(got.flags for got in found.values())
    assert joined(contacts, id="second", is_followup=False).is_followup is False


def test_the_same_customer_within_the_window_is_a_follow_up_by_proxy_where_asked_for(report):
    folder = report(
        {"id": "c3", "customer_id": "+1555", "started_at": at(9)}, {"id": "c1", "customer_id": "+1555", "started_at": at(0)},
        {"id": "c2", "customer_id": "+1555 ", "started_at": at(6.5)}, {"id": "other", "customer_id": "+1666", "started_at": at(7)},
        {"id": "hidden", "customer_id": "Anonymous", "started_at": at(7)},
        {"id": "hidden2", "customer_id": "anonymous", "started_at": at(8)}, {"id": "timeless", "customer_id": "+1555"},
    )  # fmt: skip
    contacts, _ = read(folder, followup_window_days=3)
    found = {id: joined(contacts, id=id) for id in ("c1", "c2", "c3", "other", "hidden2", "timeless")}
    assert {id: got.is_followup for id, got in found.items()} == {
        "c1": False, "c2": False, "c3": True, "other": False, "hidden2": None, "timeless": None,
    }  # fmt: skip
    assert {id for id, got in found.items() if got.flags == ("followup_by_proxy",)} == {"c1", "c2", "c3", "other"}
    plain, _ = read(folder)
    assert joined(plain, id="c3").is_followup is None


# Through the door


def test_read_folder_joins_and_workers_may_have_copies(report, tmp_path):
    contacts, _ = read(report({"id": "a", "queue": "billing"}, {"id": "b", "queue": "sales"}, {"id": "left"}))
    transcripts = tmp_path / "transcripts"
    transcripts.mkdir()
    for name in "abc":
        (transcripts / f"{name}.txt").write_text("Agent: hi\nCustomer: hello\n")
    copies = [pickle.loads(pickle.dumps(contacts)) for _ in range(2)]
    total, queues = Joined(), {}
    for copy, names in zip(copies, ("ab", "c"), strict=True):
        paths = [transcripts / f"{name}.txt" for name in names]
        for got in read_folder(paths, Reading(contacts=copy), rejects=pytest.fail):
            queues[got.id] = (got.queue, got.flags)
        total.add(copy.joined)
    assert queues == {"a": ("billing", ()), "b": ("sales", ()), "c": (None, ("no_contact_record",))}
    report_ = contacts.report(total)
    assert (report_["matched"], report_["only_transcript"], report_["only_contact"]) == (2, 1, 1)
    assert report_["examples"]["only_contact"] == ["left"]
    (alone,) = read_folder([transcripts / "c.txt"], Reading(), rejects=pytest.fail)
    assert alone.flags == ()


def test_a_report_among_the_transcripts_is_set_aside_with_the_way_out(report):
    rejects = []
    assert list(read_folder([report({"id": "a"})], Reading(), rejects=rejects.append)) == []
    assert "is a report about contacts (ledger), not a transcript. Pass it with --contacts." in str(rejects[0])
