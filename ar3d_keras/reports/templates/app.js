// The page of `ar3d app`: sends videos, shows their progress and answers, and sends corrections.
const POLL = 400;  // milliseconds
const drop = document.getElementById("drop"), chooser = document.getElementById("file");
const cards = document.getElementById("cards"), refused = document.getElementById("refused");
const maxBytes = Number(document.body.dataset.maxBytes);
const say = (element, text) => { element.textContent = text; element.hidden = !text; };

async function answered(response) {
  const content = await response.json().catch(() => null);
  if (response.ok && content) return content;
  throw new Error(content?.error ?? `The server answered ${response.status}.`);
}

const GONE = "The server does not answer: is `ar3d app` still running?";
async function request(url, options) {
  let response;
  try { response = await fetch(url, options); } catch { throw new Error(GONE); }
  return answered(response);
}

function take(files) {
  say(refused, "");
  const videos = [...files];
  for (const file of videos) {
    if (file.size === 0) say(refused, `${file.name} is empty, or a folder: drop a video file.`);
    else if (file.size > maxBytes) say(refused, `${file.name} is too large: ${Math.ceil(file.size / 1e6)} MB, and this server takes ${Math.floor(maxBytes / 1e6)} MB.`);
    else send(file);
  }
}

function send(file) {
  const card = document.getElementById("card").content.firstElementChild.cloneNode(true);
  card.querySelector("h2").textContent = file.name;
  cards.prepend(card);
  const work = { card, id: null, gone: false, upload: new XMLHttpRequest() };
  card.querySelector(".remove").addEventListener("click", () => remove(work));
  progress(work, "uploading", 0);
  const upload = work.upload;
  upload.open("POST", "videos?name=" + encodeURIComponent(file.name));
  upload.setRequestHeader("Content-Type", "application/octet-stream");
  upload.upload.addEventListener("progress", (event) => {
    if (event.lengthComputable) progress(work, "uploading", event.loaded / event.total);
  });
  upload.addEventListener("error", () => fail(work, GONE));
  upload.addEventListener("load", () => {
    let content = null;
    try { content = JSON.parse(upload.responseText); } catch { /* not of this server */ }
    if (upload.status !== 202) return fail(work, content?.error ?? `The server answered ${upload.status}.`);
    work.id = content.id;
    watch(work);
  });
  upload.send(file);
}

function progress(work, text, share) {
  work.card.querySelector(".state").textContent = share === null ? `${text} …` : `${text} … ${Math.round(100 * share)} %`;
  const bar = work.card.querySelector("progress");
  if (share === null) bar.removeAttribute("value"); else bar.value = share;
}

function fail(work, text) {
  work.card.querySelector(".work").hidden = true;
  say(work.card.querySelector(".error"), text);
}

async function watch(work) {
  const url = "videos/" + work.id;
  let shown = false;
  try {
    while (!work.gone) {
      const status = await request(url);
      if (work.gone) return;
      if (status.state === "failed") return fail(work, status.error);
      if (status.answered && !shown) { shown = true; await show(work, url); }
      if (status.state === "done") break;
      const ahead = status.ahead === 1 ? "waiting for 1 other video" : `waiting for ${status.ahead} other videos`;
      progress(work, status.state === "waiting" ? ahead : status.state, status.total ? status.done / status.total : null);
      await new Promise((resolve) => setTimeout(resolve, POLL));
    }
    if (!work.gone) finish(work, url);
  } catch (error) {
    if (!work.gone) fail(work, error.message);
  }
}

async function show(work, url) {
  let response;
  try { response = await fetch(url + "/answer"); } catch { throw new Error(GONE); }
  if (!response.ok) return answered(response);
  const answer = work.card.querySelector(".answer");
  answer.innerHTML = await response.text();  // the server escapes every name in it
  follow(answer.querySelector(".film"), answer);
  const form = answer.querySelector(".correction");
  form.by.value = localStorage.getItem("ar3d-name") ?? "";
  form.addEventListener("submit", (event) => { event.preventDefault(); correct(form, url); });
  for (const button of answer.querySelectorAll("[data-seek]"))
    button.addEventListener("click", () => { form.start.value = button.dataset.seek; form.end.value = Number(button.dataset.end).toFixed(2); });
}

function finish(work, url) {
  const card = work.card, overlay = card.querySelector(".overlay");
  card.querySelector(".work").hidden = true;
  const save = card.querySelector(".save");
  save.href = url + "/page";
  save.hidden = false;
  card.dataset.done = "true";
  if (!overlay) return;
  card.querySelector(".drawing").hidden = true;
  overlay.disabled = false;
  const video = card.querySelector("video");
  const choose = () => {
    const at = video.currentTime, playing = !video.paused;
    video.src = url + (overlay.checked ? "/overlay.mp4" : "/video.mp4");
    video.addEventListener("loadedmetadata", () => { video.currentTime = at; if (playing) video.play(); }, { once: true });
  };
  overlay.addEventListener("change", choose);
  overlay.checked = true;
  choose();
}

async function correct(form, url) {
  const sent = form.querySelector(".sent"), button = form.querySelector(".main");
  const seconds = (field) => field.value === "" ? null : Number(field.value);
  const body = { label: form.label.value, by: form.by.value.trim(), start: seconds(form.start), end: seconds(form.end) };
  localStorage.setItem("ar3d-name", body.by);
  button.disabled = true;
  try {
    const done = await request(url + "/correction", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    sent.className = "sent";
    sent.textContent = `Thank you: ${done.text}`;
  } catch (error) {
    sent.className = "sent bad";
    sent.textContent = error.message;
  } finally {
    button.disabled = false;
  }
}

function remove(work) {
  work.gone = true;
  work.upload.abort();
  work.card.remove();
  if (work.id) fetch("videos/" + work.id, { method: "DELETE" }).catch(() => {});
  chooser.focus();
}

chooser.addEventListener("change", () => { take(chooser.files); chooser.value = ""; });
let inside = 0;
addEventListener("dragenter", (event) => { event.preventDefault(); inside++; document.body.classList.add("over"); });
addEventListener("dragleave", () => { if (--inside === 0) document.body.classList.remove("over"); });
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  inside = 0;
  document.body.classList.remove("over");
  if (event.dataTransfer) take(event.dataTransfer.files);
});
