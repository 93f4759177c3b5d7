"use strict";
const part = (id) => document.getElementById(id);
const say = (text) => { part("say").textContent = text; };

const show = (...ids) => {
  for (const id of ["ask", "confirm", "inside"]) part(id).hidden = !ids.includes(id);
};

// Asks the API. What it says of an error is for people already.
const call = async (method, path, body) => {
  const headers = body ? { "Content-Type": "application/json" } : {};
  const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  const data = answer.status === 204 ? null : await answer.json();
  if (!answer.ok) throw Object.assign(new Error([data.detail, ...(data.hints || [])].join(" \u2013 ")), { status: answer.status });
  return data;
};

// Runs what a button is for; what goes wrong is said.
const on = (element, event, act) => element.addEventListener(event, async (happened) => {
  happened.preventDefault();
  try { await act(); } catch (error) { say(error.message); }
});

const item = (list, text, ...buttons) => {
  const line = document.createElement("li");
  line.append(text);
  for (const [label, act] of buttons) {
    const button = document.createElement("button");
    button.textContent = label;
    on(button, "click", act);
    line.append(" ", button);
  }
  list.append(line);
};

const inside = async () => {
  const me = await call("GET", "/v1/me");
  const invitations = (await call("GET", "/v1/invitations")).items;
  say(`Signed in as ${me.email}`);
  part("invitations").replaceChildren();
  part("workspaces").replaceChildren();
  for (const { id, role } of invitations) {
    const answer = (how) => async () => { await call("POST", `/v1/invitations/${id}/${how}`); await inside(); };
    item(part("invitations"), `You are asked to become a workspace's ${role}`, ["Accept", answer("accept")], ["Decline", answer("decline")]);
  }
  for (const { slug, role } of me.workspaces) item(part("workspaces"), `${slug}: ${role}`);
  show("inside");
  const code = localStorage.getItem(CODE);
  if (code) {
    localStorage.removeItem(CODE);
    part("code").value = code;
    part("program").requestSubmit();
  }
};

// A program's code, from the address that it showed. Kept until one is signed in, also by a link that opens elsewhere.
const CODE = "code";
const given = new URLSearchParams(location.search).get(CODE);
if (given) {
  localStorage.setItem(CODE, given);
  history.replaceState(null, "", location.pathname + location.hash);
}

// What was looked at is what is decided on, whatever stands in the field by then.
let looked;

const decide = (how, told) => async () => {
  await call("POST", `/v1/logins/${encodeURIComponent(looked)}/${how}`);
  part("asks").hidden = true;
  part("code").value = "";
  say(told);
};

on(part("program"), "submit", async () => {
  part("asks").hidden = true;
  const { code, agent } = await call("GET", `/v1/logins/${encodeURIComponent(part("code").value)}`);
  looked = code;
  part("who").textContent = `A program asks to act for you, with all that you may do. Let it only if you have just begun this yourself, and it shows ${code}. It calls itself \u201c${agent || "nothing"}\u201d.`;
  part("asks").hidden = false;
});

on(part("code"), "input", async () => { part("asks").hidden = true; });
on(part("allow"), "click", decide("allow", "The program goes on by itself now."));
on(part("deny"), "click", decide("deny", "The program was turned away."));

on(part("ask"), "submit", async () => {
  await call("POST", "/v1/sign-ins", { email: part("email").value });
  say("If the address may sign in, a link is on its way. Open it in this browser, within ten minutes.");
  show();
});

on(part("confirm"), "submit", async () => {
  const token = location.hash.slice(1);
  // Gone from the address bar and the history, whatever comes of it.
  history.replaceState(null, "", location.pathname);
  show("ask");
  await call("POST", "/v1/sign-ins/confirm", { token });
  await inside();
});

on(part("out"), "click", async () => {
  await call("DELETE", "/v1/sessions/current");
  say("Signed out.");
  show("ask");
});

if (location.hash.length > 1) {
  say("One more step, so that nobody but you uses the link.");
  show("confirm");
} else {
  inside().catch((error) => {
    say(error.status === 401 ? "Sign in by a link that is mailed to you." : error.message);
    show("ask");
  });
}
