"""The dashboard: what the page holds, what it shows in a real browser, and what hostile text does there (nothing)."""

import base64
import csv
import gzip
import io
import json
import re
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from statistics import mean

import pytest
from browser import chromium, complaints, drawn, go, missing, opened, turn, until
from click.testing import CliRunner

from mlx_cc.answers import read_answers
from mlx_cc.cli import main_group
from mlx_cc.conversation import Conversation, Label, Reasoning, Turn, replace
from mlx_cc.errors import UserError
from mlx_cc.files import read_conversations, write_conversations
from mlx_cc.simulate import Parameters, World, simulate

needs_browser = pytest.mark.skipif(missing() is not None, reason=str(missing()))
HOSTILE = '</script><script>window.hacked=1</script><img src=x onerror="window.hacked=1">{{style}} =1+1 \u202e'


def made(folder: Path, conversations: list[Conversation], *options: str) -> Path:
    """The page of conversations, made by the command."""
    source, page = folder / "c.jsonl", folder / "dashboard.html"
    write_conversations(source, conversations)
    run = CliRunner().invoke(main_group, ["dashboard", "--input", str(source), "--output", str(page), *options])
    assert run.exit_code == 0, run.output
    return page


def packed(page: Path, name: str):
    """What the page holds under a name."""
    found = re.search(rf'id="{name}">([^<]*)<', page.read_text(encoding="utf-8"))
    assert found
    return json.loads(gzip.decompress(base64.b64decode(found[1])))


def answer(conversation: Conversation, **changes) -> str:
    return json.dumps(
        {"conversation_id": conversation.id, "quality_score": 41.5, "csat_score": 2.5, "model": "a-model", **changes}
    )


@pytest.fixture(scope="module")
def conversations() -> list[Conversation]:
    """300 simulated conversations of 12 agents; every third is in Spanish by its record."""
    found = simulate(World(Parameters(300, 12, seed=3)))
    return [replace(c, language="es") if n % 3 == 0 else c for n, c in enumerate(found)]


@pytest.fixture(scope="module")
def page(conversations, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dashboard")
    answers = folder / "answers.jsonl"
    lines = [answer(c, confidence={"quality": 0.62}, interval={"quality": [30, 55]}, needs_review=True, review=["quality"],
                    coaching=[{"skill": "listening", "action": "Let them finish.", "expected_outcome": "Calm.", "turn": 2}])
             for c in conversations[:100]]  # fmt: skip
    answers.write_text("\n".join(lines))
    return made(folder, conversations, "--answers", str(answers))


@pytest.fixture(scope="module")
def browser():
    with chromium() as driver:
        yield driver


# What the file holds


def test_the_page_loads_nothing_and_its_policy_names_its_own_scripts_and_style(page):
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"<(script|img|link|iframe)[^>]*\s(src|href)=|@import|url\(", text)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy and "unsafe" not in policy[1] and "default-src 'none'" in policy[1]
    for inside in re.findall(r"<(?:script|style)>(.*?)</(?:script|style)>", text, re.S):
        assert f"'sha256-{base64.b64encode(sha256(inside.encode()).digest()).decode()}'" in policy[1]


def test_the_library_is_the_release_that_the_documents_name():
    root = Path(__file__).parent.parent
    digest = sha256((root / "mlx_cc/report/page/d3.v7.min.js").read_bytes()).hexdigest()
    assert digest in (root / "docs/dependencies.md").read_text(encoding="utf-8")


def test_an_id_and_a_title_can_t_end_the_element_they_stand_in(conversations, tmp_path):
    text = made(tmp_path, [replace(conversations[0], id=HOSTILE)], "--title", HOSTILE).read_text(encoding="utf-8")
    assert "<img" not in text and "window.hacked=1</script>" not in text
    ids = re.search(r'id="ids">(.*?)</script>', text, re.S)
    assert ids and json.loads(ids[1]) == [HOSTILE]


def test_erase_finds_a_conversation_in_the_page(conversations, page):
    from mlx_cc import erase

    target = erase.resolve([page.parent], [conversations[7].id], [])
    assert page in {left.path for left in erase.search([page.parent], target)}


def test_transcripts_can_be_left_out_of_the_page(conversations, tmp_path):
    every = conversations[:150]
    latest = packed(made(tmp_path, every, "--texts", "20"), "part-2")
    assert sum(bool(found) for found in latest) == 20
    assert "part-0" not in made(tmp_path, every, "--texts", "0").read_text(encoding="utf-8")


def test_columns_are_on_the_site_s_clock(conversations, page):
    table = packed(page, "table")["columns"]
    from mlx_cc.temporal import TemporalFeatureEnhancer

    ordered = sorted(conversations, key=lambda c: c.started_at)
    hours = [c.temporal.hour for c in TemporalFeatureEnhancer().transform(ordered)]
    assert table["hour"] == hours


def test_profiles_that_were_made_before_are_shown_and_named(conversations, tmp_path):
    source, folder = tmp_path / "train.jsonl", tmp_path / "profiles"
    write_conversations(source, conversations[:200])
    runner = CliRunner()
    assert (
        runner.invoke(main_group, ["fingerprint", "--input", str(source), "--output-dir", str(folder)]).exit_code == 0
    )
    page = made(tmp_path, conversations, "--profiles", str(folder))
    agents = packed(page, "agents")
    assert sum(profile["conversations"] for profile in agents["profiles"].values()) == 200
    assert str(source) in packed(page, "meta")["profiles"]


def test_a_folder_without_profiles_is_the_user_s_fault(conversations, tmp_path):
    write_conversations(tmp_path / "c.jsonl", conversations[:3])
    with pytest.raises(UserError, match="agent_profiles.json"):
        main_group.main(
            [
                "dashboard",
                "--input",
                str(tmp_path / "c.jsonl"),
                "--output",
                str(tmp_path / "d.html"),
                "--profiles",
                str(tmp_path),
            ],
            standalone_mode=False,
        )


@pytest.mark.parametrize(("line", "fault"), [('{"quality_score": 5}', "conversation_id"), ('{"conversation_id": "a", "quality_score": 500}', "quality_score"), ("nonsense", "malformed")])  # fmt: skip
def test_a_line_that_is_no_answer_is_named(tmp_path, line, fault):
    (tmp_path / "a.jsonl").write_text(f'{{"conversation_id": "x"}}\n{line}\n')
    with pytest.raises(UserError, match=f"a.jsonl:2: .*{fault}"):
        read_answers(tmp_path / "a.jsonl")


def test_the_lines_that_analyze_prints_are_read(trained, sample_conversations, tmp_path):
    source = tmp_path / "c.jsonl"
    write_conversations(source, sample_conversations[:2])
    run = CliRunner().invoke(main_group, ["analyze", str(source), "--model", str(trained), "--no-coaching", "--json"])
    assert run.exit_code == 0, run.output
    (tmp_path / "a.jsonl").write_text(run.stdout)
    answers = read_answers(tmp_path / "a.jsonl")
    assert set(answers) == {c.id for c in sample_conversations[:2]}
    for line in run.stdout.splitlines():
        row = json.loads(line)
        again = json.loads(json.dumps(answers[row["conversation_id"]].row()))
        lost = {
            "effectiveness",
            "root_cause",
        }  # follow from the centre and the distribution, which the row does not hold
        assert {k: v for k, v in again.items() if k not in lost} == {k: v for k, v in row.items() if k not in lost}


# What a browser shows


@needs_browser
def test_every_page_is_drawn_without_a_complaint(browser, page, conversations):
    opened(browser, page)
    for address in (
        "#/agents",
        "#/agent/agent_003",
        "#/conversations",
        f"#/conversation/{conversations[5].id}",
        "#/methods",
        "#/agent/nobody",
        "#/conversation/none",
        "#/",
    ):
        assert go(browser, address).find_element("css selector", "main h1")
        assert ("There is no such" in browser.find_element("tag name", "main").text) == address.endswith(
            ("nobody", "none")
        )
    assert complaints(browser) == []


@needs_browser
def test_the_page_s_statistics_are_those_of_scipy(browser, page):
    from scipy import stats

    opened(browser, page)
    do = browser.execute_script
    for df in (3, 4, 7, 12, 30, 200):
        assert do("return t975(arguments[0])", df) == pytest.approx(stats.t.ppf(0.975, df), rel=2e-3)
    for z in (0.3, 1.96, 3.5):
        assert do("return normalP(arguments[0])", z) == pytest.approx(2 * stats.norm.sf(z), rel=1e-5)
    ps = [0.001, 0.2, 0.012, 0.04, 0.03, 0.9]
    assert do("return discoveries(arguments[0])", ps) == [p <= 0.05 for p in stats.false_discovery_control(ps)]
    share = stats.binomtest(7, 31).proportion_ci(method="wilson")
    found = do("return shareOf(7, 31)")
    assert (found["low"], found["high"]) == pytest.approx((share.low, share.high), abs=1e-9)
    xs, ys = [1, 5, 5, 2, 9, 4, 7, 3], [2, 4, 9, 1, 8, 5, 5, 5]
    assert do("return spearman(arguments[0], arguments[1])", xs, ys)["value"] == pytest.approx(
        stats.spearmanr(xs, ys).statistic
    )
    hits, totals = [3, 6, 9, 15], [30, 31, 29, 33]
    weeks = [t for t, n in enumerate(totals) for _ in range(n)]
    drawn_ = [int(k < hits[t]) for t, n in enumerate(totals) for k in range(n)]
    z = stats.pearsonr(weeks, drawn_).statistic * len(weeks) ** 0.5  # Cochran-Armitage is r sqrt(N)
    assert do("return trendTest(arguments[0], arguments[1])", hits, totals)["z"] == pytest.approx(z)


@needs_browser
def test_tiles_show_means_with_their_interval_and_n(browser, page, conversations):
    from scipy import stats

    scores = [c.label("quality")["score"] for c in conversations]
    low, high = stats.t.interval(0.95, len(scores) - 1, mean(scores), stats.sem(scores))
    text = opened(browser, page).find_element("id", "tile-quality").text
    assert f"{mean(scores):.1f} of 100" in text
    assert f"95% {low:.1f} to {high:.1f}, n 300" in text
    back = {c.previous_contact_id for c in conversations}
    resolved = sum(c.label("resolution") == "resolved" and c.id not in back for c in conversations)
    assert f"{100 * resolved / 300:.1f}%" in browser.find_element("id", "tile-fcr").text


@needs_browser
def test_a_filter_holds_for_every_figure_and_stays_in_the_address(browser, page, conversations):
    from selenium.webdriver.support.select import Select

    opened(browser, page)
    spanish = [c for c in conversations if c.language == "es"]
    before = turn(browser)
    Select(browser.find_element("id", "filter-language")).select_by_value("es")
    drawn(browser, before)
    assert browser.find_element("id", "count").text == f"{len(spanish)} of 300 conversations"
    assert (
        f"{mean(c.label('quality')['score'] for c in spanish):.1f} of 100"
        in browser.find_element("id", "tile-quality").text
    )
    assert browser.execute_script("return document.activeElement.id") == "filter-language"
    assert "language=es" in browser.current_url
    team = Counter(c.team for c in conversations).most_common(1)[0][0]
    both = [c for c in spanish if c.team == team]
    go(browser, f"#/conversations?language=es&team={team}")
    assert f"{len(both)} conversation" in browser.find_element("css selector", "main .lead").text
    go(browser, "#/?from=2025-02-01&to=2025-02-28")
    shown = browser.execute_script("return rows().map(row => isoDay(store.col.day[row]))")
    assert shown and min(shown) >= "2025-02-01" and max(shown) <= "2025-02-28"


@needs_browser
def test_every_mark_leads_to_the_conversations_it_counts(browser, page):
    """Each mark of the overview says its n; the list behind its link has as many."""
    opened(browser, page)
    marks = browser.execute_script(
        "return Array.from(document.querySelectorAll('main a.mark'), a => [a.getAttribute('href'), a.getAttribute('aria-label')])"
    )
    assert len(marks) > 80
    for href, label in marks:
        said = re.search(r"n ([\d,]+)$|, ([\d,]+) conversations?$|\(([\d,]+) of", label)
        assert said, label
        n = int(next(filter(None, said.groups())).replace(",", ""))
        found = browser.execute_script("location.hash = arguments[0]; readAddress(); return askedRows().length", href)
        assert found == n, label


@needs_browser
def test_a_cell_opens_its_list_and_a_line_its_conversation(browser, page, conversations):
    opened(browser, page)
    before = turn(browser)
    cell = browser.find_element("css selector", "td.heat.v6 a")
    n = cell.text
    browser.execute_script("arguments[0].click()", cell)
    drawn(browser, before)
    assert browser.find_element("css selector", "main .lead").text.startswith(f"{n} conversations")
    before = turn(browser)
    first = browser.find_element("css selector", ".list tbody a")
    name = first.text
    first.click()
    drawn(browser, before)
    shown = [said.text for said in browser.find_elements("css selector", ".turn .said")]
    assert shown == [t.text for t in next(c for c in conversations if c.id == name).turns]
    assert "simulated" in browser.find_element("css selector", ".beside").text


@needs_browser
def test_the_keyboard_reaches_a_chart_s_marks_and_opens_one(browser, page):
    from selenium.webdriver.common.keys import Keys

    opened(browser, page)

    def focused(name: str) -> str:
        return browser.execute_script("return document.activeElement.getAttribute(arguments[0]) || ''", name)

    browser.find_element("tag name", "body").send_keys(Keys.TAB)
    until(lambda: browser.switch_to.active_element.text == "Skip to content")
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    until(lambda: focused("id") == "main")
    for _ in range(60):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        if focused("class") == "mark":
            break
    first = focused("aria-label")
    browser.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    until(lambda: focused("aria-label") != first)
    second = browser.switch_to.active_element
    assert first.startswith("Week of")
    tip = browser.find_element("id", "tip")
    assert until(lambda: tip.is_displayed() and tip.text).splitlines()[0] in second.get_attribute("aria-label")
    before = turn(browser)
    second.send_keys(Keys.ENTER)
    drawn(browser, before)
    assert "Week of" in browser.find_element("tag name", "h1").text
    opened(browser, page)
    cells = browser.find_elements("css selector", "td.heat a")
    browser.execute_script("arguments[0].focus()", cells[0])
    at = focused("aria-label")
    cells[0].send_keys(Keys.ARROW_DOWN)
    until(lambda: focused("aria-label") != at)
    day, hour = focused("aria-label").split(",")[0].split()
    assert (day, hour) != ("Monday", hour) and hour == cells[0].get_attribute("aria-label").split(",")[0].split()[1]


@needs_browser
@pytest.mark.parametrize("address", ["#/", "#/agents", "#/agent/agent_003", "#/conversations", "#/methods"])
def test_a_screen_reader_finds_names_landmarks_and_tables(browser, page, address):
    opened(browser, page, address)
    do = browser.execute_script
    assert [len(browser.find_elements("css selector", name)) for name in ("header", "main", "footer", "h1")] == [
        1,
        1,
        1,
        1,
    ]
    assert (
        do("return Array.from(document.querySelectorAll('input,select')).filter(e => !e.labels.length).map(e => e.id)")
        == []
    )
    assert (
        do("return Array.from(document.querySelectorAll('svg')).filter(e => !e.ariaHidden && !e.ariaLabel).length") == 0
    )
    assert (
        do(
            "return Array.from(document.querySelectorAll('a,button')).filter(e => !(e.textContent.trim() || e.ariaLabel)).length"
        )
        == 0
    )
    ids = do("return Array.from(document.querySelectorAll('[id]'), e => e.id)")
    assert len(ids) == len(set(ids))
    for card in browser.find_elements("css selector", ".card:has(.plot)"):
        card.find_element("css selector", ".as-table summary").click()
        marks = card.find_elements("css selector", ".plot a.mark")
        lines = until(lambda card=card: card.find_elements("css selector", ".as-table tbody tr"))  # made when it opens
        assert len(lines) >= (0 if address.startswith("#/agent/") else len(marks)), (
            card.text
        )  # there a dot is a conversation


@needs_browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_of_text_stand_out_from_their_ground(browser, page, theme):
    opened(browser, page)
    if browser.execute_script("return document.documentElement.dataset.theme || 'light'") != theme:
        browser.find_element("id", "theme").click()
    ratio = """
    const probe = document.body.appendChild(document.createElement('i'));
    const light = (name) => { probe.style.color = `var(--${name})`; return getComputedStyle(probe).color.match(/\\d+/g).slice(0, 3)
      .map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4).reduce((s, v, i) => s + v * [.2126, .7152, .0722][i], 0); };
    const [a, b] = [light(arguments[0]), light(arguments[1])].sort((x, y) => y - x);
    probe.remove(); return (a + .05) / (b + .05);"""
    pairs = [(ink, ground) for ink in ("ink", "soft", "blue") for ground in ("card", "page", "hover")]
    pairs += [(tone, f"{tone}-soft") for tone in ("good", "bad", "warn")] + [("ink", "blue-soft"), ("ink", "warn-soft")]
    poor = {pair: found for pair in pairs if (found := browser.execute_script(ratio, *pair)) < 4.5}
    assert poor == {}
    marks = {f"g{n}": browser.execute_script(ratio, f"g{n}", "card") for n in range(7)}
    assert min(marks.values()) >= 3, marks


@needs_browser
def test_light_and_dark_follow_the_system_until_the_reader_chooses(browser, page):
    ground = "return getComputedStyle(document.body).backgroundColor"
    opened(browser, page)
    browser.execute_script("localStorage.clear()")
    seen = []
    for scheme in ("light", "dark"):
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        )
        opened(browser, page)
        seen.append(browser.execute_script(ground))
    browser.find_element("id", "theme").click()
    assert browser.execute_script(ground) == seen[0] != seen[1]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    browser.execute_script("localStorage.clear()")


@needs_browser
def test_nothing_is_wider_than_a_phone(browser, page, conversations):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    )
    try:
        for address in (
            "#/",
            "#/agents",
            "#/agent/agent_003",
            "#/conversations",
            f"#/conversation/{conversations[5].id}",
            "#/methods",
        ):
            opened(browser, page, address)
            assert browser.execute_script("return document.documentElement.scrollWidth") <= 390, address
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@needs_browser
def test_a_model_s_answers_are_shown_apart_from_labels(browser, page, conversations):
    opened(browser, page, "#/?scores=model")
    assert "41.5 of 100" in browser.find_element("id", "tile-quality").text
    assert "n 100" in browser.find_element("id", "tile-quality").text
    go(browser, f"#/conversation/{conversations[5].id}")
    beside = browser.find_element("css selector", ".beside").text
    assert "a-model" in beside and "62%" in beside and "30 to 55" in beside and "Needs a second look: Quality" in beside
    cited = [t.get_attribute("id") for t in browser.find_elements("css selector", ".turn.cited")]
    assert "T2" in cited


@needs_browser
def test_an_agent_s_metrics_under_filters_are_those_of_fingerprint(browser, page, conversations):
    from mlx_cc.agents.fingerprint import AgentFingerprinter

    fitted = AgentFingerprinter().fit(conversations)
    spanish = fitted.transform([c for c in conversations if c.language == "es"])
    back = {c.previous_contact_id for c in conversations}  # also those who came back in another language
    opened(browser, page, "#/agent/agent_003?language=es")
    found = browser.execute_script(
        "return metricsUnder(rows().filter(row => store.names.agent[store.col.agent[row]] === 'agent_003'))"
    )
    mine = [c for c in conversations if c.language == "es" and c.agents == ("agent_003",)]
    centre = fitted.summary(spanish)["centre"]
    assert len(found) == 10
    for name, shown in found.items():
        metric = spanish["agent_003"]["metrics"][name]
        assert shown["n"] == metric["n"]
        if name == "fcr":
            assert found[name]["value"] == mean(c.label("resolution") == "resolved" and c.id not in back for c in mine)
        elif metric["value"] is not None:
            expected = [metric[part] for part in ("value", "low", "high")]
            assert [shown[part] for part in ("value", "low", "high")] == pytest.approx(expected, rel=3e-3), name
            between, within = (centre[name][f"sd_{which}"] ** 2 for which in ("between_agents", "within_agent"))
            weight = between / (between + within / metric["n"]) if between else 0
            raw = centre[name]["mean"] + weight * (metric["value"] - centre[name]["mean"])
            assert shown["shrunk"] == pytest.approx(raw, rel=3e-3), name
    assert "under the filters" in browser.find_element("id", "t-metrics").find_element("xpath", "../..").text


@needs_browser
def test_agents_are_compared_by_what_is_adjusted_for_what_they_were_given(browser, page, conversations):
    from mlx_cc.agents.fingerprint import AgentFingerprinter

    profiles = AgentFingerprinter().compute_agent_profiles(conversations)
    opened(browser, page, "#/agents")
    shown = browser.execute_script(
        "return agentEstimates(5).map(one => [store.names.agent[one.agent], one.values.quality.shrunk])"
    )
    assert len(shown) > 3
    assert shown == [[name, profiles[name]["metrics"]["quality"]["shrunk"]] for name, _ in shown]
    opened(browser, page, "#/agents?language=es")
    assert "not adjusted" in browser.find_element("tag name", "main").text


@needs_browser
def test_an_issue_that_rises_is_flagged_and_a_single_odd_week_is_ringed(browser, tmp_path):
    turns = (Turn(role="customer", text="Hello."),)
    made_ = []
    for week in range(20):
        for n in range(60):
            rising = n < 6 + week  # 10% to 42%
            bump = week == 9 and 30 <= n < 50  # a third of one week
            issue = "rising" if rising else "bump" if bump or n >= 54 else "steady" if n % 2 else "calm"
            day = datetime(2025, 1, 6, 12, tzinfo=UTC) + timedelta(weeks=week, hours=n)
            made_.append(
                Conversation(
                    id=f"c{week}-{n}",
                    turns=turns,
                    started_at=day,
                    labels={"issue": Label(value=issue, source="human_qa")},
                )
            )
    opened(browser, made(tmp_path, made_))
    found = browser.execute_script(
        "return Object.fromEntries(issueTrends().map(one => [facets.issue.write(one.code), [one.drifts, one.test.z > 0, one.points.filter(p => p.odd).map(p => p.at)]]))"
    )
    assert found["rising"][:2] == [True, True]
    assert found["bump"][0] is False and found["bump"][2] == [9]
    assert "Rising ▲ rising" in browser.find_element("css selector", ".first").text
    assert "unusual point" in browser.find_element("css selector", ".issues").text


@needs_browser
def test_groups_that_differ_from_the_rest_are_marked_by_welch_s_test(browser, page, conversations):
    from scipy import stats

    opened(browser, page)
    found = browser.execute_script(
        "return comparison('queue', measures.quality).map(one => [facets.queue.write(one.code), one.found.n, one.p, one.differs])"
    )
    scores = {
        name: [c.label("quality")["score"] for c in conversations if c.queue == name]
        for name in {c.queue for c in conversations}
    }
    assert {name: n for name, n, _, _ in found} == {name: len(values) for name, values in scores.items()}
    for name, n, p, _ in found:
        rest = [score for other, values in scores.items() if other != name for score in values]
        z = stats.ttest_ind(scores[name], rest, equal_var=False).statistic
        assert p == pytest.approx(2 * stats.norm.sf(abs(z)) if n >= 20 else 1, rel=1e-4)
    assert [differs for *_, differs in found] == [
        bool(p <= 0.05) for p in stats.false_discovery_control([p for _, _, p, _ in found])
    ]


@needs_browser
def test_transcripts_are_searched_and_a_list_is_saved_with_harmless_cells(browser, page, conversations):
    opened(browser, page, "#/conversations")
    before = turn(browser)
    box = browser.find_element("id", "search-text")
    box.send_keys("Refund\n")
    drawn(browser, before)
    holding = [c for c in conversations if any("refund" in t.text.lower() for t in c.turns)]
    assert (
        browser.find_element("css selector", "main .lead").text
        == f"{len(holding)} conversations with “Refund” in the transcript"
    )
    saved = list(csv.reader(io.StringIO(browser.execute_script("return listCsv(store.listed)"), newline="")))
    assert {line[0] for line in saved[1:]} == {c.id for c in holding}
    folder = page.parent / "saved"
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})
    next(b for b in browser.find_elements("tag name", "button") if b.text == "Save as CSV").click()
    limit = time.monotonic() + 20
    while not (folder / "conversations.csv").exists() and time.monotonic() < limit:
        time.sleep(0.05)
    with (folder / "conversations.csv").open(newline="") as file:
        assert list(csv.reader(file)) == saved
    cells = browser.execute_script("return ['=1', '-1', '\\t=1', 'a,\"b\"', 5, -2.5, NaN].map(csvCell)")
    assert cells == ["'=1", "'-1", "'\t=1", '"a,""b"""', "5", "-2.5", ""]


@needs_browser
def test_what_later_profiles_add_is_shown(browser, conversations, tmp_path):
    source, folder = tmp_path / "train.jsonl", tmp_path / "profiles"
    write_conversations(source, conversations)
    CliRunner().invoke(main_group, ["fingerprint", "--input", str(source), "--output-dir", str(folder)])
    profiles = json.loads((folder / "agent_profiles.json").read_text())
    clusters = json.loads((folder / "agent_clusters.json").read_text())
    profiles["agent_003"]["metrics"]["quality"]["adjusted"] = 71.9
    profiles["agent_003"]["queue"] = "billing"
    change = {"metric": "quality", "week": "2025-03-03", "before": 80.2, "after": 66.1, "p": 0.0004}
    weekly = {"quality": {"n": [3], "mean": [None]}}
    profiles["agent_003"]["trend"] = {"weeks": ["2025-03-03"], "metrics": weekly, "changes": [change]}
    clusters["stability"] = {"adjusted_rand": 0.71}
    (folder / "agent_profiles.json").write_text(json.dumps(profiles))
    (folder / "agent_clusters.json").write_text(json.dumps(clusters))
    opened(browser, made(tmp_path, conversations, "--profiles", str(folder)))
    assert "agent_003 quality 80.2 → 66.1" in browser.find_element("css selector", ".first").text
    text = go(browser, "#/agent/agent_003").find_element("tag name", "main").text
    assert "71.9" in text and "queue Billing" in text and "Change in the week of 3 Mar 2025" in text
    assert browser.find_elements("css selector", ".change-mark")
    assert "Adjusted rand 0.71" in go(browser, "#/agents").find_element("tag name", "main").text
    assert complaints(browser) == []


@needs_browser
def test_hostile_text_is_text_wherever_it_stands(browser, tmp_path):
    hostile = Conversation(
        id=HOSTILE,
        turns=(Turn(role="customer", text=HOSTILE + " and more of it so that it is long"), Turn(role="agent", text="<b>bold</b>", agent_id=HOSTILE)),
        agents=(HOSTILE,),
        team=HOSTILE,
        queue=HOSTILE,
        language=HOSTILE,
        disposition=HOSTILE,
        started_at=datetime(2025, 3, 3, 12, tzinfo=UTC),
        timezone="Europe/London",
        queue_wait_s=20,
        labels={
            "quality": Label(value={"score": 20}, source="human_qa"),
            "csat": Label(value=1, source="survey"),
            "issue": Label(value=HOSTILE, source="human_qa"),
            "journey": Label(value={"type": HOSTILE, "contact_role": HOSTILE}, source="human_qa"),
            "coaching": Label(value=[{"skill": HOSTILE, "action": HOSTILE, "expected_outcome": HOSTILE, "turn": 1}], source="human_qa"),
            HOSTILE: Label(value=HOSTILE, source="human_qa"),
        },
        reasoning=Reasoning(thinking=f"{HOSTILE} [T1]", analysis=HOSTILE, insights="[T99]", model=HOSTILE),
    )  # fmt: skip
    others = [replace(hostile, id=f"{HOSTILE}{n}", team=f"t{n}", queue=f"q{n}", language=f"l{n}") for n in range(6)]
    answers = tmp_path / "a.jsonl"
    answers.write_text(answer(hostile, issue=HOSTILE, model=HOSTILE, review=[HOSTILE], needs_review=True, likely={"issue": [HOSTILE]},
                              reasoning={"thinking": HOSTILE, "analysis": HOSTILE, "insights": HOSTILE}))  # fmt: skip
    page = made(tmp_path, [hostile, *others], "--answers", str(answers), "--title", HOSTILE)
    from urllib.parse import quote

    name = quote(HOSTILE, safe="")
    opened(browser, page)
    for address in ("#/", "#/?scores=model", "#/agents", f"#/agent/{name}", "#/conversations", f"#/conversations?w=issue:{name}", f"#/conversations?team={name}",
                    f"#/conversation/{name}", "#/methods", "#/conversations?w=constructor:1&w=x", "#/agent/constructor", "#/__proto__"):  # fmt: skip
        go(browser, address)
        assert browser.execute_script("return window.hacked") is None
        assert browser.find_elements("css selector", "img, main script, main b > b, iframe") == [], address
    go(browser, f"#/conversation/{name}")
    assert browser.find_elements("css selector", ".turn .said")[1].text == "<b>bold</b>"
    assert "<img src=x" in browser.find_element("css selector", ".beside").text
    assert complaints(browser) == []


@needs_browser
def test_a_link_can_lead_to_this_page_only_and_markup_is_refused(browser, page):
    opened(browser, page)
    for attempt in (
        "h('a', {href: 'javascript:1'})",
        "h('a', {href: 'https://example.org'})",
        "document.body.innerHTML = '<p>x'",
    ):
        refused = browser.execute_script(f"try {{ {attempt}; return false }} catch (fault) {{ return true }}")
        assert refused, attempt
    complaints(browser)


@needs_browser
def test_records_without_labels_agents_or_times_are_shown_as_far_as_they_go(browser, tmp_path):
    bare = [Conversation(id=f"bare-{n}", turns=(Turn(role="unknown", text="Hello."),)) for n in range(3)]
    opened(browser, made(tmp_path, bare))
    for address in ("#/agents", "#/conversations", "#/conversation/bare-1", "#/methods", "#/"):
        go(browser, address)
    assert "3" in browser.find_element("css selector", ".tile .value").text
    assert complaints(browser) == []


@needs_browser
def test_labels_that_are_simulated_are_called_so_on_every_page(browser, page, conversations, tmp_path):
    opened(browser, page)
    for address in ("#/agents", "#/conversations", "#/"):
        assert "simulated labels" in go(browser, address).find_element("tag name", "header").text
    real = [replace(c, labels={"csat": Label(value=c.label("csat"), source="survey")}) for c in conversations[:20]]
    assert "simulated" not in opened(browser, made(tmp_path, real)).find_element("tag name", "body").text
    assert "survey (20)" in go(browser, "#/methods").find_element("tag name", "main").text


@needs_browser
def test_the_sample_set_has_its_page(browser, sample_conversations, tmp_path):
    opened(browser, made(tmp_path, sample_conversations))
    assert (
        f"n {sum(c.label('quality') is not None for c in sample_conversations)}"
        in browser.find_element("id", "tile-quality").text
    )
    assert complaints(browser) == []


@pytest.fixture(scope="module")
def full_size(tmp_path_factory) -> Path:
    """The page of 5,397 conversations of 1,007 agents: 32,382 answers to six tasks."""
    return made(tmp_path_factory.mktemp("full"), list(simulate(World(Parameters(5397, 1007)))))


def test_the_page_stays_under_15_mb_at_full_size(full_size):
    assert full_size.stat().st_size < 15_000_000


@needs_browser
def test_the_full_size_is_drawn_filtered_and_drilled_into(browser, full_size):
    opened(browser, full_size)
    assert "5,397 of 5,397" in browser.find_element("id", "count").text
    go(browser, "#/agents")
    assert len(browser.find_elements("css selector", ".plot a.mark")) > 500
    go(browser, "#/conversations?w=issue:billing_error")
    n = sum(c.label("issue") == "billing_error" for c in read_conversations(full_size.parent / "c.jsonl"))
    assert browser.find_element("css selector", "main .lead").text.startswith(f"{n} conversations")
    assert complaints(browser) == []
