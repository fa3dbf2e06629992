//! One module for each way of writing messages: it reads its own spelling, and writes the conversation for its API. `ai_sdk` and `mcp` only
//! read, because no model takes their spelling. `spelling` asks all of them. `alternating` and `marks` are what two APIs have in common.

pub(crate) mod ai_sdk;
mod alternating;
pub(crate) mod anthropic;
pub(crate) mod converse;
pub(crate) mod gemini;
mod marks;
pub(crate) mod mcp;
pub(crate) mod openai;
pub(crate) mod responses;
pub(crate) mod spelling;
