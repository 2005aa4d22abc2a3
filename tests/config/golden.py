"""What `hapair check` says about the files in cases/.

python tests/config/golden.py      writes every .err anew: read the difference before committing it
"""

from __future__ import annotations

from pathlib import Path

from hapair.config.load import load_text
from hapair.config.problems import count, render
from hapair.errors import ConfigError
from hapair.rules.acl import acl_mistake, condition_mistake
from hapair.rules.actions import rule_mistake

CASES = Path(__file__).parent / "cases"
ENVIRON = {"SUFFIX": "1", "VIP": "192.0.2.999"}


def outcome(case: Path) -> str:
    """Every problem of a file, as the command prints them."""
    text = case.read_bytes().decode()
    try:
        problems = load_text(
            text,
            case.name,
            ENVIRON,
            acl_mistake=acl_mistake,
            condition_mistake=condition_mistake,
            rule_mistake=rule_mistake,
        ).warnings
    except ConfigError as error:
        problems = error.problems
    return "".join(f"{render(problem, text)}\n" for problem in problems) + f"{count(problems)}\n"


if __name__ == "__main__":
    for path in sorted(CASES.glob("*.toml")):
        path.with_suffix(".err").write_text(outcome(path))
