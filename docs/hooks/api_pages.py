"""MkDocs hook: a page for each public name of ar3d_keras, an index of them, the training options.

The names come from `ar3d_keras/__init__.pyi`, so a new name gets its page by itself. Sources are
parsed, not imported: the build needs neither Keras nor a backend.
"""

import ast
import itertools
from collections import defaultdict
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PACKAGE = Path(__file__).parents[2] / "ar3d_keras"
TITLES = {
    "experiments": "Experiments",
    "models": "Networks",
    "videos": "Videos",
    "labels": "Labels",
    "inference": "Prediction",
    "explanation": "Explanation",
    "evaluation": "Evaluation",
    "reports": "Reports",
    "training": "Training",
    "serving": "Serving",
}
OTHER = "Other"
OPTIONS = """# Training options

These are the flags of `python train.py`. `ar3d_keras.train` takes the same names with underscores, for
example `batch_size`. In a `run.json` they stand in the sections `data`, `model` and `recipe`.
"""
SECTIONS = {
    "DataConfig": "Data and clips",
    "AugmentConfig": "Augmentation",
    "ModelConfig": "Network",
    "RecipeConfig": "Training recipe",
}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Adds the API section to the navigation."""
    sections: list[dict] = [{"Index": "api/index.md"}]
    for title, modules in by_section().items():
        sections.append({title: [{name: f"api/{name}.md"} for name in modules]})
    config.nav.append({"API": sections})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages themselves."""
    index = ["# API", "", "Everything here is imported as `ar3d_keras.NAME`.", ""]
    for title, modules in by_section().items():
        index += [f"## {title}", "", "| name | description |", "|---|---|"]
        for name, module in modules.items():
            index.append(f"| [`{name}`]({name}.md) | {summary(module, name)} |")
            page = f"::: {module}.{name}\n"
            files.append(File.generated(config, f"api/{name}.md", content=page))
        index.append("")
    files.append(File.generated(config, "api/index.md", content="\n".join(index)))
    files.append(File.generated(config, "options.md", content=options_page()))
    return files


def by_section() -> dict[str, dict[str, str]]:
    """Maps section titles to public names, and those to their modules."""
    sections: dict[str, dict[str, str]] = defaultdict(dict)
    for name, module in sorted(public_names().items()):
        sections[TITLES.get(module.split(".")[1], OTHER)][name] = module
    order = [*TITLES.values(), OTHER]
    return {title: sections[title] for title in order if title in sections}


def public_names() -> dict[str, str]:
    """Maps each public name to the module that defines it, as `__init__.pyi` says."""
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))
    return {
        alias.name: f"ar3d_keras.{node.module}"
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def summary(module: str, name: str) -> str:
    """The first line of the docstring of `name`."""
    file = PACKAGE.parent / (module.replace(".", "/") + ".py")
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return _cell((ast.get_docstring(node) or "").partition("\n")[0])
    return ""


def options_page() -> str:
    """A table for each dataclass of options: flag, default and help text."""
    tree = ast.parse((PACKAGE / "config.py").read_text(encoding="utf-8"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    page = [OPTIONS]
    for name, title in SECTIONS.items():
        page += [f"## {title}", "", "| option | default | description |", "|---|---|---|"]
        body = classes[name].body
        for item, text in itertools.pairwise(body):
            if isinstance(item, ast.AnnAssign) and isinstance(text, ast.Expr):
                flag = "--" + ast.unparse(item.target).replace("_", "-")
                default = ast.unparse(item.value).replace("None", "")
                page.append(
                    f"| `{flag}` | {default and f'`{default}`'} | {_cell(text.value.value)} |"
                )
        page.append("")
    return "\n".join(page)


def _cell(text: str) -> str:
    """Text for a cell of a table: one line, and no brackets or bars that Markdown would read."""
    return " ".join(text.split()).replace("|", "\\|").replace("[", "\\[")
