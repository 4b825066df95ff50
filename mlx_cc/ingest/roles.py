"""Speaker roles: read from labels, or guessed with a confidence where a file does not say.

The guess weighs the cues (`cues.py`) of each voice. With two voices there are four hypotheses: the first is the
agent and the second the customer, the reverse, both have the same role, or neither (no contact-centre talk, or
both people under one label). Evidence is summed and normalised to probabilities; a role is assigned only from
`THRESHOLD` on, so that wrong roles are much rarer than missing ones.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import combinations, permutations
from math import exp
from typing import Any, NamedTuple

import msgspec

from mlx_cc.conversation import Conversation, Role, Turn, replace
from mlx_cc.errors import UserError
from mlx_cc.ingest.cues import evidence
from mlx_cc.ingest.format import Incoming, Reading

ROLES: dict[str, Role] = {
    **dict.fromkeys(("agent", "rep", "advisor", "adviser", "representative", "operator", "associate"), "agent"),
    **dict.fromkeys(("agente", "asesor", "asesora", "operador", "operadora", "ejecutivo", "ejecutiva"), "agent"),
    **dict.fromkeys(("conseiller", "conseillère", "conseillere", "téléconseiller", "opérateur", "opératrice"), "agent"),
    **dict.fromkeys(
        ("kundenberater", "kundenberaterin", "mitarbeiter", "mitarbeiterin", "berater", "beraterin"), "agent"
    ),
    **dict.fromkeys(("atendente", "analista", "consultor", "consultora"), "agent"),
    **dict.fromkeys(("客服", "坐席", "座席", "客服人员", "客服代表", "话务员"), "agent"),
    **dict.fromkeys(("customer", "caller", "client", "member", "consumer"), "customer"),
    **dict.fromkeys(("cliente", "clienta", "usuario", "usuaria", "usuário", "usuária"), "customer"),
    **dict.fromkeys(("appelant", "appelante", "kunde", "kundin", "anrufer", "anruferin"), "customer"),
    **dict.fromkeys(("客户", "顾客", "用户", "客人", "来电者"), "customer"),
    **dict.fromkeys(("bot", "ivr", "virtual assistant", "chatbot", "voicebot", "asistente virtual"), "bot"),
    **dict.fromkeys(("assistente virtual", "assistant virtuel", "virtueller assistent", "机器人", "智能客服"), "bot"),
    **dict.fromkeys(("system", "sistema", "système", "系统"), "system"),
}
_NUMBER_OR_NAME = re.compile(r"\s*(?:#?\d+|[(（][^)）]*[)）])$")

THRESHOLD = 0.8
"""A role is assigned from this confidence on."""
LOOKS_SWAPPED = 0.95
"""From this confidence on, the text contradicts the roles in the file."""
HIGHEST = 0.99
"""Highest confidence of a guess."""
NEITHER = 1.6
"""Prior evidence for no role: one strong cue, or three weak ones, outweigh it."""
ALIKE = 2.0
"""Prior log odds against two agents or two customers."""
LONE = 2.0
"""`NEITHER` for a single voice."""
MIXED = 3.0
"""Prior log odds against one voice of several people."""
OPENING, CLOSING, RUN = 12, 4, 600
"""First and last runs of turns that are read of each voice, and characters read of each run."""
MAIN = 4
"""At most this many voices, those with most words, are compared."""


@lru_cache(maxsize=4096)
def role_of(label: str) -> Role | None:
    """The role of a speaker label in any case: `Rep`, `Agent 2`, `Caller (Ann)`; None when unknown."""
    return ROLES.get(_NUMBER_OR_NAME.sub("", label.strip()).casefold())


_IN_BRACKETS = re.compile(r"[(（]([^)）]+)[)）]\s*$")
_NO_NAME = re.compile(
    r"(?:speaker|spk|voice|person|participant|channel|user|party|sprecher|locuteur|hablante|orador|falante|interlocut\w+"
    r"|unknown|supervisor|manager|guest|interpreter|translator|team lead|technician|specialist|support|发言人|说话人)"
    r"[\s_#-]*\w{0,3}|\w?|[\w-]*\d[\w-]*",
    re.IGNORECASE,
)


def name_in(label: str) -> str | None:
    """The person's name in a label: `Ann Lee`, `Agent (Ann)`; None for `Supervisor` or `A`."""
    bracketed = _IN_BRACKETS.search(label)
    name = (bracketed[1] if bracketed else label).strip()
    return None if role_of(name) or _NO_NAME.fullmatch(name) else name


def names_in(labels: Iterable[str | None]) -> tuple[str, ...]:
    """Names of people among labels, each once."""
    return tuple(dict.fromkeys(name for label in labels if label and (name := name_in(label))))


def unknown_speaker(label: Any) -> UserError:
    """Error text for an unknown speaker."""
    return UserError(f"unknown speaker {label!r}. Write Agent, Customer, Bot or System, or pass --default-role.")


def resolve(incoming: Incoming, reading: Reading) -> Conversation:
    """The conversation with its roles resolved.

    In this order: roles that the caller gives to speakers (`reading.roles`); agent and customer exchanged
    (`reading.swap`, for roles in the file); a guess for voices still unknown, whose turns get a
    `role_confidence`. Flags: `roles_unknown` where turns keep the role unknown, `roles_look_swapped` where
    the text clearly shows that the file has agent and customer exchanged.
    """
    conversation, speakers = incoming.conversation, incoming.speakers
    turns = conversation.turns
    flags = [flag for flag in conversation.flags if flag not in ("roles_unknown", "roles_look_swapped")]
    if reading.swap:
        turns = tuple(_swapped(turn) for turn in turns)
    if speakers and reading.roles:
        turns = tuple(
            turn if (role := reading.roles.get(speaker or "")) is None else _with_role(turn, role)
            for turn, speaker in zip(turns, speakers, strict=True)
        )
    said = {turn.role for turn in turns}
    if "unknown" in said and any(speakers):
        voices: list[Voice] = [
            (speaker, None) if turn.role == "unknown" else (turn.role, turn.role)
            for turn, speaker in zip(turns, speakers, strict=True)
        ]
        guesses = guess_roles(voices, [turn.text for turn in turns])
        turns = tuple(
            _with_role(turn, *found) if turn.role == "unknown" and (found := guesses.get(voice)) else turn
            for turn, voice in zip(turns, voices, strict=True)
        )
        said = {turn.role for turn in turns}
    if {"agent", "customer"} <= said and look_swapped(turns):
        flags.append("roles_look_swapped")
    if "unknown" in said:
        flags.append("roles_unknown")
    if turns is conversation.turns and flags == list(conversation.flags):
        return conversation
    return replace(conversation, turns=turns, flags=tuple(flags))


_OPPOSITE: dict[Role, Role] = {"agent": "customer", "customer": "agent"}


def _swapped(turn: Turn) -> Turn:
    if turn.role not in _OPPOSITE:
        return turn
    return msgspec.structs.replace(turn, role=_OPPOSITE[turn.role], agent_id=None)


def _with_role(turn: Turn, role: Role, confidence: float | None = None) -> Turn:
    return msgspec.structs.replace(turn, role=role, role_confidence=confidence)


class Said(NamedTuple):
    """Evidence in the words of a voice for each role."""

    agent: float
    customer: float
    bot: float
    size: int
    """Characters it speaks."""


Voice = tuple[str | None, Role | None]
"""A speaker's label, and its role where that is known."""


def guess_roles(voices: Sequence[Voice], texts: Sequence[str]) -> dict[Voice, tuple[Role, float]]:
    """Voice without a role -> its guessed role, with a confidence of `THRESHOLD` to `HIGHEST`.

    Args:
        voices: voice of each turn; one with the label None gets no role.
        texts: texts of the turns.
    """
    said = {voice: _weighed(runs) for voice, runs in _runs(voices, texts).items() if voice[0] is not None}
    known: set[Role] = {role for _, role in said if role in _OPPOSITE}
    asked = {voice: found for voice, found in said.items() if voice[1] is None}
    guesses: dict[Voice, tuple[Role, float]] = {}
    for voice, found in list(asked.items()):
        sure = _share(found.bot + min(found.agent, 3.0), (found.agent, found.customer, NEITHER))
        if found.bot >= MACHINE or sure >= THRESHOLD:
            guesses[voice] = ("bot", sure)
            del asked[voice]
    if known:
        expected = _OPPOSITE[next(iter(known))] if len(known) == len(asked) == 1 else None
        guesses |= {voice: _alone(found, NEITHER, expected) for voice, found in asked.items()}
    elif len(asked) == 1:
        guesses |= {voice: _alone(found, LONE) for voice, found in asked.items()}
    elif asked:
        guesses |= _paired(asked)
        if any(role == "customer" and sure >= THRESHOLD for role, sure in guesses.values()):
            for voice, found in asked.items():
                if guesses.get(voice, ("unknown", 0.0))[1] < THRESHOLD:
                    guesses[voice] = _alone(found, LONE)
    return {voice: (role, round(min(sure, HIGHEST), 3)) for voice, (role, sure) in guesses.items() if sure >= THRESHOLD}


MACHINE = 5.0
"""From this evidence on a voice is a bot, whatever else it says."""


def _paired(said: Mapping[Voice, Said]) -> dict[Voice, tuple[Role, float]]:
    """The most likely agent and customer among voices without roles, with probabilities."""
    main = sorted(said, key=lambda voice: -said[voice].size)[:MAIN]
    accounts: dict[tuple[tuple[Voice, Role], ...], float] = {}
    for one, other in permutations(main, 2):
        accounts[(one, "agent"), (other, "customer")] = exp(said[one].agent + said[other].customer)
    likeliest = max(accounts, key=lambda account: accounts[account])
    for one, other in combinations(main, 2):
        accounts[(one, "agent"), (other, "agent")] = exp(said[one].agent + said[other].agent - ALIKE)
        accounts[(one, "customer"), (other, "customer")] = exp(said[one].customer + said[other].customer - ALIKE)
    neither = exp(NEITHER + sum(min(said[voice].agent, said[voice].customer) for voice in main))
    total = neither + sum(accounts.values())
    return {
        voice: (role, sum(weight for account, weight in accounts.items() if (voice, role) in account) / total)
        for voice, role in likeliest
    }


def _alone(said: Said, neither: float, expected: Role | None = None) -> tuple[Role, float]:
    """Agent or customer by a voice's own words; `expected` is the role that no other voice has."""
    agent = said.agent + (expected == "agent")
    customer = said.customer + (expected == "customer")
    everybody = said.agent + said.customer - MIXED
    if agent >= customer:
        return "agent", _share(agent, (customer, neither, everybody))
    return "customer", _share(customer, (agent, neither, everybody))


def _share(account: float, others: Iterable[float]) -> float:
    """The probability of a hypothesis, from its evidence and that of the others."""
    return exp(account) / (exp(account) + sum(map(exp, others)))


def look_swapped(turns: Iterable[Turn]) -> bool:
    """Whether the words of agent and customer clearly show that they are exchanged.

    Turns with a guessed role are ignored.
    """
    spoken = [turn for turn in turns if turn.role in _OPPOSITE and turn.role_confidence is None]
    runs = _runs([(turn.role, None) for turn in spoken], [turn.text for turn in spoken])
    if len(runs) < 2:
        return False
    customer = _weighed(runs["customer", None])
    if _share(customer.agent, [customer.customer - ALIKE]) < LOOKS_SWAPPED:
        return False  # An agent who sounds like a customer can also be a second customer, so that hypothesis stays.
    found = _paired({("customer", None): customer, ("agent", None): _weighed(runs["agent", None])})
    (first, sure), (_, also_sure) = found["customer", None], found["agent", None]
    return first == "agent" and sure >= LOOKS_SWAPPED and also_sure >= THRESHOLD


def _runs(voices: Sequence[Voice], texts: Sequence[str]) -> dict[Voice, list[str]]:
    """Voice -> its texts; successive turns are one run."""
    runs: dict[Voice, list[str]] = {}
    last = None
    for voice, text in zip(voices, texts, strict=True):
        own = runs.setdefault(voice, [])
        if voice == last and len(own[-1]) < RUN:
            own[-1] = f"{own[-1]} {text}"
        elif voice != last:
            own.append(text)
        last = voice
    return runs


def _weighed(runs: list[str]) -> Said:
    """The evidence in the first and last runs of a voice."""
    looked_at = runs if len(runs) <= OPENING + CLOSING else runs[:OPENING] + runs[-CLOSING:]
    found = evidence(run[:RUN] for run in looked_at)
    return Said(found["agent"], found["customer"], found["bot"], sum(map(len, runs)))
