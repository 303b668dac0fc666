// The page's own texts. Notices of the chat come from the server, in the language that the page asks for.

const TEXTS = {
  en: {
    entryTitle: "Chat",
    yourName: "Your name",
    password: "Password",
    join: "Join",
    skip: "To the message field",
    sideLabel: "Rooms and people",
    conversations: "Conversations",
    close: "Close",
    rooms: "Rooms",
    otherRoom: "Another room",
    enterRoom: "Go to the room",
    private: "Private",
    people: "People here",
    renameHint: "Enter changes it",
    leave: "Leave",
    log: "Messages",
    message: "Message",
    messageTo: "Message to {room}",
    privateTo: "Private message to {name}",
    textHint: "Enter sends, Shift and Enter begins a new line",
    send: "Send",
    search: "Search in this room",
    searchHint: "Search",
    peopleCount: { one: "{count} person here", other: "{count} people here" },
    privateWith: "only {name} and you see this",
    connecting: "Connecting …",
    lost: "The connection was lost. Trying again …",
    offline: "Not connected: your text is kept here.",
    back: "Connected again.",
    backCut: "Connected again. More was said meanwhile than is shown here.",
    restarted: "The chat was started anew: what was said before is gone.",
    unsure: "The last line may not have arrived: it is in the field again.",
    newLine: "New",
    toEnd: "To the newest",
    newCount: { one: "{count} new message", other: "{count} new messages" },
    unread: "unread",
    unreadCount: { one: "{count} unread", other: "{count} unread" },
    beginning: "This is the beginning.",
    more: "and {count} more",
    you: "you",
    host: "host",
    today: "Today",
    yesterday: "Yesterday",
    found: "found",
    language: "Русский",
    privateNote: "private",
  },
  ru: {
    entryTitle: "Чат",
    yourName: "Ваше имя",
    password: "Пароль",
    join: "Войти",
    skip: "К полю сообщения",
    sideLabel: "Комнаты и участники",
    conversations: "Разговоры",
    close: "Закрыть",
    rooms: "Комнаты",
    otherRoom: "Другая комната",
    enterRoom: "Перейти в комнату",
    private: "Личные",
    people: "Участники",
    renameHint: "Enter меняет имя",
    leave: "Выйти",
    log: "Сообщения",
    message: "Сообщение",
    messageTo: "Сообщение в {room}",
    privateTo: "Лично для {name}",
    textHint: "Enter отправляет, Shift и Enter начинает новую строку",
    send: "Отправить",
    search: "Поиск в этой комнате",
    searchHint: "Поиск",
    peopleCount: { one: "здесь {count} участник", few: "здесь {count} участника", other: "здесь {count} участников" },
    privateWith: "это видите только вы и {name}",
    connecting: "Соединение …",
    lost: "Связь потеряна. Пробуем снова …",
    offline: "Нет связи: ваш текст остаётся здесь.",
    back: "Связь восстановлена.",
    backCut: "Связь восстановлена. За это время сказано больше, чем показано.",
    restarted: "Чат запущен заново: сказанное раньше не сохранилось.",
    unsure: "Последняя строка могла не дойти: она снова в поле.",
    newLine: "Новое",
    toEnd: "К последним",
    newCount: { one: "{count} новое сообщение", few: "{count} новых сообщения", other: "{count} новых сообщений" },
    unread: "есть новое",
    unreadCount: { one: "{count} новое", few: "{count} новых", other: "{count} новых" },
    beginning: "Это начало разговора.",
    more: "и ещё {count}",
    you: "вы",
    host: "хозяин",
    today: "Сегодня",
    yesterday: "Вчера",
    found: "найдено",
    language: "English",
    privateNote: "лично",
  },
};

let language = document.documentElement.lang === "ru" ? "ru" : "en";
let plurals = new Intl.PluralRules(language);

export function currentLanguage() {
  return language;
}

export function setLanguage(name) {
  language = name === "ru" ? "ru" : "en";
  plurals = new Intl.PluralRules(language);
  document.documentElement.lang = language;
}

// A text, with its fields; one with a count has a form for each plural of the language.
export function text(key, fields = {}) {
  let found = TEXTS[language][key];
  if (typeof found === "object") {
    found = found[plurals.select(fields.count)] ?? found.other;
  }
  return found.replace(/\{(\w+)\}/g, (_, name) => String(fields[name]));
}

// Fill in what stands in the page: texts, labels and hints by their attributes.
export function fillIn(root) {
  for (const element of root.querySelectorAll("[data-text]")) {
    element.textContent = text(element.dataset.text);
  }
  for (const element of root.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", text(element.dataset.label));
    if (element.matches("button")) {
      element.title = text(element.dataset.label);
    }
  }
  for (const element of root.querySelectorAll("[data-hint]")) {
    element.placeholder = text(element.dataset.hint);
  }
}
