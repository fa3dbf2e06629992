/** The page of the browser's test: threads and branches of assistant-ui's own parts. Its URL says where the API is, and who the user is. */
import {
  ActionBarPrimitive,
  AssistantRuntimeProvider,
  BranchPickerPrimitive,
  ComposerPrimitive,
  MessagePrimitive,
  ThreadListItemPrimitive,
  ThreadListPrimitive,
  ThreadPrimitive,
  useRemoteThreadListRuntime,
} from "@assistant-ui/react";
import { useChatRuntime } from "@assistant-ui/react-ai-sdk";
import { ScrollbackClient } from "@scrollback/client";
import { useState } from "react";
import { createRoot } from "react-dom/client";
import { threadListAdapter, useBranchChange } from "../src/index.js";

const url = new URLSearchParams(location.search);
const client = new ScrollbackClient(url.get("api") ?? "");

const useChat = () => useChatRuntime({ unstable_onBranchChange: useBranchChange(client) });

const Item = () => (
  <ThreadListItemPrimitive.Root>
    <ThreadListItemPrimitive.Trigger data-thread>
      <ThreadListItemPrimitive.Title />
    </ThreadListItemPrimitive.Trigger>
  </ThreadListItemPrimitive.Root>
);

const Message = () => (
  <MessagePrimitive.Root>
    <p data-message>
      <MessagePrimitive.Parts />
    </p>
    <ActionBarPrimitive.Reload>Again</ActionBarPrimitive.Reload>
    <BranchPickerPrimitive.Root>
      <BranchPickerPrimitive.Previous>Previous</BranchPickerPrimitive.Previous>
      <b>
        <BranchPickerPrimitive.Number /> of <BranchPickerPrimitive.Count />
      </b>
      <BranchPickerPrimitive.Next>Next</BranchPickerPrimitive.Next>
    </BranchPickerPrimitive.Root>
  </MessagePrimitive.Root>
);

function Page() {
  const [adapter] = useState(() => threadListAdapter(client, { userId: url.get("user") ?? "" }));
  const runtime = useRemoteThreadListRuntime({ adapter, runtimeHook: useChat });
  return (
    <AssistantRuntimeProvider runtime={runtime}>
      <ThreadListPrimitive.Root>
        <ThreadListPrimitive.Items>{() => <Item />}</ThreadListPrimitive.Items>
      </ThreadListPrimitive.Root>
      <ThreadPrimitive.Root>
        <ThreadPrimitive.Messages>{() => <Message />}</ThreadPrimitive.Messages>
        <ComposerPrimitive.Root>
          <ComposerPrimitive.Input aria-label="Message" />
          <ComposerPrimitive.Send>Send</ComposerPrimitive.Send>
        </ComposerPrimitive.Root>
      </ThreadPrimitive.Root>
    </AssistantRuntimeProvider>
  );
}

createRoot(document.body.appendChild(document.createElement("main"))).render(<Page />);
