
// The uploads: what is known of each, which of them are shown, and their rows.

const PLACES = { receive: "receiving", queue: "waiting", connect: "forwarding", send: "forwarding", wait: "forwarding", respond: "forwarding" };
const WORDS = { receive: "receiving", queue: "waiting for a server", connect: "connecting", send: "sending", wait: "being stored", respond: "answering" };
const STEP = 100;

class Upload {
  constructor(told, now) { this.speed = new Speed(); this.tell(told, now); this.began = now - told.age; }
  tell({ key, id, method, path, project, image, bytes, length, phase }, now) {
    Object.assign(this, { key, id, method, path, project, image, bytes, length, phase, words: null });
    this.speed.add(now, bytes);
  }
  move([, bytes, length, phase], now) { this.bytes = bytes; this.length = length; this.phase = phase; this.speed.add(now, bytes); }
  age(now) { return now - this.began; }
  pace(now) { return this.speed.value ?? (this.age(now) > 0 ? this.bytes / this.age(now) : 0); }
  get share() { return this.length ? this.bytes / this.length : this.length === 0 ? 1 : null; }
  get title() { return this.image || this.path; }
  get shortPath() { return this.image ? this.path.replaceAll(this.image, "…") : this.path; }
  get haystack() { return this.words ??= [this.path, this.image, this.project, this.id, this.method].join("\n").toLowerCase(); }
}

const ORDERS = {
  name: (a, b) => a.title < b.title ? -1 : a.title > b.title ? 1 : 0,
  project: (a, b) => a.project < b.project ? -1 : a.project > b.project ? 1 : 0,
  phase: (a, b) => Object.keys(WORDS).indexOf(a.phase) - Object.keys(WORDS).indexOf(b.phase),
  share: (a, b) => (a.share ?? -1) - (b.share ?? -1) || a.bytes - b.bytes,
  rate: (a, b, now) => a.pace(now) - b.pace(now),
  age: (a, b) => b.began - a.began,
};

class UploadRow {
  constructor() {
    this.name = make("span", "mono"); this.path = make("small", "");
    this.project = make("span", "clip mono"); this.phase = make("span", "phase");
    this.fill = make("i", "held"); this.gauge = make("div", "gauge", this.fill); this.amount = make("small", "");
    this.gauge.setAttribute("role", "progressbar");
    this.gauge.setAttribute("aria-label", "received");
    this.rate = makeCell("number"); this.age = makeCell("number");
    this.element = makeRow(makeCell("name", this.name, this.path), makeCell("", this.project), makeCell("", this.phase),
      makeCell("progress", this.gauge, this.amount), this.rate, this.age, makeCell("act", this.end = make("button", "", "Cancel")));
    this.rate.dataset.label = "rate"; this.age.dataset.label = "age";
    this.end.type = "button";
    this.end.addEventListener("click", () => askToCancel(this.upload));
  }
  show(upload, now) {
    const pace = upload.pace(now), share = upload.share, receives = upload.phase === "receive";
    this.upload = upload;
    setAttribute(this.end, "aria-label", "Cancel the upload " + upload.title);
    setText(this.name, upload.title); setAttribute(this.name, "title", upload.id);
    setText(this.path, upload.method + " " + upload.shortPath); setAttribute(this.path, "title", upload.path);
    setText(this.project, upload.project); setAttribute(this.project, "title", upload.project);
    setText(this.phase, WORDS[upload.phase] || "beginning"); setAttribute(this.phase, "data-phase", PLACES[upload.phase] || "");
    this.gauge.hidden = share === null;
    setAttribute(this.gauge, "data-phase", PLACES[upload.phase] || "");
    if (share !== null) { setScale(this.fill, share); setAttribute(this.gauge, "aria-valuenow", percent(share)); }
    setText(this.amount, describeAmount(upload, pace));
    const stalled = receives && pace === 0 && upload.age(now) > 5;
    setText(this.rate, stalled ? "stalled" : receives ? rate(pace) : "–"); setClass(this.rate, stalled ? "number late" : "number");
    setText(this.age, duration(upload.age(now)));
  }
}

function describeAmount(upload, pace) {
  if (upload.length === null) return bytes(upload.bytes) + ", length not known";
  if (upload.bytes >= upload.length) return bytes(upload.length) + ", all here";
  const left = pace > 0 ? ", " + duration((upload.length - upload.bytes) / pace) + " left" : "";
  return percent(upload.share) + "\u202f% of " + bytes(upload.length) + left;
}

class UploadList {
  constructor() {
    this.all = new Map(); this.rows = []; this.most = STEP; this.words = []; this.order = "age"; this.falls = true;
    this.body = at("upload-table").tBodies[0];
    at("search").addEventListener("input", event => { this.words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean); this.most = STEP; this.show(); });
    at("more").addEventListener("click", () => { this.most += STEP; this.show(); });
    for (const head of document.querySelectorAll("#upload-table th")) head.firstElementChild.addEventListener("click", () => this.sortBy(head.dataset.sort));
  }
  begin(uploads, now) {
    const known = this.all;
    this.all = new Map(uploads.map(told => [told.key, this.keep(known.get(told.key), told, now)]));
  }
  keep(upload, told, now) { if (!upload) return new Upload(told, now); upload.tell(told, now); return upload; }
  change({ new: added, moved, gone }, now) {
    for (const key of gone) this.all.delete(key);
    for (const told of added) this.all.set(told.key, this.keep(this.all.get(told.key), told, now));
    const seen = new Set(moved.map(row => { this.all.get(row[0])?.move(row, now); return row[0]; }));
    for (const [key, upload] of this.all) if (!seen.has(key)) upload.speed.add(now, upload.bytes);
  }
  sortBy(order) {
    this.falls = this.order === order ? !this.falls : order !== "name" && order !== "project";
    this.order = order;
    this.show();
  }
  show(now = this.now) {
    this.now = now;
    const found = [...this.all.values()].filter(upload => this.words.every(word => upload.haystack.includes(word)));
    const compare = ORDERS[this.order], sign = this.falls ? -1 : 1;
    // By key where they are equal, or rows would change places for nothing.
    found.sort((a, b) => sign * compare(a, b, now) || (a.key < b.key ? -1 : 1));
    this.draw(found.slice(0, this.most), now);
    this.say(found.length);
  }
  draw(shown, now) {
    while (this.rows.length < shown.length) { const row = new UploadRow(); this.rows.push(row); this.body.append(row.element); }
    while (this.rows.length > shown.length) this.rows.pop().element.remove();
    shown.forEach((upload, place) => this.rows[place].show(upload, now));
  }
  say(found) {
    const all = this.all.size, shown = Math.min(found, this.most);
    setText(at("shown"), !all ? "" : found < all ? `${count(found)} of ${count(all)} match` : shown < found ? `${count(shown)} of ${count(found)} shown` : count(all));
    at("none").hidden = found > 0; at("upload-table").hidden = !found;
    setText(at("none"), all ? "No upload matches the search." : "No upload is under way.");
    at("more").hidden = found <= this.most; setText(at("more"), `Show ${Math.min(STEP, found - shown)} more`);
    for (const head of document.querySelectorAll("#upload-table th")) {
      if (head.dataset.sort === this.order) setAttribute(head, "aria-sort", this.falls ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
  }
}
