"""The adapters, in an environment with their framework: our own tests, and the framework's own tests with the class swapped.

The framework's tests come from its source distribution, at test time. Each environment and each source distribution is fetched once, into
the user's cache. The results are printed at the end of the run. They are the table in the README.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import time
import venv
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import PACKAGE, RESULTS

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scrollback"
HERE = Path(__file__).parent

needs_langchain = pytest.mark.skipif(sys.version_info < (3, 11), reason="langchain-core needs Python 3.11")

pytestmark = needs_langchain

COMMON = """
    annotated-types==0.8.0 anyio==4.16.0 ast_serialize==0.13.1 certifi==2026.10.19.post1 charset-normalizer==3.5.3 distro==1.9.0
    h11==0.16.0 httpcore==1.0.9 httpx==0.28.1 idna==3.20 iniconfig==2.3.1 librt==0.17.0 mypy==2.4.1 mypy_extensions==1.2.0
    packaging==26.4 pathspec==1.1.1 pluggy==1.7.0 pydantic==2.14.4 pydantic_core==2.50.5 Pygments==2.21.0 pytest==9.2.0
    pytest-asyncio==1.3.0 pytest-mock==3.15.1 requests==2.34.2 ruamel.yaml==0.19.1 sniffio==1.3.1 typing_extensions==4.16.0
    typing-inspection==0.4.5 urllib3==2.8.0
"""

# The lists are complete and are installed without dependencies: langchain-core 1.8.4 asks for a langchain-protocol that PyPI may not have.
PACKAGES = {
    "agents": """
        aiosqlite==0.22.1 asttokens==3.0.2 attrs==26.1.0 cffi==2.1.1 click==8.5.1 cryptography==50.0.2 executing==2.3.0
        fakeredis==2.40.0 greenlet==3.5.6 griffelib==2.4.1 httpcore2==2.16.2 httpx2==2.16.2 inline-snapshot==0.36.1 jiter==0.19.0
        jsonschema==4.26.0 jsonschema-specifications==2025.9.1 markdown-it-py==4.3.0 mcp==2.3.0 mcp-types==2.3.0 mdurl==0.1.2
        openai==3.57.0 openai-agents==0.24.0 opentelemetry-api==1.45.2 pycparser==3.12 PyJWT==2.15.1 python-multipart==0.0.34
        redis==8.1.0 referencing==0.37.0 rich==15.0.0 rpds-py==2026.9.1 sortedcontainers==2.4.0 SQLAlchemy==2.1.9
        sse-starlette==3.7.0 starlette==1.10.0 truststore==0.10.5 uvicorn==0.54.0 websockets==16.1.1
    """,
    "langchain": """
        blockbuster==1.5.29 forbiddenfruit==0.1.4 httpcore2==2.16.2 httpx2==2.16.2 jsonpatch==1.48 jsonpointer==3.12
        langchain-core==1.8.4 langchain-protocol==0.0.20 langgraph==1.2.24 langgraph-checkpoint==4.3.2 langgraph-prebuilt==1.1.3
        langgraph-sdk==0.4.14 langsmith==0.15.1 orjson==3.13.0 ormsgpack==1.13.1 PyYAML==6.0.4 requests-toolbelt==1.0.0
        syrupy==7.0.2 tenacity==9.2.1 truststore==0.10.5 uuid_utils==0.19.0 websockets==17.4 xxhash==4.1.0 zstandard==0.25.0
    """,
    "pydantic_ai": """
        genai-prices==0.2.3 griffelib==2.4.1 httpcore2==2.16.2 httpx2==2.16.2 logfire-api==5.6.0 opentelemetry-api==1.45.2
        pydantic-ai-slim==2.68.0 pydantic-graph==2.68.0 truststore==0.10.5
    """,
}


FRAMEWORKS = {"agents": "openai-agents==", "langchain": "langchain-core==", "pydantic_ai": "pydantic-ai-slim=="}

# What the tests need beside the framework.
NEWEST: dict[str, list[str]] = {"agents": [], "langchain": ["langgraph"], "pydantic_ai": []}


@dataclass(frozen=True)
class Suite:
    """Tests of a source distribution that do not know Scrollback."""

    adapter: str
    package: str
    version: str
    # Files of the source distribution, each with the number of its tests that have to pass.
    files: dict[str, int]
    options: tuple[str, ...] = ()
    # The tests that do not apply are in this file, each with a reason.
    not_applicable: str | None = None


MEMORY = "tests/extensions/memory"
DEFERRED = "tests/deferred_session_writes"

SUITES = [
    Suite(
        "agents",
        "openai-agents",
        "0.24.0",
        {
            "tests/memory/test_session_limit.py": 15,
            "tests/memory/test_session.py": 39,
            f"{MEMORY}/test_sqlalchemy_session.py": 22,
            f"{MEMORY}/test_async_sqlite_session.py": 19,
            f"{MEMORY}/test_encrypt_session.py": 57,
            f"{MEMORY}/test_redis_session.py": 35,
            f"{DEFERRED}/test_compaction.py": 39,
            f"{DEFERRED}/test_filters.py": 31,
            f"{DEFERRED}/test_max_turns.py": 9,
            f"{DEFERRED}/test_pending_write.py": 12,
            f"{DEFERRED}/test_recovery.py": 29,
            f"{DEFERRED}/test_resume.py": 40,
            "tests/utils/test_simple_session.py": 3,
            "tests/test_hitl_session_scenario.py": 2,
        },
        not_applicable="agents-not-applicable.txt",
    ),
    Suite("langchain", "langchain-core", "1.8.4", {"tests/unit_tests/runnables/test_history.py": 23}),
    Suite(
        "langchain",
        "langchain-postgres",
        "0.0.19",
        {"tests/unit_tests/v1/test_chat_histories.py": 2},
        # Its conftest and its settings are about the database.
        ("--noconftest", "-c", "/dev/null", "--rootdir", "."),
    ),
]


def environment(adapter: str) -> Path:
    """The Python of an environment with the framework."""
    directory = CACHE / f"python-{adapter}-{sys.version_info[0]}.{sys.version_info[1]}"
    python, done = directory / "bin" / "python", directory / "packages"
    packages = [*COMMON.split(), *PACKAGES[adapter].split()]
    if not done.exists() or done.read_text() != " ".join(packages):
        venv.create(directory, clear=True, with_pip=True)
        pip(python, "install", "--no-deps", *packages)
        # Last, so that an interrupted installation is not mistaken for one.
        done.write_text(" ".join(packages))
    return python


def pip(python: Path, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def source(python: Path, suite: Suite) -> Path:
    """The unpacked source distribution."""
    name = f"{suite.package.replace('-', '_')}-{suite.version}"
    archive = CACHE / "sdists" / f"{name}.tar.gz"
    if not archive.exists():
        wanted = f"{suite.package}=={suite.version}"
        pip(python, "download", "--no-deps", "--no-binary", suite.package, "--dest", str(archive.parent), wanted)
    if not (archive.parent / name).exists():
        with tarfile.open(archive) as files:
            files.extractall(archive.parent, filter="data")
    return archive.parent / name


def not_applicable(suite: Suite) -> list[str]:
    if suite.not_applicable is None:
        return []
    lines = (HERE / "acceptance" / suite.not_applicable).read_text().splitlines()
    return [line.split(" ")[0] for line in lines if line.startswith("tests/")]


def run(python: Path, directory: Path, *arguments: str, **more: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
    kept["PYTHONPYCACHEPREFIX"] = str(CACHE / "pycache")
    command = [str(python), "-m", *arguments]
    done = subprocess.run(command, cwd=directory, env={**kept, **more}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    return done.stdout


def own_tests(adapter: str) -> list[str]:
    tests = sorted((HERE / "adapters").glob(f"test_{adapter}*.py"))
    assert tests
    return [f"src/scrollback/{adapter}.py", *map(str, tests)]


@pytest.mark.parametrize("adapter", PACKAGES)
def test_an_adapters_own_tests_pass_where_its_framework_is(server_url: str, adapter: str) -> None:
    python = environment(adapter)
    files = own_tests(adapter)
    options = ["-p", "no:cacheprovider", "--quiet"]
    run(python, PACKAGE, "pytest", *options, *files, SCROLLBACK_TEST_URL=server_url, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")


@pytest.mark.skipif(not os.environ.get("SCROLLBACK_NEWEST"), reason="what is newest changes: CI runs this once a week")
@pytest.mark.parametrize("adapter", PACKAGES)
def test_an_adapters_own_tests_pass_with_the_newest_release_of_its_framework(
    server_url: str, tmp_path: Path, adapter: str
) -> None:
    venv.create(tmp_path, with_pip=True)
    python = tmp_path / "bin" / "python"
    extra = adapter.replace("_", "-")
    pip(
        python,
        "install",
        "--upgrade",
        f"{PACKAGE}[{extra}]",
        "pytest",
        "pytest-asyncio",
        "ruamel.yaml",
        *NEWEST[adapter],
    )
    version = subprocess.run([python, "-m", "pip", "freeze"], check=True, capture_output=True, text=True).stdout
    RESULTS.extend(line for line in version.splitlines() if line.startswith(FRAMEWORKS[adapter]))
    files = own_tests(adapter)
    options = ["-p", "no:cacheprovider", "--quiet"]
    run(python, PACKAGE, "pytest", *options, *files, SCROLLBACK_TEST_URL=server_url, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")


@pytest.mark.parametrize("adapter", PACKAGES)
def test_an_adapter_has_the_types_of_its_framework(adapter: str) -> None:
    python = environment(adapter)
    cache = CACHE / f"mypy-{adapter}"
    run(python, PACKAGE, "mypy", "--cache-dir", str(cache), "-p", f"scrollback.{adapter}", MYPYPATH="src")


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.package)
def test_the_frameworks_own_tests_pass(server_url: str, tmp_path: Path, suite: Suite) -> None:
    python = environment(suite.adapter)
    directory = source(python, suite)
    left_out = not_applicable(suite)
    began = time.monotonic()
    report = tmp_path / "report.xml"
    options = ["-p", f"swap_{suite.adapter}", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", *suite.options]
    options += [f"--deselect={test}" for test in left_out]
    run(
        python,
        directory,
        "pytest",
        *options,
        f"--junitxml={report}",
        "-o",
        "junit_family=xunit1",
        *suite.files,
        PYTHONPATH=os.pathsep.join([str(PACKAGE / "src"), str(HERE / "acceptance")]),
        SCROLLBACK_TEST_URL=server_url,
        SCROLLBACK_SUITE=suite.package,
    )
    passed: Counter[str] = Counter()
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 (the file is ours)
        if not any(child.tag in ("skipped", "failure", "error") for child in case):
            passed[case.attrib["file"]] += 1
    RESULTS.append(f"{suite.package} {suite.version}: {time.monotonic() - began:.0f} s")
    rows = []
    for file in suite.files:
        excluded = sum(test.startswith(f"{file}::") for test in left_out)
        row = f"| {suite.package} {suite.version} | `{file}` | {passed[file]} | {excluded} |"
        rows.append(row)
    RESULTS.extend(rows)
    assert dict(passed) == suite.files
    readme = (PACKAGE / "README.md").read_text()
    assert [row for row in rows if row not in readme] == []
