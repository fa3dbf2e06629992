import { useChat } from "@ai-sdk/react";
import { prepareReconnectToStreamRequest, prepareSendMessagesRequest } from "@scrollback/ai-sdk";
import { DefaultChatTransport, type UIMessage } from "ai";
import { useState } from "react";
import { createRoot } from "react-dom/client";

interface Loaded {
  id: string;
  messages: UIMessage[];
}

function Chat({ id, messages: loaded }: Loaded) {
  const [text, setText] = useState("");
  const [transport] = useState(
    () =>
      new DefaultChatTransport({
        prepareSendMessagesRequest,
        prepareReconnectToStreamRequest: prepareReconnectToStreamRequest(loaded),
      }),
  );
  const { messages, sendMessage, regenerate, status } = useChat({ id, messages: loaded, transport, resume: true });
  return (
    <main data-status={status}>
      {messages.map((message) => (
        <p key={message.id} data-role={message.role}>
          {message.parts.map((part) => (part.type === "text" ? part.text : ""))}
        </p>
      ))}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          setText("");
          void sendMessage({ text });
        }}
      >
        <input aria-label="Message" value={text} onChange={(event) => setText(event.target.value)} />
        <button>Send</button>
      </form>
      <button onClick={() => void regenerate()}>Again</button>
      {/* The reply goes on in the back end whatever this page does, so the back end is asked to end it. */}
      <button onClick={() => void fetch(`/api/chat/${id}/stop`, { method: "POST" })}>Stop</button>
    </main>
  );
}

const loaded = (await (await fetch("/api/chat")).json()) as Loaded;
const root = document.getElementById("root");
if (root) createRoot(root).render(<Chat {...loaded} />);
