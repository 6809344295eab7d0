"""The packages as files: what is in them, and what lintian says."""
import configparser
import os
import pathlib
import re
import subprocess
import xml.etree.ElementTree as ElementTree

import pytest

from conftest import ROOT, build

LARDERCTL = os.path.abspath(os.environ.get("LARDERCTL", ROOT / "build/larderctl"))
LARDERD = os.path.abspath(os.environ.get("LARDERD", ROOT / "build/larderd"))


def run(*command, **kw):
    return subprocess.run([str(c) for c in command], text=True, capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=300, **kw)


def names(deb):
    """{path: mode} of the files."""
    listing = run("dpkg-deb", "-c", deb).stdout
    return {line.split()[5].lstrip("."): line.split()[0] for line in listing.splitlines()
            if not line.startswith("d")}


def test_nothing_is_left_in_the_tree(debs):
    status = run("git", "status", "--porcelain", "--ignored", cwd=ROOT)
    if status.returncode:
        pytest.skip("no git here")
    left = [line[3:] for line in status.stdout.splitlines() if line.startswith(("??", "!!"))]
    assert not [name for name in left if name.split("/")[0] in ("debian", "obj")], left
    assert not (ROOT / "debian").exists()


def test_lintian_is_content(debs):
    done = run("lintian", "--allow-root", "--fail-on", "error,warning", *debs.values())
    assert done.returncode == 0 and not done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("name, mode", [
    ("/usr/sbin/larderd", "-rwxr-xr-x"), ("/usr/bin/larderctl", "-rwxr-xr-x"),
    ("/usr/lib/larder/job", "-rwxr-xr-x"), ("/usr/share/larder/larder.conf", "-rw-r--r--"),
    ("/lib/systemd/system/larder.service", "-rw-r--r--"),
    ("/lib/systemd/system/larder.socket", "-rw-r--r--"),
    ("/lib/systemd/system/larder-gc.timer", "-rw-r--r--"),
    ("/lib/systemd/system/larder-verify.timer", "-rw-r--r--"),
    ("/lib/systemd/system/larder-job@.service", "-rw-r--r--"),
    ("/etc/cron.d/larder", "-rw-r--r--"), ("/etc/logrotate.d/larder", "-rw-r--r--"),
    ("/etc/ufw/applications.d/larder", "-rw-r--r--"),
    ("/etc/avahi/services/larder.service", "-rw-r--r--"),
    ("/usr/share/man/man8/larderd.8.gz", "-rw-r--r--"),
    ("/usr/share/man/man1/larderctl.1.gz", "-rw-r--r--"),
    ("/usr/share/man/man5/larder.conf.5.gz", "-rw-r--r--"),
    ("/usr/share/bash-completion/completions/larderctl", "-rw-r--r--"),
    ("/usr/share/zsh/vendor-completions/_larderctl", "-rw-r--r--")])
def test_it_is_all_there(larder_deb, name, mode):
    assert names(larder_deb).get(name) == mode


def test_presets_are_all_there(larder_deb):
    presets = list((ROOT / "conf/presets").glob("*.conf"))
    assert presets
    for preset in presets:
        assert f"/usr/share/larder/presets/{preset.name}" in names(larder_deb)


def test_presets_are_included_by_their_short_names(larder_deb):
    """They are the package's, and found where the configuration is."""
    listing = run("dpkg-deb", "-c", larder_deb).stdout
    assert re.search(r" \./etc/larder/presets -> /usr/share/larder/presets$", listing, re.M)


def test_make_install_has_the_same_files(larder_deb, tmp_path):
    """But for what Debian's rules add, and what its postinst makes."""
    done = run("make", "install", f"DESTDIR={tmp_path}", "PREFIX=/usr", cwd=ROOT,
               env={k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))})
    assert done.returncode == 0, done.stdout + done.stderr
    installed = {"/" + str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")
                 if p.is_symlink() or p.is_file()}
    packaged = {re.sub(r"^/lib/systemd", "/usr/lib/systemd", name.removesuffix(".gz"))
                for name in names(larder_deb) if not name.startswith("/usr/share/doc/")}
    assert installed - packaged == {"/etc/larder/larder.conf", "/usr/lib/sysusers.d/larder.conf"}
    assert packaged <= installed


def test_no_library_of_systemd(unpacked):
    done = run("readelf", "-d", unpacked / "usr/sbin/larderd")
    assert "NEEDED" in done.stdout and "systemd" not in done.stdout


def test_placeholders_are_filled(unpacked):
    for path in unpacked.rglob("*"):
        if path.is_file() and path.suffix != ".gz" and b"\x7fELF" != path.read_bytes()[:4]:
            assert not re.search(r"@[A-Z]+@", path.read_text()), path


@pytest.mark.parametrize("unit, most", [("larder.service", 2.5), ("larder-job@.service", 2.5)])
def test_exposure(unpacked, unit, most):
    done = run("systemd-analyze", "security", "--no-pager", "--offline=true",
               unpacked / "lib/systemd/system" / unit)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= most


def test_socket_has_the_addresses_of_the_configuration(unpacked):
    """larderd does not start with a socket that `listen` does not name."""
    unit = (unpacked / "lib/systemd/system/larder.socket").read_text()
    handed = re.findall(r"^ListenStream=(.*)$", unit, re.M)
    effective = run(LARDERD, "-n", "-c", unpacked / "usr/share/larder/larder.conf").stdout
    listen = re.search(r"^listen = \{(.*)\}$", effective, re.M)[1]
    assert handed == re.findall(r'"(.*?)"', listen)


def test_configuration_is_short_and_what_it_shows_is_the_default(unpacked, tmp_path):
    """Each commented option holds when its # goes, and changes nothing: then the comment
    tells the truth."""
    conf = unpacked / "usr/share/larder/larder.conf"
    text = conf.read_text()
    assert len(text.splitlines()) < 60
    assert run(LARDERD, "-t", "-c", conf).returncode == 0
    before = run(LARDERD, "-n", "-c", conf).stdout
    assert "0.0.0.0/0" not in text and "::/0" not in text
    shown = re.sub(r"^(\s*)# ?(\s*)(listen|access_log|memory|clients|connect_ports|limits \{|"
                   r"max_connections|client_share|\})( |$)", r"\1\2\3\4", text, flags=re.M)
    assert shown != text
    edited = tmp_path / "larder.conf"
    edited.write_text(shown)
    done = run(LARDERD, "-n", "-c", edited)
    assert done.stdout == before, done.stderr


# ---- maintainer scripts ----------------------------------------------------------

def test_maintainer_scripts_are_sound(debs, tmp_path):
    for package, deb in debs.items():
        folder = tmp_path / package
        subprocess.run(["dpkg-deb", "-e", deb, folder], check=True)
        for name in ("config", "preinst", "postinst", "prerm", "postrm"):
            script = folder / name
            if script.exists():
                assert "#DEBHELPER#" not in script.read_text()
                done = run("sh", "-n", script)
                assert done.returncode == 0, (name, done.stderr)
    assert (tmp_path / "larder/conffiles").read_text().split() == [
        "/etc/avahi/services/larder.service", "/etc/cron.d/larder", "/etc/logrotate.d/larder",
        "/etc/ufw/applications.d/larder"]


def test_cron_and_the_timers_do_the_same(unpacked):
    """And only one of both: cron's lines do nothing where systemd runs."""
    lines = (unpacked / "etc/cron.d/larder").read_text().splitlines()
    jobs = [line for line in lines if line and not re.match(r"#|[A-Z]+=", line)]
    assert sorted(line.split()[-1] for line in jobs) == ["gc", "verify"]
    assert all("[ -d /run/systemd/system ] ||" in line for line in jobs)
    units = unpacked / "lib/systemd/system"
    timers = {re.search(r"Unit=larder-job@(\w+)", t.read_text())[1] for t in units.glob("*.timer")}
    assert timers == {"gc", "verify"}
    assert [line for line in lines if line.startswith("#") and "purge --unused-for 60d" in line]


def test_what_others_read_is_well_formed(unpacked):
    """avahi's XML, ufw's profile: the ports are those of the configuration."""
    service = ElementTree.parse(unpacked / "etc/avahi/services/larder.service").getroot()
    assert service.findtext("service/type") == "_apt_proxy._tcp"
    ports = re.findall(r":(\d+)\"", run(LARDERD, "-n", "-c", unpacked /
                                        "usr/share/larder/larder.conf").stdout.split("\n")[0])
    assert service.findtext("service/port") in ports
    profile = configparser.ConfigParser(interpolation=None)
    profile.read(unpacked / "etc/ufw/applications.d/larder")
    assert profile["larder"]["title"] and profile["larder"]["description"]
    assert profile["larder"]["ports"].removesuffix("/tcp").split(",") == sorted(set(ports))


# ---- manual pages and completions ------------------------------------------------

PAGES = ["man8/larderd.8", "man1/larderctl.1", "man5/larder.conf.5"]


@pytest.mark.parametrize("page", PAGES)
def test_manual_pages_are_well_formed(unpacked, page):
    done = run("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8",
               unpacked / f"usr/share/man/{page}.gz", env={**os.environ, "MANWIDTH": "100"})
    assert done.returncode == 0 and not done.stderr, done.stderr


def page_text(unpacked, page):
    done = run("man", "-P", "cat", "-l", unpacked / f"usr/share/man/{page}.gz",
               env={**os.environ, "MANWIDTH": "400", "LC_ALL": "C.UTF-8"})
    return re.sub(r".\x08", "", done.stdout)


def test_every_option_is_in_the_manual_page(unpacked):
    text = page_text(unpacked, "man5/larder.conf.5")
    done = run(LARDERD, "-n", "-c", "/dev/null")
    options = re.findall(r"^\s*(\w+) = ", done.stdout, re.M)
    assert len(options) > 20
    missing = [o for o in options if not re.search(rf"^\s+{o}(,|$|\s)", text, re.M)]
    assert not missing
    assert "Default: 20G" in text and "a size from 16M to 4096T" in text


def commands():
    return re.findall(r"^  ([a-z]+)  +\w", run(LARDERCTL, "--help").stdout, re.M)


def options(command):
    """Of its usage, and those that all have."""
    text = run(LARDERCTL, command, "--help").stdout
    shown = [line for line in text.splitlines() if re.match(r"usage:|  +-", line)]
    return set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", "\n".join(shown)))


def test_every_command_is_in_the_manual_page(unpacked):
    text = page_text(unpacked, "man1/larderctl.1")
    assert len(commands()) >= 9
    for command in commands():
        assert re.search(rf"^\s+{command}\b", text, re.M), command
        for option in options(command):
            assert option in text, (command, option)


def complete(unpacked, *words):
    """What bash offers for the last word."""
    script = """
        source "$1"; shift
        COMP_WORDS=(larderctl "$@"); COMP_CWORD=$#
        compopt() { :; }
        _larderctl; printf '%s\\n' "${COMPREPLY[@]}"
    """
    done = run("bash", "-c", script, "bash",
               unpacked / "usr/share/bash-completion/completions/larderctl", *words,
               env={**os.environ, "PATH": f"{os.path.dirname(LARDERCTL)}:{os.environ['PATH']}"})
    assert done.returncode == 0 and not done.stderr, done.stderr
    return set(done.stdout.split())


def test_bash_completes_what_larderctl_has(unpacked):
    assert complete(unpacked, "") == set(commands())
    assert complete(unpacked, "--json", "-c", "purge", "ver") == {"verify", "version"}
    for command in commands():
        assert complete(unpacked, command, "-") == options(command), command
    assert complete(unpacked, "purge", "--ol") == {"--older-than"}
    assert complete(unpacked, "purge", "x") == set()
    folder = str(unpacked / "usr/s")
    assert complete(unpacked, "-c", folder) == {folder + "bin", folder + "hare"}


def test_zsh_completes_what_larderctl_has(unpacked):
    """Its functions are asked with a compadd of our own."""
    script = """
        compadd() { while [[ $1 != -- ]]; do shift; done; shift; print -l -- "$@" }
        _describe() { print -l -- "${(@P)2%%:*}" }
        _files() { print files }
        words=(larderctl "${@:2}"); CURRENT=$#words; PREFIX=$words[-1]
        larder_file=$1; set --
        source $larder_file
    """
    def ask(*words):
        done = run("zsh", "-f", "-c", script, "zsh",
                   unpacked / "usr/share/zsh/vendor-completions/_larderctl", *words,
                   env={**os.environ, "PATH": f"{os.path.dirname(LARDERCTL)}:{os.environ['PATH']}"})
        assert done.returncode == 0 and not done.stderr, done.stderr
        return set(done.stdout.split())
    assert ask("") == set(commands())
    assert ask("purge", "-") == options("purge")
    assert ask("-c", "") == {"files"}


# ---- two builds ----------------------------------------------------------------------

@pytest.mark.root
def test_two_builds_are_the_same(debs):
    first = {name: pathlib.Path(file).read_bytes() for name, file in build(anew=True).items()}
    second = {name: pathlib.Path(file).read_bytes() for name, file in build(anew=True).items()}
    assert first == second
