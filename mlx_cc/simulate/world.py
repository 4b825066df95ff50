"""A simulated contact centre: agents with known skill, queues, arrivals, and each contact's latent state and outcome.

Skill, difficulty and temper are in standard units: 0 is ordinary, 1 is one standard deviation. Outcomes follow
from them by `World._contact`, so that the results of an analysis can be compared with the truth. `transcript.py`
writes the text of a `Contact`; `world.yaml` has the centre's groups of agents, queues, issues, sites and hours.
"""

from bisect import bisect
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from heapq import heappop, heappush
from importlib.resources import files
from itertools import accumulate
from math import exp, log, log1p
from random import Random
from typing import Any, Literal, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import numpy as np
import yaml
from msgspec import Struct
from msgspec.structs import asdict

T = TypeVar("T")
Resolution = Literal["resolved", "partial", "unresolved"]

TEAM_SIZE = 12
CUSTOMER_TYPES = 997
"""Sets of customer traits that are drawn; customer n has set n modulo this."""


class Parameters(NamedTuple):
    """Parameters of a simulated centre; the same parameters give the same conversations."""

    conversations: int
    agents: int
    seed: int = 0
    turns: float = 14
    """Mean number of turns of a conversation, at least 4."""
    start: date = date(2025, 1, 1)
    months: int = 6


class Group(NamedTuple):
    """A group of agents: mean skills, standard deviation between its agents and from contact to contact."""

    share: float
    empathy: float
    technical_skill: float
    communication: float
    between: float
    within: float


class Queue(NamedTuple):
    """A queue: its share of contacts, difficulty, median wait at an ordinary hour, issue -> relative frequency."""

    share: float
    difficulty: float
    wait_s: float
    issues: dict[str, float]


class Issue(NamedTuple):
    """What an issue adds to a contact, and journey -> relative frequency."""

    difficulty: float
    upset: float
    """CSAT points (1-5) by which the customer starts below ordinary."""
    churn: float
    """Points of churn risk (0-100) it adds."""
    journeys: dict[str, float]


class Site(NamedTuple):
    """A site of agents and their customers."""

    timezone: str
    country: str
    currency: str


_CENTRE: dict[str, Any] = yaml.safe_load(files("mlx_cc.simulate").joinpath("world.yaml").read_text(encoding="utf-8"))
GROUPS = {name: Group(**group) for name, group in _CENTRE["groups"].items()}
QUEUES = {name: Queue(**queue) for name, queue in _CENTRE["queues"].items()}
ISSUES = {name: Issue(**issue) for name, issue in _CENTRE["issues"].items()}
SITES = tuple(Site(**site) for site in _CENTRE["sites"])
HOURS, WEEKDAYS, MONTHS = _CENTRE["hours"], _CENTRE["weekdays"], _CENTRE["months"]
RETURNS: dict[str, float] = _CENTRE["returns"]


class Agent(NamedTuple):
    """A simulated agent."""

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
    """Skill gained per month, in standard units."""
    queues: dict[str, float]
    """Queue -> share of the agent's time."""

    @property
    def skill(self) -> float:
        """Overall skill: the mean of the three dimensions."""
        return (self.empathy + self.technical_skill + self.communication) / 3


class Customer(NamedTuple):
    """Lasting traits of a customer."""

    temper: float
    """Added to satisfaction; above 0 is easily pleased."""
    impatience: float
    loyalty: float
    manner: Literal["plain", "polite", "blunt"]
    """Polite customers sound more pleased than they are, blunt ones less pleased."""


class Case(NamedTuple):
    """An open case: its customer will come back."""

    due_s: float
    number: int
    id: str
    customer: int
    queue: str
    issue: str
    at: datetime
    contacts: int


class Circumstances(Struct, frozen=True, gc=False):
    """What a contact is about and who takes part."""

    queue: str
    issue: str
    aside: str
    """Another issue, which the customer may mention in passing or raise at the end."""
    agent: Agent
    customer_number: int
    customer: Customer
    wait_s: float
    role: str
    journey: str
    contacts_before: int
    """Earlier contacts of the same case."""


class Contact(Circumstances, frozen=True, gc=False):
    """One contact's latent state and outcome, from which its text is written."""

    number: int
    id: str
    at: datetime
    site: Site
    voice: bool
    previous: Case | None
    empathy: float
    """Skill shown in this contact, in standard units; so are the next two."""
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
    scores: tuple[int, int, int]
    """Scores of empathy, technical skill and communication, 0-100."""


class World:
    """A simulated centre: its agents, queues and customers, and their contacts.

    Args:
        open_cases: customers per site who can still come back; more are forgotten, so that memory stays constant.
    """

    def __init__(self, parameters: Parameters, open_cases: int = 2048) -> None:
        self.parameters = parameters
        self.open_cases = open_cases
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

    def truth(self) -> dict[str, Any]:
        """The ground truth as JSON: parameters, agents (skill, group, queues), difficulty of queues and issues.

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
        """All contacts in order of time, streamed."""
        random = Random(self._contacts_seed)
        waiting: dict[int, list[Case]] = {site: [] for site in self._sites}
        population = max(50, self.parameters.conversations * 2 // 3)
        for number, (at, site, load) in enumerate(self._arrivals(), 1):
            now = at.timestamp()
            cases = waiting[site]
            case = heappop(cases) if cases and cases[0].due_s <= now and random.random() < 0.85 else None
            contact = self._contact(number, at, site, load, case, population, random)
            if random.random() < RETURNS[contact.resolution] and len(cases) < self.open_cases:
                due = now + 86400 * random.lognormvariate(log(2), 0.8)
                contacts = 1 if case is None else case.contacts + 1
                customer, queue, issue = contact.customer_number, contact.queue, contact.issue
                heappush(cases, Case(due, number, contact.id, customer, queue, issue, at, contacts))
            yield contact

    def _arrivals(self) -> Iterator[tuple[datetime, int, float]]:
        """(time in UTC, site, load relative to an ordinary hour) of every contact, in order."""
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

    def _circumstances(
        self, site: int, load: float, case: Case | None, population: int, random: Random
    ) -> Circumstances:
        chance = random.random
        if case is None:
            customer_number = random.randrange(population)
            queue = _draw(self._queues, chance())
            issue = _draw(self._issues[queue], chance())
            role = "first_contact" if (u := chance()) < 0.88 else "transfer" if u < 0.96 else "escalation"
        else:
            customer_number, queue, issue = case.customer, case.queue, case.issue
            role = "follow_up" if (u := chance()) < 0.72 else "escalation" if u < 0.92 else "transfer"
        agent = _draw(self._desks[site, queue], chance())
        aside = _draw(self._issues[queue], chance())
        if aside == issue:
            others = tuple(ISSUES)
            aside = others[(others.index(issue) + random.randrange(1, len(others))) % len(others)]
        journey = _draw(self._journeys[issue], chance())
        wait_s = min(7200.0, round(random.lognormvariate(log(QUEUES[queue].wait_s * (0.5 + load / 3.2)), 0.85)))
        customer = self.customers[customer_number % len(self.customers)]
        contacts_before = 0 if case is None else case.contacts
        return Circumstances(
            queue, issue, aside, agent, customer_number, customer, wait_s, role, journey, contacts_before
        )

    def _contact(
        self, number: int, at: datetime, site: int, load: float, case: Case | None, population: int, random: Random
    ) -> Contact:
        """Draw a contact's circumstances, then its outcomes; the coefficients are set by hand."""
        gauss, chance = random.gauss, random.random
        drawn = self._circumstances(site, load, case, population, random)
        agent, customer, issue, contacts_before = (
            drawn.agent,
            drawn.customer,
            ISSUES[drawn.issue],
            drawn.contacts_before,
        )

        months = (at.date() - self.parameters.start).days / 30.4
        day = agent.drift * months + gauss(0, 0.75 * agent.within)
        empathy = agent.empathy + day + gauss(0, 0.6 * agent.within)
        technical = agent.technical_skill + day + gauss(0, 0.6 * agent.within)
        communication = agent.communication + day + gauss(0, 0.6 * agent.within)
        difficulty = QUEUES[drawn.queue].difficulty + issue.difficulty + gauss(0, 0.35)

        outcome = (
            0.6 + 0.75 * technical + 0.2 * communication - 0.55 * difficulty - 0.1 * contacts_before + gauss(0, 0.9)
        )
        resolution: Resolution = "resolved" if outcome > 0 else "partial" if outcome > -0.65 else "unresolved"
        failed = 0 if resolution == "resolved" else 1 if resolution == "partial" else 2

        skill = (empathy + technical + communication) / 3
        quality = 77 + 10 * skill - 6 * difficulty + (2, -1, -5)[failed] + gauss(0, 3.5)
        waited = log1p(drawn.wait_s / 60) * (0.22 + 0.08 * customer.impatience)
        mood = 3.5 - issue.upset - waited - 0.35 * contacts_before + 0.35 * customer.temper
        satisfaction = 4.3 + (0.35, -0.4, -1.2)[failed] + 0.35 * empathy + 0.05 * technical + 0.15 * communication
        satisfaction = satisfaction + 0.35 * customer.temper - 0.35 * issue.upset - waited
        satisfaction = satisfaction - 0.2 * contacts_before - 0.1 * difficulty + gauss(0, 0.25)
        churn = 20 + issue.churn + 13 * (3.7 - satisfaction) + 5 * failed + 7 * contacts_before - 8 * customer.loyalty
        churn += gauss(0, 5)
        return Contact(
            **asdict(drawn),
            number=number,
            id=f"sim{self.parameters.seed}-{number:07d}",
            at=at,
            site=SITES[site],
            voice=chance() < 0.72,
            previous=case,
            empathy=empathy,
            technical_skill=technical,
            communication=communication,
            resolution=resolution,
            mood=mood,
            satisfaction=satisfaction,
            churn=_within(churn, 0, 100),
            quality=_within(quality, 0, 100),
            csat=_within(satisfaction + gauss(0, 0.35), 1, 5),
            scores=(
                _within(70 + 13 * empathy + gauss(0, 4), 0, 100),
                _within(70 + 13 * technical + gauss(0, 4), 0, 100),
                _within(70 + 13 * communication + gauss(0, 4), 0, 100),
            ),
        )


def _agents(count: int, rng: np.random.Generator) -> tuple[Agent, ...]:
    """Agents in teams, each team at one site with a home queue; better agents get more of the hard queues."""
    digits = max(3, len(str(count)))
    bounds = list(accumulate(group.share for group in GROUPS.values()))
    ranks = (rng.permutation(count) + 0.5) / count
    teams = -(-count // TEAM_SIZE)
    shares = np.array([queue.share for queue in QUEUES.values()])
    difficulty = np.array([queue.difficulty for queue in QUEUES.values()])
    homes = rng.choice(len(shares), size=teams, p=shares / shares.sum())
    agents = []
    for i in range(count):
        name = list(GROUPS)[min(bisect(bounds, ranks[i]), len(bounds) - 1)]
        group = GROUPS[name]
        team = i * teams // count
        skills = np.array([group.empathy, group.technical_skill, group.communication]) + rng.normal(0, group.between, 3)
        mix = 0.45 * shares + 0.55 * (np.arange(len(shares)) == homes[team])
        mix = mix * np.exp(0.6 * skills.mean() * difficulty) * rng.gamma(3.0, size=len(shares))
        mix /= mix.sum()
        empathy, technical, communication = skills.tolist()
        agents.append(
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
    return tuple(agents)


def _customers(rng: np.random.Generator) -> tuple[Customer, ...]:
    """CUSTOMER_TYPES types of customer; customer n has type n modulo that."""
    traits = rng.normal(size=(CUSTOMER_TYPES, 3)).tolist()
    manners = rng.choice(["plain", "polite", "blunt"], size=CUSTOMER_TYPES, p=[0.6, 0.22, 0.18]).tolist()
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
