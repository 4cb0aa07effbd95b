// Copyright The KubeEdge Authors. SPDX-License-Identifier: Apache-2.0

import { Link } from "./link.js";
import { Screen } from "./screen.js";

const STALE = 2000; // ms without media: the picture is not live
const QUIET = 3500; // ms without a pointer: the controls go away
const $ = (id) => document.getElementById(id);
const video = $("video");
const stage = $("stage");

// A ticket is of no use to whoever is shown the address; the page itself goes on with its cookie.
const opened = new URL(location.href);
if (opened.searchParams.has("ticket")) {
  const shown = new URL(opened);
  shown.searchParams.delete("ticket");
  history.replaceState(null, "", shown);
}

/** sameStream is this page's URL with another format: whatever else the query said (a ticket) goes along. */
function sameStream(format) {
  const url = new URL(opened);
  url.hash = "";
  if (format) url.searchParams.set("format", format);
  else url.searchParams.delete("format");
  return url;
}

// What is known. render() makes the page out of it.
const now = {
  linked: false, // the WebSocket is open
  everLinked: false,
  problem: "", // why it is not
  status: null, // output.Status
  mime: "",
  playable: true,
  picture: false, // there has been one
  mediaAt: 0, // when the newest media came
  held: false, // paused here
  bytes: [], // [{at, size}] of the last seconds
  sync: null, // {pts, arrived, delay}
  clock: [], // server's clock minus ours in ms, the newest ones
  captured: 0, // when the visible picture was captured, by our clock
};

// ---- the state in words ----

function ago(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

/** describe returns the state (as in player.css), the pill's word, and the notice. */
function describe() {
  const fresh = now.picture && performance.now() - now.mediaAt < STALE;
  const picture = now.picture ? `The picture is ${ago(age())} old.` : "";
  const { state, reason = "", message = "" } = now.status ?? {};
  const says = message || reason;
  const lines = (...all) => all.filter(Boolean).join("\n");
  if (!now.linked) {
    if (!now.everLinked && !now.problem) return ["connecting", "Connecting", "Connecting", ""];
    return ["reconnecting", "Reconnecting", now.picture ? "Reconnecting…" : "No connection", lines(now.problem, picture)];
  }
  if (!now.playable) {
    return ["offline", "Not playable", "This browser cannot play the stream", `It is ${now.mime.split("codecs=")[1]}. Players such as VLC open ${sameStream("mp4")}.`];
  }
  if (state === "paused") return ["paused", "Paused", "The camera is paused", picture];
  if (fresh) {
    if (now.held) return ["held", "Paused here", "", ""];
    return /congest/i.test(`${state} ${reason}`) ? ["congested", "Live, poor link", "", ""] : ["live", "Live", "", ""];
  }
  if (state === "failed") return ["offline", "Camera failed", reason ? `Camera failed: ${words(reason)}` : "Camera failed", lines(message, picture)];
  if (state === "idle") return ["connecting", "Idle", "The camera is not streaming", says || picture];
  if (now.picture) return ["reconnecting", "Reconnecting", "Reconnecting…", lines(says, picture)];
  if (state === "away") return ["offline", "Camera offline", "The camera's node is not connected", says];
  return ["connecting", "Connecting", "Connecting to the camera", says];
}

/** words makes a sentence's part of a CamelCase reason. */
function words(reason) {
  return reason.replace(/([a-z])([A-Z])/g, (_, before, after) => `${before} ${after.toLowerCase()}`).toLowerCase();
}

// ---- numbers ----

function bitrate() {
  const since = performance.now() - 4000;
  while (now.bytes.length > 0 && now.bytes[0].at < since) now.bytes.shift();
  if (now.bytes.length < 2) return "–";
  const span = performance.now() - now.bytes[0].at;
  const bits = (now.bytes.reduce((sum, { size }) => sum + size, 0) * 8000) / Math.max(span, 1000);
  return bits >= 1e6 ? `${(bits / 1e6).toFixed(1)} Mbit/s` : `${Math.round(bits / 1e3)} kbit/s`;
}

/** look takes note of when the visible picture was captured. No clock that somebody may set is involved, but for the way from edge to cloud. */
function look() {
  if (!now.sync || video.readyState < 2) return;
  const visible = now.sync.arrived - now.sync.delay + (video.currentTime - now.sync.pts) * 1000;
  now.captured = visible - Math.max(...now.clock); // the fastest message tells the clocks best
}

/** age is how long ago the visible picture was captured, in ms. */
function age() {
  return Math.max(0, performance.now() - (now.captured || now.mediaAt));
}

function latency() {
  if (!now.captured) return "–";
  const ms = age();
  if (ms >= 10_000) return ago(ms);
  return ms < 1000 ? `${Math.round(ms / 10) * 10} ms` : `${(ms / 1000).toFixed(1)} s`;
}

const CODECS = { avc1: "H.264", avc3: "H.264", hvc1: "H.265", hev1: "H.265", mp4a: "AAC", opus: "Opus" };

function codecs() {
  const list = now.mime.match(/codecs="([^"]*)"/)?.[1].split(",") ?? [];
  return list.map((codec) => CODECS[codec.split(".")[0]] ?? codec).join(", ") || "–";
}

// ---- rendering ----

function set(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text; // screen readers announce changes
}

function icon(button, name, label) {
  button.querySelector("use").setAttribute("href", `#i-${name}`);
  button.setAttribute("aria-label", label);
  button.title = label;
}

function render() {
  look();
  const [state, pill, title, text] = describe();
  stage.dataset.state = state;
  set("state-text", pill);
  $("state").title = now.status?.message ?? "";
  set("notice-title", title);
  set("notice-text", text);
  const live = state === "live" || state === "congested" || state === "held";
  set("latency", live && !now.held ? latency() : "–");
  set("bitrate", live ? bitrate() : "–");
  set("size", video.videoWidth ? `${video.videoWidth}×${video.videoHeight}` : "–");
  set("codecs", codecs());
  const skipped = now.skipped?.map(({ codec, reason }) => `${codec}: ${reason}`).join("\n") ?? "";
  $("codecs").title = skipped && `Left out:\n${skipped}`;
  set("viewers", now.status ? String(now.status.viewers) : "–");
  $("mute").disabled = now.mime !== "" && !/mp4a|opus/.test(now.mime);
  $("snapshot").disabled = !video.videoWidth;
}

function name() {
  const parts = decodeURIComponent(location.pathname).split("/").filter(Boolean);
  const at = parts.indexOf("node");
  const path = `/${parts.slice(at + 3).join("/")}`;
  const namespace = at >= 2 ? `${parts[at - 1]}/` : "";
  set("path", path);
  set("origin", at < 0 ? "" : `${namespace}${parts[at + 2]} on ${parts[at + 1]}`);
  document.title = `${path.slice(1) || "stream"} – live`;
  return parts.slice(at + 1).join("-");
}

// ---- the stream ----

function watch() {
  const link = new Link(sameStream("mse"));
  const screen = new Screen(video);
  let fresh = false; // the next initialization segment is the first of its WebSocket

  link.addEventListener("open", () => {
    // The age of the old picture stays until there is a new one.
    Object.assign(now, { linked: true, everLinked: true, problem: "", sync: null, clock: [] });
    fresh = true;
    render();
  });
  link.addEventListener("lost", ({ detail }) => {
    now.linked = false;
    now.problem = detail.problem ?? now.problem;
    render();
  });
  link.addEventListener("message", ({ detail: message }) => {
    switch (message.type) {
      case "mse":
        now.mime = message.value;
        now.skipped = message.skipped;
        now.playable = screen.canPlay(message.value);
        if (now.playable) screen.begin(message.value, fresh);
        fresh = false;
        break;
      case "status":
        now.status = message.status;
        break;
      case "sync":
        now.sync = message;
        now.clock = [...now.clock.slice(-9), message.clock - performance.now()];
        break;
      case "break":
        screen.goOnAt(message.pts);
        break;
      case "end":
        now.problem = message.reason === "closed" ? "" : `The stream ended: ${message.reason}.`;
        break;
    }
    render();
  });
  link.addEventListener("media", ({ detail: data }) => {
    now.mediaAt = performance.now();
    now.bytes.push({ at: now.mediaAt, size: data.byteLength });
    if (now.playable) screen.append(data);
  });
  screen.addEventListener("overflow", () => link.restart());
  screen.addEventListener("broken", ({ detail }) => {
    console.warn("beginning anew:", detail);
    link.restart();
  });
  screen.addEventListener("blocked", () => ($("begin").hidden = false));
  link.open();
  return { link, screen };
}

/** plain leaves it to the video element, where there are no Media Source Extensions. */
function plain() {
  const begin = () => (video.src = sameStream("mp4"));
  video.addEventListener("error", () => setTimeout(begin, 2000 + Math.random() * 2000));
  video.addEventListener("timeupdate", () => (now.mediaAt = performance.now()));
  Object.assign(now, { linked: true, everLinked: true });
  begin();
  return { link: { retry() {} }, screen: { hold: (held) => (held ? video.pause() : begin()) } };
}

// ---- controls ----

function toast(text) {
  set("menu-result", text);
}

async function control(action) {
  toast("…");
  try {
    const response = await fetch(sameStream(), {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify({ action }),
    });
    const answer = await response.json().catch(() => ({}));
    toast(response.ok ? "Done" : answer.message || `${response.status} ${response.statusText}`);
  } catch {
    toast("No connection");
  }
}

function snapshot(label) {
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob((blob) => {
    const anchor = document.createElement("a");
    anchor.href = URL.createObjectURL(blob);
    anchor.download = `${label}-${new Date().toISOString().replace(/[:.]/g, "-")}.jpg`;
    anchor.click();
    setTimeout(() => URL.revokeObjectURL(anchor.href), 10_000);
  }, "image/jpeg", 0.92);
}

function bind(screen, label) {
  const hold = () => {
    now.held = !now.held;
    screen.hold(now.held);
    icon($("play"), now.held ? "play" : "pause", now.held ? "Go on live (space)" : "Pause here (space)");
    render();
  };
  const mute = () => {
    if (!$("mute").disabled) video.muted = !video.muted;
  };
  const full = () => {
    if (document.fullscreenElement) document.exitFullscreen();
    else if (stage.requestFullscreen) stage.requestFullscreen().catch(() => {});
    else video.webkitEnterFullscreen?.(); // iPhones
  };
  const menu = (open) => {
    $("menu").hidden = !open;
    $("control").setAttribute("aria-expanded", String(open));
    if (open) toast("");
  };

  $("play").onclick = hold;
  $("mute").onclick = mute;
  $("full").onclick = full;
  $("snapshot").onclick = () => snapshot(label);
  $("begin").onclick = () => {
    $("begin").hidden = true;
    screen.hold(false);
  };
  $("control").onclick = () => menu($("menu").hidden);
  $("menu").onclick = ({ target }) => {
    const { action } = target.closest("button")?.dataset ?? {};
    if (action) control(action);
  };
  video.ondblclick = full;
  video.addEventListener("playing", () => ($("begin").hidden = true));
  video.addEventListener("loadeddata", () => {
    now.picture = true;
    render();
  });
  video.addEventListener("volumechange", () => {
    icon($("mute"), video.muted ? "muted" : "sound", video.muted ? "Sound on (m)" : "Sound off (m)");
  });
  document.addEventListener("fullscreenchange", () => {
    const on = Boolean(document.fullscreenElement);
    icon($("full"), on ? "window" : "full", on ? "Leave full screen (f)" : "Full screen (f)");
  });
  document.addEventListener("click", ({ target }) => {
    if (!target.closest("#menu, #control")) menu(false);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === "Escape" && !$("menu").hidden) {
      menu(false);
      $("control").focus();
    }
    if (event.target.closest("button") && event.key === " ") return; // presses that button
    const act = { " ": hold, m: mute, f: full }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });

  let quiet = 0;
  const stir = () => {
    stage.classList.remove("quiet");
    clearTimeout(quiet);
    quiet = setTimeout(() => $("menu").hidden && stage.classList.add("quiet"), QUIET);
  };
  for (const type of ["pointermove", "pointerdown", "keydown"]) document.addEventListener(type, stir);
  stir();
}

const label = name();
const { screen } = Screen.supported ? watch() : plain();
bind(screen, label);
render();
setInterval(render, 500);
