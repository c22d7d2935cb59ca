"""Says when helpers is no longer something to be read in an hour (limits of the design)."""

import ast
import sys
from pathlib import Path

HELPERS = Path(__file__).parent.parent / "helpers"
PACKAGE_LINES, MODULE_LINES, FUNCTION_LINES = 2000, 300, 40


def main() -> int:
    """Print each limit that is passed; the exit status counts them."""
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in _modules()}
    found = [
        f"{path.name} has {count} lines; a module has at most {MODULE_LINES}"
        for path, count in lines.items()
        if count > MODULE_LINES
    ]
    without_explorer = sum(n for path, n in lines.items() if "explorer" not in path.parts)
    if without_explorer > PACKAGE_LINES:
        found.append(f"helpers has {without_explorer} lines; it has at most {PACKAGE_LINES}")
    found += [each for path in lines for each in _long_functions(path)]
    print("\n".join(found) or f"helpers: {without_explorer} of {PACKAGE_LINES} lines")
    return len(found)


def _modules() -> list[Path]:
    return sorted(path for path in HELPERS.rglob("*.py"))


def _long_functions(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            documented = isinstance(ast.get_docstring(node), str)
            body = node.body[1:] if documented else node.body
            first = body[0].lineno if body else node.lineno
            length = (node.end_lineno or first) - first + 1
            if length > FUNCTION_LINES:
                found.append(
                    f"{path.name}:{node.lineno} {node.name} has {length} lines of code; "
                    f"a function has at most {FUNCTION_LINES}"
                )
    return found


if __name__ == "__main__":
    sys.exit(main())
