// The lists at the side: rooms, private conversations, people.

import { avatar, element } from "./rows.js";
import { currentLanguage, text } from "./texts.js";

const MAX_PEOPLE = 200; // in the list; the rest is counted
const $ = (id) => document.getElementById(id);

let shown = "";

export function showLists(state, { join, talkTo, activate }) {
  const talks = [...state.privates.values()].map((talk) => [talk.key, talk.unread]);
  const place = [state.name, state.host, state.active.kind, state.active.key, state.room.key, state.room.unread];
  const now = JSON.stringify([currentLanguage(), state.rooms, [...state.people], state.unlisted, state.seen, talks, place]);
  if (now === shown) {
    return;
  }
  shown = now;
  const names = new Intl.Collator();
  fill($("rooms"), roomsOf(state), (room) => roomButton(state, room, join));
  fill($("private"), [...state.privates.values()], (talk) => privateButton(state, talk, activate));
  $("private-part").hidden = state.privates.size === 0;
  const people = [...state.people].sort((one, other) => names.compare(one, other));
  fill($("people"), people.slice(0, MAX_PEOPLE), (name) => personButton(state, name, talkTo));
  const count = people.length + state.unlisted;
  const rest = count - Math.min(people.length, MAX_PEOPLE);
  if (rest > 0) {
    $("people").append(element("li", "rest", text("more", { count: rest })));
  }
  $("people-count").textContent = String(count);
  const unread = [...state.privates.values()].some((talk) => talk.unread);
  $("menu-mark").hidden = !(unread || (state.active !== state.room && state.room.unread));
}

function roomsOf(state) {
  const rooms = state.rooms.map((room) => ({ ...room }));
  if (!rooms.some((room) => room.name === state.room.key)) {
    rooms.push({ name: state.room.key, people: state.people.size + state.unlisted, last: 0 });
  }
  return rooms.sort((one, other) => (other.name === "lobby") - (one.name === "lobby") || (one.name < other.name ? -1 : 1));
}

// Make a list anew; the focus stays on the same entry.
function fill(list, entries, make) {
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  list.replaceChildren(...entries.map((entry) => element("li", "", make(entry))));
  if (focused !== undefined) {
    [...list.querySelectorAll("button")].find((each) => each.dataset.key === focused)?.focus();
  }
}

function button(key, isCurrent, use, ...children) {
  const made = element("button", "entry-button", ...children);
  made.type = "button";
  made.dataset.key = key;
  if (isCurrent) {
    made.setAttribute("aria-current", "true");
  }
  made.addEventListener("click", use);
  return made;
}

function roomButton(state, room, join) {
  const isOwn = room.name === state.room.key;
  const mark = element("span", "hash", "#");
  mark.setAttribute("aria-hidden", "true");
  const parts = [mark, element("span", "label", room.name)];
  const isUnread = !isOwn && room.name in state.seen && room.last > state.seen[room.name];
  if (isOwn && state.room.unread) {
    parts.push(badge(state.room.unread));
  } else if (isUnread) {
    const dot = element("span", "dot");
    dot.setAttribute("aria-hidden", "true");
    parts.push(dot, element("span", "hidden", text("unread")));
  } else {
    parts.push(element("span", "count", String(isOwn ? state.people.size + state.unlisted : room.people)));
  }
  const made = button(room.name, isOwn && state.active === state.room, () => join(room.name), ...parts);
  made.classList.toggle("is-unread", isUnread);
  made.classList.toggle("is-own-room", isOwn);
  return made;
}

function badge(count) {
  const made = element("span", "badge", count > 99 ? "99+" : String(count));
  made.setAttribute("aria-label", text("unreadCount", { count }));
  made.setAttribute("role", "img");
  return made;
}

function privateButton(state, talk, activate) {
  const parts = [avatar(talk.key), element("span", "label", talk.key)];
  if (talk.unread) {
    parts.push(badge(talk.unread));
  }
  return button(talk.key, state.active === talk, () => activate(talk), ...parts);
}

function personButton(state, name, talkTo) {
  const parts = [avatar(name), element("span", "label", name)];
  if (name === state.name) {
    parts.push(element("span", "note", text("you")));
    const own = element("span", "entry-button is-me", ...parts);
    return own;
  }
  if (name === state.host) {
    parts.push(element("span", "note", text("host")));
  }
  return button(name, false, () => talkTo(name), ...parts);
}
