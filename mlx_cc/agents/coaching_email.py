"""Coaching plans as e-mail drafts, for a person to read, change and send."""

from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import SMTP
from html import escape

from mlx_cc.agents.coaching import heading
from mlx_cc.agents.coaching_plan import NO_WEAKNESS, Example, Plan, Step

STYLE = (
    "font-family:-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;font-size:15px;line-height:1.5;"
    "color:#1d2733;max-width:640px;margin:0 auto;padding:16px"
)
QUOTE = "margin:6px 0 6px 0;padding:6px 12px;border-left:3px solid #9db2c8;color:#33475b"


def draft(plan: Plan, address: str | None = None) -> bytes:
    """The bytes of an .eml file: plain text and HTML of the same plan, marked as a draft (`X-Unsent`).

    Quotes are escaped, and the message loads no image, style or script.

    Args:
        address: the agent's e-mail address; without it the message has no To.
    """
    message = EmailMessage(policy=SMTP)
    message["Subject"] = f"Your coaching plan ({plan['agent_id']}, {plan['conversations']} contacts)"
    if address:
        message["To"] = address
    message["X-Unsent"] = "1"
    message.set_content(plan["text"] + "\n")
    message.add_alternative(page(plan), subtype="html")
    return message.as_bytes()


def page(plan: Plan) -> str:
    """The plan as HTML."""
    return "\n".join(_lines(plan))


def _lines(plan: Plan) -> Iterator[str]:
    yield f'<!doctype html><html lang="en"><body style="{STYLE}">'
    yield f'<h1 style="font-size:20px">Coaching plan for {escape(plan["agent_id"])}</h1>'
    yield f"<p>Based on {plan['conversations']} contacts.</p>"
    if plan["build_on"]:
        yield f"<p><b>Build on:</b> {escape(', '.join(heading(skill) for skill in plan['build_on']))}</p>"
    if not plan["work_on"]:
        yield f"<p>{NO_WEAKNESS}</p>"
    for step in plan["work_on"]:
        yield from _step(step)
    yield "</body></html>"


def _step(step: Step) -> Iterator[str]:
    yield f'<h2 style="font-size:17px;margin-top:24px">{step["rank"]}. {escape(heading(step["skill"]))}</h2>'
    yield f"<p>{escape(step['reason'])}</p><p><b>Do:</b> {escape(step['action'])}</p>"
    for title, examples in (
        ("Your contacts", step["own"]),
        ("Contacts of colleagues who are strong in this", step["peers"]),
    ):
        if examples:
            yield f"<p><b>{title}</b></p>"
            for example in examples:
                yield _quote(example)
    if "advice" in step:
        advice = step["advice"]
        yield (
            f"<p><b>Advice on {escape(advice['conversation'])}</b> (turn {advice['turn']}): {escape(advice['action'])} "
            f"Expected outcome: {escape(advice['expected_outcome'])} <i>Written by a model.</i></p>"
        )


def _quote(example: Example) -> str:
    return (
        f'<div style="{QUOTE}">“{escape(example["quote"])}”<br><small>{escape(example["agent"])}, '
        f"{escape(example['conversation'])}, turn {example['turn']}: {escape(example['why'])}</small></div>"
    )
