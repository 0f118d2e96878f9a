"""What the page does when it is touched: a plot's figures beside the pointer, tables sorted by a column.

Rules: the page is whole without it; it makes no markup out of texts, and asks nothing of any network.  The page's
policy allows this text alone, by its hash.
"""

from __future__ import annotations

from typing import Final

SCRIPT: Final = """
(() => {
  const tip = document.createElement("div");
  tip.className = "tip"; tip.hidden = true; tip.setAttribute("aria-hidden", "true");
  document.body.append(tip);
  const leave = () => {
    tip.hidden = true;
    document.querySelectorAll(".column.on").forEach(column => column.classList.remove("on"));
  };
  for (const plot of document.querySelectorAll("svg.plot")) {
    const told = new Map();
    for (const column of plot.querySelectorAll(".column")) {
      const title = column.querySelector("title");
      if (title) { told.set(column, title.textContent.split("\\n")); title.remove(); }
    }
    const show = event => {
      const column = event.target.closest ? event.target.closest(".column") : null;
      leave();
      if (!told.has(column)) return;
      column.classList.add("on");
      tip.replaceChildren(...told.get(column).map((line, at) => {
        const row = document.createElement(at ? "div" : "b");
        row.textContent = line; row.dir = "auto";
        return row;
      }));
      tip.hidden = false;
      const room = document.documentElement.clientWidth, size = tip.getBoundingClientRect();
      const box = plot.getBoundingClientRect();
      tip.style.left = Math.max(4, Math.min(event.clientX + 12, room - size.width - 4)) + scrollX + "px";
      const above = box.top - size.height - 4;
      tip.style.top = (above < 0 ? box.bottom : above) + scrollY + "px";
    };
    plot.addEventListener("pointermove", show);
    plot.addEventListener("pointerdown", show);
    plot.addEventListener("pointerleave", event => { if (event.pointerType === "mouse") leave(); });
  }
  document.addEventListener("scroll", leave, {passive: true});
  const value = (row, at) => {
    const cell = row.cells[at], text = cell.dataset.v;
    return text === undefined ? cell.textContent : Number(text);
  };
  for (const table of document.querySelectorAll("table.sorts")) {
    const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, at) => {
      const button = document.createElement("button");
      button.type = "button"; button.append(...head.childNodes); head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") !== "descending";
        heads.forEach(each => each.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...body.rows].sort((one, other) => {
          const a = value(one, at), b = value(other, at);
          const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
          return down ? -order : order;
        });
        body.append(...rows);
      });
    });
  }
  addEventListener("beforeprint", () => document.querySelectorAll("details.findings").forEach(d => { d.open = true; }));
})();
"""
