// The page of a chat: what the server says becomes state, and the state is shown.

import { Link } from "./link.js";
import { showLists } from "./lists.js";
import { LogView } from "./log.js";
import { kept, newTalk } from "./state.js";
import { makeRow, showWholeDate } from "./rows.js";
import { currentLanguage, fillIn, setLanguage, text } from "./texts.js";

const MAX_ITEMS = 20_000; // of a conversation in memory
const MAX_JOINED = 8; // notices of who comes and goes in one row
const $ = (id) => document.getElementById(id);

const state = {
  name: "",
  host: "",
  room: newTalk("room", kept.get("room") ?? "lobby"),
  privates: new Map(), // by the other's name
  active: null, // the conversation that is shown
  rooms: [],
  people: new Set(),
  unlisted: 0, // that many more are in the room
  seen: kept.get("seen") ?? {}, // the last id that was seen of each room that we were in
  chat: null,
  isIn: false, // whether the chat has taken us in, over some connection
  isLost: false,
  unconfirmed: [], // lines that were sent over this connection, and not seen since
  doubtful: [], // the same of a connection that was lost
};
state.active = state.room;

const view = new LogView($("log"), (item, before) => makeRow(item, before, state.active.firstNew), askOlder, moved);
const link = new Link(hello, receive, changed);

// The way in.

function hello() {
  const message = { type: "hello", name: state.name, room: state.room.key, lang: currentLanguage() };
  const password = $("password").value;
  if (password && !$("password-field").hidden) {
    message.password = password;
  }
  for (const key of ["token", "session"]) {
    if (kept.get(key)) {
      message[key] = kept.get(key);
    }
  }
  const last = state.room.items.findLast((item) => item.id);
  if (state.chat !== null && last !== undefined) {
    message.chat = state.chat;
    message.after = last.id;
  }
  return message;
}

$("entry-form").addEventListener("submit", (event) => {
  event.preventDefault();
  state.name = $("name").value.trim();
  if (link.isOpen && !$("password-field").hidden) {
    link.send({ type: "password", password: $("password").value });
    return;
  }
  sayAtEntry(text("connecting"));
  link.open();
});

function sayAtEntry(said) {
  $("entry-status").textContent = said;
}

function showEntry(said = "", isWaiting = false) {
  state.isIn = false;
  if (!isWaiting) {
    link.close();
    state.unconfirmed.length = state.doubtful.length = 0;
  }
  $("chat").hidden = true;
  $("entry").hidden = false;
  $("name").value = state.name;
  sayAtEntry(said);
  $("name").focus();
  showTitle();
}

function showChat() {
  $("password").value = "";
  $("entry").hidden = true;
  $("chat").hidden = false;
}

// What comes.

const incoming = [];
const later = new MessageChannel(); // events that came together are shown together, also in a hidden page
later.port1.onmessage = () => {
  const events = incoming.splice(0);
  for (const event of events) {
    (RECEIVERS[event.type] ?? (() => {}))(event);
  }
  flush();
};

function receive(event) {
  if (incoming.push(event) === 1) {
    later.port2.postMessage(null);
  }
}

const RECEIVERS = {
  password(event) {
    showEntry("", true); // the connection waits for it
    $("password-field").hidden = false;
    sayAtEntry(event.text);
    $("password").value = "";
    $("password").focus();
    kept.set("token", null);
  },

  ready(event) {
    const isBack = state.isIn;
    const isSameChat = state.chat === event.chat;
    if (!isBack || !isSameChat || event.cut || event.room !== state.room.key) {
      clear(state.room);
      state.room.more = true;
    }
    state.chat = event.chat;
    state.host = event.host;
    state.name = event.name;
    state.rooms = event.rooms;
    for (const key of ["token", "session"]) {
      kept.set(key, event[key] ?? null);
    }
    kept.set("name", event.name);
    link.settled();
    state.isIn = true;
    enter(event);
    showChat();
    if (!isBack) {
      activate(state.room);
      $("text").focus();
    }
    state.isLost = false;
    say(isBack ? text(!isSameChat ? "restarted" : event.cut ? "backCut" : "back") : "");
    state.doubtful.push(...state.unconfirmed.splice(0));
    setTimeout(giveBack, 400); // after what was missed has come
  },

  room(event) {
    clear(state.room);
    state.room.more = true;
    enter(event);
    activate(state.room);
  },

  message(event) {
    const item = {
      kind: event.kind,
      id: event.id,
      at: Date.parse(event.time),
      name: event.name,
      text: event.text,
      isOwn: event.name === state.name,
    };
    if (event.found) {
      add(state.active, { ...item, id: null, mark: "found" });
      return;
    }
    if (item.isOwn) {
      confirm(event.text);
    }
    const last = state.room.items.findLast((each) => each.id);
    if (event.room === state.room.key && !(event.past && last !== undefined && item.id <= last.id)) {
      add(state.room, item, { isNews: !event.past && !item.isOwn });
    }
  },

  private(event) {
    const isOwn = event.name === state.name;
    const talk = privateWith(isOwn ? event.to : event.name);
    const item = { kind: "say", at: Date.parse(event.time), name: event.name, text: event.text, isOwn, mark: "private" };
    if (isOwn) {
      confirm(event.text);
    }
    add(talk, item, { isNews: !isOwn });
    keepPrivates();
  },

  earlier(event) {
    const talk = state.room;
    talk.isAsking = false;
    const first = talk.items.find((item) => item.id);
    if (event.room !== talk.key) {
      return;
    }
    const items = event.messages
      .filter((each) => first === undefined || each.id < first.id)
      .map((each) => ({ ...each, at: Date.parse(each.time), isOwn: each.name === state.name }));
    talk.more = event.more;
    if (!event.more) {
      items.unshift(noticeItem(text("beginning"), "quiet", items[0]?.at ?? first?.at));
    }
    talk.items.unshift(...items);
    if (talk === state.active) {
      view.addedOlder(items.length);
    }
  },

  joined(event) {
    state.people.add(event.name);
    tell(event.text, "presence");
  },

  left(event) {
    if (!state.people.delete(event.name) && state.unlisted > 0) {
      state.unlisted -= 1;
    }
    tell(event.text, "presence");
  },

  renamed(event) {
    if (state.people.delete(event.before) || state.unlisted === 0) {
      state.people.add(event.name);
    }
    const talk = state.privates.get(event.before);
    if (talk !== undefined && !state.privates.has(event.name)) {
      state.privates.delete(event.before);
      talk.key = event.name;
      state.privates.set(event.name, talk);
    }
    tell(event.text, "presence");
  },

  name(event) {
    state.people.delete(state.name);
    state.name = event.name;
    state.people.add(event.name);
    kept.set("name", event.name);
    tell(event.text);
  },

  people(event) {
    setPeople(event);
    tell(event.text);
  },

  rooms(event) {
    state.rooms = event.rooms;
  },

  notice(event) {
    state.unconfirmed.shift(); // a refused line is answered by a notice, and not shown
    tell(event.text);
  },

  end(event) {
    if (event.reason === "ended") {
      return; // the host may come back: the connection is tried again
    }
    if (event.reason === "left") {
      kept.set("session", null);
    }
    showEntry(event.text);
  },

  error(event) {
    tell(event.text);
  },
};

function enter({ room, people, count }) {
  state.room.key = room;
  kept.set("room", room);
  state.seen[room] ??= 0; // whoever was in a room is told of news there
  setPeople({ people, count });
  state.people.add(state.name); // the others were counted before we came
}

function setPeople({ people, count = people.length }) {
  state.people = new Set(people);
  state.unlisted = Math.max(0, count - people.length);
}

function confirm(said) {
  const old = state.doubtful.indexOf(said);
  if (old >= 0) {
    state.doubtful.splice(0, old + 1);
    return;
  }
  const at = state.unconfirmed.indexOf(said);
  state.unconfirmed.splice(0, at < 0 ? 1 : at + 1);
}

// Lines of which it is not known whether they arrived go back to where they were typed.
function giveBack() {
  if (state.doubtful.length > 0) {
    const field = $("text");
    field.value = [...state.doubtful.splice(0), field.value].filter(Boolean).join("\n");
    fitField();
    say(text("unsure"));
  }
}

function changed(what) {
  if (what === "closed" && state.isIn && link.wanted) {
    state.isLost = true;
    state.room.isAsking = false;
    say(text("lost"));
    flush();
  } else if (what === "closed" && link.wanted) {
    sayAtEntry(text("lost"));
  }
}

// Items.

function noticeItem(said, style = "", at = Date.now()) {
  return { kind: "notice", at, text: said, style };
}

function tell(said, style) {
  const talk = style === "presence" ? state.room : state.active;
  const last = talk.items.at(-1);
  if (style === "presence" && last?.style === style && last.count < MAX_JOINED) {
    last.text += ` · ${said}`; // who comes and goes takes one row, and not ten
    last.count += 1;
    changedLast.add(talk);
    return;
  }
  add(talk, { ...noticeItem(said, style), count: 1 });
}

function clear(talk) {
  talk.items.length = 0;
  talk.firstNew = null;
  talk.unread = 0;
  if (talk === state.active) {
    view.show(talk);
  }
}

const grown = new Set();
const changedLast = new Set();

function add(talk, item, { isNews = false } = {}) {
  talk.items.push(item);
  grown.add(talk);
  if (isNews && !isInView(talk)) {
    if (talk.unread === 0) {
      talk.firstNew = item;
      if (talk === state.active) {
        $("log").querySelector(".new-line")?.remove(); // the line above what was new before
      }
    }
    talk.unread += 1;
  }
}

function isInView(talk) {
  return talk === state.active && view.isAtEnd && !document.hidden && document.hasFocus();
}

// Show what has changed.
function flush() {
  for (const talk of grown) {
    const over = talk.items.length - MAX_ITEMS;
    if (over > 0 && (talk !== state.active || view.isAtEnd)) {
      talk.items.splice(0, over);
      talk.more ||= talk.kind === "room";
      if (talk === state.active) {
        view.dropped(over);
      }
    }
    if (talk === state.active) {
      view.added();
    }
  }
  grown.clear();
  if (changedLast.has(state.active)) {
    view.changedLast();
  }
  changedLast.clear();
  read();
  showAround();
}

// What is in view is read.
function read() {
  if (isInView(state.active)) {
    state.active.unread = 0;
  }
  const last = state.room.items.findLast((item) => item.id);
  if (last !== undefined && last.id > (state.seen[state.room.key] ?? 0)) {
    state.seen[state.room.key] = last.id;
    kept.set("seen", state.seen);
  }
}

function moved(isAtEnd) {
  if (isAtEnd && state.active.unread && isInView(state.active)) {
    read();
    showAround();
  }
  showToEnd();
}

function askOlder(talk) {
  const first = talk.items.find((item) => item.id);
  if (talk.kind !== "room" || !talk.more || talk.isAsking || first === undefined || talk.items.length > MAX_ITEMS) {
    return;
  }
  talk.isAsking = link.send({ type: "earlier", before: first.id });
}

function privateWith(name) {
  if (!state.privates.has(name)) {
    state.privates.set(name, newTalk("private", name));
  }
  return state.privates.get(name);
}

function keepPrivates() {
  const all = [...state.privates.values()].slice(-20);
  kept.set("privates", all.map((talk) => [talk.key, talk.items.slice(-50)]));
}

for (const [name, items] of kept.get("privates") ?? []) {
  privateWith(name).items.push(...items);
}

$("log").addEventListener("pointerover", showWholeDate);

// Around the log.

function say(said) {
  $("status").textContent = said;
  $("status").classList.toggle("bad", state.isLost);
  clearTimeout(say.timer);
  if (said && !state.isLost) {
    say.timer = setTimeout(() => say(""), 6000);
  }
}

function showTitle() {
  const count = state.room.unread + [...state.privates.values()].reduce((sum, talk) => sum + talk.unread, 0);
  const place = state.isIn ? `${state.active.key} · ${text("entryTitle")}` : text("entryTitle");
  document.title = count ? `(${count}) ${place}` : place;
}

function showToEnd() {
  const button = $("to-end");
  button.hidden = view.isAtEnd;
  const count = state.active.unread;
  button.textContent = `↓ ${count ? text("newCount", { count }) : text("toEnd")}`;
}

function showAround() {
  const talk = state.active;
  const isRoom = talk.kind === "room";
  $("title").textContent = isRoom ? `# ${talk.key}` : talk.key;
  const count = state.people.size + state.unlisted;
  $("subtitle").textContent = isRoom ? text("peopleCount", { count }) : text("privateWith", { name: talk.key });
  $("search-form").hidden = !isRoom;
  const hint = isRoom ? text("messageTo", { room: talk.key }) : text("privateTo", { name: talk.key });
  $("text").placeholder = hint;
  $("chat").classList.toggle("is-lost", state.isLost);
  showLists(state, { join, talkTo: (name) => activate(privateWith(name)), activate });
  if (document.activeElement !== $("own-name")) {
    $("own-name").value = state.name;
  }
  showTitle();
  showToEnd();
}

function activate(talk) {
  state.active.draft = $("text").value;
  if (talk !== state.active) {
    state.active.firstNew = null;
  }
  state.active = talk;
  $("text").value = talk.draft;
  fitField();
  view.show(talk);
  read();
  showAround();
}

function join(room) {
  if (room === state.room.key) {
    activate(state.room);
  } else {
    sendLine(`/join ${room}`);
  }
}

// What is typed.

function sendLine(line) {
  if (link.send({ type: "line", text: line })) {
    return true;
  }
  say(text("offline"));
  return false;
}

function submit() {
  const field = $("text");
  const lines = field.value.replace(/\r\n?/g, "\n").split("\n").map((line) => line.toWellFormed?.() ?? line);
  const said = lines.filter((line) => line.trim() !== "");
  if (said.length === 0) {
    return;
  }
  const isPrivate = state.active.kind === "private";
  const sent = said.map((line) => (isPrivate && !/^\/[^/]/.test(line) ? `/msg ${state.active.key} ${line}` : line));
  if (!sendLine(sent.join("\n"))) {
    return;
  }
  state.unconfirmed.push(...said.filter((line) => !/^\/[^/]/.test(line)));
  state.active.firstNew = null;
  field.value = "";
  fitField();
  if (!view.isAtEnd) {
    view.showEnd();
  }
}

function fitField() {
  const field = $("text");
  field.rows = Math.min(8, Math.max(1, field.value.split("\n").length));
}

$("compose").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
  $("text").focus();
});
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    submit();
  }
});
$("text").addEventListener("input", fitField);

function onSubmit(form, field, use) {
  $(form).addEventListener("submit", (event) => {
    event.preventDefault();
    const value = $(field).value.trim();
    if (value) {
      use(value);
    }
  });
}

onSubmit("room-form", "room-name", (room) => {
  join(room);
  $("room-name").value = "";
  closeSide();
});
onSubmit("rename-form", "own-name", (name) => {
  sendLine(`/name ${name}`);
  $("text").focus();
});
onSubmit("search-form", "search", (words) => sendLine(`/search ${words}`));
$("leave").addEventListener("click", () => sendLine("/quit") || showEntry());
$("to-end").addEventListener("click", () => {
  view.showEnd();
  $("text").focus();
});

// The side, which covers the page where it is narrow.

const narrow = matchMedia("(max-width: 760px)");

function openSide() {
  $("side").classList.add("is-open");
  $("shade").hidden = false;
  $("open-side").setAttribute("aria-expanded", "true");
  showSide();
  $("close-side").focus();
}

function closeSide() {
  const wasOpen = $("side").classList.contains("is-open");
  $("side").classList.remove("is-open");
  $("shade").hidden = true;
  $("open-side").setAttribute("aria-expanded", "false");
  showSide();
  if (wasOpen) {
    $("text").focus();
  }
}

// A side that is out of view is out of the keyboard's way too.
function showSide() {
  const isOpen = $("side").classList.contains("is-open");
  $("side").inert = narrow.matches && !isOpen;
  document.querySelector(".talk").inert = narrow.matches && isOpen;
}

narrow.addEventListener("change", closeSide);
$("open-side").addEventListener("click", openSide);
$("close-side").addEventListener("click", closeSide);
$("shade").addEventListener("click", closeSide);
$("side").addEventListener("click", (event) => event.target.closest("li button") && closeSide());

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && state.isIn) {
    closeSide();
    $("text").focus();
  } else if (event.altKey && (event.key === "ArrowUp" || event.key === "ArrowDown") && state.isIn) {
    event.preventDefault();
    step(event.key === "ArrowDown" ? 1 : -1);
  }
});

// To the next conversation, or the one before.
function step(by) {
  const buttons = [...document.querySelectorAll("#rooms button, #private button")];
  const at = buttons.findIndex((button) => button.getAttribute("aria-current") === "true");
  buttons.at((at + by + buttons.length) % buttons.length)?.click();
  $("text").focus();
}

// Beginning.

for (const button of document.querySelectorAll("button.language")) {
  button.addEventListener("click", () => {
    changeLanguage(currentLanguage() === "ru" ? "en" : "ru");
    kept.set("language", currentLanguage());
    if (state.isIn) {
      link.send({ type: "line", text: `/lang ${currentLanguage()}` });
    }
  });
}

function changeLanguage(name) {
  setLanguage(name);
  fillIn(document);
  for (const button of document.querySelectorAll("button.language")) {
    button.textContent = text("language");
    button.lang = name === "ru" ? "en" : "ru";
  }
  if (state.isIn) {
    view.show(state.active);
    showAround();
  }
  showTitle();
}

for (const event of ["focus", "visibilitychange"]) {
  addEventListener(event, () => state.isIn && (read(), showAround()));
}

changeLanguage(kept.get("language") ?? document.documentElement.lang);
showSide();
state.name = kept.get("name") ?? "";
$("name").value = state.name;
if (kept.get("session")) {
  sayAtEntry(text("connecting")); // the page was loaded anew
  link.open();
} else {
  $("name").focus();
}
