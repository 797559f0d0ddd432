"""The documents: their links, command lines, names and paths exist, and their examples run."""

import contextlib
import functools
import importlib.util
import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import ar3d_keras
from ar3d_keras import cli

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "data" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"

document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix()
)

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
_COMMAND = re.compile(r"\b(?:ar3d |python -m ar3d_keras |python (?=train\.py|evaluate\.py))")
_MACHINE = re.compile(r"(?<![\w.])/(?:home|root|work|tmp|opt|Users|mnt)/")


@document
def test_every_relative_link_and_picture_exists(document):
    text = _FENCE.sub("", document.read_text(encoding="utf-8"))
    targets = [link.partition("#")[0] for link in _LINK.findall(text) if "://" not in link]
    assert [t for t in targets if t and not _exists(document, t)] == []


def _exists(document: Path, target: str) -> bool:
    # docs/hooks makes these when the site is built: `mkdocs build --strict` checks them.
    made = target == "options.md" or target.startswith("api/")
    return made or (document.parent / target).exists()


@document
def test_every_path_in_the_repository_exists(document):
    named = [
        word
        for code in _CODE.findall(_FENCE.sub("", document.read_text(encoding="utf-8")))
        for word in re.findall(r"(?<![\w/*.-])[\w.-]+(?:/[\w.-]+)*\.(?:py|config|yml)\b", code)
    ]
    roots = ROOT, ROOT / "ar3d_keras", ROOT / "benchmarks", ROOT / "examples" / "serving"
    assert [n for n in named if not any((root / n).exists() for root in roots)] == []


@document
def test_documents_name_no_path_of_a_machine(document):
    assert not _MACHINE.search(document.read_text(encoding="utf-8"))


@document
def test_every_verb_and_flag_of_a_command_exists(document):
    wrong = []
    for command in _commands(document.read_text(encoding="utf-8")):
        verb, flags = _parsed(command)
        if verb == "VERB" or verb.startswith("-"):
            continue
        unknown = flags - _flags(verb) if verb in cli.VERBS else {"no such verb"}
        if unknown:
            wrong.append((command, unknown))
    assert wrong == []


def _commands(text: str) -> list[str]:
    """The command lines of code blocks and of inline code, without comments."""
    lines = text.replace("\\\n", " ").splitlines()
    found = [line for line in lines if line.startswith("    ")] + _CODE.findall(text)
    return [
        command
        for line in found
        for command in re.split(r"&& | ; ", re.sub(r"\s#.*", "", line))
        if _COMMAND.search(command)
    ]


def _parsed(command: str) -> tuple[str, set[str]]:
    """The verb of a command line and the flags that follow it."""
    rest = command[_COMMAND.search(command).end() :].strip()
    verb = re.match(r"[\w.-]*", rest)[0]
    return verb.removesuffix(".py"), set(_FLAG.findall(rest.removeprefix(verb)))


@functools.cache
def _flags(verb: str) -> frozenset[str]:
    """Every flag that the complete help of a verb mentions."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setenv("COLUMNS", "400")
        patch.setenv("NO_COLOR", "1")
        with pytest.raises(SystemExit):
            cli.main([verb, "--help-all"])
    return frozenset(_FLAG.findall(printed.getvalue())) | {"--help", "--help-all"}


def test_every_verb_is_documented():
    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    assert [verb for verb in cli.VERBS if f"`ar3d {verb}`" not in page] == []


@document
def test_every_public_name_in_a_document_exists(document):
    text = document.read_text(encoding="utf-8")
    names = set(re.findall(r"\bar3d_keras\.([A-Za-z_]\w*)", text)) - {"NAME"}
    unknown = names - set(ar3d_keras.__all__)
    assert {n for n in unknown if importlib.util.find_spec(f"ar3d_keras.{n}") is None} == set()


@document
def test_python_examples_compile(document):
    for code in _PYTHON.findall(document.read_text(encoding="utf-8")):
        compile(code, document.name, "exec")


def test_the_python_examples_of_the_readme_run_as_they_are_printed(tmp_path):
    code = "\n".join(_PYTHON.findall((ROOT / "README.md").read_text(encoding="utf-8")))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, env=_environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "curves.png").exists()
    assert (tmp_path / "report" / "report.html").exists()
    assert list(tmp_path.glob("runs/*/saved_model/2"))


@pytest.mark.slow  # the README examples run the same calls
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Jupyter's packages
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_notebook_runs(tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    for name, value in _environment().items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    shown = [
        data
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        for data in output.get("data", {})
    ]
    assert shown.count("image/png") == 3


def test_the_notebook_is_saved_without_outputs():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert [c for c in cells if c.get("outputs") or c.get("execution_count")] == []


def _environment() -> dict[str, str]:
    """The environment in which an example finds this package and writes nothing but warnings."""
    return os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}


def test_shell_commands_can_be_split():
    """Quotes are balanced, so that a reader can paste a command."""
    for document in DOCUMENTS:
        for command in _commands(document.read_text(encoding="utf-8")):
            if "SMALL" not in command:
                shlex.split(command)
