"""The world behind the simulated contacts: agents with planted skill, queues, arrivals, outcomes.

Skill, difficulty and temper are in standard units: 0 is ordinary, 1 is one standard deviation.
Outcomes follow from them by the few lines of `World._contact`, so that what an analysis finds
can be compared with what was planted. The text is made elsewhere (`text.py`), from a `Contact`.
"""

from bisect import bisect
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from heapq import heappop, heappush
from itertools import accumulate
from math import exp, log, log1p
from random import Random
from typing import Any, Literal, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import numpy as np
from msgspec import Struct

T = TypeVar("T")
Resolution = Literal["resolved", "partial", "unresolved"]

OPEN_CASES = 2048
"""Customers per site who may still come back; more are forgotten, so memory does not grow with the run."""
TEAM_SIZE = 12


class Parameters(NamedTuple):
    """What a simulated world is made from; the same parameters give the same conversations."""

    conversations: int
    agents: int
    seed: int = 0
    turns: float = 14
    """Mean number of turns of a conversation, at least 4."""
    start: date = date(2025, 1, 1)
    months: int = 6


class Group(NamedTuple):
    """A kind of agent: mean skill by dimension, spread between its agents and from contact to contact."""

    share: float
    empathy: float
    technical_skill: float
    communication: float
    between: float
    within: float


GROUPS = {
    "Top Performers": Group(0.15, 1.0, 1.0, 1.0, 0.3, 0.3),
    "Solid": Group(0.35, 0.15, 0.15, 0.15, 0.3, 0.35),
    "Developing": Group(0.20, -0.9, -1.05, -0.85, 0.3, 0.45),
    "High-Focus": Group(0.15, -0.6, 1.0, 0.1, 0.3, 0.35),
    "Inconsistent": Group(0.15, -0.1, -0.1, -0.1, 0.35, 1.1),
}


class Queue(NamedTuple):
    """A queue: its share of contacts, how hard its contacts are, the usual wait, what comes in."""

    share: float
    difficulty: float
    wait_s: float
    """Median wait at an ordinary hour."""
    issues: dict[str, float]


QUEUES = {
    "billing": Queue(
        0.22,
        0.1,
        95,
        {"billing_error": 5, "refund_request": 3, "payment_problem": 4, "service_complaint": 0.6, "other": 0.4},
    ),
    "technical_support": Queue(
        0.22,
        0.8,
        240,
        {"technical_fault": 6, "service_outage": 3, "account_access": 1, "appointment": 2, "product_question": 1},
    ),
    "orders": Queue(
        0.16, 0.0, 80, {"delivery_delay": 5, "wrong_or_damaged_item": 4, "refund_request": 2, "appointment": 0.5}
    ),
    "sales": Queue(0.12, -0.9, 35, {"product_question": 5, "plan_change": 5, "appointment": 1}),
    "account_security": Queue(0.08, 0.35, 130, {"account_access": 6, "fraud_report": 4}),
    "retention": Queue(
        0.10, 1.1, 170, {"cancellation": 6, "service_complaint": 3, "plan_change": 1.5, "billing_error": 1}
    ),
    "general": Queue(
        0.10,
        -0.5,
        60,
        {"other": 4, "product_question": 2, "appointment": 2, "service_complaint": 1.5, "delivery_delay": 1},
    ),
}


class Issue(NamedTuple):
    """What an issue adds to a contact, and the journeys it occurs on."""

    difficulty: float
    upset: float
    """Points of satisfaction (1-5) the customer starts below ordinary."""
    churn: float
    """Points of churn risk (0-100) it adds."""
    journeys: dict[str, float]


ISSUES = {
    "billing_error": Issue(0.0, 0.4, 3, {"billing_account": 8, "onboarding": 1, "retention_cancellation": 1}),
    "refund_request": Issue(0.1, 0.4, 3, {"billing_account": 5, "service_recovery": 5}),
    "payment_problem": Issue(0.0, 0.2, 2, {"billing_account": 9, "onboarding": 1}),
    "account_access": Issue(-0.1, 0.2, 0, {"usage_support": 6, "onboarding": 3, "win_back": 1}),
    "technical_fault": Issue(0.2, 0.4, 4, {"usage_support": 6, "service_recovery": 2, "onboarding": 2}),
    "service_outage": Issue(0.3, 0.7, 8, {"service_recovery": 7, "usage_support": 3}),
    "delivery_delay": Issue(0.1, 0.5, 3, {"service_recovery": 7, "onboarding": 3}),
    "wrong_or_damaged_item": Issue(0.0, 0.5, 3, {"service_recovery": 8, "onboarding": 2}),
    "plan_change": Issue(-0.2, -0.1, 2, {"renewal_upgrade": 7, "usage_support": 1, "win_back": 2}),
    "product_question": Issue(-0.4, -0.3, -4, {"pre_sales": 6, "usage_support": 2, "onboarding": 1, "win_back": 1}),
    "cancellation": Issue(0.2, 0.3, 30, {"retention_cancellation": 9, "billing_account": 1}),
    "service_complaint": Issue(0.4, 0.9, 12, {"service_recovery": 7, "retention_cancellation": 3}),
    "appointment": Issue(-0.3, 0.0, -3, {"onboarding": 4, "usage_support": 4, "service_recovery": 2}),
    "fraud_report": Issue(0.3, 0.6, 5, {"billing_account": 7, "service_recovery": 3}),
    "other": Issue(-0.1, 0.0, -3, {"usage_support": 5, "billing_account": 4, "pre_sales": 1}),
}


class Site(NamedTuple):
    """Where agents sit and customers call from."""

    timezone: str
    country: str
    currency: str


SITES = (
    Site("America/Chicago", "US", "$"),
    Site("America/New_York", "US", "$"),
    Site("Europe/London", "GB", "£"),
    Site("Europe/Dublin", "IE", "€"),
)

HOURS = (
    0.05,
    0.03,
    0.02,
    0.02,
    0.03,
    0.08,
    0.2,
    0.6,
    1.2,
    1.9,
    2.1,
    2.0,
    1.7,
    1.6,
    1.7,
    1.6,
    1.5,
    1.4,
    1.2,
    0.9,
    0.6,
    0.4,
    0.2,
    0.1,
)
"""Relative arrivals by local hour."""
WEEKDAYS = (1.35, 1.15, 1.1, 1.05, 1.0, 0.6, 0.35)
MONTHS = (1.1, 1.0, 1.0, 1.0, 0.95, 0.95, 0.9, 0.9, 1.0, 1.05, 1.3, 1.4)
RETURNS = {"resolved": 0.04, "partial": 0.35, "unresolved": 0.6}
"""Probability that the customer comes back about the same issue, by resolution."""


class Agent(NamedTuple):
    """An agent as planted."""

    id: str
    group: str
    team: str
    site: int
    empathy: float
    technical_skill: float
    communication: float
    within: float
    """Standard deviation from contact to contact."""
    drift: float
    """Skill gained per month."""
    queues: dict[str, float]
    """Share of this agent's time."""

    @property
    def skill(self) -> float:
        """Overall skill: the mean of the three dimensions."""
        return (self.empathy + self.technical_skill + self.communication) / 3


class Customer(NamedTuple):
    """How a customer is, apart from what happens to them."""

    temper: float
    """Satisfaction beyond circumstances; positive is easily pleased."""
    impatience: float
    loyalty: float
    manner: Literal["plain", "polite", "blunt"]
    """Polite customers sound more pleased than they are, blunt ones less."""


class Case(NamedTuple):
    """A contact whose customer will come back."""

    due_s: float
    number: int
    id: str
    customer: int
    queue: str
    issue: str
    at: datetime
    contacts: int


class Contact(Struct, frozen=True, gc=False):
    """One contact's latent state and outcome: everything the text has to show."""

    number: int
    id: str
    at: datetime
    site: Site
    queue: str
    issue: str
    aside: str
    """Another issue, which the talk may touch in passing or turn to at the end."""
    agent: Agent
    customer_number: int
    customer: Customer
    voice: bool
    wait_s: float
    previous: Case | None
    role: str
    journey: str
    empathy: float
    """Shown in this contact, in standard units; so are the next two."""
    technical_skill: float
    communication: float
    resolution: Resolution
    mood: float
    """Satisfaction (1-5 scale) the customer arrives with."""
    satisfaction: float
    """Satisfaction (1-5 scale, unrounded) the customer leaves with."""
    churn: int
    quality: int
    csat: int
    measured: tuple[int, int, int]
    """Empathy, technical skill and communication as scored, 0-100."""


class World:
    """Agents, queues and customers of one run, and the contacts they have."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        rng = np.random.default_rng(parameters.seed)
        self.agents = _agents(parameters.agents, rng)
        self.customers = _customers(rng)
        self._arrivals_seed, self._contacts_seed, self.text_seed = (int(s) for s in rng.integers(2**62, size=3))
        self._sites = sorted({agent.site for agent in self.agents})
        self._desks = {
            (site, queue): _weighted([(a, a.queues[queue]) for a in self.agents if a.site == site])
            for site in self._sites
            for queue in QUEUES
        }
        self._queues = _weighted([(name, queue.share) for name, queue in QUEUES.items()])
        self._issues = {name: _weighted(list(queue.issues.items())) for name, queue in QUEUES.items()}
        self._journeys = {name: _weighted(list(issue.journeys.items())) for name, issue in ISSUES.items()}
        self._asides = tuple(ISSUES)

    def truth(self) -> dict[str, Any]:
        """What was planted, as JSON: parameters, agents (skill, group, queues), queue and issue difficulty.

        Skills and difficulties are in standard units.
        """
        return {
            "parameters": self.parameters._asdict(),
            "agents": {
                agent.id: {
                    "skill": agent.skill,
                    "empathy": agent.empathy,
                    "technical_skill": agent.technical_skill,
                    "communication": agent.communication,
                    "group": agent.group,
                    "team": agent.team,
                    "drift_per_month": agent.drift,
                    "within_sd": agent.within,
                    "queues": agent.queues,
                }
                for agent in self.agents
            },
            "queues": {name: {"difficulty": q.difficulty, "wait_median_s": q.wait_s} for name, q in QUEUES.items()},
            "issues": {name: {"difficulty": issue.difficulty} for name, issue in ISSUES.items()},
        }

    def contacts(self) -> Iterator[Contact]:
        """All contacts in order of time. Memory does not depend on how many there are."""
        random = Random(self._contacts_seed)
        waiting: dict[int, list[Case]] = {site: [] for site in self._sites}
        population = max(50, self.parameters.conversations * 2 // 3)
        for number, (at, site, load) in enumerate(self._arrivals(), 1):
            now = at.timestamp()
            cases = waiting[site]
            case = heappop(cases) if cases and cases[0].due_s <= now and random.random() < 0.85 else None
            contact = self._contact(number, at, site, load, case, population, random)
            if random.random() < RETURNS[contact.resolution] and len(cases) < OPEN_CASES:
                due = now + 86400 * random.lognormvariate(log(2), 0.8)
                contacts = 1 if case is None else case.contacts + 1
                customer, queue, issue = contact.customer_number, contact.queue, contact.issue
                heappush(cases, Case(due, number, contact.id, customer, queue, issue, at, contacts))
            yield contact

    def _arrivals(self) -> Iterator[tuple[datetime, int, float]]:
        """(moment in UTC, site, load relative to an ordinary hour), exactly as many as asked for, in order."""
        start = self.parameters.start
        months = start.month - 1 + self.parameters.months
        end = date(start.year + months // 12, months % 12 + 1, 1) + timedelta(days=start.day - 1)
        first = datetime(start.year, start.month, start.day, tzinfo=UTC)
        hours = (end - start).days * 24
        loads = np.zeros((hours, len(self._sites)))
        for column, site in enumerate(self._sites):
            zone = ZoneInfo(SITES[site].timezone)
            for hour in range(hours):
                local = (first + timedelta(hours=hour)).astimezone(zone)
                loads[hour, column] = HOURS[local.hour] * WEEKDAYS[local.weekday()] * MONTHS[local.month - 1]
        seats = np.array([sum(agent.site == site for agent in self.agents) for site in self._sites])
        rates = (loads * seats).ravel()
        rng = np.random.default_rng(self._arrivals_seed)
        counts = rng.multinomial(self.parameters.conversations, rates / rates.sum()).reshape(loads.shape)
        random = Random(self._arrivals_seed)
        for hour in np.flatnonzero(counts.sum(1)).tolist():
            slots = [
                (random.randrange(3600), column)
                for column, count in enumerate(counts[hour].tolist())
                for _ in range(count)
            ]
            for second, column in sorted(slots):
                at = first + timedelta(seconds=3600 * hour + second)
                yield at, self._sites[column], float(loads[hour, column])

    def _contact(
        self, number: int, at: datetime, site: int, load: float, case: Case | None, population: int, random: Random
    ) -> Contact:
        gauss, chance = random.gauss, random.random
        if case is None:
            customer_number = random.randrange(population)
            queue = _draw(self._queues, chance())
            issue = _draw(self._issues[queue], chance())
            earlier = 0
            role = "first_contact" if (u := chance()) < 0.88 else "transfer" if u < 0.96 else "escalation"
        else:
            customer_number, queue, issue, earlier = case.customer, case.queue, case.issue, case.contacts
            role = "follow_up" if (u := chance()) < 0.72 else "escalation" if u < 0.92 else "transfer"
        customer = self.customers[customer_number % len(self.customers)]
        agent = _draw(self._desks[site, queue], chance())
        about = ISSUES[issue]
        aside = _draw(self._issues[queue], chance())
        if aside == issue:
            aside = self._asides[
                (self._asides.index(issue) + random.randrange(1, len(self._asides))) % len(self._asides)
            ]
        journey = _draw(self._journeys[issue], chance())
        wait = min(7200.0, round(random.lognormvariate(log(QUEUES[queue].wait_s * (0.5 + load / 3.2)), 0.85)))

        months = (at.date() - self.parameters.start).days / 30.4
        day = agent.drift * months + gauss(0, 0.75 * agent.within)
        empathy = agent.empathy + day + gauss(0, 0.6 * agent.within)
        technical = agent.technical_skill + day + gauss(0, 0.6 * agent.within)
        communication = agent.communication + day + gauss(0, 0.6 * agent.within)
        difficulty = QUEUES[queue].difficulty + about.difficulty + gauss(0, 0.35)

        outcome = 0.6 + 0.75 * technical + 0.2 * communication - 0.55 * difficulty - 0.1 * earlier + gauss(0, 0.9)
        resolution: Resolution = "resolved" if outcome > 0 else "partial" if outcome > -0.65 else "unresolved"
        failed = 0 if resolution == "resolved" else 1 if resolution == "partial" else 2

        skill = (empathy + technical + communication) / 3
        quality = 77 + 10 * skill - 6 * difficulty + (2, -1, -5)[failed] + gauss(0, 3.5)
        waited = log1p(wait / 60) * (0.22 + 0.08 * customer.impatience)
        mood = 3.5 - about.upset - waited - 0.35 * earlier + 0.35 * customer.temper
        satisfaction = (
            4.3
            + (0.35, -0.4, -1.2)[failed]
            + 0.35 * empathy
            + 0.05 * technical
            + 0.15 * communication
            + 0.35 * customer.temper
            - 0.35 * about.upset
            - waited
            - 0.2 * earlier
            - 0.1 * difficulty
            + gauss(0, 0.25)
        )
        churn = (
            20 + about.churn + 13 * (3.7 - satisfaction) + 5 * failed + 7 * earlier - 8 * customer.loyalty + gauss(0, 5)
        )
        return Contact(
            number,
            f"sim{self.parameters.seed}-{number:07d}",
            at,
            SITES[site],
            queue,
            issue,
            aside,
            agent,
            customer_number,
            customer,
            chance() < 0.72,
            wait,
            case,
            role,
            journey,
            empathy,
            technical,
            communication,
            resolution,
            mood,
            satisfaction,
            _within(churn, 0, 100),
            _within(quality, 0, 100),
            _within(satisfaction + gauss(0, 0.35), 1, 5),
            (
                _within(70 + 13 * empathy + gauss(0, 4), 0, 100),
                _within(70 + 13 * technical + gauss(0, 4), 0, 100),
                _within(70 + 13 * communication + gauss(0, 4), 0, 100),
            ),
        )


def _agents(count: int, rng: np.random.Generator) -> tuple[Agent, ...]:
    """Teams sit at one site and have a home queue; the more skilled are given more of the hard queues."""
    digits = max(3, len(str(count)))
    bounds = list(accumulate(group.share for group in GROUPS.values()))
    ranks = (rng.permutation(count) + 0.5) / count
    teams = -(-count // TEAM_SIZE)
    shares = np.array([queue.share for queue in QUEUES.values()])
    difficulty = np.array([queue.difficulty for queue in QUEUES.values()])
    homes = rng.choice(len(shares), size=teams, p=shares / shares.sum())
    found = []
    for i in range(count):
        name = list(GROUPS)[min(bisect(bounds, ranks[i]), len(bounds) - 1)]
        group = GROUPS[name]
        team = i * teams // count
        skills = np.array([group.empathy, group.technical_skill, group.communication]) + rng.normal(0, group.between, 3)
        mix = 0.45 * shares + 0.55 * (np.arange(len(shares)) == homes[team])
        mix = mix * np.exp(0.6 * skills.mean() * difficulty) * rng.gamma(3.0, size=len(shares))
        mix /= mix.sum()
        empathy, technical, communication = skills.tolist()
        found.append(
            Agent(
                f"agent_{i + 1:0{digits}d}",
                name,
                f"team_{team + 1:02d}",
                team % len(SITES),
                empathy,
                technical,
                communication,
                group.within * exp(rng.normal(0, 0.1)),
                float(rng.normal(0, 0.02)),
                dict(zip(QUEUES, mix.tolist(), strict=True)),
            )
        )
    return tuple(found)


def _customers(rng: np.random.Generator) -> tuple[Customer, ...]:
    """997 ways to be a customer; customer n has that of n modulo 997."""
    traits = rng.normal(size=(997, 3)).tolist()
    manners = rng.choice(["plain", "polite", "blunt"], size=997, p=[0.6, 0.22, 0.18]).tolist()
    return tuple(
        Customer(temper, impatience, loyalty, manner)
        for (temper, impatience, loyalty), manner in zip(traits, manners, strict=True)
    )


def _weighted(pairs: list[tuple[T, float]]) -> tuple[list[T], list[float]]:
    return [value for value, _ in pairs], list(accumulate(weight for _, weight in pairs))


def _draw(weighted: tuple[list[T], list[float]], u: float) -> T:
    """The value at the share `u` (in [0, 1)) of the total weight."""
    values, sums = weighted
    return values[min(bisect(sums, u * sums[-1]), len(values) - 1)]


def _within(value: float, low: int, high: int) -> int:
    return max(low, min(high, round(value)))
