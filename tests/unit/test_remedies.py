import gzip
import os
import shutil
from pathlib import Path
from typing import get_args

import pytest

from labctl.kernel import doctor
from labctl.kernel.doctor import probe, remedy
from labctl.kernel.host import Kernel, kernel, user_namespaces
from labctl.plan.needs import Mechanism

DEBIAN = Kernel("6.1.0-9-amd64", distribution="debian", shipped=frozenset({"gre", "ip_gre"}))


def put(path: Path, content: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def machine(root: Path) -> Kernel:
    modules = root / "lib/modules/6.8.0-1"
    put(
        modules / "modules.dep", "kernel/net/ipv4/ip_gre.ko.zst: kernel/net/ipv4/gre.ko.zst\nkernel/net/sch-netem.ko:\n"
    )
    put(modules / "modules.builtin", "kernel/drivers/net/veth.ko\n")
    put(root / "proc/modules")
    put(root / "sys/module/bridge/refcnt")
    put(root / "etc/os-release", 'NAME="Ubuntu"\nID=ubuntu\n')
    put(root / "boot/config-6.8.0-1", "CONFIG_NET_IPGRE=m\nCONFIG_VETH=y\n# CONFIG_IPX is not set\nCONFIG_HZ=250\n")
    return kernel(root, "6.8.0-1")


def test_the_facts_of_a_kernel_are_read(tmp_path: Path) -> None:
    assert machine(tmp_path) == Kernel(
        release="6.8.0-1",
        modular=True,
        shipped=frozenset({"ip_gre", "sch_netem"}),
        present=frozenset({"veth", "bridge"}),
        config={"CONFIG_NET_IPGRE": "m", "CONFIG_VETH": "y"},
        distribution="ubuntu",
    )


def test_a_machine_that_tells_nothing_gives_unknown_facts(tmp_path: Path) -> None:
    assert kernel(tmp_path, "1.0") == Kernel(release="1.0", modular=False)


def test_a_published_configuration_is_preferred(tmp_path: Path) -> None:
    machine(tmp_path)
    (tmp_path / "proc/config.gz").write_bytes(gzip.compress(b"CONFIG_BRIDGE=y\n"))
    assert kernel(tmp_path, "6.8.0-1").config == {"CONFIG_BRIDGE": "y"}


def test_a_module_that_is_installed_but_not_loaded_is_to_be_loaded() -> None:
    assert remedy("gre", "Error: Unknown device type.", DEBIAN) == "modprobe -a gre ip_gre"


def test_an_option_that_is_off_is_named_and_sends_to_a_guest() -> None:
    off = Kernel("6.1", config={"CONFIG_NET_IPGRE_DEMUX": "y"})
    assert remedy("gre", "Unknown device type", off) == (
        "this kernel was built without CONFIG_NET_IPGRE: run in a guest kernel (--on uml)"
    )


def test_a_kernel_without_modules_lacks_the_option() -> None:
    assert remedy("veth", "?", Kernel("6.1", modular=False)).startswith("this kernel was built without CONFIG_VETH")


def test_a_module_of_a_package_that_is_absent_names_the_package() -> None:
    ubuntu = Kernel("6.8.0-1", shipped=frozenset({"veth"}), distribution="ubuntu")
    assert remedy("netem", "?", ubuntu).startswith(
        "apt-get install linux-modules-extra-6.8.0-1 (it should bring sch_netem)"
    )
    assert "linux-image-6.1.0-9-amd64" in remedy("netem", "?", DEBIAN)


def test_no_folder_of_modules_is_explained() -> None:
    text = remedy("gre", "?", Kernel("6.8.0-1"))
    assert "no modules of kernel 6.8.0-1 are here" in text
    assert "`modprobe -a gre ip_gre` outside of a container" in text


@pytest.mark.parametrize("fault", ["RTNETLINK answers: Operation not permitted", "no namespaces: x: Permission denied"])
def test_a_refusal_is_about_privilege_not_about_the_kernel(fault: str) -> None:
    assert "--privileged" in remedy("gre", fault, DEBIAN)


def test_apparmor_is_named_where_it_forbids_user_namespaces(tmp_path: Path) -> None:
    put(tmp_path / "proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n")
    assert "kernel.apparmor_restrict_unprivileged_userns = 1" in user_namespaces(tmp_path)


def test_apparmor_is_not_blamed_where_it_permits(tmp_path: Path) -> None:
    put(tmp_path / "proc/sys/kernel/apparmor_restrict_unprivileged_userns", "0\n")
    assert "apparmor" not in user_namespaces(tmp_path)


def test_each_mechanism_but_the_programs_has_a_trial() -> None:
    assert {each for each in get_args(Mechanism) if not each.startswith("program:")} == set(doctor._TRIALS)


def test_a_program_that_is_absent_names_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (finding,) = probe(["program:iptables-restore"])
    assert not finding.ok
    if shutil.which("iptables-restore", path="/usr/local/sbin:/usr/sbin:/sbin"):
        assert finding.remedy.startswith("add /")
    else:
        assert finding.remedy == "apt-get install iptables"


@pytest.mark.skipif(os.geteuid() == 0, reason="shows what somebody who is not root is told")
def test_who_is_not_root_is_told_so() -> None:
    (finding,) = probe(["netns"])
    assert not finding.ok
    assert "needs root" in finding.detail
    assert "--on uml" in finding.remedy


def test_what_is_known_is_not_tried_again() -> None:
    known = [doctor.Finding("netns", False, "seen", "do this"), doctor.Finding("veth", True, "seen")]
    assert doctor.missing(["veth", "netns", "netns"], known) == (known[0],)
