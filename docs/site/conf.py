"""How Sphinx makes the site of README, docs, notebooks and docstrings: `make site`.

The source folder is the repository's top, so that a link leads to the same file here, on GitHub and
in JupyterLab. This folder has what only the site needs.

With `-D language=zh_CN` it is the Chinese half: the same files, translated when they are read. What
has no translation is there in English, for links that lead to it, and is not in the contents.
"""

import json
import re
import shutil
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

from otw import translation

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
    "docs/site/contents*.md",
    "README.zh-CN.md",
    "docs/zh/glossary.md",
    "docs/zh/teaching",
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
templates_path = ["templates"]
html_theme_options = {
    "navbar_persistent": [],
    "max_navbar_depth": 1,
    "article_header_end": ["language.html", "article-header-buttons.html"],
}
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
    app.connect("config-inited", _choose)
    app.connect("source-read", _read)
    app.connect("html-page-context", _link_to_the_other_language)
    app.connect("autodoc-process-docstring", _end_sections, priority=400)  # before napoleon
    app.connect("build-finished", _copy_index)


def _choose(app: Sphinx, config: Config) -> None:
    if config.language == "zh_CN":
        config.suppress_warnings.append("toc.not_included")  # what is not translated
        config.nb_code_prompt_show = "显示参考答案"
        config.nb_code_prompt_hide = "隐藏参考答案"


def _read(app: Sphinx, docname: str, source: list[str]) -> None:
    contents = "contents.md"
    if app.config.language == "zh_CN":
        contents = "contents.zh.md"
        source[0] = _translated(str(app.env.doc2path(docname, base=False)), source[0])
    if docname == root_doc:
        # GitHub shows a folder; the site has a page.
        readme = source[0].replace("(notebooks/solutions)", "(docs/site/solutions.md)")
        readme = re.sub(r"^.*\(README\.zh-CN\.md\).*\n\n", "", readme, flags=re.M)
        source[0] = readme + Path(app.confdir, contents).read_text(encoding="utf-8")
    elif docname.startswith("notebooks/solutions/"):
        source[0] = _folded(source[0])


def _translated(name: str, english: str) -> str:
    stays = {document: document for document in translation.offered()}
    if name in stays:
        return translation.made(name, name, stays)
    # Its links lead to headings in Chinese.
    return translation.linked(english, name, name, stays) if name.endswith(".md") else english


def _link_to_the_other_language(
    app: Sphinx, pagename: str, _template: str, context: dict, _doctree: object
) -> None:
    try:
        name = str(app.env.doc2path(pagename, base=False))
    except KeyError:  # a page that no file is behind, such as the search
        return
    if name in translation.offered():
        top = "../" * (pagename.count("/") + (app.config.language == "zh_CN"))
        half = "" if app.config.language == "zh_CN" else "zh/"
        context["other_language"] = {
            "address": f"{top}{half}{pagename}.html",
            **({"name": "中文", "code": "zh-CN"} if half else {"name": "English", "code": "en"}),
        }


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
