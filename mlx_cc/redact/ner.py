"""Names and places found by a model that the user installs: Presidio with a spaCy pipeline (extra `pii`).

redactor = Redactor(country="US", ner=presidio("en_core_web_lg"))
"""

from collections.abc import Callable, Iterable
from typing import Any

from mlx_cc.errors import UserError

PLACEHOLDER_OF = {"PERSON": "NAME", "LOCATION": "ADDRESS"}
"""Presidio's entity -> our entity type; rules find its other entities already."""

INSTALL = "Install it with: pip install 'mlx_cc[pii]'."


def presidio(
    model: str, language: str = "en", score: float = 0.5
) -> Callable[[str, str], Iterable[tuple[int, int, str]]]:
    """A recogniser for `Redactor(ner=...)`: start, end and type of the people and places in a turn.

    Args:
        model: an installed spaCy pipeline, such as `en_core_web_lg`. Nothing is downloaded.
        language: ISO 639-1 of the pipeline; turns of conversations in other languages are left to the rules.
        score: hits below this confidence of Presidio are ignored.

    Raises:
        UserError: presidio-analyzer or the spaCy pipeline is not installed.
    """
    engine = _engine(model, language)

    def recognise(text: str, text_language: str) -> Iterable[tuple[int, int, str]]:
        if text_language not in ("", language):
            return
        for hit in engine.analyze(text=text, language=language, entities=list(PLACEHOLDER_OF), score_threshold=score):
            yield hit.start, hit.end, PLACEHOLDER_OF[hit.entity_type]

    return recognise


def _engine(model: str, language: str) -> Any:
    try:
        import spacy.util  # pyright: ignore[reportMissingImports]
        from presidio_analyzer import AnalyzerEngine  # pyright: ignore[reportMissingImports]
        from presidio_analyzer.nlp_engine import NlpEngineProvider  # pyright: ignore[reportMissingImports]
    except ImportError as missing:
        raise UserError(f"name recognition by a model needs presidio-analyzer. {INSTALL}") from missing
    if not spacy.util.is_package(model):
        raise UserError(
            f"the spaCy pipeline '{model}' is not installed. Install it with: python -m spacy download {model}"
        )
    settings = {"nlp_engine_name": "spacy", "models": [{"lang_code": language, "model_name": model}]}
    provider = NlpEngineProvider(nlp_configuration=settings)
    return AnalyzerEngine(nlp_engine=provider.create_engine(), supported_languages=[language])
