// The connection to the node. It is the page's word on whether what it shows is
// true, so silence counts as a broken connection, and nothing has to be clicked to
// get it back.

const again = 1000; // ms until the next try
const silence = 4000; // ms; a state is due each second

/**
 * Calls onState for each state, onLost(since, why) when the connection is broken,
 * and tries again until the page is closed.
 */
export function listen(onState, onLost) {
  let source = null;
  let watchdog = 0;
  let lost = null;

  const fail = async () => {
    clearTimeout(watchdog);
    source?.close();
    source = null;
    lost ??= new Date();
    onLost(lost, "");
    setTimeout(open, again);
    const why = await reason();
    if (lost !== null) onLost(lost, why);
  };
  const wait = () => {
    clearTimeout(watchdog);
    watchdog = setTimeout(fail, silence);
  };
  const open = () => {
    source = new EventSource("events");
    source.onerror = fail;
    source.onmessage = (message) => {
      wait();
      lost = null;
      onState(JSON.parse(message.data));
    };
    wait();
  };
  open();
}

/** Asks why there are no events: a session that has ended does not heal by itself. */
async function reason() {
  try {
    const answer = await fetch("events", { method: "HEAD", cache: "no-store", headers: { Accept: "text/event-stream" } });
    if (answer.status === 401) return "login";
    if (answer.status === 503) return "full";
  } catch {
    // The node is gone: that is what the page says anyway.
  }
  return "";
}
