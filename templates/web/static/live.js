// Holds the one event stream for all tabs and tells each of them that there is news.
"use strict";
const tabs = new Set();
let source = null;

function connect() {
  if (source || !tabs.size) return;
  source = new EventSource("/api/v1/events");
  const tell = () => tabs.forEach((port) => port.postMessage("news"));
  source.onmessage = tell;
  source.addEventListener("state", tell);
  source.onerror = () => {
    if (source.readyState !== EventSource.CLOSED) return;  // it connects again by itself
    source = null;
    setTimeout(connect, 10000);
  };
}

self.onconnect = (event) => {
  const port = event.ports[0];
  tabs.add(port);
  port.onmessage = () => {
    tabs.delete(port);
    if (!tabs.size && source) { source.close(); source = null; }
  };
  connect();
};
