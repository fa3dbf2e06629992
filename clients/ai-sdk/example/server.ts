/** The back end of the example: plain Node, with the page that Vite has built. */
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { extname, join, normalize } from "node:path";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { chatStore, generateMessageId, type ChatRequest } from "@scrollback/ai-sdk";
import type { ScrollbackClient } from "@scrollback/client";
import { convertToModelMessages, createUIMessageStreamResponse, streamText, type LanguageModel } from "ai";

const PAGE = fileURLToPath(new URL("./dist", import.meta.url));
const TYPES: Record<string, string> = { ".html": "text/html", ".js": "text/javascript" };

/** A chat of one user. A real application finds out who asks, and checks that the chat is theirs. */
export function createExample(client: ScrollbackClient, model: LanguageModel, user: string): Server {
  const chats = chatStore(client);

  async function answer(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/api/chat" && request.method === "GET") {
      const { id } = await client.getOrCreateConversation({ user_id: user });
      return Response.json({ id, messages: await chats.loadChat(id) });
    }
    if (pathname === "/api/chat") {
      const chat = (await request.json()) as ChatRequest;
      const messages = await chats.beginReply(chat);
      const abort = new AbortController();
      const prompt = await convertToModelMessages(messages);
      const result = streamText({ model, messages: prompt, abortSignal: abort.signal });
      const reply = result.toUIMessageStream({ originalMessages: messages, generateMessageId });
      const { stream, stored } = chats.storeWhileStreaming(
        { id: chat.id, messages, stream: reply },
        { onStop: () => abort.abort() },
      );
      stored.catch((error: unknown) => console.error(error));
      return createUIMessageStreamResponse({ stream });
    }
    const id = /^\/api\/chat\/([^/]+)\/stream$/.exec(pathname)?.[1];
    if (id !== undefined) {
      const stream = await chats.resumeStream({ id, after: searchParams.get("after") ?? undefined });
      return stream ? createUIMessageStreamResponse({ stream }) : new Response(null, { status: 204 });
    }
    const stopped = /^\/api\/chat\/([^/]+)\/stop$/.exec(pathname)?.[1];
    if (stopped !== undefined) {
      return Response.json({ stopped: await chats.stopReply({ id: stopped }) });
    }
    const file = pathname === "/" ? "/index.html" : normalize(pathname);
    const body = await readFile(join(PAGE, file)).catch(() => undefined);
    if (!body) return new Response("not found", { status: 404 });
    return new Response(body, { headers: { "content-type": TYPES[extname(file)] ?? "application/octet-stream" } });
  }

  return createServer((incoming, outgoing) => {
    void (async () => {
      const body: Buffer[] = [];
      for await (const piece of incoming) body.push(piece as Buffer);
      const { method = "GET", url = "/" } = incoming;
      const init = method === "POST" ? { method, body: Buffer.concat(body) } : { method };
      const response = await answer(new Request(new URL(url, "http://localhost"), init));
      outgoing.writeHead(response.status, Object.fromEntries(response.headers));
      const stream = response.body ? Readable.fromWeb(response.body as never) : Readable.from([]);
      // The page may leave.
      stream.on("error", () => outgoing.destroy());
      outgoing.on("close", () => stream.destroy());
      stream.pipe(outgoing);
    })().catch((error: unknown) => {
      console.error(error);
      outgoing.writeHead(500).end();
    });
  });
}
