"use strict";
(() => {
  const key = (row, column) => {
    const cell = row.cells[column];
    const value = cell.dataset.v ?? cell.textContent.trim();
    const number = Number(value);
    return value !== "" && !Number.isNaN(number) ? number : value;
  };
  const order = (a, b) => {
    if ((a === "") !== (b === "")) return a === "" ? 1 : -1;
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return a < b ? -1 : a > b ? 1 : 0;
  };
  const groups = (body) => {
    const found = [];
    for (const row of body.rows) {
      if (row.classList.contains("cell")) found.at(-1).push(row);
      else found.push([row]);
    }
    return found;
  };
  const sort = (table, head) => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const body = table.tBodies[0];
    const rows = groups(body).map((own) => [key(own[0], head.cellIndex), own]);
    rows.sort((a, b) => (up ? 1 : -1) * order(a[0], b[0]));
    body.append(...rows.flatMap(([, own]) => own));
  };
  const filter = (table, text) => {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const all = groups(table.tBodies[0]);
    let shown = 0;
    for (const own of all) {
      const content = own.map((row) => row.textContent.toLowerCase()).join(" ");
      const hidden = !words.every((word) => content.includes(word));
      for (const row of own) row.hidden = hidden;
      shown += !hidden;
    }
    return `${shown} of ${all.length}`;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    for (const head of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.title = "sort";
      button.addEventListener("click", () => sort(table, head));
      head.append(button);
    }
    if (table.tBodies[0].rows.length < 6) continue;
    const label = document.createElement("label");
    label.className = "filter";
    const input = document.createElement("input");
    input.type = "search";
    input.placeholder = "filter rows, such as: batch 2";
    input.setAttribute("aria-label", "filter rows");
    const count = document.createElement("span");
    input.addEventListener("input", () => (count.textContent = filter(table, input.value)));
    label.append(input, count);
    table.parentElement.before(label);
  }
})();
