// What a line needs to be cut: its socket, and something that keeps it away for a while.

const CUT_S = 5;                 // time to say something in the other window

export class Scissors {
  // `heard` is called when anything comes.
  constructor(url, heard) {
    const scissors = this;
    this.socket = null;
    this.due = 0;                // when it may come back
    this.isAway = Promise.resolve();
    this.url = async () => { await this.isAway; return url; };
    this.WebSocket = class extends WebSocket {
      constructor(...given) {
        super(...given);
        scissors.socket = this;
        this.addEventListener("message", heard);
      }
    };
  }

  cut() {
    this.isAway = new Promise((resolve) => { this.release = resolve; });
    this.due = Date.now() + CUT_S * 1000;
    this.timer = setTimeout(() => this.letGo(), CUT_S * 1000);
    this.socket.close();         // without a code: the line takes it for a loss
  }

  letGo() {
    clearTimeout(this.timer);
    this.due = 0;
    this.release?.();
  }

  mend() {
    this.letGo();
    dispatchEvent(new Event("online"));  // a line that waits for its next try hears that
  }
}
