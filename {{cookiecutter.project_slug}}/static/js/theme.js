// Runs before the first paint: a stored choice shows without a flash of the other theme.
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");

  try {
    if (localStorage.theme) root.dataset.theme = localStorage.theme;
  } catch {
    // Storage is blocked: the choice lasts for one page.
  }

  addEventListener("click", (event) => {
    if (!event.target.closest(".theme")) return;
    const bySystem = system.matches ? "dark" : "light";
    const chosen = (root.dataset.theme || bySystem) === "dark" ? "light" : "dark";
    root.dataset.theme = chosen;
    try {
      // The system's own theme is not stored: the page follows the system again.
      if (chosen === bySystem) localStorage.removeItem("theme");
      else localStorage.theme = chosen;
    } catch {
      // As above.
    }
  });
})();
