
// Ending an upload: asked for once more, with its name, and told what came of it.

let asked = null;

function askToCancel(upload) {
  // Its key now: the row may be another upload's by the time of the answer.
  asked = upload.key;
  setText(at("confirm-name"), upload.title === upload.path ? upload.method + " " + upload.path : upload.title);
  setText(at("confirm-fault"), "");
  at("confirm").showModal();
}

async function cancelAsked() {
  const fault = await feed.call(`uploads/${encodeURIComponent(asked)}/cancel`);
  if (fault) { setText(at("confirm-fault"), fault); return; }
  at("confirm").close();
  announce("The upload is cancelled.");
}

at("keep").addEventListener("click", () => at("confirm").close());
at("cancel").addEventListener("click", cancelAsked);
