//! One module for each way of writing messages: it reads its own spelling, and writes the conversation for its API. `ai_sdk` and `mcp` only
//! read, because no model takes their spelling.

pub(crate) mod ai_sdk;
pub(crate) mod anthropic;
pub(crate) mod mcp;
pub(crate) mod openai;
pub(crate) mod responses;
