"""From arguments to typed options: one way for every verb."""

import dataclasses
import re
import shlex
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

import docstring_parser
import tyro

from ar3d_keras.cli.backend import start_backend
from ar3d_keras.config import (
    RENAMED,
    AugmentConfig,
    DataConfig,
    Preset,
    TrainConfig,
    from_json,
)
from ar3d_keras.console import Console
from ar3d_keras.errors import UserError
from ar3d_keras.experiments.configure import check_given, chosen_model, preset_for, read_config
from ar3d_keras.networks import NETWORKS
from ar3d_keras.presets import with_preset, with_shared_preset

Options = TypeVar("Options")
ConfigOptions = TypeVar("ConfigOptions", bound=TrainConfig)


# A flag with its --no-flag, whose default depends on other options.
OPTIONAL_FLAG = bool | None


class _Option(NamedTuple):
    """One option of a verb: a field of its dataclass, or of a section of that."""

    name: str
    kind: Any
    section: str  # "" for a field of the dataclass itself
    group: str  # the part of the help that shows it
    default: Any  # dataclasses.MISSING: it must be given


def parse(
    kind: type[Options],
    arguments: Sequence[str],
    *,
    verb: str,
    text: str,
    default: Options | None = None,
    essential: Sequence[str] = (),
) -> Options:
    """Returns the dataclass `kind` with the values that `arguments` give.

    Args:
        kind: a dataclass, whose fields may be dataclasses themselves (sections); the docstring
            under a field is its help.
        arguments: without the verb.
        verb: for the usage line.
        text: the first lines of the help.
        default: an instance whose values hold where no flag is given.
        essential: the options that --help shows, in this order; --help-all shows all of them.
            Empty: --help shows all.

    Raises:
        SystemExit: 0 after --help, 2 for an unknown flag or an invalid value.
    """
    arguments = _with_new_names(arguments)
    # Tyro does not parse what it hides, so options are hidden only where help is all that is wanted.
    short_help = bool(essential) and bool({"-h", "--help"} & set(arguments))
    arguments = ["--help" if argument == "--help-all" else argument for argument in arguments]
    if {"-h", "--help"} & set(arguments):
        print(text)  # tyro would join the commands into one paragraph
        if short_help:
            print("These are the options that most people need; --help-all shows every option.")
    options = list(_options_of(kind))
    parsed: Any = tyro.cli(
        _parser(kind, options, default, essential, short=short_help),
        prog=program(verb),
        description="",
        args=arguments,
        config=(tyro.conf.OmitArgPrefixes,),
    )
    values = {
        name: value
        for group in dataclasses.fields(parsed)
        for name, value in _values(getattr(parsed, group.name), group.name)
    }
    typed = typed_names(arguments)
    for option in options:
        if option.kind == OPTIONAL_FLAG and option.name not in typed:
            values[option.name] = _default(option, default)
    return _assembled(kind, options, values)


def _options_of(kind: type) -> Iterator[_Option]:
    augmentation = {item.name for item in dataclasses.fields(AugmentConfig)}
    for item in dataclasses.fields(kind):
        if not dataclasses.is_dataclass(item.type):
            yield _Option(item.name, item.type, "", "run", item.default)
            continue
        group = {"recipe": "training"}.get(item.name, item.name)
        for inner in dataclasses.fields(item.type):
            shown_in = "augmentation" if inner.name in augmentation else group
            yield _Option(inner.name, inner.type, item.name, shown_in, inner.default)


class _Group:
    """Base of the dataclasses that group options in the help."""


def _parser(
    kind: type, options: list[_Option], default: Any, essential: Sequence[str], *, short: bool
) -> type:
    """A dataclass with the options of `kind` in the groups and the order of the help."""
    helps = _helps(kind)
    groups: dict[str, list] = {}
    fields: list = []
    rank = {name: place for place, name in enumerate(essential)}
    for option in sorted(options, key=lambda option: rank.get(option.name, len(rank))):
        field = _field(option, helps[option.name], default)
        if option.name in rank or not essential:
            fields.append(field)
        else:
            groups.setdefault(option.group, []).append(field)
    order = ("data", "augmentation", "model", "training", "run")
    for group in sorted(groups, key=order.index):
        made: Any = dataclasses.make_dataclass(
            f"{group.title()}Group", groups[group], bases=(_Group,), kw_only=True
        )
        if short:
            made = Annotated[made, tyro.conf.Suppress]
        fields.append((f"{group}_", made))
    return dataclasses.make_dataclass(kind.__name__, fields, kw_only=True)


def _field(option: _Option, text: str, base: Any) -> tuple:
    hint: dict[str, Any] = {"help": text}
    kind, default = option.kind, _default(option, base)
    if default is None:
        hint["help_behavior_hint"] = ""  # "(default: None)" says nothing
    if kind == OPTIONAL_FLAG:
        kind, default = bool, bool(default)
    elif metavar := _metavar(kind):
        hint["metavar"] = metavar
    annotated: Any = Annotated[kind, tyro.conf.arg(**hint)]
    if default is dataclasses.MISSING:
        return (option.name, annotated)
    return (option.name, annotated, dataclasses.field(default=default))


def _default(option: _Option, base: Any) -> Any:
    """The value of an option without a flag: that of `base`, if there is one."""
    if base is None:
        return option.default
    return getattr(getattr(base, option.section) if option.section else base, option.name)


def _metavar(kind: Any) -> str | None:
    """How the value of an optional option is shown; None: as tyro shows it."""
    if get_origin(kind) is Annotated:
        return _metavar(get_args(kind)[0])
    if get_origin(kind) not in (Union, UnionType) or NoneType not in get_args(kind):
        return None
    return "|".join(_shown(member) for member in get_args(kind) if member is not NoneType)


def _shown(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _shown(arguments[0])
    if origin is Literal:
        return "{" + ",".join(map(str, arguments)) + "}"
    if origin is tuple:
        return " ".join(_shown(each) for each in arguments if each is not Ellipsis)
    return kind.__name__.upper()


def _helps(kind: type) -> dict[str, str]:
    """The help of every option: the docstring under its field."""
    found: dict[str, str] = {}
    sections = [item.type for item in dataclasses.fields(kind)]
    for owner in [kind, *filter(dataclasses.is_dataclass, sections)]:
        for base in reversed(owner.__mro__):  # type: ignore[union-attr]
            if dataclasses.is_dataclass(base):
                for parameter in docstring_parser.parse_from_object(base).params:
                    found[parameter.arg_name] = " ".join((parameter.description or "").split())
    return found


def _values(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, _Group):
        for item in dataclasses.fields(value):  # type: ignore[arg-type]
            yield item.name, getattr(value, item.name)
    else:
        yield name, value


def _assembled(kind: type[Options], options: list[_Option], values: dict[str, Any]) -> Options:
    sections: dict[str, dict[str, Any]] = {}
    for option in options:
        sections.setdefault(option.section, {})[option.name] = values[option.name]
    own = sections.pop("", {})
    types = {item.name: item.type for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(**own, **{name: types[name](**given) for name, given in sections.items()})  # type: ignore[operator]


def option_names(kind: type) -> set[str]:
    """The names of all options of a verb's dataclass, with underscores."""
    return {option.name for option in _options_of(kind)}


def _with_new_names(arguments: Sequence[str]) -> list[str]:
    """The arguments with today's names of flags that earlier versions named otherwise."""
    renamed = []
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        negation = "--no-" if argument.startswith("--no-") else "--"
        name = flag.removeprefix(negation).replace("-", "_")
        if argument.startswith("--") and name in RENAMED:
            new = negation + RENAMED[name].replace("_", "-")
            print(
                f"note: {flag} is now {new}; the old name works until version 0.3", file=sys.stderr
            )
            argument = new + equals + value
        renamed.append(argument)
    return renamed


def typed_names(arguments: Sequence[str]) -> set[str]:
    """The names of the options that were typed, with underscores; of --no-flip it is flip."""
    flags = (each.partition("=")[0] for each in arguments if each.startswith("--"))
    names = {flag.removeprefix("--").replace("-", "_") for flag in flags}
    names |= {name.removeprefix("no_") for name in names}
    return {RENAMED.get(name, name) for name in names}


def parse_config(
    kind: type[ConfigOptions],
    arguments: Sequence[str],
    *,
    verb: str,
    text: str,
    essential: Sequence[str],
) -> ConfigOptions:
    """`parse` for a verb whose options are a TrainConfig with `config` and `preset`; starts Keras.

    Where no flag is given, --config holds, and under that the preset. The part of a preset that
    belongs to one network stands with the network, which imports Keras, so the arguments are first
    parsed and checked without it: --help and mistakes do not wait.

    Raises:
        UserError: an option is out of range, or --config cannot be read.
        SystemExit: as `parse`.
    """
    parts: dict[str, Any] = {"verb": verb, "text": text, "essential": essential}
    given = peek(arguments, "config", "preset", "model", "init-from")
    sections = read_config(Path(given["config"])) if given["config"] else {}
    where = given["config"] or ""
    configured = from_json(sections, kind(), where)
    init_from = given["init-from"] or configured.recipe.init_from
    model = chosen_model(sections, init_from, given["model"])
    if given["preset"] not in (None, *get_args(Preset)) or model not in (None, *NETWORKS):
        return parse(kind, arguments, default=configured, **parts)  # it names the choices
    choice = preset_for(given["preset"], _data(arguments, configured.data))
    rest = choice, model, init_from, typed_names(arguments)
    shared = from_json(sections, with_shared_preset(kind(), *rest), where)
    parse(kind, arguments, default=shared, **parts).validate()
    start_backend()
    for reason in choice.reasons:
        Console().log(f"preset auto: {reason}")
    default = from_json(sections, with_preset(kind(), *rest), where)
    parsed = parse(kind, arguments, default=default, **parts)
    check_given(parsed, typed_names(arguments))
    return parsed


def _data(arguments: Sequence[str], base: DataConfig) -> DataConfig:
    """`base` with the flags that say which videos are used, for the choice of a preset."""
    given = peek(arguments, "data", "group-by", "segments", "skip")
    return dataclasses.replace(
        base,
        data=Path(given["data"]) if given["data"] else base.data,
        group_by=given["group-by"] or base.group_by,
        segments="clip" if given["segments"] == "clip" else base.segments,
        skip=Path(given["skip"]) if given["skip"] else base.skip,
        allow_outside=base.allow_outside or "--allow-outside" in arguments,
    )


def check_not_typed(arguments: Sequence[str], allowed: Collection[str], reason: str) -> None:
    """Raises UserError for a typed option that is not among `allowed`, with `reason`."""
    if others := sorted(typed_names(arguments) - set(allowed)):
        flags = " ".join("--" + name.replace("_", "-") for name in others)
        raise UserError(f"{flags}: {reason}")


def check_run(run: str | None, runs_dir: Path, needs: Sequence[str] = ()) -> None:
    """Raises UserError if there is no such run or .keras file, before Keras starts."""
    from ar3d_keras.runs import find_run

    if run is None or not run.endswith(".keras"):
        find_run(run, runs_dir, needs=needs)
    elif not Path(run).is_file():
        raise UserError(f"`run` {run}: there is no such file")


def peek(arguments: Sequence[str], *flags: str) -> dict[str, str | None]:
    """The values of a few flags, read before the others because their defaults depend on them."""
    found: dict[str, str | None] = dict.fromkeys(flags)
    for place, argument in enumerate(arguments):
        flag, _, value = argument.partition("=")
        flag = flag.removeprefix("--").replace("_", "-")
        if argument.startswith("--") and flag in found:
            following = arguments[place + 1 : place + 2]
            found[flag] = value or (following[0] if following else None)
    return {flag: None if value == "None" else value for flag, value in found.items()}


def program(verb: str) -> str:
    """How the user started the command: `python train.py`, or `ar3d train`."""
    name = Path(sys.argv[0]).name
    return f"python {name}" if re.fullmatch(r"(train|evaluate)\.py", name) else f"ar3d {verb}"


def command(verb: str, arguments: Sequence[str]) -> str:
    """The command as typed, for the record."""
    return shlex.join([*program(verb).split(), *arguments])
