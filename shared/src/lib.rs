//! What every endpoint of Scrollback shares.
//!
//! A request travels one way through this crate. [`run`] takes the event, [`Caller`] says who is calling, and [`models`] parse what was
//! sent. One function of [`queries`] calls one stored function on the [`Database`]. An [`http::Reply`] or an [`Error`] goes back. A function's binary is a handler that names these steps:
//!
//! ```no_run
//! use shared::http::{Reply, Request};
//! use shared::{Database, Error};
//!
//! async fn hello(request: Request, _database: Database) -> Result<Reply, Error> {
//!     Reply::ok(&request.conversation_id()?)
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     shared::run(hello)
//! }
//! ```

pub mod auth;
pub mod config;
mod db;
pub mod error;
pub mod http;
mod invalid;
mod log;
pub mod models;
#[warn(missing_docs, clippy::missing_errors_doc)]
pub mod queries;
mod runtime;
mod wire;

pub use auth::Caller;
pub use config::Config;
pub use db::{Database, may_pass, tls_connector};
pub use error::{Error, Result};
pub use runtime::{run, run_schedule};
