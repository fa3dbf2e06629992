//! Everything that Scrollback runs on, on one machine. `cargo dev`, the tests and the benchmark share it.
//!
//! A request goes through [`gateway`], which does what an HTTP API of API Gateway does. [`http_api`] makes the request into an event.
//! [`runtime_api`] hands the event to a process of the function, as Lambda does. [`postgres`] is the database, and [`pgbouncer`] a pooler
//! before it.

pub mod directories;
pub mod gateway;
pub mod http;
pub mod http_api;
pub mod pgbouncer;
pub mod postgres;
pub mod progress;
pub mod project;
pub mod runtime_api;
pub mod supervise;
pub mod tokens;
mod user;
