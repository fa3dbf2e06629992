//! Every endpoint through its real binary, driven by events as an API Gateway HTTP API sends them, on a database of its own.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]
#![expect(unreachable_pub, reason = "one crate of tests: `pub` says what its modules use of each other")]

mod add_message;
mod cargo_lambda;
mod concurrency;
mod conventions;
mod database;
mod delete_conversation;
mod delete_message;
mod delete_summary;
mod dev;
mod edge;
mod erase_user;
mod events;
mod every_byte;
mod exactly_once;
mod expiry;
mod export_user;
mod faults;
mod fork_conversation;
mod get_chat_history;
mod get_context;
mod get_conversation;
mod get_message;
mod get_or_create_conversation;
mod get_summary;
mod get_user_conversations;
mod growth;
mod identity;
mod import_user;
mod load;
mod malformed;
mod migrations;
mod model;
mod neon;
mod network;
mod openapi;
mod panics;
mod plans;
mod pooler;
mod properties;
mod purge_expired;
mod release;
mod replies;
mod retries;
mod rewind_conversation;
mod search_messages;
mod summarize_conversation;
mod support;
mod template;
mod tidy;
mod transcripts;
mod transfer_user;
mod update_conversation;
mod update_message;
