// The cursor of a film follows its video; a click, a drag, or a button of a stretch in `around` moves the video.
function follow(film, around = film) {
  const video = film.querySelector("video"), rows = film.querySelector(".rows");
  if (!video) return;
  const seconds = parseFloat(rows.dataset.seconds), cursor = rows.querySelector(".cursor");
  const show = () => {
    const now = video.currentTime;
    cursor.style.left = Math.min(100, 100 * now / seconds) + "%";
    for (const row of rows.querySelectorAll(".row")) {
      const here = [...row.querySelectorAll("[data-label]")].filter((each) => each.dataset.start <= now && now < each.dataset.end);
      row.previousElementSibling.querySelector("b").textContent = here.map((each) => each.dataset.label).join(", ");
    }
    if (!video.paused) requestAnimationFrame(show);
  };
  for (const name of ["play", "seeked", "pause", "loadedmetadata"]) video.addEventListener(name, show);
  const seek = (event) => {
    const box = rows.getBoundingClientRect();
    video.currentTime = Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * seconds;
  };
  rows.addEventListener("pointerdown", (event) => { seek(event); rows.setPointerCapture(event.pointerId); });
  rows.addEventListener("pointermove", (event) => { if (event.buttons) seek(event); });
  for (const button of around.querySelectorAll("button[data-seek]"))
    button.addEventListener("click", () => { video.currentTime = parseFloat(button.dataset.seek); });
}
