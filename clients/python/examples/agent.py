"""A LangGraph agent whose history is in Scrollback.

    pip install './clients/python[langchain]' langgraph
    python clients/python/examples/agent.py "Is it raining in Oslo?"

It expects Scrollback at `SCROLLBACK_URL`, or where `cargo dev` runs it. The chat model is a fake. Replace `FakeModel()` with yours, such as
`ChatOpenAI(...).bind_tools(TOOLS)`.
"""

from __future__ import annotations

import os
import sys
from typing import Any
from uuid import UUID

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from scrollback import Client
from scrollback.langchain import from_langchain, save_messages, to_langchain


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}, 7 degrees"


TOOLS = [weather]


class FakeModel(BaseChatModel):
    """A model that asks for the weather, and then says it."""

    @property
    def _llm_type(self) -> str:
        return "fake"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        questions = sum(message.type == "human" for message in messages)
        if messages[-1].type == "tool":
            said = AIMessage(f"Answer {questions}: {messages[-1].text}.")
        else:
            city = messages[-1].text.rstrip("?").split()[-1]
            call = {"name": "weather", "args": {"city": city}, "id": f"call_{questions}"}
            said = AIMessage("", tool_calls=[call])
        return ChatResult(generations=[ChatGeneration(message=said)])


def build(model: BaseChatModel) -> Any:
    """The graph: the model, and its tools until it has called enough of them."""

    def call_model(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("model", call_model)
    graph.add_node("tools", ToolNode(TOOLS))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition)
    graph.add_edge("tools", "model")
    return graph.compile()


def answer(client: Client, conversation_id: UUID, question: str, agent: Any) -> str:
    """One turn. Each step of the agent is stored when it is done, so a crash loses none of the steps before it."""
    turn = client.turn(conversation_id, messages=[from_langchain(HumanMessage(question))], context={"max_messages": 50})
    # The context is what fits. Every call in it has its result, also if a turn before this one was interrupted.
    messages = [to_langchain(each) for each in turn.context.messages]
    text = ""
    for step in agent.stream({"messages": messages}, stream_mode="updates"):
        for update in step.values():
            save_messages(client, conversation_id, update["messages"])
            text = update["messages"][-1].text
    return text


def main() -> None:
    """Asks the agent a question, in the user's latest conversation."""
    with Client(os.environ.get("SCROLLBACK_URL", "http://127.0.0.1:9000")) as client:
        conversation = client.get_or_create_conversation(os.environ.get("CHAT_USER", "ada"))
        print(answer(client, conversation.id, sys.argv[1], build(FakeModel())))


if __name__ == "__main__":
    main()
