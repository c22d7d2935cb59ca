"""Says when helpers is no longer something to be read in an hour (limits of the design)."""

import ast
import io
import sys
import tokenize
from pathlib import Path

HELPERS = Path(__file__).parent.parent / "helpers"
# A module counts with all its lines; the package and a function without their documentation,
# or the limit would reward leaving it out.
PACKAGE_LINES, MODULE_LINES, FUNCTION_LINES = 2500, 300, 40
# The tools around the calls, which no call that succeeds imports.
TOOLS = {
    "explorer", "explanations.py", "fields.py", "widgets.py", "machine.py", "cli.py", "plots.py",
    "profiles.py", "signals.py", "snippets.py", "literals.py", "timing.py", "watching.py",
    "wire.py", "wire_rows.py", "wire_sizes.py",
}  # fmt: skip
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_NO_CODE = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENDMARKER,
}  # fmt: skip


def main() -> int:
    """Print each limit that is passed; the exit status counts them."""
    found, package = [], 0
    for path in sorted(HELPERS.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        lines = len(source.splitlines())
        if lines > MODULE_LINES:
            found.append(f"{path.name} has {lines} lines; a module has at most {MODULE_LINES}")
        if not TOOLS & set(path.parts):
            package += len(_code_lines(source))
        found += _long_functions(path.name, source)
    if package > PACKAGE_LINES:
        found.append(f"helpers has {package} lines of code; it has at most {PACKAGE_LINES}")
    print("\n".join(found) or f"helpers: {package} of {PACKAGE_LINES} lines on a call's way")
    return len(found)


def _code_lines(source: str) -> set[int]:
    """Return the numbers of the lines that are neither blank, nor comment, nor docstring."""
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _NO_CODE:
            code.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node) is not None:
            code -= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return code


def _long_functions(name: str, source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            first = body[0].lineno if body else node.lineno
            length = (node.end_lineno or first) - first + 1
            if length > FUNCTION_LINES:
                found.append(
                    f"{name}:{node.lineno} {node.name} has {length} lines below its docstring; "
                    f"a function has at most {FUNCTION_LINES}"
                )
    return found


if __name__ == "__main__":
    sys.exit(main())
