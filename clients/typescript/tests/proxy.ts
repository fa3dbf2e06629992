/** A real HTTP proxy on a socket of its own, between a client and the server. It loses requests and answers, as networks do. */
import { createServer, request, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export type Fault =
  | "lose the request"
  | "lose the answer"
  | "cut the answer in the middle"
  | "never answer, though the server does"
  // An answer instead of the server's. With `afterwards`, the server has answered before.
  | { status: number; headers?: Record<string, string>; afterwards?: boolean; body?: string };

/** A request that reached the proxy. */
export interface Seen {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
}

interface Answer {
  status: number;
  headers: IncomingHttpHeaders | Record<string, string>;
  body: Buffer;
}

export class Proxy {
  /** What happens to the next requests, one fault each. Then everything passes. */
  faults: (Fault | undefined)[] = [];
  readonly seen: Seen[] = [];
  readonly #server;

  constructor(server: string) {
    this.#server = createServer((incoming, outgoing) => {
      this.#handle(server, incoming, outgoing).catch(() => incoming.socket.destroy());
    });
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${String((this.#server.address() as AddressInfo).port)}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    // It may be closed already.
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #handle(server: string, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const body = await whole(incoming);
    const { method = "", url = "", headers } = incoming;
    this.seen.push({ method, path: url, headers, body: body.toString() });
    const fault = this.faults.shift();
    if (fault === "lose the request") {
      incoming.socket.destroy();
      return;
    }
    let answer: Answer = { status: 0, headers: {}, body: Buffer.alloc(0) };
    if (typeof fault !== "object" || fault.afterwards === true) {
      answer = await new Promise((resolve, reject) => {
        const behind = request(server + url, { method, headers }, (response) => {
          whole(response).then(
            (body) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
            reject,
          );
        });
        behind.once("error", reject).end(body);
      });
    }
    if (fault === "lose the answer") {
      incoming.socket.destroy();
      return;
    }
    if (fault === "never answer, though the server does") return;
    if (typeof fault === "object") {
      const { status, headers: more = {}, body: text = '{"message":"out of order"}' } = fault;
      answer = { status, headers: more, body: Buffer.from(text) };
    }
    const { "content-length": _, "transfer-encoding": __, ...kept } = answer.headers;
    outgoing.writeHead(answer.status, { ...kept, "content-length": answer.body.length });
    if (fault === "cut the answer in the middle") {
      outgoing.write(answer.body.subarray(0, answer.body.length / 2), () => incoming.socket.destroy());
      return;
    }
    outgoing.end(answer.body);
  }
}

async function whole(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
