// Copyright The KubeEdge Authors. SPDX-License-Identifier: Apache-2.0

// iPhones have only the managed one.
const Source = window.MediaSource ?? window.ManagedMediaSource;

// Seconds.
const KEEP = 15; // of past media, when trimming
const KEEP_MOST = 30;
const LEAST_CUSHION = 0.2; // media ahead of the picture, against jitter
const MOST_CUSHION = 1.5;
const BEHIND = 0.35; // above the cushion: play faster
const FAR_BEHIND = 1; // play faster still
const TOO_FAR_BEHIND = 2; // jump
const SETTLING = 1500; // ms after a start or a silence in which to jump rather: a burst comes, of what was kept
const SILENCE = 1000; // ms

const QUEUE_BYTES = 16 << 20;
const JOIN_BYTES = 1 << 20; // fragments to append at once

/**
 * Screen feeds a video element from segments and keeps it at the live edge.
 *
 * Events: "overflow" (the browser does not keep up: begin anew), "broken" (detail: text; the decoder gave up: begin anew),
 * "blocked" (the browser wants a click before it plays).
 */
export class Screen extends EventTarget {
  #video;
  #source = null;
  #buffer = null;
  #queue = []; // {data} | {mime} | {clear: true}
  #queued = 0; // bytes
  #cushion = LEAST_CUSHION;
  #jump = true; // to the live edge with the next media
  #settled = 0; // when it counts as started
  #appended = 0; // when the newest media came
  #held = false;
  #mime = "";
  #breakAt = null; // presentation time behind a break, until there are media of it

  static supported = Boolean(Source);

  constructor(video) {
    super();
    this.#video = video;
    video.disableRemotePlayback = true; // ManagedMediaSource insists
    video.addEventListener("waiting", () => {
      if (!this.#held && !this.#jump && this.ahead < LEAST_CUSHION / 2) this.#cushion = Math.min(this.#cushion * 1.5, MOST_CUSHION);
    });
    video.addEventListener("error", () => {
      if (!this.#source) return;
      const text = video.error?.message || "The picture cannot be decoded";
      this.#detach();
      this.#emit("broken", text);
    });
    setInterval(() => this.#chase(), 250);
    setInterval(() => (this.#cushion = Math.max(this.#cushion * 0.9, LEAST_CUSHION)), 10_000);
    document.addEventListener("visibilitychange", () => this.#chase());
  }

  /** canPlay says whether the browser decodes this media type. */
  canPlay(mime) {
    return Source.isTypeSupported(mime);
  }

  /** begin prepares for an initialization segment. With fresh set, what came before it is forgotten, but stays visible. */
  begin(mime, fresh) {
    if (fresh) {
      this.#drop();
      this.#jump = true;
    }
    if (!this.#source || this.#source.readyState === "closed") this.#attach();
    if (fresh) this.#push({ clear: true });
    this.#push({ mime });
  }

  /** append takes an initialization segment or a fragment. */
  append(data) {
    if (!this.#source) return;
    if (this.#queued + data.byteLength > QUEUE_BYTES) {
      this.#drop();
      this.#emit("overflow");
      return;
    }
    const now = performance.now();
    if (now - this.#appended > SILENCE) this.#settled = now + SETTLING;
    this.#appended = now;
    this.#push({ data });
  }

  /** goOnAt says that the next media begin at that presentation time in seconds, behind a break: go there when they are here. */
  goOnAt(pts) {
    this.#breakAt = pts;
  }

  /** hold pauses the picture here, or goes on at the live edge. */
  hold(held) {
    this.#held = held;
    if (held) {
      this.#video.pause();
    } else {
      this.#jump = true;
      this.#chase();
    }
  }

  // drop forgets what has not been appended yet.
  #drop() {
    this.#queue = [];
    this.#queued = 0;
    this.#breakAt = null;
  }

  #attach() {
    const source = new Source();
    this.#source = source;
    this.#buffer = null;
    this.#mime = "";
    source.addEventListener("sourceopen", () => {
      URL.revokeObjectURL(this.#video.src);
      this.#work();
    }, { once: true });
    this.#video.src = URL.createObjectURL(source);
  }

  #detach() {
    this.#drop();
    this.#source = this.#buffer = null;
    this.#jump = true;
  }

  #push(job) {
    this.#queue.push(job);
    this.#queued += job.data?.byteLength ?? 0;
    this.#work();
  }

  // work does the next job, if the buffer is free. Its updateend does the one after that.
  #work() {
    const source = this.#source;
    while (source?.readyState === "open" && this.#queue.length > 0 && !this.#buffer?.updating) {
      const job = this.#queue[0];
      try {
        if (job.mime && this.#counts(job.mime)) {
          this.#attach();
          this.#jump = true;
          return; // the rest of the queue is for the new source
        }
        if (job.mime) this.#change(job.mime);
        else if (job.clear) this.#clear();
        else if (this.#buffer) this.#buffer.appendBuffer(this.#join());
      } catch (error) {
        if (error.name === "QuotaExceededError" && this.#trim(1)) return; // tries again
        this.#detach();
        this.#emit("broken", error.message);
        return;
      }
      this.#queued -= this.#queue.shift().data?.byteLength ?? 0;
    }
  }

  // counts says whether the number of tracks is another now: a SourceBuffer insists on the one that it began with.
  #counts(mime) {
    return this.#buffer && mime.split(",").length !== this.#mime.split(",").length;
  }

  #change(mime) {
    if (!this.#buffer) {
      this.#buffer = this.#source.addSourceBuffer(mime);
      this.#buffer.addEventListener("updateend", () => {
        this.#chase();
        if (!this.#trim(KEEP_MOST)) this.#work();
      });
    } else if (mime !== this.#mime) {
      this.#buffer.changeType(mime);
    }
    this.#mime = mime;
  }

  #clear() {
    if (!this.#buffer) return;
    this.#buffer.abort(); // half a segment may be in its parser
    this.#buffer.remove(0, Infinity);
  }

  // join puts the fragments at the head of the queue together into the first one: after a stall there are many.
  #join() {
    let size = 0;
    let count = 0;
    while (this.#queue[count]?.data && (count === 0 || size + this.#queue[count].data.byteLength <= JOIN_BYTES)) {
      size += this.#queue[count++].data.byteLength;
    }
    if (count === 1) return this.#queue[0].data;
    const joined = new Uint8Array(size);
    let at = 0;
    for (const { data } of this.#queue.splice(0, count)) {
      joined.set(new Uint8Array(data), at);
      at += data.byteLength;
    }
    this.#queue.unshift({ data: joined });
    return joined;
  }

  // trim removes old media when there are more than most seconds of them, and says whether it does.
  #trim(most) {
    const { currentTime } = this.#video;
    const ranges = this.#buffer.buffered;
    if (ranges.length === 0 || this.#buffer.updating) return false;
    const end = currentTime - Math.min(KEEP, most);
    if (end <= ranges.start(0) || currentTime - ranges.start(0) <= most) return false;
    this.#buffer.remove(0, end);
    return true;
  }

  /** ahead is how many seconds of media there are beyond the picture. */
  get ahead() {
    const edge = this.#edge();
    return edge ? edge.end - this.#video.currentTime : 0;
  }

  #edge() {
    const ranges = this.#buffer?.buffered;
    const last = (ranges?.length ?? 0) - 1;
    return last < 0 ? null : { start: ranges.start(last), end: ranges.end(last) };
  }

  // chase keeps the picture at the live edge: a little faster when it is behind, with a jump when it is far
  // behind or where there are no media.
  #chase() {
    const video = this.#video;
    const edge = this.#source && this.#edge();
    if (!edge || this.#held || video.seeking) return;
    const ahead = edge.end - video.currentTime;
    if (this.#breakAt !== null && edge.end > this.#breakAt) {
      this.#breakAt = null;
      this.#jump = true;
    }
    if (this.#jump) this.#settled = performance.now() + SETTLING;
    const tooFar = performance.now() < this.#settled ? this.#cushion + BEHIND : TOO_FAR_BEHIND;
    if (this.#jump || ahead > tooFar || ahead < 0 || video.currentTime < edge.start) {
      this.#jump = false;
      video.currentTime = Math.max(edge.start, edge.end - this.#cushion);
      video.playbackRate = 1;
    } else if (ahead > this.#cushion + FAR_BEHIND) {
      video.playbackRate = 1.2;
    } else if (ahead > this.#cushion + BEHIND) {
      video.playbackRate = 1.1;
    } else if (ahead <= this.#cushion + BEHIND / 4) {
      video.playbackRate = 1;
    }
    if (video.paused) {
      video.play().catch((error) => error.name === "NotAllowedError" && this.#emit("blocked"));
    }
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
