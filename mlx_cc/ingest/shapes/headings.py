"""Names of columns in tables, in any case and spelling -> fields of the record."""

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import NamedTuple

from mlx_cc.tasks import all_tasks

UNITS = {
    **dict.fromkeys(("ms", "msec", "millis", "milliseconds", "millisecond"), 0.001),
    **dict.fromkeys(("s", "sec", "secs", "seconds", "second"), 1.0),
    **dict.fromkeys(("min", "mins", "minutes", "minute"), 60.0),
}
ZONES = {"utc", "gmt"}
IDS = (
    "conversation id,contact id,call id,interaction id,session id,chat id,ticket id,case id,dialogue id,dialog id,"
    "transcript id,conversation,interaction,contact,contact guid,interaction guid,conversation guid"
)
OTHER_IDS = "recording id,segment id,call sid,communication id,external id,transfer id"
TURN = {
    "role": "speaker,role,participant,speaker role,participant role,participant type,speaker label,speaker name,"
    "sender,sender type,sender role,author,party,who,from",
    "text": "text,utterance,message,transcript,content,sentence,phrase,turn text,message text,utterance text,body",
    "start_s": "start,start time,timestamp,time,offset,start offset,begin,begin offset,begin time,date time,created at,"
    "sent at,time stamp,utterance start,turn start,started at",
    "end_s": "end,end time,end offset,utterance end,turn end,ended at",
}
TRANSCRIPT = (
    "transcript,full transcript,transcription,conversation text,call transcript,chat transcript,transcript text,"
    "conversation transcript,dialogue,dialog,chat log"
)
CONTACT = {
    "updated_at": "updated at,last updated,last update,last update timestamp,modified at,last modified",
    "platform": "platform",
    "channel": "channel,media type,media,channel type,contact type,media name,call type",
    "language": "language,language code,lang",
    "customer_id": "customer id,ani,customer,caller id,customer phone,customer phone number,caller number,"
    "customer number,phone number,phone,customer email,from number,remote number",
    "agents": "agent id,agent username,agent login,agent user id,user id,agent,agent email",
    "team": "team,team name,agent team,agent group,group",
    "queue": "queue,queue name,skill,skill name,skill queue,queue skill",
    "started_at": "started at,start time,start,start date time,contact start,contact start time,call start,"
    "call start time,conversation start,conversation start time,interaction start,"
    "interaction start time,start timestamp,timestamp,"
    "date time,call date time,contact start date time,initiation timestamp,start date,call date,date",
    "timezone": "timezone,time zone,tz",
    "queue_wait_s": "queue wait,queue wait time,queue time,wait time,wait,speed of answer,asa,time in queue,in queue,"
    "in queue time,time to answer,queue duration,wait duration",
    "hold_s": "hold,hold time,hold duration,total hold time,time on hold",
    "after_call_work_s": "acw,acw time,acw duration,after call work,after call work time,after contact work,"
    "after contact work time,wrap up,wrap up time,wrap time",
    "handle_time_s": "handle time,handling time,aht,handle duration,total handle time,handled time",
    "disposition": "disposition,disposition name,disposition code,primary disposition,wrap up code,"
    "wrap up reason,outcome",
    "previous_contact_id": "previous contact id,master contact id,parent contact id,initial contact id,"
    "original contact id,previous conversation id",
    "is_followup": "is followup,is follow up,follow up,repeat contact,is repeat",
}
PEOPLE = "agent name,agent full name,customer name,caller name,contact name,handled by,agent first name,agent last name"


def labels() -> dict[str, str]:
    """Task -> what a column with its label is called."""
    return {task.name: ",".join(task.column_names) for task in all_tasks().values() if task.column_names}


class Column(NamedTuple):
    """A column's name, parsed."""

    words: str
    """Normalised, without unit and brackets: `Hold Time (ms)` is holdtime."""
    unit_s: float
    """Seconds in one unit."""
    utc: bool
    """Whether the name says that the times are in UTC."""


@lru_cache(maxsize=4096)
def column(name: str) -> Column:
    """Parse a column's name."""
    words = _words(name)
    unit = next((UNITS[word] for word in words[1:] if word in UNITS), 1.0)
    bare = [word for word in _words(re.sub(r"\(.*?\)", "", name)) if word not in ZONES]
    while len(bare) > 1 and bare[-1] in UNITS:
        bare.pop()
    return Column("".join(bare), unit, not ZONES.isdisjoint(words))


def _words(name: str) -> list[str]:
    return re.findall(r"[^\W_]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).casefold())


@cache
def spellings(names: str) -> tuple[str, ...]:
    """A list of names in the spelling of `Column.words`."""
    return tuple(name.replace(" ", "") for name in names.split(","))


def place(names: tuple[str, ...], known: str) -> int | None:
    """Index of the first of the known names among a table's names; None when there is none."""
    spelled = [column(name).words for name in names]
    return next((spelled.index(name) for name in spellings(known) if name in spelled), None)


def places(names: tuple[str, ...], known: Mapping[str, str]) -> dict[str, str]:
    """Field -> column index (as text), for fields that the table has."""
    return {field: str(found) for field, those in known.items() if (found := place(names, those)) is not None}


def named(names: tuple[str, ...], wanted: str) -> str | None:
    """The index (as text) of a column that a map names, as written, else in any spelling."""
    if wanted and wanted in names:
        return str(names.index(wanted))
    words = "".join(_words(wanted))
    spelled = ["".join(_words(name)) for name in names]
    return str(spelled.index(words)) if words and words in spelled else None
