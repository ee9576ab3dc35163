
// Everything but the uploads: tiles, servers, refusals, and what needs attention.

function showSpool({ held, leased, limit, disk_free: free, disk_total: total, reserve }, state) {
  const taken = Math.max(held, leased), share = limit ? taken / limit : 0;
  setText(at("held"), bytes(held));
  setText(at("budget"), limit === null ? "no limit" : "of " + bytes(limit));
  // The budget may be larger than what is free now: somebody else uses the disk too.
  const left = Math.max(0, limit - taken), room = free === null ? left : Math.max(0, free - (reserve ?? 0) - (taken - held));
  const parts = leased > held ? [`${bytes(leased)} promised to uploads`] : [];
  parts.push(`${bytes(left)} left` + (room < left ? `, room for ${bytes(room)} on the disk` : ""));
  setText(at("promised"), limit === null ? "" : parts.join(", "));
  const gauge = at("gauge"), disk = at("disk");
  setWidth(gauge.children[0], share); setWidth(gauge.children[1], limit ? held / limit : 0);
  setAttribute(gauge, "data-level", state === "full" || share >= 0.95 ? "bad" : share >= 0.8 ? "warning" : "good");
  setAttribute(gauge, "aria-valuenow", percent(share)); setAttribute(gauge, "aria-valuetext", `${bytes(taken)} taken, ${percent(share)} percent of the budget`);
  disk.hidden = total === null;
  if (total === null) { setText(at("free"), "The disk does not answer."); return; }
  setWidth(disk.children[0], 1 - free / total); setWidth(disk.children[1], (reserve ?? 0) / total);
  setAttribute(disk, "data-level", free <= (reserve ?? 0) ? "bad" : "good");
  setAttribute(disk, "aria-valuenow", percent(1 - free / total)); setAttribute(disk, "aria-valuetext", `${bytes(free)} of ${bytes(total)} free`);
  setText(at("free"), `Disk: ${bytes(free)} of ${bytes(total)} free, ${bytes(reserve ?? 0)} reserve`);
}

function showLines({ rate: rates, uploads, refused }, now) {
  const most = Math.max(...rates), over = "over the last 15 minutes";
  drawLine(at("count-line"), uploads, `Uploads ${over}: at most ${Math.max(...uploads)}`);
  drawLine(at("rate-line"), rates, `Bytes coming in ${over}: at most ${rate(most)}`);
  drawLine(at("hour-line"), refused, `Refusals ${over}: ${refused.reduce((all, some) => all + some, 0)}`, { bars: true });
  setText(at("rate-most"), most ? `at most ${rate(most)} in 15 min` : "nothing in 15 min");
}

function showPhases({ phases, waiting, uploads }) {
  setText(at("count"), count(uploads));
  const parts = Object.entries(phases || {}).filter(([, number]) => number).map(([phase, number]) => `${count(number)}\u00a0${phase}`);
  const queued = Object.values(waiting || {}).reduce((all, some) => all + some, 0);
  if (queued > (phases?.waiting || 0)) parts.push(`${several(queued, "request", "requests")} in line`);
  setText(at("phases"), parts.join(", "));
}

function showRefusals(refused) {
  const hour = refused.reduce((all, some) => all + some.hour, 0), most = refused.find(some => some.hour);
  setText(at("hour"), count(hour));
  setText(at("hour-most"), most ? `mostly ${most.code}` : "");
  at("unrefused").hidden = refused.length > 0; at("refusal-table").hidden = !refused.length;
  fillTable("refusal-table", refused, ["code", "hour", "total", "advice"], some => {
    const code = make("code", "", some.code), link = make("a", "", code);
    link.href = `help/${encodeURIComponent(some.code)}`;
    // A link takes no token along: where one is asked for, it would lead to a 401.
    const cells = [makeCell("wide-cell", feed.token ? code : link), makeCell("number", count(some.hour)), makeCell("number", count(some.total)), makeCell("wrap wide-cell", some.advice)];
    cells[1].dataset.label = "last hour"; cells[2].dataset.label = "since the start";
    return makeRow(...cells);
  });
}

function showServers(servers) {
  fillTable("server-table", servers, ["upstream", "server", "up", "state", "reason", "inflight", "slots", "drain_rate"], server => {
    // What its probe says, and how the workers have it (ejected, returning, draining) where that is not the same.
    const state = server.up ? server.state || "up" : server.state === "draining" ? "draining" : "down";
    const health = make("span", !server.up ? "down" : state === "up" ? "up" : "part", state);
    const slots = makeCell("slots", server.slots === null ? `${count(server.inflight)}, no limit known` : `${count(server.inflight)} of ${count(server.slots)}`);
    if (server.slots) {
      const fill = make("i", "held"), gauge = make("div", "gauge", fill);
      setWidth(fill, server.inflight / server.slots); gauge.setAttribute("aria-hidden", "true");
      slots.append(gauge);
    }
    slots.dataset.label = "slots";
    const drain = makeCell("number", server.drain_rate ? rate(server.drain_rate) : "not known yet");
    drain.dataset.label = "takes bodies at";
    return makeRow(makeCell("name", make("span", "mono", server.server), make("small", "", server.upstream)), makeCell("wrap wide-cell", health, make("small", "", server.reason)), slots, drain);
  });
}

// A table is written anew only where one of the named values has changed: a screen reader keeps its place.
function fillTable(id, things, names, row) {
  const table = at(id), seen = JSON.stringify(things.map(thing => names.map(name => thing[name])));
  if (table.seen === seen) return;
  table.seen = seen;
  table.tBodies[0].replaceChildren(...things.map(row));
}

function showNotices(notices) {
  const place = at("notices"), seen = JSON.stringify(notices);
  if (place.seen === seen) return;
  place.seen = seen;
  place.hidden = !notices.length;
  place.firstElementChild.replaceChildren(...notices.map(notice => {
    const item = make("li", "", make("b", "", notice.title), notice.text);
    item.dataset.level = notice.level;
    return item;
  }));
}
