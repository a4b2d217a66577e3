"""`labctl explain` and `labctl schema`: the description language, from the classes that read it."""

from __future__ import annotations

import json
from dataclasses import asdict

from labctl.errors import UsageError
from labctl.report.explain import Unknown, find, lines, overview
from labctl.report.reference import reference
from labctl.report.topics import every_topic


def explain(word: str, *, as_json: bool, markdown: bool) -> None:
    """Print what `word` means ("": everything there is, in one line each). UsageError where it means nothing."""
    topics = every_topic()
    if markdown and word:
        raise UsageError("explain: --markdown prints the whole reference; leave the word out")
    if markdown:
        print(reference(topics), end="")
    elif not word:
        print(json.dumps([asdict(each) for each in topics.values()]) if as_json else "\n".join(overview(topics)))
    else:
        found = find(word, topics)
        if isinstance(found, Unknown):
            raise UsageError(f"explain: {found.rule}", hint=found.hint)
        told = asdict(found.entry or found.topic)
        print(json.dumps(told) if as_json else "\n".join(lines(found)))


def schema() -> str:
    """The JSON Schema of a lab file, as it is shipped."""
    from labctl.kinds.schema import lab_schema

    return json.dumps(lab_schema(), indent=1) + "\n"
