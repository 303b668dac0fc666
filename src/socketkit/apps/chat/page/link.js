// The connection to the chat: made again when it is lost, with growing pauses.

const FIRST_PAUSE = 300; // ms
const LONGEST_PAUSE = 10_000;
const PING_INTERVAL = 25_000; // a silent network is noticed within two of them
const PROTOCOL = "socketkit-chat.v1";

export class Link {
  // hello: makes the first message of each connection. receive: gets each event. changed: is told "open" and "closed".
  constructor(hello, receive, changed) {
    this.hello = hello;
    this.receive = receive;
    this.changed = changed;
    this.socket = null;
    this.wanted = false;
    this.pause = FIRST_PAUSE;
    this.timer = 0;
    this.isAlive = true;
    addEventListener("online", () => this.tryNow());
    addEventListener("offline", () => this.socket?.close());
    document.addEventListener("visibilitychange", () => document.hidden || this.tryNow());
    setInterval(() => this.ping(), PING_INTERVAL);
  }

  get isOpen() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  open() {
    this.wanted = true;
    this.pause = FIRST_PAUSE;
    this.connect();
  }

  close() {
    this.wanted = false;
    clearTimeout(this.timer);
    this.socket?.close();
  }

  // Whether the message was handed to an open connection.
  send(message) {
    if (!this.isOpen) {
      return false;
    }
    this.socket.send(JSON.stringify(message));
    return true;
  }

  // The chat has taken us in: the next loss is tried again at once.
  settled() {
    this.pause = FIRST_PAUSE;
  }

  tryNow() {
    if (this.wanted && this.socket === null) {
      this.connect();
    }
  }

  connect() {
    clearTimeout(this.timer);
    if (this.socket !== null) {
      return;
    }
    const url = new URL("ws", location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = (this.socket = new WebSocket(url, PROTOCOL));
    socket.onopen = () => {
      this.isAlive = true;
      socket.send(JSON.stringify(this.hello()));
      this.changed("open");
    };
    socket.onmessage = (message) => {
      this.isAlive = true;
      this.receive(JSON.parse(message.data));
    };
    socket.onclose = () => this.lost(socket);
  }

  lost(socket) {
    if (this.socket !== socket) {
      return;
    }
    this.socket = null;
    if (this.wanted) {
      this.timer = setTimeout(() => this.connect(), this.pause * (0.75 + Math.random() / 2));
      this.pause = Math.min(this.pause * 2, LONGEST_PAUSE);
    }
    this.changed("closed");
  }

  ping() {
    if (!this.isOpen) {
      return;
    }
    if (!this.isAlive) {
      const socket = this.socket; // its close handshake may take a minute: nothing waits for it
      socket.close();
      this.lost(socket);
      return;
    }
    this.isAlive = false;
    this.send({ type: "ping" });
  }
}
