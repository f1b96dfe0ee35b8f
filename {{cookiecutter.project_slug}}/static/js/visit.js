// Fills in what this visit cost, from the browser's own clock and counters.
addEventListener("load", () => {
  if (!document.getElementById("visit")) return;
  const show = (id, text) => { document.getElementById(id).textContent = text; };
  const ms = (time) => `${Math.round(time)} ms`;
  const kb = (bytes) => `${(bytes / 1000).toFixed(1)} kB`;

  const page = performance.getEntriesByType("navigation")[0];
  const files = performance.getEntriesByType("resource");
  show("first-byte", ms(page.responseStart));
  show("wire", kb(page.transferSize));
  show("unpacked", kb(page.decodedBodySize));
  show("fetched", files.filter((file) => file.transferSize > 0).length);
  show("files", files.length);
  show("complete", ms(page.loadEventStart));
});
