"""The package as it is installed, and the examples of its README."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import jedi  # type: ignore[import-untyped]
import pytest

import generate
import scrollback
from conftest import PACKAGE, PROJECT
from scrollback import new_id

LOCAL = "http://127.0.0.1:9000"


def examples(readme: Path) -> list[tuple[str, str]]:
    """The Python programs of a README, each with the output that it shows."""
    return re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", readme.read_text(), re.DOTALL)


def prepared(program: str, server_url: str) -> str:
    """A README's program, for the server of the tests, and with users of its own: their histories have nothing of another run."""
    users, ours = r'"(user-123|ada|grace|grace-2|joan|ida)"', new_id()
    assert LOCAL in program
    assert re.search(users, program)
    return re.sub(users, rf'"\1-{ours}"', program.replace(LOCAL, server_url))


def run(python: str | Path, program: str, **environment: str) -> str:
    # Without the variables of this run, an installed package could not be told from the source.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [str(python), "-W", "error", "-c", program]
    done = subprocess.run(command, env={**kept, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("number", range(5))
def test_the_readmes_examples_print_what_it_says(server_url: str, number: int) -> None:
    program, output = examples(PACKAGE / "README.md")[number]
    assert run(sys.executable, prepared(program, server_url), PYTHONPATH=str(PACKAGE / "src")) == output


def test_every_example_of_the_readme_is_run() -> None:
    assert (PACKAGE / "README.md").read_text().count("```python") == len(examples(PACKAGE / "README.md")) == 5


def test_the_projects_readme_has_an_example_that_runs(server_url: str) -> None:
    ((program, output),) = examples(PROJECT / "README.md")
    assert run(sys.executable, prepared(program, server_url), PYTHONPATH=str(PACKAGE / "src")) == output


def pythons() -> list[str]:
    """The oldest and the newest Python on the machine that the package is for."""
    found = {sys.version_info[1]: sys.executable}
    for minor in range(10, 30):
        python = shutil.which(f"python3.{minor}")
        # A name on the path may be a stub.
        probe = [python or "", "-c", f"import sys, venv; assert sys.version_info[:2] == (3, {minor})"]
        if python and subprocess.run(probe, capture_output=True, check=False).returncode == 0:
            found.setdefault(minor, python)
    return [found[minor] for minor in sorted({min(found), max(found)})]


def test_the_wheel_and_the_sdist_work_in_a_fresh_environment(tmp_path: Path, server_url: str) -> None:
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path), str(PACKAGE)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    (sdist,) = tmp_path.glob("*.tar.gz")
    assert wheel.name == f"scrollback_client-{scrollback.__version__}-py3-none-any.whl"
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"scrollback/__init__.py", "scrollback/py.typed"} <= names
    assert {Path(name).name for name in names if "licenses" in name} == {"LICENSE-APACHE", "LICENSE-MIT"}
    with tarfile.open(sdist) as archive:
        inside = {name.split("/", 1)[1] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE-MIT", "src/scrollback/py.typed"} <= inside
    assert not any("test" in name for name in inside)

    # The versions are those that `check` pins.
    pinned = tmp_path / "pinned"
    pinned.write_bytes(subprocess.run([sys.executable, "-m", "pip", "freeze"], check=True, capture_output=True).stdout)

    program, output = examples(PACKAGE / "README.md")[0]
    for number, python in enumerate(pythons()):
        environment, user = tmp_path / f"environment-{number}", f"user-{new_id()}"
        # This environment's pip installs into the new one, which needs none of its own.
        subprocess.run([python, "-m", "venv", "--without-pip", str(environment)], check=True)
        pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python"), "--quiet"]
        pip += ["--disable-pip-version-check", "install", "--constraint", str(pinned)]
        subprocess.run([*pip, str(wheel)], check=True)
        theirs = program.replace(LOCAL, server_url).replace("user-123", user)
        assert run(environment / "bin" / "python", theirs) == output
        version = "import importlib.metadata, scrollback; print(importlib.metadata.version('scrollback-client'))"
        assert run(environment / "bin" / "python", version) == f"{scrollback.__version__}\n"

        command = [str(environment / "bin" / "scrollback"), "--url", server_url, "ls", user, "--json"]
        without = subprocess.run(command, capture_output=True, text=True, check=False)
        said = "scrollback: the command needs click and rich, which the extra cli of scrollback-client installs\n"
        assert (without.returncode, without.stdout, without.stderr) == (1, "", said)
        subprocess.run([*pip, f"{wheel}[cli]"], check=True)
        (conversation,) = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        assert json.loads(conversation)["message_count"] == 2
        assert (
            subprocess.run([command[0], "--version"], capture_output=True, check=True, text=True).stdout
            == f"{scrollback.__version__}\n"
        )


def test_what_the_readme_says_installs_it_in_an_empty_environment(tmp_path: Path, server_url: str) -> None:
    readme = (PACKAGE / "README.md").read_text()
    (commands,) = re.findall(r"```sh\n(python3 -m venv .*?)```", readme, re.DOTALL)
    app = tmp_path / "app"
    # The README's python3 is the one that runs the tests. What it installs has the versions that `check` pins.
    script = commands.replace("python3 ", f"{sys.executable} ", 1).replace("~/app", str(app))
    pinned = tmp_path / "pinned"
    pinned.write_bytes(subprocess.run([sys.executable, "-m", "pip", "freeze"], check=True, capture_output=True).stdout)
    ours = {**os.environ, "PIP_CONSTRAINT": str(pinned), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(
        ["/bin/bash", "-euc", script], cwd=PROJECT, env=ours, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    program, output = examples(PACKAGE / "README.md")[0]
    assert run(app / "bin" / "python", prepared(program, server_url)) == output
    listed = subprocess.run(
        [str(app / "bin" / "scrollback"), "--url", server_url, "ls", "nobody"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (listed.returncode, listed.stderr) == (0, "nothing is stored for the user nobody\n")


@pytest.mark.parametrize("name", ["LICENSE-APACHE", "LICENSE-MIT"])
def test_the_licences_are_the_projects(name: str) -> None:
    assert (PACKAGE / name).read_bytes() == (PROJECT / name).read_bytes()


def test_everything_that_is_public_is_documented() -> None:
    for name in scrollback.__all__:
        value = getattr(scrollback, name)
        if isinstance(value, type):
            assert value.__doc__, name
            assert not value.__doc__.startswith(f"{name}("), f"{name} has only the docstring that dataclass makes"
        elif inspect.isfunction(value):
            assert ">>>" in (value.__doc__ or ""), f"{name} has no example"


def test_the_clients_methods_are_those_that_are_generated() -> None:
    assert generate.TARGET.read_text() == generate.text(), "run python3 clients/python/generate.py"


def methods(kind: type) -> list[str]:
    return [name for name, value in inspect.getmembers(kind, callable) if not name.startswith("_")]


@pytest.fixture
def in_an_editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], jedi.Script]:
    """A program in an editor. Editors read the package, and do not run it."""
    monkeypatch.setattr(jedi.settings, "cache_directory", str(tmp_path))
    return lambda code: jedi.Script(code, project=jedi.Project(PACKAGE / "src"))


@pytest.mark.parametrize("kind", [scrollback.Client, scrollback.AsyncClient])
def test_editors_know_each_method(in_an_editor: Callable[[str], jedi.Script], kind: type) -> None:
    names = methods(kind)
    head = [f"from scrollback import {kind.__name__}", f"client = {kind.__name__}('http://127.0.0.1:9000')"]
    program = in_an_editor("\n".join([*head, *(f"client.{name}()" for name in names), "client."]))
    completed = {found.name for found in program.complete()}
    assert completed >= set(names)
    for line, name in enumerate(names, start=len(head) + 1):
        method = getattr(kind, name)
        # Each overload is a signature.
        calls = program.get_signatures(line, len(f"client.{name}("))
        assert calls, name
        for call in calls:
            assert [each.name for each in call.params] == list(inspect.signature(method).parameters)[1:], name
        (hovered, *_) = program.help(line, len("client."))
        assert inspect.cleandoc(method.__doc__) in hovered.docstring(), name


def test_editors_know_what_a_method_returns(in_an_editor: Callable[[str], jedi.Script]) -> None:
    for call, member in {
        "get_conversation('1')": "message_count",
        "get_chat_history('1')": "first_page",
        "stream_reply('1')": "write",
        "erase_user('1')": "conversations",
        "get_context('1')": "messages",
    }.items():
        program = f"from scrollback import Client\nwith Client('http://127.0.0.1:9000') as client:\n    client.{call}."
        assert member in {found.name for found in in_an_editor(program).complete()}, call
