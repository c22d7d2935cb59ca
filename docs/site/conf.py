"""How Sphinx makes the site of README, docs, notebooks and docstrings: `make site`.

The source folder is the repository's top, so that a link leads to the same file here, on GitHub and
in JupyterLab. This folder has what only the site needs.
"""

import json
import re
import shutil
from pathlib import Path

from sphinx.application import Sphinx

project = "Over the Wire"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
root_doc = "README"
include_patterns = [
    "*.md",
    "*/README.md",
    "data/postman/README.md",
    "docs/**",
    "notebooks/**",
]
exclude_patterns = [
    ".*",
    "build",
    "dist",
    "tests",
    "**/.ipynb_checkpoints",
    "docs/site/contents.md",
    "README.zh-CN.md",
    "docs/zh",
    "notebooks/zh",
]

nb_execution_mode = "off"
nb_code_prompt_show = "Show the solution"  # nothing else is folded
nb_code_prompt_hide = "Hide the solution"
myst_heading_anchors = 4
highlight_language = "none"  # indented code in docs is for a terminal, mostly
default_role = "literal"  # docstrings write code in single backticks
autodoc_default_options = {"members": True, "ignore-module-all": True}
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings have them in words; NumPy's own fill three lines
napoleon_use_param = False  # types are words here, such as "array-like, any shape": no links
napoleon_use_rtype = False

html_theme = "sphinx_book_theme"
html_title = project
html_css_files = ["site.css"]
html_context = {"default_mode": "auto"}
html_theme_options = {"navbar_persistent": [], "max_navbar_depth": 1}
# Widgets are drawn without network: myst-nb would fetch these from a CDN.
_NPM = Path(__file__).parents[2] / "build" / "npm" / "node_modules"
_DIST = _NPM / "@jupyter-widgets" / "html-manager" / "dist"
html_static_path = [
    "site.css",
    "widgets.js",
    *map(str, (_NPM / "requirejs" / "require.js", _DIST / "embed-amd.js", *_DIST.glob("*.woff2"))),
]
nb_ipywidgets_js = {"require.js": {}, "widgets.js": {}, "embed-amd.js": {}}


def setup(app: Sphinx) -> None:
    app.connect("source-read", _read)
    app.connect("autodoc-process-docstring", _end_sections, priority=400)  # before napoleon
    app.connect("build-finished", _copy_index)


def _read(app: Sphinx, docname: str, source: list[str]) -> None:
    if docname == root_doc:
        contents = Path(app.confdir, "contents.md").read_text(encoding="utf-8")
        # GitHub shows a folder; the site has a page.
        readme = source[0].replace("(notebooks/solutions)", "(docs/site/solutions.md)")
        source[0] = readme + contents
    elif docname.startswith("notebooks/solutions/"):
        source[0] = _folded(source[0])


def _folded(text: str) -> str:
    """Fold what comes between an exercise, `**1.** ...`, and its check."""
    notebook = json.loads(text)
    is_solution = False
    for cell in notebook["cells"]:
        content = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            is_solution = bool(re.match(r"\*\*\d+\.\*\*", content))
        elif is_solution and not content.startswith("check("):
            cell["metadata"]["tags"] = [*cell["metadata"].get("tags", []), "hide-cell"]
    return json.dumps(notebook)


def _end_sections(_app, _what, _name, _object, _options, lines: list[str]) -> None:
    """Let a paragraph behind a section be one: napoleon ends a section at two empty lines."""
    if lines[0].startswith("Alias for field number"):  # said by every field of a named tuple
        lines.clear()
    for number in range(len(lines) - 1, 0, -1):
        underline = lines[number + 1] if number + 1 < len(lines) else ""
        if lines[number][:1].strip() and not lines[number - 1] and not underline.startswith("---"):
            lines.insert(number, "")


def _copy_index(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        shutil.copy(app.outdir / f"{root_doc}.html", app.outdir / "index.html")
