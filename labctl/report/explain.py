"""Topics of the description language as text for a terminal; which topic is meant by a word is found here too."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from labctl.description.faults import nearest
from labctl.kinds.registry import OTHER_WORDS
from labctl.report.topics import Entry, Topic

WIDTH = 100


@dataclass(frozen=True, slots=True)
class Found:
    """What a word means: a topic, or one field of it with those below; `also` are other topics of the same name."""

    topic: Topic
    entry: Entry | None = None
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unknown:
    """A word that means nothing, or several things: what might be meant."""

    rule: str
    hint: str


def find(word: str, topics: Mapping[str, Topic]) -> Found | Unknown:
    """What `word` means: a topic (`vpc`, `checks.do.tcp`, just `tcp`), a field of one, a provider's word for a kind."""
    first, *more = word.removeprefix("resources.").split(".")
    parts = [*OTHER_WORDS.get(first, first).split("."), *more]
    for split in range(len(parts), 0, -1):
        head, rest = ".".join(parts[:split]), parts[split:]
        meant = _topics(head, topics)
        for name in meant if rest else meant[:1] if len(meant) == 1 or head in topics else ():
            found = _field(topics[name], rest, topics) if rest else Found(topics[name], also=meant[1:])
            if found:
                return found
        if meant and not rest:
            return Unknown(f"`{word}` means several things", f"one of {', '.join(meant)}")
        if meant:
            return _no_field(rest, topics[meant[0]])
    return _nothing(word, topics)


def _topics(word: str, topics: Mapping[str, Topic]) -> tuple[str, ...]:
    """The topics that a word may mean: the one of that name first, then those whose last word it is."""
    short = [name for name in topics if name.endswith(f".{word}")]
    return (*([word] if word in topics else []), *short)


def _path(entry: Entry) -> list[str]:
    return [part for part in entry.path.split(".") if not part.isupper()]


def _field(topic: Topic, rest: list[str], topics: Mapping[str, Topic]) -> Found | None:
    plain = [part for part in rest if not part.isupper()]
    for entry in topic.fields:
        if _path(entry) == plain:
            return Found(topic, entry)
        if entry.see and _path(entry) == plain[:1] and (found := _field(topics[entry.see], plain[1:], topics)):
            return found
    return None


def _no_field(rest: list[str], topic: Topic) -> Unknown:
    words = [".".join(_path(each)) for each in topic.fields] or list(topic.choices)
    rule = f"`{topic.word}` has no `{'.'.join(rest)}`"
    return Unknown(rule, nearest(rest[-1], words) or f"it has {', '.join(words) or 'nothing of its own'}")


def _nothing(word: str, topics: Mapping[str, Topic]) -> Found | Unknown:
    """A word that is no topic: the one field of this name, or what else may be meant."""
    last = word.rpartition(".")[2]
    entries = [(topic, each) for topic in topics.values() for each in topic.fields]
    fitting = [(topic, each) for topic, each in entries if each.path.rpartition(".")[2] == last]
    if len(fitting) == 1 and word == last:
        return Found(*fitting[0])
    if fitting:
        places = [f"{topic.word}.{each.path}" for topic, each in fitting[:6]]
        return Unknown(f"`{word}` is no topic of its own", f"a field: {', '.join(places)}")
    known = [*topics, *OTHER_WORDS, *(name.rpartition(".")[2] for name in topics)]
    return Unknown(f"there is nothing called `{word}`", nearest(last, known) or "`labctl explain` lists everything")


# -- text


def overview(topics: Mapping[str, Topic]) -> Iterator[str]:
    """Every topic with one line each, in groups. Of claims and forms only the first words, which lead to the others."""
    yield "`labctl explain WORD` tells more of each of these, and `labctl explain WORD.FIELD` of a field."
    group = ""
    shown = [each for each in topics.values() if each.word.count(".") < 2 and (each.group != "Forms" or each.choices)]
    width = max(len(each.word) for each in shown)
    for topic in shown:
        if topic.group != group:
            group = topic.group
            yield from ("", group[0].upper() + group[1:])
        also = ", ".join(word for words in topic.aliases.values() for word in words)
        line = topic.line + (f" (also {also})" if also else "")
        head = f"  {topic.word:<{width}}  "
        yield from textwrap.wrap(line, WIDTH, initial_indent=head, subsequent_indent=" " * len(head))


def lines(found: Found) -> Iterator[str]:
    """A topic, or a field of one."""
    topic = found.topic
    if found.entry:
        yield from _told(topic, found.entry)
        return
    yield topic.word + "".join(f" ({who}: {', '.join(words)})" for who, words in topic.aliases.items())
    yield from _wrapped(topic.about, "  ")
    yield from _listed(topic)
    if topic.names:
        yield from ("", "Names that it brings, for others to refer to; here those of the example")
        yield from (f"  {name}: {', '.join(uses)}" for name, uses in topic.names.items())
        yield from _wrapped(topic.without_sides, "  ")
    if topic.becomes:
        yield from ("", "What it becomes")
        yield from _wrapped(topic.becomes, "  ")
    if topic.cites:
        yield from ("", "Follows", *(f"  {each}" for each in topic.cites))
    if topic.example:
        yield from ("", "Example", *(f"  {line}" for line in topic.example.splitlines()))
    if found.also:
        yield from ("", f"See also {', '.join(found.also)}")


def _listed(topic: Topic) -> Iterator[str]:
    if topic.fields:
        yield from ("", "Fields")
        for entry in topic.fields:
            yield from _entry(entry)
    elif topic.choices:
        width = max(map(len, topic.choices))
        yield from ("", *(f"  {word:<{width}}  {said}" for word, said in topic.choices.items()))


def _entry(entry: Entry) -> Iterator[str]:
    depth = "  " * (entry.path.count(".") + 1)
    yield f"{depth}{entry.path.rpartition('.')[2]}: {_said(entry)}"
    yield from _wrapped(entry.doc, f"{depth}    ")


def _said(entry: Entry) -> str:
    need = "required" if entry.required else f"default {entry.default}" if entry.default else "optional"
    return f"{entry.says} ({need})" + (f"; see {entry.see}" if entry.see else "")


def _told(topic: Topic, entry: Entry) -> Iterator[str]:
    """One field, with those below it."""
    yield f"{topic.word}.{entry.path}: {_said(entry)}"
    yield from _wrapped(entry.doc, "  ")
    below = [each for each in topic.fields if each.path.startswith(f"{entry.path}.")]
    if below:
        yield from ("", "Fields")
    start = len(entry.path) + 1
    for each in below:
        yield from _entry(replace(each, path=each.path[start:]))


def _wrapped(text: str, indent: str) -> Iterator[str]:
    for paragraph in text.split("\n\n"):
        yield from textwrap.wrap(
            paragraph, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
        )
