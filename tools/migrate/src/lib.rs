//! A database's schema, and the connections that change it.

pub mod database;
pub mod migrations;
