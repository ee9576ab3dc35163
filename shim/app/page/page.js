
// The page: events in, what a person sees out.

const STATES = { idle: "Idle", busy: "Busy", full: "Full", broken: "Not ready", draining: "Draining", lost: "No connection", locked: "Locked", paused: "Paused" };
const uploads = new UploadList(), received = new Speed();

function setState(state, summary) {
  if (document.body.dataset.state !== state) announce(STATES[state] || "");
  document.body.dataset.state = state;
  setText(at("state"), STATES[state] || "Connecting"); setText(at("summary"), summary);
  document.title = (state === "idle" || state === "busy" ? "" : (STATES[state] || "") + " – ") + "glance-shim";
}

// What is told aloud: changes of the state and new notices, never the numbers that change every second.
let announced = new Set();
function announce(text) { setText(at("announcement"), text); }
function announceNotices(notices) {
  const fresh = notices.filter(notice => !announced.has(notice.title));
  announced = new Set(notices.map(notice => notice.title));
  if (fresh.length) announce(fresh.map(notice => `${notice.title}. ${notice.text}`).join(" "));
}

function summarize(status) {
  const number = uploads.all.size;
  if (status.state === "broken") return (status.notices[0] || { title: "" }).title;
  if (status.state === "idle") return "ready, no upload under way";
  if (!number) return "no upload under way";
  return `${several(number, "upload", "uploads")} under way`;
}

function showStatus(status) {
  received.add(status.at, status.received);
  uploads.show(status.at);
  setState(status.state, summarize(status));
  setText(at("about"), `version ${status.version}, ${several(status.workers, "worker", "workers")}`);
  setText(at("rate"), rate(received.value ?? 0));
  showNotices(status.notices); announceNotices(status.notices);
  showSpool(status.spool, status.state);
  showPhases({ phases: status.phases, waiting: status.waiting, uploads: uploads.all.size });
  showLines(status.history);
  showServers(status.servers);
  showRefusals(status.refused);
}

const feed = new Feed({
  whole(status) {
    at("ask").hidden = true; document.body.toggleAttribute("data-may-cancel", Boolean(feed.token));
    uploads.begin(status.uploads, status.at); showStatus(status);
  },
  change(status) { uploads.change(status, status.at); showStatus(status); },
  lost(text, seconds) { setState("lost", `${text} Trying again in ${seconds} s.`); },
  ask(wrong) {
    setState("locked", "a token is needed");
    setText(at("wrong"), wrong ? "That token is not the right one." : "");
    at("ask").hidden = false; at("token").focus();
  },
});
at("ask").addEventListener("submit", event => {
  event.preventDefault();
  feed.token = at("token").value; at("token").value = "";
  feed.go();
});
at("pause").addEventListener("click", () => {
  const pauses = !feed.paused;
  at("pause").setAttribute("aria-pressed", String(pauses));
  if (pauses) { feed.hold(); setState("paused", "the numbers stand still"); } else feed.go();
});
feed.run();
