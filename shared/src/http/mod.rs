//! The HTTP edge: what a request says, and what a response is made of.

mod event;
mod fields;
mod quoted;
mod reply;
mod request;

pub(crate) use self::event::Event;
pub use self::fields::Fields;
pub use self::reply::Reply;
pub use self::request::Request;
