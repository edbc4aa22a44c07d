"use strict";
(() => {
  const form = document.querySelector(".filters");
  if (!form) return;
  document.documentElement.classList.add("scripted");
  const au = document.getElementById("filter-au");
  const apart = document.getElementById("filter-contradicted");
  const count = document.getElementById("count");
  const cards = [...document.querySelectorAll(".card")];

  const names = (card, list) => card.dataset[list].split(" ").filter(Boolean);

  // Right and wrong are of the chosen name; of all of them where none is chosen.
  function fits(card, unit, verdict) {
    const wrong = names(card, "wrong");
    const contradicted = names(card, "contradicted");
    const isWrong = unit ? wrong.includes(unit) : wrong.length > 0;
    const isApart = unit ? contradicted.includes(unit) : contradicted.length > 0;
    if (unit && !names(card, "active").includes(unit)) return false;
    if (verdict && (verdict === "wrong") !== isWrong) return false;
    return !apart.checked || isApart;
  }

  // Where a name is chosen, the face itself shows where the model looks for it.
  function showAttention(card, unit) {
    const photo = card.querySelector(":scope > .photo");
    const map = unit && card.querySelector(`.attention [data-au="${unit}"] img`);
    if (!photo) return;
    photo.replaceChildren(...(map ? [map.cloneNode()] : []));
  }

  function update() {
    const verdict = form.elements.verdict.value;
    let shown = 0;
    for (const card of cards) {
      card.hidden = !fits(card, au.value, verdict);
      shown += !card.hidden;
      showAttention(card, au.value);
    }
    count.textContent = `${shown} of ${cards.length} faces`;
  }

  form.addEventListener("change", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  update();
})();
