// What HTML and htmx cannot say: dialogs and their focus, words that go by themselves, menus, tabs.
(() => {
  "use strict";
  const byId = (id) => document.getElementById(id);
  const body = () => document.body;
  const origins = new Map(); // id of a dialog → what to focus when it closes
  let asked = null; // what was pressed when the last request began
  let left = {}; // what the dialog that closed last was opened from

  // -- requests -------------------------------------------------------------------------------------------
  addEventListener("htmx:configRequest", ({ detail }) => {
    detail.headers["Muster-Csrf"] = document.querySelector("meta[name=muster-csrf]").content;
    const user = detail.elt.dataset?.user;
    if (user && byId(`row-${user}`)) detail.headers["Muster-Row"] = "shown";
  });
  addEventListener("htmx:beforeRequest", ({ detail }) => {
    if (detail.elt.matches?.("button, a")) asked = detail.elt;
    for (const button of busyButtons(detail.elt)) {
      button.dataset.verb = button.firstElementChild.textContent;
      button.lateId = setTimeout(() => { button.firstElementChild.textContent = button.dataset.busy; }, 300);
    }
  });
  addEventListener("htmx:afterRequest", ({ detail }) => {
    for (const button of busyButtons(detail.elt)) {
      clearTimeout(button.lateId);
      if (button.dataset.verb) button.firstElementChild.textContent = button.dataset.verb;
    }
    if (detail.failed || (!detail.successful && detail.xhr?.status === 0)) say("Muster does not answer. Try again in a moment.", true);
  });
  const busyButtons = (form) => form.matches?.("form") ? form.querySelectorAll("footer [data-busy]:has(span), [data-busy]:has(span)") : [];

  // -- dialogs --------------------------------------------------------------------------------------------
  const openNew = () => {
    for (const dialog of document.querySelectorAll("#dialogs dialog:not([open])")) {
      for (const other of document.querySelectorAll(`#dialogs dialog[open][id="${dialog.id}"]`)) other.remove();
      const opener = asked?.isConnected ? asked : document.activeElement;
      if (asked?.isConnected || !origins.has(dialog.id)) origins.set(dialog.id, traceOf(opener));
      dialog.addEventListener("close", () => closed(dialog));
      dialog.showModal();
      const user = dialog.querySelector("[data-info]")?.dataset.info;
      if (user) setUser(user);
    }
  };
  // An element may be replaced while its dialog is open: its id finds its successor.
  const traceOf = (element) => ({
    element, id: element?.id, row: element?.closest("tr")?.id, next: element?.closest("tr")?.nextElementSibling?.id,
  });
  const successorOf = ({ element, id, row, next }) => element?.isConnected ? element
    : byId(id) ?? (byId(row) ?? byId(next))?.querySelector("a, button");
  const closed = (dialog) => {
    if (dialog.querySelector("[data-info]")) setUser(null);
    const after = dialog.querySelector("[data-after]")?.dataset.after;
    for (const id of ["toasts", "status"]) if (dialog.contains(byId(id))) body().append(byId(id));
    dialog.remove();
    left = origins.get(dialog.id) ?? {};
    origins.delete(dialog.id);
    (successorOf(left) ?? document.querySelector("#users, #main"))?.focus();
    if (after) htmx.trigger(body(), `muster:${after}`);
  };
  // Not swapped out of band: a row that is gone meanwhile would be an error.
  const putIntoRow = (mark) => {
    const place = byId(mark.dataset.for);
    delete mark.dataset.for;
    if (place) place.replaceChildren(mark); else mark.remove();
  };
  const topmost = () => [...document.querySelectorAll("#dialogs dialog[open]")].at(-1);
  // Behind a modal dialog nothing is seen or heard: words come forward into it.
  const comeForward = () => {
    const dialog = topmost(), words = byId("status").textContent;
    if (!dialog || dialog.contains(byId("toasts"))) return;
    dialog.append(byId("toasts"), byId("status"));
    byId("status").textContent = "";
    setTimeout(() => { byId("status").textContent = words; }, 50);
  };
  const setUser = (user) => {
    const url = new URL(location.href);
    if (user) url.searchParams.set("user", user); else url.searchParams.delete("user");
    if (url.pathname.endsWith("/users")) history.replaceState(history.state, "", url);
  };
  const close = (id) => byId(id)?.close();

  addEventListener("htmx:beforeSwap", ({ detail }) => {
    if (detail.target.id === "messages") detail.target = topmost()?.querySelector("[data-slot]") ?? detail.target;
  });
  addEventListener("htmx:afterSettle", ({ detail }) => {
    openNew();
    for (const mark of document.querySelectorAll("[data-for]")) putIntoRow(mark);
    // Whatever had the focus is gone from a swapped part: its successor takes it, else the part itself.
    if (document.activeElement === body() && !topmost()) {
      (byId(asked?.id) ?? successorOf(left) ?? byId(detail.target?.id))?.focus({ preventScroll: true });
    }
    document.querySelectorAll("form[data-dirty]").forEach(checkDirty);
    document.querySelectorAll("[data-toast]:not([data-timed])").forEach((note) => leaveLater(note));
    if (byId("toasts").childElementCount) comeForward();
  });

  // -- what the server has the page do ---------------------------------------------------------------------
  addEventListener("muster:done", ({ detail }) => close(detail.dialog));
  addEventListener("muster:confirmed", ({ detail }) => {
    close(detail.dialog);
    htmx.trigger(byId(detail.form), "submit");
  });
  addEventListener("muster:reset", ({ detail }) => byId(detail.form)?.reset());

  // -- clicks ---------------------------------------------------------------------------------------------
  addEventListener("click", async (event) => {
    const at = (selector) => event.target.closest?.(selector);
    if (at("[data-open]") && !(event.ctrlKey || event.metaKey || event.shiftKey)) {
      event.preventDefault();
      open(at("[data-open]"));
    }
    if (at("[data-close]")) at("dialog").close();
    if (at("[data-dismiss]")) at("[data-dismiss]").parentElement.remove();
    if (at("[data-toggle]")) toggle(at("[data-toggle]"));
    if (at("[data-reveal]")) reveal(at("[data-reveal]"));
    if (at("[data-why]")) say(at("[data-why]").dataset.why, true);
    if (at("[data-copy]")) {
      // Without TLS a browser has no clipboard, and it may refuse one: nothing is said to be copied that is not.
      const copied = await navigator.clipboard?.writeText(at("[data-copy]").dataset.copy).then(() => true, () => false);
      say(copied ? "Copied." : "Your browser does not let this page copy. Select the text and copy it yourself.", !copied);
    }
    if (at("[role=tab]")) choose(at("[role=tab]"));
  });
  // Not an hx-get on each: a table has hundreds of these, and htmx would look after every one.
  const open = (opener) => htmx.ajax("GET", opener.dataset.open, { source: opener, target: "#dialogs", swap: "beforeend" }).catch(() => {});
  const toggle = (button) => {
    const open = button.getAttribute("aria-expanded") !== "true" || "stays" in button.dataset;
    button.setAttribute("aria-expanded", open);
    const list = byId(button.getAttribute("aria-controls"));
    if (list.id !== "menu") list.hidden = !open;
  };
  const reveal = (button) => {
    const input = byId(button.dataset.reveal);
    const shown = input.type === "password";
    input.type = shown ? "text" : "password";
    button.setAttribute("aria-pressed", shown);
  };
  const choose = (tab) => {
    for (const each of tab.parentElement.children) {
      each.setAttribute("aria-selected", each === tab);
      each.tabIndex = each === tab ? 0 : -1;
    }
    byId(tab.getAttribute("aria-controls")).setAttribute("aria-labelledby", tab.id);
  };

  // -- keys -----------------------------------------------------------------------------------------------
  addEventListener("keydown", (event) => {
    const at = event.target;
    if (event.key === "Enter" && at.matches?.("form[data-grave] input")) event.preventDefault(); // Enter never destroys
    if (at.matches?.("[role=tab]") && ["ArrowLeft", "ArrowRight"].includes(event.key)) {
      const next = event.key === "ArrowRight" ? at.nextElementSibling ?? at.parentElement.firstElementChild
        : at.previousElementSibling ?? at.parentElement.lastElementChild;
      next.focus();
      next.click();
    }
    if (event.key === "/" && !at.matches?.("input, textarea, select") && !document.querySelector("dialog[open]")) {
      byId("q")?.focus();
      if (byId("q")) event.preventDefault();
    }
  });

  // -- forms ----------------------------------------------------------------------------------------------
  const checkDirty = (form) => {
    const button = form.querySelector("[data-when-dirty]");
    if (!button || form.classList.contains("htmx-request")) return;
    button.disabled = ![...form.elements].some((field) => form.elements[`was_${field.name}`] && valueOf(field) !== form.elements[`was_${field.name}`].value);
  };
  const valueOf = (field) => field.type === "checkbox" ? (field.checked ? "on" : "") : field.value;
  for (const kind of ["input", "change"]) {
    addEventListener(kind, ({ target }) => { if (target.form?.matches("[data-dirty]")) checkDirty(target.form); });
  }
  addEventListener("submit", (event) => { // a page's own form: pressed twice, sent once
    const form = event.target;
    if (!form.matches("[data-once]")) return;
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
  });
  addEventListener("pageshow", ({ persisted }) => { // kept alive behind another page: who is signed in may have changed
    if (persisted) location.reload();
  });
  addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent));

  // -- words that go by themselves; a pointer or the focus on one keeps it ----------------------------------
  const say = (words, stays = false) => {
    const note = document.createElement("div");
    note.className = "toast-note";
    note.dataset.toast = "";
    note.textContent = words;
    byId("toasts").append(note);
    byId("status").textContent = words;
    leaveLater(note, stays ? 12_000 : 6_000);
    comeForward();
  };
  const leaveLater = (note, after = 6_000) => {
    note.dataset.timed = "yes";
    let timer;
    const start = () => { timer = setTimeout(() => note.remove(), after); };
    for (const kind of ["mouseenter", "focusin"]) note.addEventListener(kind, () => clearTimeout(timer));
    for (const kind of ["mouseleave", "focusout"]) note.addEventListener(kind, start);
    start();
  };

  document.addEventListener("DOMContentLoaded", () => document.querySelectorAll("form[data-dirty]").forEach(checkDirty));
})();
