"""The dashboard as one HTML file: no network, no inline handlers, nothing of a transcript outside packed data.

Scripts and styles lie in `page/`. A content security policy names their hashes and allows nothing else, and
asks for trusted types, so that no text can become markup.
"""

import gzip
import html
import re
from base64 import b64encode
from hashlib import sha256
from importlib import resources
from typing import Any

import msgspec

from mlx_cc.report.dashboard import Dashboard

STYLES = ("base.css", "layout.css", "charts.css", "conversation.css")
SCRIPTS = (
    "dom.js", "words.js", "load.js", "stats.js", "state.js", "facets.js", "measures.js", "figure.js",
    "trend.js", "heat.js", "wait.js", "issues.js", "compare.js", "scatter.js", "metrics.js", "radar.js",
    "filters.js", "overview.js", "list.js", "agents.js", "agent.js", "conversation.js", "methods.js", "main.js",
)  # fmt: skip
"""In the order they are read; they share one scope."""
LIBRARY, LICENCE = "d3.v7.min.js", "d3.LICENSE"


def page_of(dashboard: Dashboard) -> str:
    """The whole page as text."""
    style = "\n".join(_asset(name) for name in STYLES)
    library = _asset(LIBRARY)
    script = '"use strict";\n' + "\n".join(_asset(name) for name in SCRIPTS)
    policy = (
        f"default-src 'none'; script-src {_hash(library)} {_hash(script)}; style-src {_hash(style)}; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )
    data = [
        f'<script type="application/json" id="ids">{_plain(dashboard.ids)}</script>',
        _packed("meta", dashboard.meta),
        _packed("table", dashboard.table),
        _packed("agents", dashboard.agents),
        _packed("excerpts", dashboard.excerpts),
        *(_packed(f"part-{number}", part) for number, part in enumerate(dashboard.parts)),
    ]
    pieces = {
        "policy": policy,
        "title": html.escape(dashboard.meta["title"]),
        "style": style,
        "data": "\n".join(data),
        "licence": _asset(LICENCE),
        "library": library,
        "script": script,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: pieces[found[1]], _asset("page.html"))


def _asset(name: str) -> str:
    return resources.files("mlx_cc.report").joinpath("page", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _plain(value: Any) -> str:
    """JSON that can't end the element it stands in. Ids stay readable, so that `mlx_cc erase` finds them."""
    return msgspec.json.encode(value).decode().replace("<", "\\u003c")


def _packed(name: str, value: Any) -> str:
    packed = gzip.compress(msgspec.json.encode(value), compresslevel=9, mtime=0)
    return f'<script type="text/plain" id="{name}">{b64encode(packed).decode()}</script>'
