// Tables that do not fit are stacked (site.css), and each cell says which column it is of.
const tables = [...document.querySelectorAll(".md-content table:not([class])")];

function stackWhereTooWide() {
  for (const table of tables) {
    delete table.dataset.stacked;
    const room = table.closest(".md-content__inner").clientWidth;
    if (table.scrollWidth > table.clientWidth + 1 || table.offsetWidth > room) table.dataset.stacked = "";
  }
}

for (const table of tables) {
  const columns = [...table.querySelectorAll("thead th")].map(heading => heading.textContent.trim());
  for (const row of table.tBodies[0]?.rows ?? []) {
    [...row.cells].forEach((cell, index) => {
      if (index && columns[index]) cell.dataset.column = columns[index];
    });
  }
}
stackWhereTooWide();
addEventListener("resize", stackWhereTooWide);
