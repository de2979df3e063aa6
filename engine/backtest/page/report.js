"use strict";
(() => {
  const stored = JSON.parse(document.getElementById("figures").textContent);
  // no tool bar: it would lie over the label on simulated prices; dragging zooms, a double click goes back
  const settings = { responsive: true, displayModeBar: false };
  const root = document.documentElement;
  const drawn = new Map();

  function draw(target, figure) {
    // the element holds the height: plotly forgets its own when the window changes
    const { height, ...own } = figure.layout;
    target.style.height = `${height}px`;
    const layout = { ...own, template: stored.templates[root.dataset.theme], autosize: true };
    drawn.set(target, figure);
    return Plotly.react(target, figure.data, layout, settings);
  }

  function theme(name) {
    root.dataset.theme = name;
    for (const [target, figure] of drawn) draw(target, figure);
  }

  const night = window.matchMedia("(prefers-color-scheme: dark)");
  theme(night.matches ? "dark" : "light");
  night.addEventListener("change", (event) => theme(event.matches ? "dark" : "light"));
  document.getElementById("theme").addEventListener("click", () => theme(root.dataset.theme === "dark" ? "light" : "dark"));
  for (const target of document.querySelectorAll("[data-figure]")) draw(target, stored.figures[target.dataset.figure]);

  // tables sort by data-v where a cell has one, else by its text; unknown values stay last
  function value(row, column) {
    const cell = row.cells[column];
    const text = cell.dataset.v ?? cell.textContent.trim();
    return text === "" ? null : Number.isNaN(Number(text)) ? text : Number(text);
  }
  for (const table of document.querySelectorAll("table.sort")) {
    for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
      head.tabIndex = 0;
      const sort = () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...table.tBodies[0].rows].map((row) => [value(row, column), row]);
        rows.sort(([a], [b]) => {
          if (a === null || b === null) return (a === null) - (b === null);
          const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
          return down ? -order : order;
        });
        table.tBodies[0].append(...rows.map(([, row]) => row));
      };
      head.addEventListener("click", sort);
      head.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
    }
  }

  // a click on a trade opens its chart
  const box = document.getElementById("chart");
  const picture = document.getElementById("picture");
  const charted = () => [...document.querySelectorAll("#trades-table tr.drawn")];
  let shown = null;
  function open(row) {
    shown = row;
    const rows = charted();
    const heads = [...row.closest("table").tHead.rows[0].cells];
    document.getElementById("place").textContent = `chart ${rows.indexOf(row) + 1} of ${rows.length}, in the order of the table`;
    document.getElementById("before").disabled = rows[0] === row;
    document.getElementById("after").disabled = rows[rows.length - 1] === row;
    document.getElementById("facts").replaceChildren(...heads.flatMap((head, k) => {
      const text = row.cells[k].textContent.trim();
      if (!text) return [];
      const pair = document.createElement("div");
      const name = document.createElement("dt");
      const fact = document.createElement("dd");
      name.textContent = head.title || head.textContent;
      fact.textContent = text;
      pair.append(name, fact);
      return [pair];
    }));
    if (!box.open) box.showModal();
    draw(picture, stored.trades[row.dataset.trade]);
  }
  function step(by) {
    const rows = charted();
    const row = rows[rows.indexOf(shown) + by];
    if (row) open(row);
  }
  for (const row of charted()) {
    row.tabIndex = 0;
    row.addEventListener("click", () => open(row));
    row.addEventListener("keydown", (event) => { if (event.key === "Enter") open(row); });
  }
  document.getElementById("shut").addEventListener("click", () => box.close());
  document.getElementById("before").addEventListener("click", () => step(-1));
  document.getElementById("after").addEventListener("click", () => step(1));
  box.addEventListener("close", () => {
    drawn.delete(picture);
    Plotly.purge(picture);
  });
  box.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  box.addEventListener("click", (event) => { if (event.target === box) box.close(); });
})();
