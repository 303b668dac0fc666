// What the page remembers: in this tab, until it is closed. Nothing is kept in cookies, and nothing for other tabs.

export const kept = {
  get(key) {
    try {
      return JSON.parse(sessionStorage.getItem(`chat.${key}`));
    } catch {
      return null;
    }
  },

  set(key, value) {
    try {
      if (value === null) {
        sessionStorage.removeItem(`chat.${key}`);
      } else {
        sessionStorage.setItem(`chat.${key}`, JSON.stringify(value));
      }
    } catch {
      // storage is full or forbidden: the page works without
    }
  },
};

// A conversation: a room, or a private one.
export function newTalk(kind, key) {
  return { kind, key, items: [], unread: 0, firstNew: null, more: false, isAsking: false, draft: "" };
}
