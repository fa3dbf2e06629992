//! Everything that Scrollback runs on, on one machine. `cargo dev`, the tests and the benchmark share it.
//!
//! A request goes through [`gateway`] as through an HTTP API of API Gateway: [`http_api`] makes it into an event, and [`runtime_api`] hands
//! the event to a process of the function, as Lambda does. [`postgres`] is the database, [`pgbouncer`] a pooler before it.

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
