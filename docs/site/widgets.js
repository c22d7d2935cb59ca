// embed-amd.js looks for its fonts beside the modules in it; without this those seem to lie beside
// the page.
require.config({
  baseUrl: document.currentScript.src.replace(/[^/]*$/, ""),
  paths: { "@jupyter-widgets/html-manager/dist": ".", "@jupyter-widgets": "." },
});

// ipywidgets gives its sliders no name that a screen reader could say.
new MutationObserver(() => {
  for (const handle of document.querySelectorAll(".noUi-handle:not([aria-label])")) {
    const label = handle.closest(".jupyter-widgets").querySelector(".widget-label");
    handle.setAttribute("aria-label", label.textContent);
  }
}).observe(document, { childList: true, subtree: true });
