"""A small text, table and archive of every kind the data door reads."""

import io
import zipfile
from typing import Any

ROLES = ("agent", "customer")
SAID = ("Thank you for calling, how can I help?", "My bill is wrong, it was $45.99.", "Let me see.", "Thanks, Ann.")
STAMP = "2025-03-10T14:05:12Z"

VTT = "WEBVTT\n\nNOTE made by x\n\n" + "\n".join(
    f"{n}\n00:00:0{2 * n}.000 --> 00:00:0{2 * n + 1}.500 align:start\n<v Speaker {n % 2}><i>{text}</i> &amp;\nmore</v>\n"
    for n, text in enumerate(SAID)
)
SRT = "\n".join(
    f"{n + 1}\n00:00:0{2 * n},000 --> 00:00:0{2 * n + 1},500\n[speaker {n % 2}]\n{text}\n"
    for n, text in enumerate(SAID)
)
EMAIL = """Received: from x by y; Mon, 10 Mar 2025 14:05:13 -0500
From: =?utf-8?q?Ann_L=C3=A9e?= <ann@home.example>
To: "Support, Acme" <help@acme.example>, bo@x.example
Subject: =?utf-8?b?UmU6IGJpbGw=?=
Date: Mon, 10 Mar 2025 14:05:12 -0500
Message-ID: <3@home.example>
References: <1@home.example> <2@acme.example>
In-Reply-To: <2@acme.example>
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary="cut"

--cut
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Thank you, it is caf=E9 time.

On Sun, Mar 9, 2025 at 6:11 PM Acme Support <help@acme.example>
wrote:

> We have looked at it.
>
> -----Original Message-----
> From: Ann Lee <ann@home.example>
> Sent: Saturday, March 8, 2025 9:00
> To: help@acme.example
> Subject: bill
>
> My bill is wrong.
--cut
Content-Type: text/html; charset=utf-8

<p>Thank <b>you</b></p><!-- x --><blockquote>older</blockquote>
--cut--
"""
HTML_EMAIL = EMAIL[: EMAIL.index("Content-Type")] + (
    "Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: base64\n\n"
    "PHA+VGhhbmtzITwvcD48ZGl2PkZyb206IEFubjxicj5TZW50OiB0b2RheTxicj5TdWJqZWN0OiB4PC9kaXY+PHA+SGk8L3A+\n"
)
MAILBOX = "".join(
    f"From x Mon Mar 10 14:05:12 2025\n{letter}\n\n" for letter in (EMAIL, HTML_EMAIL.replace("<3@", "<4@"))
)
TEXT = (
    "---\nid: call-1\nstarted_at: 2025-03-10T14:05:12-05:00\nagents: [ann]\ntimezone: America/Chicago\n---\n"
    + "".join(
        f"[00:0{2 * n}] {role.title()}: {text}\n" for n, (role, text) in enumerate(zip(ROLES * 2, SAID, strict=True))
    )
)
FIVE9 = (
    "CALL ID,TIMESTAMP,CAMPAIGN,CALL TYPE,SKILL,AGENT,AGENT NAME,DISPOSITION,ANI,DNIS,QUEUE WAIT TIME,AFTER CALL WORK TIME\n"
    '1,"Thu, 27 Oct 2016 14:51:34",Main,Inbound,Billing,ann,Ann Lee,Resolved,5551234567,[None],00:00:12,00:01:00\n'
    '2,"Thu, 27 Oct 2016 15:51:34",Main,Outbound,Billing,[Deleted],,No Answer,5551234567,5557654321,,00:00:05\n'
)
TALKDESK: dict[str, Any] = {
    "entries": [
        {
            "call_id": "k-1",
            "callsid": "CA1",
            "talkdesk_phone_number": "+15550000000",
            "start_at": STAMP,
            "handling_user_id": "7",
            "handling_user_name": "Ann Lee",
            "ring_groups": ["billing"],
            "wait_time": 12,
            "hold_time": 3,
            "disposition_code": "resolved",
            "csat_score": 4,
            "contact_phone_number": "+15551234567",
        }
    ]
}
LEGS = (
    "Interaction ID,Contact ID,Channel,Started At,Hard Hold Time,Soft Hold Time,After Call Work Time,Wait Time,Ring Groups\n"
    "i-1,k-1,voice,2025-03-10 14:05:12,0:00:03,0,0:01:00,12,billing\ni-1,k-2,voice,2025-03-10 14:07:12,1,0,5,2,other\n"
)
TURN_ROWS = "conversation_id,speaker,text,start\n" + "".join(
    f'call-1,{role.title()},"{text}",0:0{2 * n}\n' for n, (role, text) in enumerate(zip(ROLES * 2, SAID, strict=True))
)
CELL_ROWS = 'contact_id,transcript,csat\ncall-1,"Agent: hello\nCustomer: hi",4\ncall-2,"Agent: bye",\n'
REPORT = "Contact ID,Agent,Skill,Speed of Answer,CSAT,Start Time\nc-1,ann,billing,12,4,2025-03-10T14:05:12Z\nc-2,,,,,\n"
SCORECARD = (
    "conversation_id,evaluator,evaluated_at,question,answer,score,max_score,weight,critical\n"
    "c-1,qa-7,2025-03-11T10:00:00Z,Greeted the customer,Yes,1,1,5,\n"
    "c-1,qa-7,2025-03-11T10:00:00Z,Verified identity,No,0,1,10,yes\n"
    "c-1,qa-7,2025-03-11T10:00:00Z,Offered a callback,N/A,,1,5,\n"
)


def zipped() -> bytes:
    """An archive of two transcripts."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("calls/a.txt", TEXT)
        archive.writestr("calls/b.srt", SRT)
    return packed.getvalue()
