// Reads HTTP/1.1 messages as Node does: {kind, messages: [base64]} on standard input, what it read of each on standard output.
"use strict";
const http = require("node:http");
const net = require("node:net");

const latin = (text) => Buffer.from(text, "latin1").toString("base64");
const fields = (raw) => raw.reduce((all, text, at) => (at % 2 ? all[all.length - 1].push(latin(text)) : all.push([latin(text.toLowerCase())]), all), []);

function body(message, done) {
  const pieces = [];
  message.on("data", (piece) => pieces.push(piece));
  message.on("error", () => {});
  message.on("close", () => done(message.complete ? Buffer.concat(pieces).toString("base64") : null));
}

// One connection whose far end sends `data` and then ends.
function readRequests(data) {
  return new Promise((resolve) => {
    const found = [];
    const server = http.createServer({ maxHeaderSize: 1 << 20 }, (request, response) => {
      const read = { method: request.method, target: latin(request.url), fields: fields(request.rawHeaders) };
      found.push(read);
      body(request, (whole) => (read.body = whole));
      request.on("end", () => response.end());
    });
    server.on("clientError", (error, socket) => {
      if (error.code !== "ECONNRESET") found.push({ error: error.code });
      socket.destroy();
    });
    server.listen(0, "127.0.0.1", () => {
      const socket = net.connect(server.address().port, "127.0.0.1", () => socket.end(data));
      socket.on("error", () => {});
      socket.resume();
      socket.on("close", () => server.close(() => resolve(found)));
    });
  });
}

function readAnswer({ method, data }) {
  return new Promise((resolve) => {
    let sent = false;
    const server = net.createServer((socket) => {
      socket.on("error", () => {});
      socket.on("data", () => { if (!sent) { sent = true; socket.end(data); } });
    });
    const finish = (told) => server.close(() => resolve(told));
    server.listen(0, "127.0.0.1", () => {
      const request = http.request({ port: server.address().port, method, agent: false, maxHeaderSize: 1 << 20 }, (answer) => {
        const read = { status: answer.statusCode, fields: fields(answer.rawHeaders) };
        body(answer, (whole) => { read.body = whole; finish(read); });
      });
      request.on("error", (error) => finish({ error: error.code }));
      request.end();
    });
  });
}

async function main() {
  let text = "";
  for await (const piece of process.stdin) text += piece;
  const { kind, messages } = JSON.parse(text);
  const all = [];
  for (const message of messages) {
    const data = Buffer.from(message, "base64");
    if (kind === "requests") all.push(await readRequests(data));
    else {
      const at = data.indexOf(" ");
      all.push(await readAnswer({ method: data.subarray(0, at).toString("latin1"), data: data.subarray(at + 1) }));
    }
  }
  process.stdout.write(JSON.stringify(all));
}

main();
