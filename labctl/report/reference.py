"""The whole reference of the description language as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from labctl.report.topics import Entry, Topic

_HEAD = """\
# The description language

Made by `labctl explain --markdown` from the classes that read a description. In a terminal `labctl explain WORD` tells
the same of one thing; `labctl schema` prints it as JSON Schema for editors.
"""


def reference(topics: Mapping[str, Topic]) -> str:
    """Every topic, with a table of contents."""
    parts = [_HEAD, *_contents(topics)]
    group = ""
    for topic in topics.values():
        if topic.group != group:
            group = topic.group
            parts.append(f"\n## {_title(group)}\n")
        parts.append("\n".join(_topic(topic)))
    return "\n".join(parts)


def _title(group: str) -> str:
    return group[0].upper() + group[1:]


def _contents(topics: Mapping[str, Topic]) -> Iterator[str]:
    for group in dict.fromkeys(topic.group for topic in topics.values()):
        words = [topic.word for topic in topics.values() if topic.group == group]
        yield f"- {_title(group)}: {', '.join(f'[{word}](#{_anchor(word)})' for word in words)}"


def _anchor(word: str) -> str:
    """The anchor that a heading of this text has where Markdown is shown."""
    return word.replace(".", "")


def _topic(topic: Topic) -> Iterator[str]:
    yield f"### {topic.word}\n"
    yield f"{topic.about}\n"
    if topic.aliases:
        words = (f"{', '.join(f'`{word}`' for word in words)} ({who})" for who, words in topic.aliases.items())
        yield f"Also called {', '.join(words)}.\n"
    if topic.fields:
        yield "| field | what is written | | what it means |\n|---|---|---|---|"
        yield from map(_row, topic.fields)
        yield ""
    if topic.choices:
        yield "| word | |\n|---|---|"
        yield from (f"| `{word}` | {_cell(said)} |" for word, said in topic.choices.items())
        yield ""
    if topic.names:
        names = (f"`{name}` ({', '.join(uses)})" for name, uses in topic.names.items())
        yield f"Names that it brings, for others to refer to; here those of the example: {', '.join(names)}.\n"
    if topic.without_sides:
        yield f"{topic.without_sides}\n"
    if topic.becomes:
        yield f"*In the kernel:* {topic.becomes}\n"
    if topic.cites:
        yield f"*Follows:* {'; '.join(topic.cites)}.\n"
    if topic.example:
        yield f"```yaml\n{topic.example.rstrip()}\n```\n"


def _row(entry: Entry) -> str:
    need = "required" if entry.required else f"default `{entry.default}`" if entry.default else ""
    see = f"; see [{entry.see}](#{_anchor(entry.see)})" if entry.see else ""
    return f"| `{entry.path}` | {_cell(entry.says)} | {need} | {_cell(entry.doc)}{see} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
