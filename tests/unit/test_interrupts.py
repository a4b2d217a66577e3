"""One signal undoes what was begun, when that can be borne; two end at once. Each test is a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

START = """
import os, signal, sys
from labctl import interrupts
def send(name="SIGINT"):
    os.kill(os.getpid(), getattr(signal, name))
def say(text):
    print(text, flush=True)
interrupts.install()
"""


def run(body: str) -> tuple[int, list[str], str]:
    """The exit status of a program, its output's lines and its errors."""
    done = subprocess.run([sys.executable, "-c", START + body], capture_output=True, text=True, timeout=30)
    return done.returncode, done.stdout.split("\n")[:-1], done.stderr


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_interrupts_what_nobody_protects(name: str) -> None:
    body = f"""
try:
    send("{name}")
    say("not reached")
except KeyboardInterrupt:
    say("interrupted")
"""
    assert run(body) == (0, ["interrupted"], f"labctl: {name}: interrupted\n")


def test_a_signal_waits_for_the_end_of_what_is_held_and_says_so() -> None:
    body = """
try:
    with interrupts.held("undoing"):
        send("SIGTERM")
        say("held")
    say("not reached")
except KeyboardInterrupt:
    say("interrupted")
"""
    status, lines, said = run(body)
    assert (status, lines) == (0, ["held", "interrupted"])
    assert said == "labctl: SIGTERM: undoing; once more ends at once, and `labctl down` does the rest\n"


def test_a_signal_that_waits_comes_where_it_is_allowed() -> None:
    body = """
try:
    with interrupts.held():
        try:
            send()
            say("held")
            with interrupts.allowed():
                say("not reached")
        finally:
            say("undone")
except KeyboardInterrupt:
    say("interrupted")
"""
    assert run(body)[:2] == (0, ["held", "undone", "interrupted"])


def test_a_signal_comes_at_once_where_it_is_allowed_and_what_undoes_is_held_again() -> None:
    body = """
with interrupts.held():
    try:
        with interrupts.allowed():
            send()
            say("not reached")
    except KeyboardInterrupt:
        say(str(interrupts.holding()))
"""
    assert run(body)[:2] == (0, ["True"])


def test_what_lies_in_another_hold_ends_without_a_word() -> None:
    body = """
try:
    with interrupts.held():
        with interrupts.held():
            send()
        say("still held")
        interrupts.check()
        say("not reached")
except KeyboardInterrupt:
    say("interrupted")
"""
    assert run(body)[:2] == (0, ["still held", "interrupted"])


def test_an_error_is_not_covered_by_a_signal_that_waits() -> None:
    body = """
try:
    with interrupts.held():
        send()
        raise ValueError("first")
except ValueError as error:
    say(str(error))
"""
    assert run(body)[:2] == (0, ["first"])


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_second_signal_ends_the_process_at_once(name: str) -> None:
    body = f"""
with interrupts.held():
    try:
        send()
        send("{name}")
    finally:
        say("not reached")
"""
    status, lines, said = run(body)
    assert (status, lines) == (130, [])
    assert f"labctl: {name} again: ended at once; `labctl down` takes away what is left\n" in said


def test_a_terminal_that_is_closed_may_say_so_more_than_once() -> None:
    body = """
try:
    with interrupts.held():
        send("SIGHUP")
        send("SIGHUP")
        say("held")
except KeyboardInterrupt:
    say("interrupted")
"""
    assert run(body)[:2] == (0, ["held", "interrupted"])


def test_once_all_is_done_signals_change_nothing() -> None:
    body = """
with interrupts.held():
    send()
    interrupts.forget()
    send()
send("SIGTERM")
say("done")
"""
    assert run(body)[:2] == (0, ["done"])
