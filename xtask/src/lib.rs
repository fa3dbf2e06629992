//! The developer's tool, as a library: what `cargo dev` and `cargo xtask …` do, and the local Postgres that the tests share with them.

pub mod bench;
pub mod database;
pub mod dev;
pub mod directories;
pub mod emulator;
pub mod gateway;
pub mod http_api;
pub mod migrations;
pub mod pgbouncer;
pub mod postgres;
pub mod progress;
pub mod routes;
pub mod runtime_api;
pub mod supervise;
pub mod tokens;
pub mod transcripts;
