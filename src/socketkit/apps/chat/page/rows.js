// Rows of the log. Whatever guests have written becomes text of elements, and never markup.

import { currentLanguage, text } from "./texts.js";

const GROUP_TIME = 5 * 60_000; // ms: messages of one writer that follow each other within it have one heading
const HUES = 12;

export function element(tag, classes, ...children) {
  const made = document.createElement(tag);
  if (classes) {
    made.className = classes;
  }
  made.append(...children);
  return made;
}

// The colour of a name: the same for everybody.
export function hueOf(name) {
  let sum = 7;
  for (const character of name) {
    sum = (sum * 31 + character.codePointAt(0)) % 9973;
  }
  return `hue-${sum % HUES}`;
}

export function avatar(name) {
  const letter = element("span", `avatar ${hueOf(name)}`, [...name][0]?.toUpperCase() ?? "?");
  letter.setAttribute("aria-hidden", "true");
  return letter;
}

const FORMS = {
  time: { hour: "2-digit", minute: "2-digit" },
  day: { weekday: "long", day: "numeric", month: "long", year: "numeric" },
  full: { dateStyle: "full", timeStyle: "medium" },
};
const formats = new Map(); // making one takes longer than the row that it is for

function format(moment, form) {
  const language = currentLanguage();
  const key = `${language} ${form}`;
  if (!formats.has(key)) {
    // In the browser's own variety of the language: it knows how its user writes hours.
    const variety = navigator.languages.find((each) => each.startsWith(language)) ?? language;
    formats.set(key, new Intl.DateTimeFormat(variety, FORMS[form]));
  }
  return formats.get(key).format(moment);
}

function dayOf(moment) {
  return new Date(moment).setHours(0, 0, 0, 0);
}

function dayName(moment) {
  const days = Math.round((dayOf(Date.now()) - dayOf(moment)) / 86_400_000);
  if (days === 0 || days === 1) {
    return text(days ? "yesterday" : "today");
  }
  return format(moment, "day");
}

function time(moment) {
  const made = element("time", "time", format(moment, "time"));
  made.dateTime = new Date(moment).toISOString();
  return made;
}

// The whole date stands in the tooltip, which is made when it is wanted.
export function showWholeDate(event) {
  const at = event.target.closest?.("time");
  if (at && !at.title) {
    at.title = format(new Date(at.dateTime), "full");
  }
}

const ADDRESS = /\bhttps?:\/\/[^\s<>"]+[^\s<>".,;:!?)\]}'»]/g;

// A text with its web addresses as links.
function linked(said) {
  const parts = [];
  let end = 0;
  for (const found of said.matchAll(ADDRESS)) {
    const link = element("a", "", found[0]);
    try {
      link.href = new URL(found[0]).href;
    } catch {
      continue;
    }
    link.rel = "noopener noreferrer nofollow";
    link.target = "_blank";
    parts.push(said.slice(end, found.index), link);
    end = found.index + found[0].length;
  }
  parts.push(said.slice(end));
  return element("span", "text", ...parts);
}

// The row of an item, which stands behind another one (undefined: behind none).
export function makeRow(item, before, firstNew) {
  const row = element("div", "item");
  if (before === undefined || dayOf(before.at) !== dayOf(item.at)) {
    row.append(element("div", "day", element("span", "", dayName(item.at))));
  }
  const isNew = item === firstNew;
  if (isNew) {
    row.append(element("div", "new-line", element("span", "", text("newLine"))));
  }
  row.append(item.kind === "notice" ? notice(item) : message(item, isNew ? undefined : before));
  return row;
}

function notice(item) {
  return element("p", `notice ${item.style ?? ""}`, element("span", "text", item.text));
}

function message(item, before) {
  const isMe = item.kind === "me";
  const isSame =
    before?.kind === "say" && item.kind === "say" && before.name === item.name && before.mark === item.mark;
  const isNext = isSame && item.at - before.at < GROUP_TIME && dayOf(before.at) === dayOf(item.at);
  const classes = `message ${isNext ? "next" : ""} ${isMe ? "action" : ""} ${item.isOwn ? "own" : ""} ${item.mark ?? ""}`;
  const row = element("article", classes);
  const name = element("b", `name ${hueOf(item.name)}`, item.name);
  if (isMe) {
    row.append(avatar(item.name), element("div", "body", name, " ", linked(item.text), " ", time(item.at)));
    return row;
  }
  if (isNext) {
    name.classList.add("hidden");
    row.append(time(item.at), element("div", "body", name, element("span", "hidden", ": "), linked(item.text)));
    return row;
  }
  const head = element("div", "head", name, element("span", "hidden", ": "));
  if (item.mark) {
    head.append(element("span", "tag", text(item.mark === "found" ? "found" : "privateNote")));
  }
  head.append(time(item.at));
  row.append(avatar(item.name), element("div", "body", head, linked(item.text)));
  return row;
}
