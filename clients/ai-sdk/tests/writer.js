// A process that answers a question: `node tests/writer.js API CHAT`. The model says a word every 20 milliseconds, until it is aborted.
/* global AbortController, ReadableStream, setTimeout */
import { chatStore, generateMessageId } from "@scrollback/ai-sdk";
import { ScrollbackClient } from "@scrollback/client";
import { streamText } from "ai";
import { MockLanguageModelV3 } from "ai/test";

const [, , server = "", id = ""] = process.argv;
const chats = chatStore(new ScrollbackClient(server));
const abort = new AbortController();
const model = new MockLanguageModelV3({
  doStream: ({ abortSignal }) => {
    let words = 0;
    const stream = new ReadableStream({
      start: (controller) => {
        controller.enqueue({ type: "stream-start", warnings: [] });
        controller.enqueue({ type: "text-start", id: "1" });
      },
      pull: async (controller) => {
        await new Promise((resolve) => setTimeout(resolve, 20));
        if (abortSignal?.aborted) {
          console.log("the model is aborted");
          controller.error(abortSignal.reason);
        } else controller.enqueue({ type: "text-delta", id: "1", delta: `word-${String(++words)} ` });
      },
    });
    return Promise.resolve({ stream });
  },
});

const message = { id: generateMessageId(), role: "user", parts: [{ type: "text", text: "Go on." }] };
const messages = await chats.appendUserMessage({ id, message });
const result = streamText({ model, prompt: "Go on.", abortSignal: abort.signal });
const reply = result.toUIMessageStream({ originalMessages: messages, generateMessageId });
const { stream, stored } = chats.storeWhileStreaming(
  { id, messages, stream: reply },
  { flushMilliseconds: 100, onStop: () => abort.abort() },
);
let shown = "";
for await (const chunk of stream) {
  if (chunk.type === "text-delta") shown += chunk.delta;
  if (chunk.type === "abort") console.log("the page knows");
}
await stored;
console.log(`shown: ${shown}`);
