
// The connection: events by fetch, not by EventSource, which can send no token and tells no status.

class Feed {
  // `listener` has whole(status), change(status), lost(text, seconds) and ask(wrong).
  constructor(listener) {
    this.listener = listener; this.pause = 1; this.paused = false;
    // The token (admin.token) stays in this page's memory: not in the address, nor in any storage.
    this.token = decodeURIComponent((location.hash.match(/^#token=(.+)$/) || ["", ""])[1]);
    if (this.token) history.replaceState(null, "", location.pathname);
  }
  async run() {
    for (;;) {
      if (this.paused) return;
      const text = await this.listen();
      if (this.paused || text === null) return;
      this.listener.lost(text, this.pause);
      await new Promise(wake => setTimeout(wake, 1000 * this.pause));
      this.pause = Math.min(10, 2 * this.pause);
    }
  }
  // One connection to its end: why it ended, or null where a person has to do something first.
  async listen() {
    this.aborter = new AbortController();
    try {
      const headers = this.token ? { Authorization: "Bearer " + this.token } : {};
      const answer = await fetch("events", { headers, cache: "no-store", signal: this.aborter.signal });
      if (answer.status === 401) { this.listener.ask(Boolean(this.token)); return null; }
      if (answer.status === 503) return "Too many pages watch this shim already.";
      if (!answer.ok) return `The shim answers ${answer.status}.`;
      await this.read(answer.body.pipeThrough(new TextDecoderStream()).getReader());
      return "The connection has ended.";
    } catch (error) {
      return "The shim does not answer.";
    } finally { clearTimeout(this.watch); }
  }
  async read(reader) {
    let unread = "";
    for (;;) {
      // An event comes every second: without any for long the line is dead, whatever TCP says.
      clearTimeout(this.watch);
      this.watch = setTimeout(() => this.aborter.abort(), 15000);
      const { value, done } = await reader.read();
      if (done) return;
      const events = (unread + value).split("\n\n");
      unread = events.pop();
      for (const event of events) this.take(event);
    }
  }
  take(event) {
    const [, name, data] = event.match(/^event: (\w+)\ndata: (.*)$/) || [];
    if (!name) return;
    this.pause = 1;
    // A fault of this page is no fault of the line: it goes to the console, and the next event is taken.
    try { this.listener[name](JSON.parse(data)); } catch (error) { reportError(error); }
  }
  // Have something changed: nothing where it was done, else why it was not.
  async call(path) {
    try {
      const answer = await fetch(path, { method: "POST", headers: { Authorization: "Bearer " + this.token } });
      if (answer.ok) return "";
      const told = await answer.text();
      try { return JSON.parse(told).detail || told; } catch { return told || `The shim answers ${answer.status}.`; }
    } catch { return "The shim does not answer."; }
  }
  hold() { this.paused = true; this.aborter?.abort(); }
  go() { this.paused = false; this.pause = 1; this.run(); }
}
