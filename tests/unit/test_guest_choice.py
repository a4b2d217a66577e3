"""Where a lab runs: the first place that will do, or a refusal that says how to get each of them."""

from __future__ import annotations

import pytest

from labctl.errors import HostError, UsageError
from labctl.guest.choice import GUESTS, WHERE, Availability, Choice, choose


class Machine:
    """A machine on which only `engines` can be used; it remembers which were examined."""

    def __init__(self, *engines: str) -> None:
        self.engines = engines
        self.examined: list[str] = []

    def look(self, name: str) -> Availability:
        self.examined.append(name)
        if name in self.engines:
            return Availability(name, True, f"{name} works")
        return Availability(name, False, f"{name} is broken", f"mend {name}")


def test_auto_takes_the_host_that_lacks_nothing_and_examines_no_guest() -> None:
    machine = Machine(*GUESTS)
    assert choose("auto", [], machine.look) == Choice("host", "host: it has everything this needs")
    assert machine.examined == []


@pytest.mark.parametrize(
    ("engines", "taken"),
    [
        (("kvm", "uml", "tcg"), "kvm"),
        (("uml", "tcg"), "uml"),
        (("kvm", "tcg"), "kvm"),
        (("tcg",), "tcg"),
    ],
)
def test_auto_takes_the_first_guest_in_the_order_kvm_uml_tcg(engines: tuple[str, ...], taken: str) -> None:
    machine = Machine(*engines)
    assert choose("auto", ["gre"], machine.look).engine == taken
    assert machine.examined == list(GUESTS[: GUESTS.index(taken) + 1])


def test_the_reason_names_what_the_host_lacks_and_why_better_engines_were_passed() -> None:
    chosen = choose("auto", ["gre", "esp"], Machine("uml").look)
    assert chosen.reason == "uml: the host lacks gre, esp; kvm: kvm is broken"


def test_the_reason_for_tcg_says_how_to_get_uml() -> None:
    chosen = choose("auto", ["gre"], Machine("tcg").look)
    assert chosen.reason == "tcg: the host lacks gre; kvm: kvm is broken; uml: uml is broken (faster: mend uml)"


@pytest.mark.parametrize("engines", [GUESTS, ("uml",), ("tcg",)])
def test_a_reason_is_one_line(engines: tuple[str, ...]) -> None:
    assert "\n" not in choose("auto", ["gre"], Machine(*engines).look).reason


def test_without_any_place_every_engine_is_named_with_its_remedy() -> None:
    with pytest.raises(HostError) as caught:
        choose("auto", ["root privileges"], Machine().look)
    assert caught.value.message == "the host lacks root privileges, and no guest kernel can run here"
    assert caught.value.hint.splitlines() == [f"{name}: {name} is broken; mend {name}" for name in GUESTS]


@pytest.mark.parametrize("engine", GUESTS)
def test_a_named_engine_is_taken_even_where_the_host_would_do(engine: str) -> None:
    machine = Machine(*GUESTS)
    assert choose(engine, [], machine.look) == Choice(engine, f"{engine}: as asked")
    assert machine.examined == [engine]


@pytest.mark.parametrize("engine", GUESTS)
def test_a_named_engine_is_never_replaced_by_another(engine: str) -> None:
    others = [name for name in GUESTS if name != engine]
    with pytest.raises(HostError, match=f"no {engine} guest can run here: {engine} is broken") as caught:
        choose(engine, [], Machine(*others).look)
    assert caught.value.hint == f"mend {engine}"


def test_the_named_host_is_refused_where_it_lacks_something() -> None:
    machine = Machine(*GUESTS)
    with pytest.raises(HostError, match="this machine lacks gre, esp") as caught:
        choose("host", ["gre", "esp"], machine.look)
    assert "--on auto" in caught.value.hint
    assert machine.examined == []


def test_the_named_host_is_taken_where_it_lacks_nothing() -> None:
    assert choose("host", [], Machine().look).engine == "host"


@pytest.mark.parametrize("wanted", ["", "qemu", "KVM", "auto "])
def test_an_unknown_place_is_a_usage_error_that_lists_the_known(wanted: str) -> None:
    with pytest.raises(UsageError, match=", ".join(WHERE)):
        choose(wanted, [], Machine(*GUESTS).look)
