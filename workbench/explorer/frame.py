"""What ipywidgets has no words for: two columns where there is room, and Ctrl+Enter to send."""

from collections.abc import Callable
from html import escape

import ipywidgets as w

from workbench.fields import Fields

# The explorer's own width counts, not the window's: JupyterLab may have a panel beside it. It is
# as high as there is room, so that a long answer moves neither the inputs nor Send out of sight.
_STYLE = """
.otw-explorer { container-type: inline-size; width: 100%; outline: none; overflow: visible }
.otw-explorer h2, .otw-explorer h3 { margin: 0.3em 0 0; font-weight: 600; line-height: 1.4 }
.otw-explorer h2 { font-size: 1.25em } .otw-explorer h3 { font-size: 1em }
.otw-head { align-items: baseline; gap: 0 1em }
.otw-beside { align-items: center; flex-flow: row wrap }
.otw-beside > :first-child { flex: 1 1 0; min-width: 16em }
.otw-columns, .otw-inputs { overflow: visible; min-width: 0 }
.otw-send { position: sticky; top: 0; bottom: 0; z-index: 10; align-items: center;
    background: var(--jp-layout-color0, white); padding: 2px 0 }
[data-voila] .otw-send { top: -10px; bottom: -10px; background: var(--jp-layout-color1) }
.otw-send .widget-dropdown { width: auto } .otw-send button { width: 6em }
.otw-send > :last-child { flex: 1 1 12em; min-height: 28px }
.otw-answers { min-width: 0 }
.otw-answers > .widget-tab-contents { overflow: auto }
.otw-explorer .otw-answers > .lm-TabBar .lm-TabBar-tab { color: var(--jp-ui-font-color0, black) }
.otw-answers p { margin: 0.3em 0 } .otw-answers .widget-html-content { min-width: 0 }
@container (min-width: 680px) {
    .otw-columns { display: grid; gap: 0 16px; height: max(25em, 100vh - 14em);
        grid-template: minmax(0, 1fr) auto / minmax(0, 4fr) minmax(0, 5fr) }
    [data-voila] .otw-columns { height: max(25em, 100vh - 6em) }
    .otw-inputs { display: block; overflow: auto; grid-area: 1 / 1 }
    .otw-columns > .otw-send { position: static; grid-area: 2 / 1; background: none }
    .otw-answers { grid-area: 1 / 2 / span 2; height: 100% }
    .otw-code pre { max-height: none !important }
}
.jp-Cell-outputArea:has(.otw-explorer), .jp-OutputArea:has(.otw-explorer),
.jp-OutputArea-child:has(.otw-explorer), .jp-OutputArea-output:has(.otw-explorer)
    { overflow: visible }
"""
# Before JupyterLab hears of the keys, which would run the cell; and not before the kernel has
# what was typed: a widget holds a change back while an earlier one is under way. So the kernel is
# asked for an echo, which comes when that is done; then it is told to send.
_LISTEN = """
const part = this.closest('.otw-explorer');
part.tabIndex = -1;
part.otwKeys ??= event => {
    const field = event.target;
    if (!part.isConnected) return window.removeEventListener('keydown', part.otwKeys, true);
    const here = part.contains(field) || (field === document.body && part.closest('[data-voila]'));
    const shift = event.shiftKey && field.matches('input, select, textarea');
    if (event.key !== 'Enter' || !here || !(event.ctrlKey || event.metaKey || shift)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    field.dispatchEvent(new Event('change', { bubbles: true }));
    part.otwAsked = true;
    part.querySelector('.otw-ask').click();
};
window.addEventListener('keydown', part.otwKeys, true);
"""
_ECHOED = """
const part = this.closest('.otw-explorer');
if (part.otwAsked) part.querySelector('.otw-go').click();
part.otwAsked = false;
"""


class Frame(w.HBox):
    """The explorer's style and keys: unseen, and a part of what has the class `otw-explorer`.

    Parameters
    ----------
    fields : Fields
    send : callable
        Called without arguments when Ctrl+Enter is pressed, or Shift+Enter in a field.
    """

    def __init__(self, fields: Fields, send: Callable[[], object]) -> None:
        self._asked = 0
        self._echo = fields.html()
        self.ask = w.Button(description="Echo", _dom_classes=["otw-ask"])
        self.ask.on_click(lambda _: self._answer())
        same = {"layout": self.ask.layout, "style": self.ask.style}
        self.go = w.Button(description="Send", _dom_classes=["otw-go"], **same)
        self.go.on_click(lambda _: send())
        style = fields.html(style_with(_LISTEN, _STYLE))
        super().__init__([style, self.ask, self.go, self._echo], layout={"display": "none"})

    def _answer(self) -> None:
        self._asked += 1
        self._echo.value = style_with(_ECHOED, f"/* {self._asked} */")


def style_with(script: str, css: str = "/* none */") -> str:
    """Write a style as HTML, and what is run when it is there: a script in a widget is not run."""
    return f'<style onload="{escape(script)}">{css}</style>'
