// Copyright The KubeEdge Authors. SPDX-License-Identifier: Apache-2.0

const FIRST_DELAY = 500; // ms
const LONGEST_DELAY = 15_000;
const SILENCE = 15_000; // the server says something every 5 s, so the connection is dead

/**
 * Link is a WebSocket that comes back by itself, with a growing delay and jitter.
 *
 * Events: "open", "message" (detail: the parsed JSON), "media" (detail: an ArrayBuffer),
 * "lost" (detail: {delay in ms, problem: text or null}).
 */
export class Link extends EventTarget {
  #url;
  #socket = null;
  #timer = 0;
  #failures = 0;
  #heard = 0;
  opened = false;

  constructor(url) {
    super();
    this.#url = url;
    addEventListener("online", () => this.retry());
    setInterval(() => this.opened && performance.now() - this.#heard > SILENCE && this.restart(), 2000);
    addEventListener("pagehide", () => this.#drop());
    addEventListener("pageshow", (event) => event.persisted && this.retry());
  }

  open() {
    clearTimeout(this.#timer);
    this.#drop();
    const url = new URL(this.#url);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    socket.onopen = () => {
      this.opened = true;
      this.#heard = performance.now();
      socket.send(JSON.stringify({ type: "mse" }));
      this.#emit("open");
    };
    socket.onmessage = ({ data }) => {
      this.#heard = performance.now();
      if (typeof data === "string") {
        this.#emit("message", JSON.parse(data));
      } else {
        this.#failures = 0; // only media prove that it works
        this.#emit("media", data);
      }
    };
    socket.onclose = () => this.#lost(socket);
  }

  /** restart opens a new WebSocket now, for a fresh start at the newest random access point. */
  restart() {
    const socket = this.#socket;
    this.#drop();
    this.#lost(socket);
  }

  /** retry ends the waiting for the next attempt. */
  retry() {
    if (!this.#socket) this.open();
  }

  #drop() {
    const socket = this.#socket;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    this.#socket = null;
    this.opened = false;
  }

  async #lost(socket) {
    if (this.#socket && this.#socket !== socket) return;
    const neverOpen = !this.opened;
    this.#socket = null;
    this.opened = false;
    const longest = Math.min(FIRST_DELAY * 2 ** this.#failures++, LONGEST_DELAY);
    const delay = longest * (0.5 + Math.random() / 2);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.open(), delay);
    this.#emit("lost", { delay, problem: null });
    if (neverOpen) {
      const problem = await this.#ask();
      if (problem && !this.opened) this.#emit("lost", { delay, problem });
    }
  }

  // A WebSocket that is refused does not say why; a plain request for the same does.
  async #ask() {
    try {
      const response = await fetch(this.#url, { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(5000) });
      if (response.status < 401) return null; // 400 asks for a WebSocket
      const status = await response.json().catch(() => ({}));
      return status.message || `${response.status} ${response.statusText}`;
    } catch {
      return null;
    }
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
