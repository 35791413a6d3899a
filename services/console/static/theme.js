// The theme is there before anything is painted: the one that was chosen here, else the system's.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  const show = () => document.documentElement.setAttribute("data-bs-theme", chosen() ?? (dark.matches ? "dark" : "light"));
  show();
  dark.addEventListener("change", show);
  addEventListener("click", (event) => {
    if (!event.target.closest?.("[data-theme-toggle]")) return;
    const next = document.documentElement.getAttribute("data-bs-theme") === "dark" ? "light" : "dark";
    try { localStorage.setItem("theme", next); } catch { /* it holds for this page only */ }
    document.documentElement.setAttribute("data-bs-theme", next);
  });
})();
