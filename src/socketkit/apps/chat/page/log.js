// The log of a conversation: all of its items are in memory, and a window of them is in the page.

const MAX_ROWS = 160; // several screens; the page never holds more, however long the conversation is
const STEP = 40; // rows that are added at an end of the window at once
const NEAR = 500; // px from an end of the window at which it is moved
const AT_END = 30; // px from the end that still count as the end

export class LogView {
  // row: makes the element of an item, which stands behind another item. older: asks for older items.
  // moved: is told whether the newest item is in view.
  constructor(box, row, older, moved) {
    this.box = box;
    this.row = row;
    this.older = older;
    this.moved = moved;
    this.talk = null;
    this.first = this.last = 0; // items[first..last) are in the page
    this.isAtEnd = true;
    box.addEventListener("scroll", () => this.scrolled(), { passive: true });
    new ResizeObserver(() => this.isAtEnd && this.scrollToEnd()).observe(box);
  }

  // Show a conversation, at its end.
  show(talk) {
    this.talk = talk;
    this.showEnd();
  }

  showEnd() {
    this.quietly(() => {
      this.last = this.talk.items.length;
      this.first = Math.max(0, this.last - MAX_ROWS / 2);
      this.box.replaceChildren(...this.rows(this.first, this.last));
      this.scrollToEnd();
    });
    this.settle();
  }

  // Items were added at the end.
  added() {
    const { items } = this.talk;
    if (this.isAtEnd) {
      const start = Math.max(this.last, items.length - MAX_ROWS);
      if (start > this.last) {
        this.showEnd(); // more than a window at once
        return;
      }
      this.box.append(...this.rows(this.last, items.length));
      this.last = items.length;
      this.cutTop();
      this.scrollToEnd();
    } else if (this.fromEnd() < NEAR) {
      this.growDown();
    }
    this.settle();
  }

  // The newest item has become another one.
  changedLast() {
    const { items } = this.talk;
    if (this.last === items.length && this.last > this.first) {
      this.box.lastChild.replaceWith(this.row(items.at(-1), items.at(-2)));
      if (this.isAtEnd) {
        this.scrollToEnd();
      }
    }
  }

  // So many items were added before the first one.
  addedOlder(count) {
    this.first += count;
    this.last += count;
    if (this.box.firstChild !== null && this.first > 0) {
      const { items } = this.talk;
      this.quietly(() => {
        this.keepingPlace(() => this.box.firstChild.replaceWith(this.row(items[this.first], items[this.first - 1])));
      });
    }
    this.growUp();
  }

  // Items were dropped from the beginning.
  dropped(count) {
    const gone = Math.min(count, this.last) - this.first;
    for (let index = 0; index < gone; index++) {
      this.box.firstChild.remove();
    }
    this.first = Math.max(0, this.first - count);
    this.last = Math.max(0, this.last - count);
  }

  scrollToEnd() {
    this.box.scrollTop = this.box.scrollHeight;
    this.isAtEnd = true;
  }

  rows(from, to) {
    const { items } = this.talk;
    const made = [];
    for (let index = from; index < to; index++) {
      made.push(this.row(items[index], items[index - 1]));
    }
    return made;
  }

  scrolled() {
    if (this.talk === null) {
      return;
    }
    if (this.box.scrollTop < NEAR) {
      this.growUp();
    }
    if (this.fromEnd() < NEAR) {
      this.growDown();
    }
    this.settle();
  }

  settle() {
    const wasAtEnd = this.isAtEnd;
    this.isAtEnd = this.last === this.talk.items.length && this.fromEnd() <= AT_END;
    this.moved(this.isAtEnd, wasAtEnd);
  }

  fromEnd() {
    return this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight;
  }

  growUp() {
    const count = Math.min(STEP, this.first);
    if (count === 0) {
      this.older(this.talk);
      return;
    }
    this.quietly(() => {
      this.keepingPlace(() => {
        this.box.prepend(...this.rows(this.first - count, this.first));
        this.first -= count;
      });
      while (this.last - this.first > MAX_ROWS) {
        this.box.lastChild.remove();
        this.last -= 1;
      }
    });
  }

  growDown() {
    const end = Math.min(this.last + STEP, this.talk.items.length);
    if (end === this.last) {
      return;
    }
    this.quietly(() => {
      this.box.append(...this.rows(this.last, end));
      this.last = end;
      this.keepingPlace(() => this.cutTop());
    });
  }

  cutTop() {
    while (this.last - this.first > MAX_ROWS) {
      this.box.firstChild.remove();
      this.first += 1;
    }
  }

  // What is in view stays where it is, while rows above it come or go.
  keepingPlace(change) {
    const before = this.box.scrollHeight - this.box.scrollTop;
    change();
    this.box.scrollTop = this.box.scrollHeight - before;
  }

  // Rows that come back are no news: a screen reader is not to read them out.
  quietly(change) {
    this.box.setAttribute("aria-live", "off");
    change();
    clearTimeout(this.quiet);
    this.quiet = setTimeout(() => this.box.setAttribute("aria-live", "polite"), 200);
  }
}
