"""fpn-jax COMMAND …: the commands of the package under one name."""

import importlib
import sys

from fpn_jax.choices import check_choice
from fpn_jax.command_line import user_errors

COMMANDS = (
    *("train", "evaluate", "predict", "convert", "export"),
    *("serve", "prepare", "doctor", "preflight", "benchmark", "models"),
)


def main() -> int:
    """Returns the exit status of the command named by the first argument."""
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(f"usage: fpn-jax {{{','.join(COMMANDS)}}} …, see fpn-jax COMMAND --help")
        return 0
    with user_errors(sys.argv[1]):
        check_choice("command", sys.argv[1], COMMANDS)
    return importlib.import_module(f"fpn_jax.{sys.argv[1]}").main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
