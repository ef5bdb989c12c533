"""fpn-jax COMMAND …: the commands of the package under one name."""

import ast
import importlib
import importlib.abc
import importlib.util
import sys

COMMANDS = (
    *("train", "evaluate", "predict", "convert", "export"),
    *("serve", "prepare", "doctor", "preflight", "benchmark", "models"),
)


def main() -> int:
    """Returns the exit status of the command named by the first argument."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help", "--help-all"):
        print(overview())
        return 0
    if name in ("-V", "--version"):
        print(f"fpn-jax {importlib.import_module('fpn_jax').__version__}")
        return 0
    # Late: a page of help needs nothing else.
    from fpn_jax.choices import check_choice
    from fpn_jax.command_line import user_errors

    with user_errors(name):
        check_choice("command", name, COMMANDS)
    return importlib.import_module(f"fpn_jax.{name}").main(sys.argv[2:])


def overview() -> str:
    """Returns the help page of all commands: a line for each.

    It is the first line of the command's docstring, read without importing it.
    """
    rows = [f"  {name:<12}{_first_line(name)}" for name in COMMANDS]
    return "\n".join(
        (
            "usage: fpn-jax COMMAND …",
            "",
            "Trains and runs object detectors on feature pyramids, in JAX.",
            "",
            *rows,
            "",
            "fpn-jax COMMAND --help says what a command takes, and fpn-jax --version",
            "which version this is.",
        )
    )


def _first_line(command: str) -> str:
    spec = importlib.util.find_spec(f"fpn_jax.{command}")
    if spec is None or not isinstance(spec.loader, importlib.abc.InspectLoader):
        return ""
    tree = ast.parse(spec.loader.get_source(f"fpn_jax.{command}") or "")
    return (ast.get_docstring(tree) or "").partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
