"""Write a contact's transcript from its latent state, with the phrases of `phrases.yaml`.

The words depend on the state only in probability: every level of warmth, competence, clarity or mood
borrows from the levels beside it, polite customers hide displeasure and blunt ones pleasure.
"""

import re
from collections.abc import Callable
from importlib.resources import files
from math import log
from random import Random
from typing import NamedTuple, TypeAlias

import yaml

from mlx_cc.conversation import Role, Turn
from mlx_cc.simulate.world import Contact
from mlx_cc.temporal import WEEKDAYS

Variant: TypeAlias = "tuple[str | int | Rule, ...]"
"""A sequence of texts, facts (indices into the conversation's facts) and rules."""
Phrase: TypeAlias = "tuple[Variant, ...]"
"""A line of the file, with short alternatives multiplied out."""
Rule: TypeAlias = "tuple[Phrase, ...]"

COMPUTED = ("minutes", "ref", "amount", "amount2", "contact", "contacted", "contacting", "thing", "your_thing", "other")
"""Facts that are computed, not drawn from a list of the file."""
MOST_COMBINATIONS = 128
"""A line with more combinations keeps its alternatives as rules, so that memory stays small."""
EXPRESSION_SD = 0.5
"""Standard deviation, in standard units, between what a person feels or can do and what the words show."""
NOTHING_BROKEN = ("product_question", "plan_change", "cancellation", "appointment", "other")
"""Issues without a fault to find; the agent looks something up instead."""
VOICE_WORDS = ("call", "called", "calling")
CHAT_WORDS = ("message", "messaged", "messaging")
S_PER_CHARACTER = {True: 0.065, False: 0.19}
"""Voice (True): about 150 words a minute. Chat (False): about 50."""


class Transcript(NamedTuple):
    """A contact's turns, with what follows from them."""

    turns: tuple[Turn, ...]
    coaching: list[dict[str, str | int]]
    hold_s: float
    handle_time_s: float


class Phrases:
    """The phrases of a file, compiled for speed."""

    def __init__(self, text: str) -> None:
        tree = yaml.safe_load(text)
        self._source: dict[str, str] = tree["rules"]
        self._rules: dict[str, Rule] = {}
        self.names = (*(name for name in tree["slots"] if not name.startswith("city_")), "city", *COMPUTED)
        self.index = {name: i for i, name in enumerate(self.names)}
        self.lists: dict[str, list[str]] = {name: block.splitlines() for name, block in tree["slots"].items()}
        self.rules = {name: self._rule(name) for name in self._source}
        self.issues: dict[str, dict[str, Rule]] = {
            issue: {part: self._compile(block) for part, block in parts.items()}
            for issue, parts in tree["issues"].items()
        }
        self.coaching: dict[str, list[list[str]]] = {
            skill: [line.split(" => ") for line in block.splitlines()] for skill, block in tree["coaching"].items()
        }

    def _rule(self, name: str) -> Rule:
        if name not in self._rules:
            self._rules[name] = self._compile(self._source[name])
        return self._rules[name]

    def _compile(self, block: str) -> Rule:
        return tuple(_all_combinations(self._parts(self._flat(line))) for line in block.splitlines())

    def _flat(self, line: str) -> str:
        """The line, with each alternative that has rules or facts turned into a rule of its own."""
        nested = re.compile(r"\{([^{}]*\{\w+\}[^{}]*(?:\{\w+\}[^{}]*)*)\}")
        while match := nested.search(line):
            name = f"alternative_{len(self._rules)}"
            self._rules[name] = tuple(_all_combinations(self._parts(choice)) for choice in match[1].split("|"))
            line = f"{line[: match.start()]}{{{name}}}{line[match.end() :]}"
        return line

    def _parts(self, line: str) -> Variant:
        return tuple(self._part(piece) for piece in re.findall(r"\{[^}]*\}|[^{]+", line))

    def _part(self, piece: str) -> "str | int | Rule":
        if not piece.startswith("{"):
            if set(piece) & set("{|}"):
                raise ValueError(f"phrases: braces or bars do not match near '{piece}'")
            return piece
        body = piece[1:-1]
        if "|" in body:
            return tuple((((choice,)),) for choice in body.split("|"))
        if body in self.index:
            return self.index[body]
        return self._rule(body)

    def expand(self, rule: Rule, facts: list[str], random: Callable[[], float], out: list[str]) -> None:
        """Append one random expansion of `rule` to `out`."""
        phrase = rule[int(random() * len(rule))]
        for part in phrase[int(random() * len(phrase))]:
            if isinstance(part, str):
                out.append(part)
            elif isinstance(part, int):
                out.append(facts[part])
            else:
                self.expand(part, facts, random, out)


def _all_combinations(parts: Variant) -> Phrase:
    """The combinations of the parts' alternatives, up to MOST_COMBINATIONS; the rest stay rules."""
    variants: list[Variant] = [()]
    for part in parts:
        options: list[Variant] = [(part,)]
        if (
            isinstance(part, tuple)
            and all(len(p) == 1 for p in part)
            and len(variants) * len(part) <= MOST_COMBINATIONS
        ):
            options = [phrase[0] for phrase in part]
        variants = [_joined(before, option) for before in variants for option in options]
    return tuple(variants)


def _joined(before: Variant, after: Variant) -> Variant:
    """Two variants in sequence; adjacent texts become one."""
    if before and after and isinstance(before[-1], str) and isinstance(after[0], str):
        return (*before[:-1], before[-1] + after[0], *after[1:])
    return (*before, *after)


def load_phrases() -> Phrases:
    """The phrases of the package."""
    return Phrases(files("mlx_cc.simulate").joinpath("phrases.yaml").read_text(encoding="utf-8"))


class TranscriptWriter:
    """Writes contacts' transcripts; `turns` is the mean number of turns."""

    def __init__(self, phrases: Phrases, turns: float) -> None:
        self.phrases = phrases
        self.turns = turns
        rules = phrases.rules

        def levels(stem: str, count: int = 3) -> tuple[Rule, ...]:
            return tuple(rules[f"{stem}_{level}"] for level in range(count))

        self.acks, self.warmth, self.explanations = levels("ack"), levels("warm"), levels("explain")
        self.diagnoses, self.closes, self.byes = levels("diag"), levels("close"), levels("bye")
        self.answers = (rules["diag_0"], rules["know_1"], rules["know_2"])
        self.moods = levels("mood", 5)
        self.outcomes = {
            name: tuple(rules[f"{name}_{end}"] for end in ("bad", "mid", "good"))
            for name in ("resolved", "partial", "unresolved")
        }

    def write(self, contact: Contact, random: Random) -> Transcript:
        """The transcript of a contact, with the coaching it needs."""
        return _Draft(self, contact, random).write()


class _Draft:
    """One transcript while it is written."""

    def __init__(self, writer: TranscriptWriter, contact: Contact, random: Random) -> None:
        self.writer = writer
        self.rules = writer.phrases.rules
        self.issue = writer.phrases.issues[contact.issue]
        self.contact = contact
        self.random = random
        self.chance = random.random
        self.facts = self._facts()
        self.turns: list[Turn] = []
        self.used_texts: set[str] = set()
        self.churn_rule: str | None = None
        """Rule of what the customer said about leaving or staying."""
        self.clock = 0.0
        self.hold_s = 0.0
        self.worst: dict[str, tuple[int, int]] = {}
        self.lower = not contact.voice and self.chance() < 0.25

    def _facts(self) -> list[str]:
        """The facts of this conversation, in the order of `Phrases.names`.

        An agent's name changes from contact to contact, so that no name reveals a skill.
        """
        contact, chance, phrases = self.contact, self.chance, self.writer.phrases
        lists = phrases.lists
        values = {name: options[int(chance() * len(options))] for name, options in lists.items()}
        values["city"] = values[f"city_{contact.site.country}"]
        if contact.previous is not None:
            values["day"] = WEEKDAYS[contact.previous.at.weekday()]
        amount = int(400 * chance() ** 2) + 9
        values["amount"] = f"{contact.site.currency}{amount}{'.99' if chance() < 0.4 else ''}"
        values["amount2"] = f"{contact.site.currency}{max(4, int(amount * (0.3 + 0.5 * chance())))}"
        values["ref"] = str(1000 + int(chance() * 9000))
        values["minutes"] = str(max(2, round(contact.wait_s / 60)))
        words = VOICE_WORDS if contact.voice else CHAT_WORDS
        values["contact"], values["contacted"], values["contacting"] = words
        facts = [values.get(name, "") for name in phrases.names]
        for name, issue in (("thing", contact.issue), ("other", contact.aside)):
            out: list[str] = []
            phrases.expand(phrases.issues[issue]["thing"], facts, chance, out)
            facts[phrases.index[name]] = "".join(out)
        facts[phrases.index["your_thing"]] = _swap_person(facts[phrases.index["thing"]])
        return facts

    def add(self, role: Role, *rules: "Rule", gap_s: float = 0.0) -> None:
        """Add one turn, an expansion of each rule in sequence."""
        text = " ".join([self.fresh(rule) for rule in rules])
        if role == "customer" and self.lower:
            text = text.lower().removesuffix(".")
        seconds = 0.4 + len(text) * S_PER_CHARACTER[self.contact.voice]
        start = self.clock + gap_s + 0.2 + self.chance()
        self.clock = start + seconds
        if self.contact.voice:
            self.turns.append(Turn(role=role, text=text, start_s=round(start, 1), end_s=round(self.clock, 1)))
        else:
            self.turns.append(Turn(role=role, text=text))

    def fresh(self, rule: "Rule") -> str:
        """An expansion of `rule`, if possible one that this conversation has not used yet."""
        text = ""
        for _ in range(3):
            out: list[str] = []
            self.writer.phrases.expand(rule, self.facts, self.chance, out)
            text = "".join(out)
            if text not in self.used_texts:
                break
        self.used_texts.add(text)
        text = text.strip()
        return text[0].upper() + text[1:]

    def level(self, skill: str, value: float) -> int:
        """Level 0, 1 or 2 of a skill in the agent's next turn; the worst is kept for coaching."""
        shown = value + self.random.gauss(0, EXPRESSION_SD)
        level = 0 if shown < -0.6 else 1 if shown < 0.6 else 2
        if skill not in self.worst or level < self.worst[skill][0]:
            self.worst[skill] = (level, len(self.turns) + 1)
        return level

    def mood(self, felt: float, thirds: bool = False) -> int:
        """Level 0-4 (0-2 in `thirds`) at which a customer who feels 1-5 sounds."""
        shown = felt + MANNER_SHIFT[self.contact.customer.manner] + self.random.gauss(0, EXPRESSION_SD)
        bounds = (2.5, 3.9) if thirds else (1.9, 2.7, 3.6, 4.5)
        return sum(shown > bound for bound in bounds)

    def reaction(self, felt: float) -> "Rule":
        """A customer's remark in the middle of the conversation."""
        manner, u = self.contact.customer.manner, self.chance()
        if manner == "polite" and felt < 3 and u < 0.5:
            return self.rules["polite_unhappy"]
        if manner == "blunt" and felt > 3.3 and u < 0.4:
            return self.rules["blunt_happy"]
        if u > 0.7:
            return self.rules["small_c"]
        return self.writer.moods[self.mood(felt)]

    def write(self) -> Transcript:
        """Opening, middle, outcome and close, with as many exchanges as the random length allows."""
        random = self.random
        length = random.lognormvariate(log(self.writer.turns) - 0.35**2 / 2, 0.35)
        exchanges = max(2, round((length - 0.7) / 2))
        vague = exchanges > 4 and self.chance() < 0.3
        self.opening(vague)
        if exchanges > 3:
            self.acknowledge()
        if exchanges > 4:
            self.probe(vague)
        second = exchanges > 5 and self.chance() < 0.3
        self.middle(exchanges - (7 if second else 5))
        fix_turn = self.outcome()
        if second:
            self.second()
        if exchanges > 2:
            self.close()
        coaching = self.coaching(fix_turn)
        wrap_s = 20 + 60 * self.chance()
        return Transcript(tuple(self.turns), coaching, round(self.hold_s, 1), round(self.clock + wrap_s, 1))

    def opening(self, vague: bool) -> None:
        contact, chance, rules = self.contact, self.chance, self.rules
        if chance() < (0.2 if contact.voice else 0.5):
            self.add("bot", rules["bot_voice" if contact.voice else "bot_greet"])
        self.add("agent", rules["greet"])
        parts = [rules["hi"]] if chance() < 0.6 else []
        minutes = contact.wait_s / 60 + self.random.gauss(0, 1)
        wait = None
        if minutes > 8 and chance() < 0.75:
            wait = rules["wait_mild" if contact.customer.manner == "polite" else "wait_strong"]
        elif minutes > 2.5 and chance() < 0.5:
            wait = rules["wait_mild"]
        elif minutes < 0.5 and chance() < 0.12:
            wait = rules["wait_ok"]
        if wait and chance() < 0.6:
            parts.append(wait)
            wait = None
        if contact.role != "first_contact" and chance() < 0.9:
            parts.append(rules[f"role_{contact.role}"])
        if chance() < 0.12:
            parts.append(rules["earlier"])
        parts.append(rules["vague"] if vague else self.issue["open"])
        if chance() < 0.85:
            parts.insert(len(parts) - int(chance() * 2), rules[f"journey_{contact.journey}"])
        if wait:
            parts.append(wait)
        self.add("customer", *parts)

    def acknowledge(self) -> None:
        contact = self.contact
        parts = [self.writer.acks[self.level("empathy", contact.empathy)]]
        asks = contact.journey != "pre_sales" and self.chance() < 0.75
        if asks:
            parts.append(self.rules["verify_ask"])
        self.add("agent", *parts)
        given = [self.rules["verify_give"]] if asks else []
        if not given or self.chance() < 0.2:
            given.append(self.reaction(contact.mood))
        self.add("customer", *given)

    def probe(self, vague: bool) -> None:
        self.add("agent", self.issue["probe"])
        if vague:
            self.add("customer", self.issue["open"], *([self.issue["detail"]] if self.chance() < 0.4 else []))
        else:
            self.add("customer", self.issue["detail"])

    def middle(self, exchanges: int) -> None:
        contact, rules, writer, chance = self.contact, self.rules, self.writer, self.chance
        finds = writer.answers if contact.issue in NOTHING_BROKEN else writer.diagnoses
        talk = self.pick_churn_rule()
        talk_at = int(chance() * exchanges) if talk and exchanges > 0 else -1
        held = strayed = False
        for i in range(exchanges):
            felt = contact.mood + (contact.satisfaction - contact.mood) * i / exchanges
            gap_s = 0.0
            u = chance()
            if u < 0.3:
                parts = [finds[self.level("technical_skill", contact.technical_skill)]]
            elif u < 0.52:
                parts = [writer.explanations[self.level("communication", contact.communication)]]
            elif u < 0.67:
                parts = [writer.warmth[self.level("empathy", contact.empathy)]]
            elif u < 0.75 and not held:
                held = True
                gap_s = self.random.lognormvariate(log(60), 0.6)
                self.hold_s += gap_s
                self.add("agent", rules["hold_ask"])
                self.add("customer", rules["hold_ok"])
                parts = [rules["hold_back"], finds[self.level("technical_skill", contact.technical_skill)]]
            elif u < 0.88:
                parts = [rules["small_a"]]
            else:
                parts = [self.issue["probe"]]
            self.add("agent", *parts, gap_s=gap_s)
            if i == talk_at and talk:
                self.add("customer", rules[talk])
            elif u >= 0.88:
                self.add("customer", self.issue["detail"])
            elif not strayed and chance() < 0.08:
                strayed = True
                self.add("customer", rules["aside"])
                self.add("agent", rules["aside_a"])
                self.add("customer", self.reaction(felt))
            else:
                self.add("customer", self.reaction(felt))
        self.churn_rule = talk if talk_at >= 0 else None

    def pick_churn_rule(self) -> str | None:
        """Rule of what the customer says about leaving or staying, or None."""
        if self.contact.journey in ("pre_sales", "win_back"):
            return None
        shown = self.contact.churn + self.random.gauss(0, 14)
        if shown > 62:
            return "churn_high"
        if shown > 40 and self.chance() < 0.7:
            return "churn_mid"
        return "loyal" if shown < 22 and self.chance() < 0.45 else None

    def outcome(self) -> int:
        """Add the result and the customer's reaction to it; returns the number of the agent's turn."""
        contact, writer = self.contact, self.writer
        parts = [self.rules[f"lead_{contact.resolution}"]] if self.chance() < 0.6 else []
        parts.append(self.issue[contact.resolution])
        level = self.level("communication", contact.communication)
        if self.chance() < 0.45:
            parts.append(writer.explanations[level])
        self.add("agent", *parts)
        turn = len(self.turns)
        answers = [writer.outcomes[contact.resolution][self.mood(contact.satisfaction, thirds=True)]]
        if self.chance() < 0.25:
            answers.append(self.reaction(contact.satisfaction))
        self.add("customer", *answers)
        return turn

    def second(self) -> None:
        """Add another issue, raised and solved after the main one."""
        rules, other = self.rules, self.writer.phrases.issues[self.contact.aside]
        self.add("agent", rules["close_1"])
        self.add("customer", rules["second"], other["open"])
        self.add("agent", rules["second_a"], other["resolved"])
        self.add("customer", self.reaction(self.contact.satisfaction))

    def close(self) -> None:
        contact, chance = self.contact, self.chance
        parts = [self.writer.closes[self.level("communication", contact.communication)]]
        if chance() < 0.3:
            parts.insert(0, self.writer.warmth[self.level("empathy", contact.empathy)])
        self.add("agent", *parts)
        if chance() < 0.12:
            return
        level = 1 if chance() < 0.35 else self.mood(contact.satisfaction, thirds=True)
        self.add("customer", self.writer.byes[level])

    def coaching(self, fix_turn: int) -> list[dict[str, str | int]]:
        """One to three recommendations, the most needed first, each with the turn that shows the need."""
        contact = self.contact
        shown = {
            "empathy": contact.empathy,
            "technical_skill": contact.technical_skill,
            "communication": contact.communication,
        }
        needs = [
            (-value - 0.25 * (level == 0), skill, turn)
            for skill, value in shown.items()
            if skill in self.worst
            for level, turn in (self.worst[skill],)
            if value < -0.2 and level < 2
        ]
        if contact.resolution != "resolved":
            needs.append((0.5 - 0.3 * contact.technical_skill, "ownership", fix_turn))
        if self.churn_rule in ("churn_high", "churn_mid"):
            spoken = next((i for i in range(fix_turn - 1, 0, -1) if self.turns[i - 1].role == "agent"), fix_turn)
            needs.append((contact.churn / 120, "retention", spoken))
        needs.sort(reverse=True)
        items = []
        for _, skill, turn in needs[:3] or [(0.0, "consistency", fix_turn)]:
            options = self.writer.phrases.coaching[skill]
            action, outcome = options[int(self.chance() * len(options))]
            items.append({"skill": skill, "action": action, "expected_outcome": outcome, "turn": turn})
        return items


MANNER_SHIFT = {"plain": 0.0, "polite": 0.6, "blunt": -0.5}
"""CSAT points (1-5) by which customers of a manner sound more pleased than they are."""
SWAPPED_PERSON = {"I was": "you were", "I": "you", "my": "your", "me": "you", "you": "we", "your": "our"}


def _swap_person(text: str) -> str:
    """The customer's words as the agent repeats them: `my bill` becomes `your bill`."""
    return re.sub(r"\b(I was|I|my|me|you|your)\b", lambda match: SWAPPED_PERSON[match[0]], text)
